import Catalog
import Glibc
import Kloset
import Planning
import Replication
import Storage
import StorageLocal
import StorageTesting
import Synchronization

/// A machine that Sealift runs on: its state folder outlives its processes.
final class Machine: Sendable {
    let state: TestFolder
    /// Catalogs stay open for as long as the machine is there: SQLite tidies up when one closes, which is no moment to copy its files.
    private let open = Mutex<[StateCatalog]>([])
    private static let clock = Counter()
    private static let blocking = BlockingPool(threadsMax: 2)
    static let places = BlockingPool(threadsMax: 4)

    init() throws {
        state = try Self.folder()
    }

    /// A machine whose catalog is what this one's is now. Nothing may be writing to it.
    func copy() throws -> Machine {
        let machine = try Machine()
        for (name, bytes) in state.files() where !name.hasSuffix("-shm") { try machine.state.put(name, bytes) }
        return machine
    }

    /// In memory where the system has such a place: what is durable is not what these tests ask SQLite.
    private static func folder() throws -> TestFolder {
        if access("/dev/shm", W_OK) == 0 { return try TestFolder(in: "/dev/shm") }
        return try TestFolder()
    }

    /// What a new process has. Its catalog counts commits as operations of `cut`.
    func process(cut: CutPoint = CutPoint(), jobs: Int = 2) -> RunEnvironment {
        let catalog = StateCatalog(folder: state.path, onCommit: { try cut.passWhole("commit") })
        open.withLock { $0.append(catalog) }
        return RunEnvironment(
            catalog: catalog, blocking: Self.blocking,
            pieces: PiecePool(capacity: RunEnvironment.piecesStandard), temporaryFolder: state.path, jobs: jobs, byteRateMax: nil,
            holder: "test", now: { Timestamp(seconds: 1_800_000_000 + Int64(Self.clock.next())) }, progress: Progress())
    }

    /// A sync by a process of its own.
    @discardableResult
    func sync(
        _ source: any StoreReader, _ targets: [any Store], _ options: SyncOptions = SyncOptions(), cut: CutPoint = CutPoint(),
        limits: BatchLimits = .standard
    ) async throws -> SyncReport {
        try await SyncRun(from: source, to: targets, options: options, environment: process(cut: cut), limits: limits).run()
    }

    /// The same with one target: its report.
    @discardableResult
    func sync(_ source: any StoreReader, to target: any Store, _ options: SyncOptions = SyncOptions()) async throws
        -> TargetReport
    {
        try await sync(source, [target], options).targets[0]
    }

    /// The same: how it failed, or nil.
    func outcome(_ source: any StoreReader, to target: any Store, _ options: SyncOptions = SyncOptions()) async throws -> Failure
        .Kind?
    {
        try await sync(source, to: target, options).failure?.kind
    }

    func verify(_ store: any StoreReader) async throws -> VerifyReport {
        try await VerifyRun(of: store, against: nil, environment: process()).run()
    }

    /// The points of a replica, oldest first.
    func points(of store: any StoreReader) async throws -> [CatalogPoint] {
        try await PointsRun(environment: process()).points(of: store).points
    }
}

/// Machines that know nothing, alive for as long as this is.
final class FreshMachines: Sendable {
    private let machines = Mutex<[Machine]>([])

    func next() throws -> Machine {
        let machine = try Machine()
        machines.withLock { $0.append(machine) }
        return machine
    }
}

extension MemoryStore {
    /// Its resources as files.
    var files: [String: [UInt8]] {
        withContent { content in Dictionary(uniqueKeysWithValues: content.published.map { ($0.key.path, $0.value.bytes) }) }
    }

    /// A store that holds what a generated one does.
    convenience init(_ store: GeneratedStore, upTo stateCount: Int = .max, place: String = "source") throws {
        self.init(place: place)
        try store.place(in: MemorySink(self), upTo: stateCount)
    }
}

extension GeneratedStore {
    /// The files that the store has after so many states.
    func files(upTo stateCount: Int = .max) -> [String: [UInt8]] {
        var files = ["CONFIG": GeneratedStore.config]
        for key in keys(upTo: stateCount) { files[key.path] = bytes(of: key) }
        return files
    }
}
