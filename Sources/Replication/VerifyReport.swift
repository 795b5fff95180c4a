public import Kloset
public import Planning
public import Storage

/// A resource whose bytes are not what they should be.
public struct DamagedResource: Sendable, Equatable {
    public var key: ResourceKey
    public var reason: String
    /// Two copies look whole and differ, and nobody recorded which one is right.
    public var isDisputed: Bool

    public init(key: ResourceKey, reason: String, isDisputed: Bool = false) {
        self.key = key
        self.reason = reason
        self.isDisputed = isDisputed
    }
}

/// The first of what may be many.
public struct LimitedList<Element: Sendable>: Sendable {
    public private(set) var first: [Element] = []
    public private(set) var count = 0

    /// Enough to see what happened and to repair from; a store that lost more needs another look than a list.
    public static var listedMax: Int { 100_000 }

    public init() {}

    public var isEmpty: Bool { count == 0 }
    /// Whether there was more to say than the list holds.
    public var isCutShort: Bool { first.count < count }

    mutating func add(_ element: Element) {
        count += 1
        if first.count < Self.listedMax { first.append(element) }
    }

    mutating func sort(by areInOrder: (Element, Element) -> Bool) {
        first.sort(by: areInOrder)
    }
}

/// What reading a store back has shown. Its lists are ascending by key.
public struct VerifyReport: Sendable {
    public var location: String
    public var repository: RepositoryID?
    /// It is no replica, and this machine has taken recovery points from it.
    public var isSource = false
    public var knowledge: LedgerSource
    /// Read and compared, or read and found damaged on its face.
    public var checked = Tally()
    /// The same as a number, CONFIG included.
    public var checkedCount = 0
    public var damage = LimitedList<DamagedResource>()
    /// What the last recovery point names and is not there, or went while it was read.
    public var loss = LimitedList<ResourceKey>()
    /// What we may not read: nobody knows whether it is whole.
    public var forbidden = LimitedList<DamagedResource>()
    /// Folders that could not be listed, or that a source has lost: what is in them is in no other list.
    public var folders: [UnlistedFolder] = []
    /// Read, but nobody knows the digest.
    public var unknown = 0
    /// Not read: the place says that it has computed their SHA-256, and it is the recorded one.
    public var attested = Tally()
    public var bytesRead: Int64 = 0
    /// What lies beneath what is damaged or lost, at a place that keeps versions; for the first thousand.
    public var covered: [CoveredResource] = []
    /// What is wrong with the replica's own ledger, in words; what was known without it was compared all the same.
    public var ledgerDamage: String?
    /// What is wrong with the replica's mark, and what to do; nothing of the content depends on it.
    public var markDamage: Failure?
    /// What the other store shows; nil when there was none.
    public var comparison: Comparison?

    /// What comparing with another store has shown of that one.
    public struct Comparison: Sendable {
        public var location: String
        /// Its copies of what nobody recorded here that are damaged.
        public var damage = LimitedList<DamagedResource>()
        /// What it has and the verified store lacks, beside what is lost there.
        public var onlyThere = LimitedList<ResourceKey>()
        /// How many of those are states.
        public var statesOnlyThere = 0
    }

    /// Whether every resource could be read and compared.
    public var isComplete: Bool { unknown == 0 && forbidden.isEmpty && folders.isEmpty }
    /// Whether nothing bad is known of the verified store.
    public var isGood: Bool {
        damage.isEmpty && loss.isEmpty && folders.allSatisfy(\.isForbidden) && ledgerDamage == nil && markDamage == nil
    }

    public var damaged: [DamagedResource] { damage.first }
    public var damagedCount: Int { damage.count }
    public var lost: [ResourceKey] { loss.first }
    public var lostCount: Int { loss.count }
}

extension VerifyReport {
    mutating func add(_ judged: JudgedResource, isReplica: Bool) {
        bytesRead += judged.size
        if let reason = judged.otherDamage { comparison?.damage.add(DamagedResource(key: judged.key, reason: reason)) }
        switch judged.verdict {
        case .good: didCheck(judged)
        case .unknown: unknown += 1
        case .damaged(let reason):
            didCheck(judged)
            damage.add(DamagedResource(key: judged.key, reason: reason))
        case .disputed(let reason):
            didCheck(judged)
            damage.add(DamagedResource(key: judged.key, reason: reason, isDisputed: true))
        case .forbidden(let reason): forbidden.add(DamagedResource(key: judged.key, reason: reason))
        case .vanished:
            // Maintenance removes packfiles of a source at any time; nobody may remove anything from a replica, or CONFIG from anywhere.
            if isReplica || judged.key == .config { loss.add(judged.key) }
        }
    }

    private mutating func didCheck(_ judged: JudgedResource) {
        checked.add(judged.key.kind, bytes: judged.size)
        checkedCount += 1
    }

    mutating func sort() {
        damage.sort { $0.key < $1.key }
        forbidden.sort { $0.key < $1.key }
        loss.sort { $0 < $1 }
        comparison?.damage.sort { $0.key < $1.key }
    }
}
