internal import Storage

/// What this machine knows of repositories and replicas: digests, chunk hashes, what each replica holds, recovery points, runs.
///
/// One SQLite file, `catalog.sqlite`, in the state folder. Losing it loses nothing: the replicas' ledgers hold the same
/// (``importLedger(of:repository:location:segment:)``). Safe to use from many tasks at once and from several processes: reads see
/// one state each, writes wait for each other.
///
/// Nothing is opened before the first call, and everything runs on one thread of its own. Every call throws ``Failure``:
/// - `.damage`: the file is no sound catalog
/// - `.configuration`: it was written by a newer version or by another program
/// - `.readWrite`: disk full, I/O error, cannot be opened
/// - `.permission`: not allowed
/// - `.tryAgain`: another process has been writing for 30 s
///
/// or what the given closure throws, or `CancellationError` when the task was cancelled before its turn.
public final class StateCatalog: Sendable {
    private let pool = BlockingPool(threadsMax: 1)
    private let connection: Connection

    /// - Parameters:
    ///   - folder: the state folder; it and its parents are made, mode 0700, when missing. Nil for a catalog in memory that knows
    ///     nothing and leaves nothing behind.
    ///   - onCommit: called on the catalog's thread just before each commit; what it throws is thrown to the caller, and nothing
    ///     is committed. A seam for tests that let a run die.
    ///   - afterCommit: the same just after each commit, which has then happened.
    public convenience init(
        folder: String?, onCommit: (@Sendable () throws -> Void)? = nil, afterCommit: (@Sendable () throws -> Void)? = nil
    ) {
        self.init(
            folder: folder, hooks: CommitHooks(before: onCommit, after: afterCommit),
            busyMilliseconds: CatalogDatabase.busyMillisecondsDefault)
    }

    init(folder: String?, hooks: CommitHooks, busyMilliseconds: Int32) {
        connection = Connection(folder: folder, hooks: hooks, busyMilliseconds: busyMilliseconds)
    }

    /// Runs `body` on one state of the catalog: nothing that others commit meanwhile is seen.
    ///
    /// The object handed to `body` and the cursors it gives are valid only inside it. Keep it short: calls are served one after
    /// the other.
    public func read<Value: Sendable>(_ body: @escaping @Sendable (CatalogReading) throws -> Value) async throws -> Value {
        let connection = connection
        return try await pool.run {
            let database = try connection.open()
            return try database.read { try body(CatalogReading(database)) }
        }
    }

    /// Runs `body` in one transaction. When it returns, all its changes are durable; when it throws, none has happened (unless
    /// the error came from `afterCommit`).
    public func write<Value: Sendable>(_ body: @escaping @Sendable (CatalogWriting) throws -> Value) async throws -> Value {
        let connection = connection
        return try await pool.run {
            let database = try connection.open()
            return try database.write { try body(CatalogWriting(database)) }
        }
    }

    /// Closes the file when all calls before have been served; a later call opens it again.
    ///
    /// A process that ends without it leaves SQLite's log beside the file, and the next one, even if it only looks, has to fold it in.
    public func close() async {
        let connection = connection
        // Closing reports nothing that anybody could act upon: what was committed is durable.
        try? await pool.run { connection.close() }
    }

    /// The connection, opened by the first call that needs it.
    private final class Connection: @unchecked Sendable {
        // @unchecked: used only on the one thread of the catalog's pool.
        private let folder: String?
        private let hooks: CommitHooks
        private let busyMilliseconds: Int32
        private var database: CatalogDatabase?

        init(folder: String?, hooks: CommitHooks, busyMilliseconds: Int32) {
            self.folder = folder
            self.hooks = hooks
            self.busyMilliseconds = busyMilliseconds
        }

        func open() throws -> CatalogDatabase {
            if let database { return database }
            let opened = try CatalogDatabase(folder: folder, hooks: hooks, busyMilliseconds: busyMilliseconds)
            database = opened
            return opened
        }

        func close() { database = nil }
    }
}

/// Where tests let a run die.
struct CommitHooks: Sendable {
    var before: (@Sendable () throws -> Void)?
    var after: (@Sendable () throws -> Void)?
}

/// What can be asked of the catalog inside ``StateCatalog/read(_:)``.
public class CatalogReading {
    let database: CatalogDatabase

    init(_ database: CatalogDatabase) {
        self.database = database
    }
}

/// What can be asked and changed inside ``StateCatalog/write(_:)``.
public final class CatalogWriting: CatalogReading {
    /// Replicas whose summary this transaction has already cleared, by number.
    var clearedSummaries: Set<Int64> = []
}
