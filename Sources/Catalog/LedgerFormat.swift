public import Kloset

/// The form of a replica's ledger: `.sealift/ledger/00000001.zst`, `00000002.zst` and so on, each one zstd frame of text lines.
///
///     sealift-ledger 1
///     sequence <number>
///     replica <32 hex>
///     repository <uuid>
///     previous <SHA-256 of the previous segment's bytes as stored, or 64 zeros in the first>
///     resource <kind> <64 hex> <size> <sha256 or -> [<chunk hashes, 32 hex each, separated by commas>]
///     gone <kind> <64 hex>
///     point <id> <created> <root> <names> <complete or incomplete> <packfiles> <states> <bytes> <source> <identity> <name or ->
///     missing <kind> <64 hex>
///     end <number of entries>
///
/// `resource` is written before the resource is published; without a digest the replica's copy is unproven. `gone` says that it
/// is no longer in the source. The members of a `point` are all resources before it that are not gone. `missing` lines follow an
/// incomplete point and name what was left out. Words are separated by single spaces; free text is percent-encoded; numbers are
/// decimal; every line ends with a line feed.
public enum LedgerFormat {
    /// Entries in a segment at most: about a second of work for the transaction that imports it.
    public static let entriesMax = 65_536
    /// Bytes of text in a segment at most, before compression: the bound for decompression. 65,536 entries of small resources are
    /// 10 MiB; segments of large resources, with 33 bytes of text for each MiB of theirs, end here first.
    public static let textByteCountMax = 16 << 20
    /// Bytes of one line at most: the chunk hashes of a resource of 64 GiB are 2.1 MiB. A longer list is left out by the encoder:
    /// chunk hashes only locate differences.
    public static let lineByteCountMax = 4 << 20
    /// Bytes of a stored segment at most: what zstd makes of text that does not compress at all is longer by less than 1 %.
    public static let storedByteCountMax = textByteCountMax + textByteCountMax / 64
    /// Bytes of a resource at most (1 EiB): larger numbers are nonsense, and sums of them would overflow.
    static let resourceByteCountMax: Int64 = 1 << 60

    /// The document name of a segment below `.sealift/`: `ledger/00000001.zst`.
    public static func documentName(sequence: Int64) -> String {
        precondition(sequence > 0, "segments are numbered from 1")
        let digits = String(sequence)
        return "ledger/" + String(repeating: "0", count: max(0, 8 - digits.count)) + digits + ".zst"
    }

    /// The reverse, also for a name without its folder; nil for any other name.
    public static func sequence(ofDocument name: String) -> Int64? {
        let file = name.hasPrefix("ledger/") ? String(name.dropFirst(7)) : name
        guard file.hasSuffix(".zst"), let sequence = Int64(file.dropLast(4)), sequence > 0,
            documentName(sequence: sequence) == "ledger/" + file
        else { return nil }
        return sequence
    }
}

/// The first lines of a segment.
public struct LedgerHeader: Sendable, Hashable {
    /// 1 for the first segment of a replica.
    public var sequence: Int64
    public var replica: ReplicaID
    public var repository: RepositoryID
    /// SHA-256 of the previous segment's bytes as stored; zero in the first.
    public var previous: Digest

    public init(sequence: Int64, replica: ReplicaID, repository: RepositoryID, previous: Digest) {
        self.sequence = sequence
        self.replica = replica
        self.repository = repository
        self.previous = previous
    }

    /// The header of the segment that follows `head`.
    public init(after head: LedgerHead, replica: ReplicaID, repository: RepositoryID) {
        self.init(sequence: head.sequence + 1, replica: replica, repository: repository, previous: head.digest)
    }
}

/// One thing that a ledger says.
public enum LedgerEntry: Sendable, Equatable {
    /// The replica is about to hold a resource of these bytes; without a digest it holds an unproven copy.
    case resource(ResourceKey, size: Int64, digest: Digest?, chunks: [ChunkHash])
    /// The resource is no longer in the source.
    case gone(ResourceKey)
    /// A recovery point, with what it is missing.
    case point(RecoveryPoint)

    /// A resource with everything that is known of it.
    public static func resource(_ key: ResourceKey, _ proof: ResourceProof) -> LedgerEntry {
        .resource(key, size: proof.size, digest: proof.digest, chunks: proof.chunks)
    }
}
