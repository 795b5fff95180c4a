internal import CSQLite
internal import Glibc
internal import Kloset
internal import Storage

/// The one connection of a ``Catalog``: opens the file, keeps prepared statements, runs transactions. Used by one thread at a
/// time.
final class CatalogDatabase {
    /// How long SQLite waits for another process that writes, in milliseconds: the longest transaction of ours (a ledger segment
    /// of 65,536 entries) takes about a second, so half a minute is a stuck process or a stuck disk.
    static let busyMillisecondsDefault: Int32 = 30_000

    /// The catalog file, for messages.
    let place: String
    /// SQLite's own name for a database without a file.
    private static let memory = ":memory:"
    private let handle: OpaquePointer
    /// Prepared statements that nobody is using, by the address of their SQL: every text is a literal, and hashing the text
    /// itself would cost as much as running the statement.
    private var idle: [UnsafePointer<UInt8>: [Statement]] = [:]
    private let hooks: CommitHooks
    /// Row numbers by identity. Rows are never deleted, so a number stays right until a rollback.
    var replicaNumbers: [ReplicaID: Int64] = [:]
    var repositoryNumbers: [RepositoryID: Int64] = [:]

    /// Opens the catalog and brings its schema up to date; makes folder and file when there are none.
    init(folder: String?, hooks: CommitHooks, busyMilliseconds: Int32) throws {
        place = try folder.map { try CatalogFile.prepare(folder: $0) } ?? Self.memory
        self.hooks = hooks
        var opened: OpaquePointer?
        // NOMUTEX: the catalog's single thread is the mutex. NOFOLLOW: a planted symlink must not redirect a root process.
        let flags =
            SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_NOFOLLOW | SQLITE_OPEN_EXRESCODE
        let code = sqlite3_open_v2(place, &opened, flags, nil)
        guard code == SQLITE_OK, let opened else {
            let failure = Failure(connection: opened, code: code, place: place)
            sqlite3_close_v2(opened)  // a connection that failed to open still has to be closed
            throw failure
        }
        handle = opened
        sqlite3_busy_timeout(handle, busyMilliseconds)
        do {
            try configure(busyMilliseconds: busyMilliseconds)
            try migrate()
        } catch {
            close()
            throw error
        }
    }

    deinit {
        close()
    }

    private func close() {
        idle = [:]
        sqlite3_close_v2(handle)
    }

    private func configure(busyMilliseconds: Int32) throws {
        csqlite_defend(handle)
        // Cells that reach outside their page are found when the page is read, not when they are used.
        try execute("PRAGMA cell_size_check = ON")
        // Nothing in the file's schema may call functions with side effects.
        try execute("PRAGMA trusted_schema = OFF")
        if place != Self.memory { try useWriteAheadLog(busyMilliseconds: busyMilliseconds) }
        // Digests must be durable before the names they belong to are published: FULL syncs the log at each commit, NORMAL would
        // not.
        try execute("PRAGMA synchronous = FULL")
        // 8 MiB of the process' 64 MiB; enough for the inner pages of a catalog of a million resources.
        try execute("PRAGMA cache_size = -8192")
        // A log that one large transaction has grown is cut back to 16 MiB when it is next reused.
        try execute("PRAGMA journal_size_limit = 16777216")
    }

    /// Readers never wait for a writer then, nor it for them. The mode is stored in the file, so all but the first opening only
    /// ask.
    ///
    /// The switch needs the file for itself for a moment, and SQLite does not always call the busy handler for that.
    private func useWriteAheadLog(busyMilliseconds: Int32) throws {
        let pauseMilliseconds: Int32 = 10
        var waited: Int32 = 0
        while true {
            do {
                return try execute("PRAGMA journal_mode = WAL")
            } catch let failure as Failure where failure.kind == .tryAgain && waited < busyMilliseconds {
                usleep(UInt32(pauseMilliseconds) * 1000)
                waited += pauseMilliseconds
            }
        }
    }

    /// Runs `body` in a transaction that sees one state of the catalog.
    func read<Value>(_ body: () throws -> Value) throws -> Value {
        try execute("BEGIN")
        defer { rollBack() }
        return try body()
    }

    /// Runs `body` in a transaction that holds the right to write from its start, so that it can never fail half-way for want of
    /// it.
    ///
    /// When `body` or the commit throws, nothing has happened.
    func write<Value>(_ body: () throws -> Value) throws -> Value {
        try execute("BEGIN IMMEDIATE")
        let value: Value
        do {
            value = try body()
            try hooks.before?()
            try execute("COMMIT")
        } catch {
            rollBack()
            replicaNumbers = [:]
            repositoryNumbers = [:]
            throw error
        }
        try hooks.after?()
        return value
    }

    private func rollBack() {
        // SQLite has rolled back by itself after some errors (full disk, I/O); another ROLLBACK would then be an error.
        guard sqlite3_get_autocommit(handle) == 0 else { return }
        sqlite3_exec(handle, "ROLLBACK", nil, nil, nil)
    }

    /// Runs statements that are not worth keeping.
    func execute(_ sql: String) throws {
        let code = sqlite3_exec(handle, sql, nil, nil, nil)
        guard code == SQLITE_OK else { throw Failure(connection: handle, code: code, place: place) }
    }

    /// The first column of the first row.
    func integer(_ sql: StaticString) throws -> Int64 {
        try with(sql) { try $0.step() ? $0.int(0) : 0 }
    }

    /// Rows that the last INSERT, UPDATE or DELETE changed.
    var changes: Int { Int(sqlite3_changes(handle)) }

    /// The row number of the last INSERT.
    var lastRow: Int64 { sqlite3_last_insert_rowid(handle) }
}

// MARK: - Prepared statements

extension CatalogDatabase {
    /// Runs `body` with the prepared form of `sql`, which is reset afterwards.
    func with<Value>(_ sql: StaticString, _ body: (Statement) throws -> Value) throws -> Value {
        let statement = try take(sql)
        defer { give(statement, sql) }
        return try body(statement)
    }

    /// Lends the prepared form of `sql` for as long as the loan lives: for cursors, several of which may run the same text at
    /// once.
    func lend(_ sql: StaticString) throws -> StatementLoan {
        StatementLoan(statement: try take(sql), sql: sql, database: self)
    }

    private func take(_ sql: StaticString) throws -> Statement {
        if let kept = idle[sql.utf8Start]?.popLast() { return kept }
        return try Statement(handle, sql: sql, place: place)
    }

    fileprivate func give(_ statement: Statement, _ sql: StaticString) {
        statement.reset()
        idle[sql.utf8Start, default: []].append(statement)
    }
}

/// A statement on loan from its connection.
final class StatementLoan {
    let statement: Statement
    private let sql: StaticString
    private let database: CatalogDatabase

    fileprivate init(statement: Statement, sql: StaticString, database: CatalogDatabase) {
        self.statement = statement
        self.sql = sql
        self.database = database
    }

    deinit {
        database.give(statement, sql)
    }
}
