public import Kloset
public import Planning
public import Storage

/// What a sync should do beyond copying.
public struct SyncOptions: Sendable {
    public var verify: VerificationDepth
    /// Whether somebody asked for just that: a target that may not be read is refused then.
    public var isVerifyDemanded: Bool
    /// A name for the recovery point.
    public var name: String?
    /// Look at the size of every resource instead of trusting what is recorded.
    public var relist: Bool
    /// Publish states although resources of the source are damaged; remembered for exactly those resources.
    public var allowIncomplete: Bool
    /// The source lost what recovery points name, and somebody knows; remembered for exactly those points.
    public var allowLoss: Bool
    /// Make a new replica where another one is known.
    public var newReplica: Bool
    /// What everything that is published gets; nil leaves it to the place.
    public var lock: ResourceLock?
    /// How what is cold at the source is brought back; nil asks for nothing.
    public var recall: Recall?

    public init(
        verify: VerificationDepth = .sample, name: String? = nil, relist: Bool = false, allowIncomplete: Bool = false,
        allowLoss: Bool = false, newReplica: Bool = false, isVerifyDemanded: Bool = false, lock: ResourceLock? = nil,
        recall: Recall? = nil
    ) {
        self.recall = recall
        self.verify = verify
        self.isVerifyDemanded = isVerifyDemanded
        self.name = name
        self.relist = relist
        self.allowIncomplete = allowIncomplete
        self.allowLoss = allowLoss
        self.newReplica = newReplica
        self.lock = lock
    }
}

extension SyncOptions {
    /// For a target that may not be read.
    var readingNothingBack: SyncOptions {
        var copy = self
        copy.verify = .none
        return copy
    }
}

/// A resource that did not make it, and why.
public struct FailedResource: Sendable, Equatable {
    /// Whose bytes it is about.
    public enum Side: String, Sendable {
        case source, target
    }

    public var key: ResourceKey
    public var reason: String
    public var retryable: Bool
    /// Nil where there is only one side that it can be about.
    public var side: Side?
    /// We may not read it: that says nothing about its bytes.
    public var isForbidden: Bool

    public init(key: ResourceKey, reason: String, retryable: Bool, side: Side? = nil, isForbidden: Bool = false) {
        self.key = key
        self.reason = reason
        self.retryable = retryable
        self.side = side
        self.isForbidden = isForbidden
    }

    /// Why a resource of the source could not be read.
    init(_ key: ResourceKey, _ failure: Failure) {
        self.init(
            key: key, reason: failure.reason, retryable: failure.retryable, side: .source,
            isForbidden: failure.kind == .permission)
    }

    func on(_ side: Side) -> FailedResource {
        var copy = self
        copy.side = side
        return copy
    }
}

/// What keeps the published resources of a target from being removed.
public struct LockReport: Sendable, Equatable {
    public var lock: ResourceLock
    /// Until when the retention lasts; nil for a hold alone.
    public var until: Timestamp?
    /// Resources that were there before with less, and have it now.
    public var extended = 0
}

/// What became of one target.
public struct TargetReport: Sendable {
    public var place: String
    /// Why the target is not what it should be; nil when everything that the cut named is there, verified as asked.
    public var failure: Failure?
    /// What was missing when the run began.
    public var toCopy = Tally()
    public var copied = Tally()
    public var alreadyThere = Tally()
    public var targetOnly = Tally()
    /// The first ``failedMax`` of ``failedCount``.
    public var failed: [FailedResource] = []
    public var failedCount = 0
    public var verified = Tally()
    /// Published at a place that says it has computed the right SHA-256 of it: its word, not a check.
    public var attested = Tally()
    /// Of ``copied``, what the target's own server copied: no byte of it passed through us.
    public var serverCopied = Tally()
    /// Why nothing was read back although that is the default; nil otherwise.
    public var unverifiedReason: String?
    /// Resources there that nobody read yet: what `cp` or another tool brought.
    public var unproven = 0
    /// Copied although the replica held them before: they had been lost there.
    public var restored = 0
    public var recoveryPoint: String?
    /// What stands behind what is known of the replica; nil when the run did not get that far.
    public var knowledge: LedgerSource?
    /// Resources whose digests this run took from the replica's ledger, because this machine did not know them.
    public var learned: Int64 = 0
    /// Points that name what the source lost, and that no longer measure it since this run was told so.
    public var renounced: [String] = []
    /// Whether this run made it; false for that of an earlier run which says the same.
    public var madePoint = false
    /// What was sent there, where requests are counted.
    public var requests: RequestCounts?
    /// The lock that was asked for, and that everything which was published has.
    public var lock: LockReport?
    public var bytesWritten: Int64 = 0

    /// Enough to see what is going on; a disk that is dying should not fill memory with its news.
    public static let failedMax = 1000

    public init(place: String) {
        self.place = place
    }

    mutating func add(failed one: FailedResource) {
        failedCount += 1
        if failed.count < Self.failedMax { failed.append(one) }
    }
}

/// What became of a sync.
public struct SyncReport: Sendable {
    public var source: String
    public var repository: RepositoryID
    public var targets: [TargetReport]
    /// Bytes read from the source, each once unless the target lost them; not what a server copied.
    public var bytesRead: Int64
    /// What was sent to the source, where requests are counted.
    public var requests: RequestCounts?
    public var bytesWritten: Int64 { targets.reduce(0) { $0 + $1.bytesWritten } }
}
