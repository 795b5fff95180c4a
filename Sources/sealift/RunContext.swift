internal import Catalog
internal import FoundationEssentials
internal import Glibc
internal import Kloset
internal import Replication
internal import Storage
internal import StorageLocal

/// What every verb needs, put together in one place: state folder, threads, memory, the display.
struct RunContext: Sendable {
    var environment: RunEnvironment
    /// Threads for local places, apart from those of the working lists.
    var places: BlockingPool
    var started: Timestamp
    /// What the call says about locations.
    let options: LocationOptions
    /// Where the result goes.
    let output: ResultWriter
    let notes = RunNotes()
    /// Remembers what servers were found to do. A command that needs no state looks there if it can.
    let answers: StateCatalog
    private var clock = ContinuousClock.now

    /// Threads that wait for disks: two readers, three writers for each of a few targets.
    private static let placeThreadsMax = 12

    /// A command that only looks writes nothing anywhere: without a catalog on disk its own is an empty one in memory.
    init(for command: Command, _ options: LocationOptions) throws {
        let isReadOnly = Dispatch.isReadOnly(command)
        var (jobs, rate): (Int?, Int64?) = (nil, nil)
        if case .sync(let call) = command { (jobs, rate) = (call.jobs, call.byteRateMax) }
        let catalog: StateCatalog
        let temporary: String
        var known: StateCatalog?
        if Dispatch.needsNoState(command) {
            catalog = StateCatalog(folder: nil)
            temporary = Self.temporaryFolder
            let folder = (try? Self.stateFolder()) ?? ""
            if access("\(folder)/catalog.sqlite", R_OK | W_OK) == 0 { known = StateCatalog(folder: folder) }
        } else {
            let folder = try Self.stateFolder()
            // A folder that may not be entered is no reason to do without the guards that lean on what is in it.
            let isThere = access("\(folder)/catalog.sqlite", F_OK) == 0 || errno == EACCES
            if isReadOnly, !isThere {
                catalog = StateCatalog(folder: nil)
                temporary = Self.temporaryFolder
            } else {
                catalog = StateCatalog(folder: folder)
                try Self.makeFolder(folder)
                temporary = folder
            }
        }
        let places = BlockingPool(threadsMax: Self.placeThreadsMax)
        environment = RunEnvironment(
            catalog: catalog, blocking: BlockingPool(threadsMax: 2),
            pieces: PiecePool(capacity: RunEnvironment.piecesStandard), temporaryFolder: temporary,
            jobs: jobs,
            byteRateMax: rate, holder: "sealift \(command.name) (process \(getpid()))", now: { Self.now() }, progress: Progress(),
            openKnown: { path in path.hasPrefix("/") ? LocalStore(path: path, pool: places) : nil })
        self.places = places
        self.options = options
        answers = known ?? catalog
        started = Self.now()
        output = ResultWriter(command.resultForm)
    }

    /// For working lists of a run without a state folder: files in it have no name.
    private static var temporaryFolder: String {
        let named = ProcessInfo.processInfo.environment["TMPDIR"].flatMap { $0.isEmpty ? nil : $0 }
        let folders = [named, "/var/tmp", "/tmp", "/dev/shm"].compactMap { $0 }
        return folders.first { access($0, W_OK | X_OK) == 0 } ?? folders[0]
    }

    /// Seconds since the run began.
    var seconds: Double {
        let elapsed = ContinuousClock.now - clock
        return Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) / 1e18
    }

    static func now() -> Timestamp {
        var time = timespec()
        clock_gettime(CLOCK_REALTIME, &time)
        return Timestamp(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    /// The most memory that this program ever had resident, in bytes.
    ///
    /// Not getrusage(2) where /proc is there: its figure survives exec(2), so a large parent that started us would be counted as ours.
    static var peakMemory: Int64 {
        if let kibibytes = highWaterMark { return kibibytes * 1024 }
        var usage = rusage()
        getrusage(RUSAGE_SELF.rawValue, &usage)
        return Int64(usage.ru_maxrss) * 1024
    }

    /// `VmHWM` of proc_pid_status(5), in KiB.
    private static var highWaterMark: Int64? {
        guard let file = fopen("/proc/self/status", "re") else { return nil }
        defer { fclose(file) }
        // The file has about 1,500 bytes.
        var bytes = [UInt8](repeating: 0, count: 8 << 10)
        bytes.removeLast(bytes.count - fread(&bytes, 1, bytes.count, file))
        let line = String(decoding: bytes, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        return line?.split(whereSeparator: \.isWhitespace).dropFirst().first.flatMap { Int64($0) }
    }

    /// `$SEALIFT_STATE`, else `$XDG_STATE_HOME/sealift`, else `~/.local/state/sealift`.
    static func stateFolder() throws -> String {
        let variables = ProcessInfo.processInfo.environment
        if let own = variables["SEALIFT_STATE"], !own.isEmpty { return own }
        if let state = variables["XDG_STATE_HOME"], state.hasPrefix("/") { return state + "/sealift" }
        if let home = variables["HOME"], !home.isEmpty { return home + "/.local/state/sealift" }
        throw Failure(
            .configuration, "cannot find a place for the state of this machine", reason: "HOME is not set",
            advice: "Set SEALIFT_STATE to a folder.")
    }

    private static func makeFolder(_ path: String) throws {
        var made = ""
        for part in path.split(separator: "/", omittingEmptySubsequences: false) {
            made += (made.isEmpty && part.isEmpty) ? "/" : (made.isEmpty || made == "/" ? "" : "/") + part
            if made.isEmpty || made == "/" || mkdir(made, 0o700) == 0 || errno == EEXIST { continue }
            throw Failure(
                errno == EACCES || errno == EPERM ? .permission : .readWrite, "cannot make the state folder", place: path,
                reason: String(cString: strerror(errno)), advice: "Set SEALIFT_STATE to a folder of yours.")
        }
    }
}
