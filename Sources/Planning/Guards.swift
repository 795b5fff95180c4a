public import Kloset

/// Why a sync is refused before a byte is written.
public struct Refusal: Sendable, Equatable {
    /// The news, as a phrase: `the replica has states that the source does not have`.
    public var reason: String
    /// Up to ``idsMax`` of the resources concerned.
    public var ids: [ResourceKey]
    /// What to do, as a sentence.
    public var advice: String

    /// Enough to recognise what happened, few enough to read.
    public static let idsMax = 10

    public init(reason: String, ids: [ResourceKey] = [], advice: String) {
        self.reason = reason
        self.ids = Array(ids.prefix(Self.idsMax))
        self.advice = advice
    }
}

/// What is found at a target before anything is compared in detail.
public struct TargetFacts: Sendable, Equatable {
    /// The repository of the target's CONFIG, nil without a CONFIG.
    public var configRepository: RepositoryID?
    /// The repository that our own marker under `.sealift/` names, nil without a marker.
    public var markedRepository: RepositoryID?
    /// The replica id of the marker, as text.
    public var markedReplica: String?
    /// Whether anything at all is there.
    public var isOccupied: Bool
    /// The replica id that the catalog remembers for this location, as text.
    public var expectedReplica: String?

    public init(
        configRepository: RepositoryID?, markedRepository: RepositoryID?, markedReplica: String?, isOccupied: Bool,
        expectedReplica: String?
    ) {
        self.configRepository = configRepository
        self.markedRepository = markedRepository
        self.markedReplica = markedReplica
        self.isOccupied = isOccupied
        self.expectedReplica = expectedReplica
    }
}

/// The guards: pure decisions whether a run may go on.
public enum Guards {
    /// Is this target one that a copy of `repository` may go to at all?
    public static func target(_ facts: TargetFacts, repository: RepositoryID, newReplicaAllowed: Bool) -> Refusal? {
        if let found = facts.configRepository, found != repository {
            return Refusal(
                reason: "the target holds another store (\(found)), the source is \(repository)",
                advice: "Name the target of this source, or an empty folder.")
        }
        if let found = facts.markedRepository, found != repository {
            return Refusal(
                reason: "the target is a copy of another store (\(found)), the source is \(repository)",
                advice: "Name the target of this source, or an empty folder.")
        }
        if facts.isOccupied, facts.configRepository == nil, facts.markedRepository == nil {
            return Refusal(
                reason: "the target is not empty and holds no store",
                advice: "Name an empty folder; nothing was touched.")
        }
        if let expected = facts.expectedReplica, facts.markedReplica != expected, !newReplicaAllowed {
            let found = facts.markedReplica.map { "replica \($0)" } ?? "no replica"
            return Refusal(
                reason: "replica \(expected) was here, now there is \(found)",
                advice: "Is the right disk mounted? To make a new replica here, say --new-replica.")
        }
        return nil
    }

    /// There is something at a target that may not be read, and this machine has not written it.
    public static func unknownUnread(replica: String?) -> Refusal {
        Refusal(
            reason: replica.map {
                "replica \($0) is there, this machine does not know it, and these credentials may not read what it holds"
            } ?? "the target is not empty, and these credentials may not read what is there",
            advice: replica == nil
                ? "Name an empty place; nothing was touched."
                : "Sync from the machine that knows it, or once from here with credentials that may read.")
    }

    /// What is written could not be read back although somebody asked for that.
    public static func unreadable(depth: VerificationDepth) -> Refusal {
        Refusal(
            reason: "these credentials may not read what they write, and --verify \(depth.rawValue) asks for just that",
            advice: "Leave out --verify, or use credentials that may read.")
    }

    /// The ledger at a target that may not be read ends elsewhere than this machine's record of it.
    public static func unreadLedger(known: Int64, found: Int64) -> Refusal {
        Refusal(
            reason:
                "its ledger ends with segment \(found), this machine knows \(known), and these credentials may not read it: "
                + "another machine wrote to the replica, or somebody removed what it recorded",
            advice: "Sync once with credentials that may read.")
    }

    /// One replica id at two places: the bytes of one of them came by another tool and nobody here has seen them.
    public static func twin(replica: String, elsewhere: String) -> Refusal {
        Refusal(
            reason: "replica \(replica) is also at \(elsewhere): one of them is a copy that another tool made",
            advice: "Remove .sealift from the copy; the next sync adopts it as a replica of its own.")
    }

    /// States that only the target has: someone wrote to the replica, or the source went back in time.
    public static func divergence(targetOnlyStates: [ResourceKey], count: Int) -> Refusal? {
        guard count > 0 else { return nil }
        return Refusal(
            reason:
                "the replica has \(count) state\(count == 1 ? "" : "s") that the source does not have: someone wrote to the replica, "
                + "or the source went back in time",
            ids: targetOnlyStates,
            advice: "Find out which side is right; to keep both, make a new replica elsewhere.")
    }
}
