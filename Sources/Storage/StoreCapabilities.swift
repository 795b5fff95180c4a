/// What a place can promise, as values: callers ask instead of casting. `inspect` prints them.
public struct StoreCapabilities: Sendable, Equatable {
    /// How a final name is given without replacing.
    public enum Publication: String, Sendable {
        /// One step that refuses when the name is taken.
        case atomic
        /// A second name for the staged bytes, then the first one removed: refuses when the name is taken.
        case linkThenUnlink = "link-then-unlink"
        /// Look, then rename, under the place's lock: another writer that ignores the lock could be overwritten.
        case checkThenRename = "not atomic"
        /// One request that the server refuses when the name is taken.
        case conditional = "refused by the server when taken"
        /// The same, but nobody has tried yet whether this server does so.
        case untried = "not tried yet"
        /// Look, write, look again: another writer in between would be overwritten.
        case checkThenWrite = "looked for, then written"
    }

    /// How bytes and names survive a power loss.
    public enum Durability: String, Sendable {
        /// One call covers all that was written.
        case fileSystemSync = "one sync for a batch"
        /// Each file and folder is synced by itself.
        case fileSync = "a sync for each file"
        /// The place gives no such promise.
        case unproven = "not proven durable"
        /// What the server has acknowledged is durable, as far as its word goes.
        case acknowledged = "durable when acknowledged"
    }

    /// How a damaged resource is replaced.
    public enum Exchange: String, Sendable {
        /// Both names swap in one step.
        case atomic
        /// A second name in quarantine, then one replacing rename: never a moment with nothing under the name.
        case linkThenReplace = "link-then-replace"
        /// A copy in quarantine, then one replacing rename.
        case copyThenReplace = "copy-then-replace"
        /// Moved to quarantine, then the good bytes are named: for a moment nothing has the name.
        case moveThenRename = "move-then-rename"
    }

    /// Whether the place's lock keeps others out.
    public enum Locking: String, Sendable {
        case exclusive
        /// It does not: names that are never replaced and the second look at a target's states keep writers apart.
        case none
    }

    /// How exactly the time of a packfile or of CONFIG is kept. Times of states are always kept to the nanosecond: their order depends on them.
    public enum Times: String, Sendable {
        case nanoseconds
        case seconds
    }

    /// What can be done with staged bytes before they are published.
    public enum Staging: Sendable, Equatable {
        /// They lie at the place, can be read back, and survive the run.
        case readable
        /// Nothing can be read back before it is published, so whoever wants proof reads the published name before anything leans on it.
        ///
        /// Resources of at most `small` bytes wait in memory and are lost with the run; the caller publishes when they have about `memory` bytes
        /// together. Larger ones wait as parts at the place, which does not show them.
        case hidden(small: Int64, memory: Int64)
    }

    public var publication: Publication
    public var durability: Durability
    public var exchange: Exchange
    public var staging: Staging
    public var locking: Locking
    /// How many buckets are worth listing at the same time: on a local disk two keep both cores busy, over a network more hide the delay.
    public var bucketsInFlight: Int
    public var times: Times
    /// How many resources are worth reading at the same time. Two of a machine's cores hash while two more tasks wait for disks; over a network
    /// each reader waits a round trip for each chunk.
    public var readersInFlight: Int
    /// Chunks of one resource that are worth reading at the same time: over a network each waits a round trip.
    public var chunksInFlight = 1
    /// How its requests are counted; nil where nobody pays for them.
    public var requests: RequestModel?
    /// Whether there are accounts that may list and write there but not read. Where not, ``Store/readAccess()`` is always `.allowed`.
    public var mayBeWriteOnly: Bool
    /// How many chunks or groups are worth writing at the same time: one task commits a batch while two others stage the next one; over a
    /// network each waits a round trip for its chunk.
    public var writersInFlight: Int

    public init(
        publication: Publication, durability: Durability, exchange: Exchange, staging: Staging = .readable,
        locking: Locking = .exclusive, bucketsInFlight: Int = 8, times: Times = .nanoseconds, readersInFlight: Int = 2,
        mayBeWriteOnly: Bool = false,
        writersInFlight: Int = 3
    ) {
        self.publication = publication
        self.durability = durability
        self.exchange = exchange
        self.staging = staging
        self.locking = locking
        self.bucketsInFlight = bucketsInFlight
        self.times = times
        self.readersInFlight = readersInFlight
        self.mayBeWriteOnly = mayBeWriteOnly
        self.writersInFlight = writersInFlight
    }

    /// Whether ``ResourceView/stagedOnMedium`` can be read.
    public var showsStaged: Bool { staging == .readable }

    /// Bytes of memory that a staged resource of `size` bytes holds.
    public func stagedMemory(ofSize size: Int64) -> Int64 {
        if case .hidden(let small, _) = staging, size <= small { size } else { 0 }
    }

    /// Bytes of memory that all that is staged may hold.
    public var stagedMemoryMax: Int64 {
        if case .hidden(_, let memory) = staging { memory } else { .max }
    }
}
