internal import Glibc
internal import Kloset
public import Storage
internal import Synchronization

/// A store in a folder of this machine, in plakar's own layout.
///
/// The location itself may be reached through symlinks; everything below it only by openat2 without any. Small documents, uploads,
/// quarantine and the lock live in `.sealift/`. The folder is opened once and kept: when another one takes its name in mid-run (a disk
/// unmounted, a folder replaced), writing stops with `.unavailable`.
///
/// A failed sync is final. The kernel reports it once and then forgets, so what was staged since the last success stays refused here until it
/// is discarded; a failure that concerns published names stays for the life of this object.
public final class LocalStore: Store {
    public let place: String
    let path: String
    let files: any FileOperations
    let pool: BlockingPool
    let state = Mutex(LocalState())
    /// Held by the thread that syncs: the kernel reports a failure to one of several callers only. True once everything that the place
    /// held when this object came was synced by itself.
    let syncing = Mutex(false)

    /// - Parameters:
    ///   - path: absolute, or relative to the process's working folder, which must not change. Nothing is opened or made yet.
    ///   - place: how messages name it; by default the path.
    ///   - files: the system calls to use.
    ///   - pool: where blocking calls run. Bulk calls use up to ``sliceCountMax`` of its threads.
    public init(path: String, place: String? = nil, files: any FileOperations = LinuxFiles(), pool: BlockingPool) {
        self.path = path
        self.place = place ?? path
        self.files = files
        self.pool = pool
    }

    /// What was found out when the folder was prepared for writing; before, what is known of its type of file system.
    /// Asks the kernel at most once or twice and never the medium, so it may be called anywhere.
    public var capabilities: StoreCapabilities {
        let known = state.withLock { $0.capabilities }
        if let known { return known }
        guard let root = try? root() else { return StoreTraits.unknown.capabilities }
        let type = try? files.fileSystem(of: root.descriptor).type
        return StoreTraits(fileSystemType: type ?? 0, syncReports: files.fileSystemSyncReportsErrors).capabilities
    }

    /// Bulk calls are split over this many threads: two, for beyond that the folder's own lock in the kernel is what threads wait for.
    public static let sliceCountMax = 2
}

/// What a ``LocalStore`` remembers.
struct LocalState {
    /// The location, once it was found.
    var root: OpenFolder?
    /// `.sealift/uploads`, once it was found.
    var uploads: OpenFolder?
    /// What the place promises, once it was tried.
    var capabilities: StoreCapabilities?
    var unsynced = UnsyncedWork()
}

extension LocalStore {
    /// Runs blocking work; a failed system call becomes a ``Failure`` that names the place.
    func run<Value: Sendable>(
        _ what: String, _ resource: ResourceKey? = nil, writing: Bool = false, _ work: @escaping @Sendable () throws -> Value
    ) async throws -> Value {
        try await pool.run { [place] in
            do { return try work() } catch let error as SystemError {
                throw LocalErrors.failure(error, what, writing: writing, resource: resource, place: place)
            }
        }
    }

    /// Runs the same work for slices of `count` things, on several threads when there are many, and puts what it returns in order.
    func runSliced<Value: Sendable>(
        _ what: String, count: Int, writing: Bool = false, _ work: @escaping @Sendable (Range<Int>) throws -> [Value]
    ) async throws -> [Value] {
        // Below 128 small files a slice takes less than a millisecond: not worth another thread.
        let slices = min(Self.sliceCountMax, max(1, count / 128))
        guard slices > 1 else { return try await run(what, writing: writing) { try work(0..<count) } }
        return try await withThrowingTaskGroup(of: (Int, [Value]).self) { group in
            for slice in 0..<slices {
                let range = count * slice / slices..<count * (slice + 1) / slices
                group.addTask { (slice, try await self.run(what, writing: writing) { try work(range) }) }
            }
            var parts = [[Value]](repeating: [], count: slices)
            while let (slice, values) = try await group.next() { parts[slice] = values }
            return Array(parts.joined())
        }
    }

    func failure(_ kind: Failure.Kind, _ what: String, _ key: ResourceKey? = nil, _ reason: String, _ advice: String = "")
        -> Failure
    {
        Failure(kind, what, resource: key, place: place, reason: reason, advice: advice)
    }

    func failure(_ error: SystemError, _ what: String, _ key: ResourceKey? = nil, writing: Bool = false) -> Failure {
        LocalErrors.failure(error, what, writing: writing, resource: key, place: place)
    }
}
