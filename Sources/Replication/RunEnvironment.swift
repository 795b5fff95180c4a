public import Catalog
public import Kloset
public import Storage

/// What every run needs from outside: the catalog, threads, memory, the time, and somebody to tell.
public struct RunEnvironment: Sendable {
    public var catalog: StateCatalog
    /// Threads for blocking work of our own (working lists).
    public var blocking: BlockingPool
    /// All memory for bytes in flight.
    public var pieces: PiecePool
    /// An existing folder for working lists.
    public var temporaryFolder: String
    /// How many resources are read at the same time; nil leaves it to the place.
    public var jobs: Int?
    /// Bytes a second that may be read from the source; nil for no limit.
    public var byteRateMax: Int64?
    /// Who we are, for whoever finds a place locked: `sealift sync (process 4711)`.
    public var holder: String
    /// The wall clock.
    public var now: @Sendable () -> Timestamp
    public var progress: Progress
    /// Opens a place by the name under which the catalog remembers it; nil for one that this program cannot open.
    public var openKnown: @Sendable (String) -> (any StoreReader)?

    /// 16 pieces of 1 MiB: two readers and two writers keep four in flight, the rest evens out a target that syncs. 24 gave nothing more.
    public static let piecesStandard = 16

    /// 24 where targets collect parts of 8 MiB: two on their way and one that fills.
    public static let piecesForParts = 24

    /// The same with the memory that these targets work best with.
    public func writing(to targets: [any Store]) -> RunEnvironment {
        guard targets.contains(where: { !$0.capabilities.showsStaged }) else { return self }
        var copy = self
        copy.pieces = PiecePool(capacity: Self.piecesForParts)
        return copy
    }

    public init(
        catalog: StateCatalog, blocking: BlockingPool, pieces: PiecePool, temporaryFolder: String, jobs: Int?,
        byteRateMax: Int64?,
        holder: String, now: @escaping @Sendable () -> Timestamp, progress: Progress,
        openKnown: @escaping @Sendable (String) -> (any StoreReader)? = { _ in nil }
    ) {
        self.catalog = catalog
        self.blocking = blocking
        self.pieces = pieces
        self.temporaryFolder = temporaryFolder
        self.jobs = jobs
        self.byteRateMax = byteRateMax
        self.holder = holder
        self.now = now
        self.progress = progress
        self.openKnown = openKnown
    }

    func makeSpool() async throws -> InventorySpool {
        let folder = temporaryFolder
        return try await blocking.run { try InventorySpool(folder: folder) }
    }
}
