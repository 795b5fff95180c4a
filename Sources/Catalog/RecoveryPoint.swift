public import Kloset

/// An immutable, dated inventory of what a source had and a replica holds: something to go back to.
public struct RecoveryPoint: Sendable, Equatable {
    /// Unique within a replica; the targets of one run may share it.
    public var id: String
    public var created: Timestamp
    /// What the operator called it, if anything.
    public var name: String?
    /// Where it was taken from, without secrets.
    public var source: String
    /// What tells this source from others of the same repository; empty when nothing does.
    public var sourceIdentity: String
    /// Over the sorted (kind, id, size, digest) of the cut: the same on all targets of a run.
    public var root: Digest
    /// Over the sorted (kind, id).
    public var namesDigest: Digest
    public var packfiles: Int64
    public var states: Int64
    /// Of all resources.
    public var bytes: Int64
    /// Resources of the cut that the replica does not hold, ascending: left out by `--allow-incomplete`.
    public var missing: [ResourceKey]
    /// False when resources were left out.
    public var isComplete: Bool { missing.isEmpty }

    public init(
        id: String, created: Timestamp, name: String?, source: String, sourceIdentity: String, root: Digest, namesDigest: Digest,
        packfiles: Int64, states: Int64, bytes: Int64, missing: [ResourceKey] = []
    ) {
        self.id = id
        self.created = created
        self.name = name
        self.source = source
        self.sourceIdentity = sourceIdentity
        self.root = root
        self.namesDigest = namesDigest
        self.packfiles = packfiles
        self.states = states
        self.bytes = bytes
        self.missing = missing
    }
}

/// A recovery point in its place: which replica, which number.
public struct CatalogPoint: Sendable, Equatable {
    public var point: RecoveryPoint
    /// 1, 2, 3 … within the replica.
    public var sequence: Int64
    public var replica: ReplicaID
    public var repository: RepositoryID
    /// Where the replica was last seen.
    public var location: String?
    /// Whether this machine made it of what it had seen, or has seen all its bytes since; false while a ledger alone tells of it or of bytes of it.
    public var authenticated: Bool

    public init(
        point: RecoveryPoint, sequence: Int64, replica: ReplicaID, repository: RepositoryID, location: String?,
        authenticated: Bool = true
    ) {
        self.point = point
        self.sequence = sequence
        self.replica = replica
        self.repository = repository
        self.location = location
        self.authenticated = authenticated
    }
}
