public import Kloset
public import Reconciliation

/// How sure we are of a replica's copy of a resource.
public enum HoldingStatus: Int64, Sendable, Hashable, CaseIterable {
    /// Its digest is recorded, its name may not be durable yet: a crash can leave it without.
    case pending = 1
    /// Its bytes were written or read by us, and its name is durable.
    case confirmed = 2
    /// It was there before us and nobody has read it yet.
    case unproven = 3
}

/// One resource that a replica holds.
public struct Holding: Sendable, Hashable, Keyed {
    public var key: ResourceKey
    public var status: HoldingStatus
    /// Bytes.
    public var size: Int64
    /// Nil when nobody has read the bytes yet.
    public var digest: Digest?
    /// False when the digest comes from a replica's ledger.
    public var authenticated: Bool
    /// The number of the first recovery point it is a member of; that point may not exist yet.
    public var firstPoint: Int64
    /// The number of the last one, once it has left the source; nil while it is still there. Less than `firstPoint` when it never
    /// was a member.
    public var lastPoint: Int64?

    public init(
        key: ResourceKey, status: HoldingStatus, size: Int64, digest: Digest?, authenticated: Bool, firstPoint: Int64,
        lastPoint: Int64?
    ) {
        self.key = key
        self.status = status
        self.size = size
        self.digest = digest
        self.authenticated = authenticated
        self.firstPoint = firstPoint
        self.lastPoint = lastPoint
    }
}

/// How many resources a replica holds.
public struct HoldingCounts: Sendable, Equatable {
    /// Of all kinds, CONFIG included.
    public var resources: Int64
    public var pending: Int64
    public var unproven: Int64

    public init(resources: Int64, pending: Int64, unproven: Int64) {
        self.resources = resources
        self.pending = pending
        self.unproven = unproven
    }
}

/// Walks through what a replica holds, ascending by key, without holding more than one row. Valid inside the closure that made
/// it.
public struct HoldingCursor: SortedCursor, ~Copyable {
    /// Nil behind the last row: a statement that is stepped again begins again.
    private var rows: StatementLoan?
    private var resources: ResourceWalk?

    init(rows: StatementLoan?, resources: ResourceWalk?) {
        self.rows = rows
        self.resources = resources
    }

    /// The next holding, or nil at the end.
    public mutating func next() throws -> Holding? {
        guard let row = rows?.statement, try row.step() else {
            rows = nil
            return nil
        }
        let key = try row.key(0)
        guard let status = HoldingStatus(rawValue: row.int(2)) else { throw row.damage("a holding has the status \(row.int(2))") }
        guard let facts = try resources?.find(key) else { throw row.damage("a replica holds \(key), of which nothing is known") }
        return Holding(
            key: key, status: status, size: facts.size, digest: facts.digest, authenticated: facts.authenticated,
            firstPoint: row.int(3), lastPoint: row.isNull(4) ? nil : row.int(4))
    }
}

/// One resource that belongs to a recovery point.
public struct PointMember: Sendable, Hashable, Keyed {
    public var key: ResourceKey
    /// Bytes.
    public var size: Int64
    /// Nil when nobody has read the bytes yet.
    public var digest: Digest?

    public init(key: ResourceKey, size: Int64, digest: Digest?) {
        self.key = key
        self.size = size
        self.digest = digest
    }
}

/// Walks through the members of a recovery point, ascending by key, without holding more than one row. Valid inside the closure
/// that made it.
public struct MemberCursor: SortedCursor, ~Copyable {
    /// Nil behind the last row: a statement that is stepped again begins again.
    private var rows: StatementLoan?
    private var resources: ResourceWalk?

    init(rows: StatementLoan?, resources: ResourceWalk?) {
        self.rows = rows
        self.resources = resources
    }

    /// The next member, or nil at the end.
    public mutating func next() throws -> PointMember? {
        guard let row = rows?.statement, try row.step() else {
            rows = nil
            return nil
        }
        let key = try row.key(0)
        guard let facts = try resources?.find(key) else {
            throw row.damage("a recovery point names \(key), of which nothing is known")
        }
        return PointMember(key: key, size: facts.size, digest: facts.digest)
    }
}
