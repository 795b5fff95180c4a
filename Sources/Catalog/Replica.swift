public import Kloset

/// The random identity of a replica, kept under its `.sealift/`: a replica is never known by its path.
public struct ReplicaID: Sendable, Hashable, CustomStringConvertible {
    private let high: UInt64
    private let low: UInt64

    /// Nil unless there are exactly 16 bytes. A new replica gets 16 random ones.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 16 else { return nil }
        high = bytes.prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
        low = bytes.suffix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }

    /// Parses ``description``: 32 lower-case hexadecimal digits; nil for anything else.
    public init?(hex: some StringProtocol) {
        // Padded to 256 bits so that one parser decides what a digit is.
        guard hex.utf8.count == 32, let padded = Bits256(hex: String(repeating: "0", count: 32) + hex) else { return nil }
        self.init(bytes: padded.bytes.suffix(16))
    }

    /// Exactly 16 bytes.
    public var bytes: [UInt8] {
        (0..<8).map { UInt8(truncatingIfNeeded: high >> (56 - 8 * $0)) }
            + (0..<8).map { UInt8(truncatingIfNeeded: low >> (56 - 8 * $0)) }
    }

    /// 32 lower-case hexadecimal digits.
    public var description: String { hexText(bytes) }
}

/// The end of a replica's ledger as far as it is known.
public struct LedgerHead: Sendable, Hashable {
    /// The number of the last segment; 0 when there is none.
    public var sequence: Int64
    /// SHA-256 of the last segment's bytes as stored; zero when there is none.
    public var digest: Digest

    public init(sequence: Int64, digest: Digest) {
        self.sequence = sequence
        self.digest = digest
    }

    /// The ledger has no segment yet.
    public static let none = LedgerHead(sequence: 0, digest: .zero)
}

/// A replica as the catalog knows it.
public struct ReplicaRecord: Sendable, Equatable {
    public var id: ReplicaID
    public var repository: RepositoryID
    /// Where it was last seen, without secrets; nil when that place has since been given to another replica.
    public var location: String?
    public var ledgerHead: LedgerHead
    /// False when digests were learned from the replica's own ledger: whoever could write to the replica could have written
    /// those.
    public var authenticated: Bool
    /// What the last complete run left; nil as soon as anything it holds has changed.
    public var summary: ReplicaSummary?

    public init(
        id: ReplicaID, repository: RepositoryID, location: String?, ledgerHead: LedgerHead = .none, authenticated: Bool = true,
        summary: ReplicaSummary? = nil
    ) {
        self.id = id
        self.repository = repository
        self.location = location
        self.ledgerHead = ledgerHead
        self.authenticated = authenticated
        self.summary = summary
    }
}

/// The shortcut for "nothing has changed since the last run": when both places still have these names, there is nothing to walk
/// through.
public struct ReplicaSummary: Sendable, Equatable {
    /// Over the sorted names in the source's cut.
    public var sourceNames: Digest
    /// Over the sorted names on the target.
    public var targetNames: Digest
    public var packfiles: Int64
    public var states: Int64
    /// Of all resources.
    public var bytes: Int64
    /// Resources that were adopted and not read yet.
    public var unproven: Int64
    /// Packfiles that only the target has, and their bytes.
    public var targetOnlyPackfiles: Int64
    public var targetOnlyBytes: Int64
    /// The id of the last recovery point.
    public var lastPoint: String?

    public init(
        sourceNames: Digest, targetNames: Digest, packfiles: Int64, states: Int64, bytes: Int64, unproven: Int64,
        targetOnlyPackfiles: Int64, targetOnlyBytes: Int64, lastPoint: String?
    ) {
        self.sourceNames = sourceNames
        self.targetNames = targetNames
        self.packfiles = packfiles
        self.states = states
        self.bytes = bytes
        self.unproven = unproven
        self.targetOnlyPackfiles = targetOnlyPackfiles
        self.targetOnlyBytes = targetOnlyBytes
        self.lastPoint = lastPoint
    }
}
