internal import CSQLite
internal import Kloset
internal import Storage

/// One prepared statement of a connection. It is finalised when it is dropped.
///
/// Columns are numbered from 0, parameters from 1, as in SQLite. A parameter that cannot be bound is a mistake in our SQL and
/// traps; a column of the wrong shape is damage and throws.
final class Statement {
    private let handle: OpaquePointer
    private let place: String

    /// - Parameter place: the catalog file, for messages.
    init(_ connection: OpaquePointer, sql: StaticString, place: String) throws {
        var made: OpaquePointer?
        let text = UnsafeRawPointer(sql.utf8Start).assumingMemoryBound(to: CChar.self)
        // PERSISTENT: the statement is kept for the connection's life, so SQLite must not take it from its small lookaside pool.
        let code = sqlite3_prepare_v3(
            connection, text, Int32(sql.utf8CodeUnitCount), UInt32(SQLITE_PREPARE_PERSISTENT), &made, nil)
        guard code == SQLITE_OK, let made else { throw Failure(connection: connection, code: code, place: place) }
        handle = made
        self.place = place
    }

    deinit {
        sqlite3_finalize(handle)
    }

    /// Makes it ready to run again. The result of the last step was already reported by ``step()``.
    func reset() {
        sqlite3_reset(handle)
    }

    /// Runs to the next row.
    ///
    /// - Returns: false when there are no more rows.
    func step() throws -> Bool {
        let code = sqlite3_step(handle)
        if code == SQLITE_ROW { return true }
        if code == SQLITE_DONE { return false }
        throw Failure(connection: sqlite3_db_handle(handle), code: code, place: place)
    }

    /// Runs a statement that gives no rows.
    func run() throws {
        while try step() {}
    }
}

// MARK: - Parameters

extension Statement {
    func bind(_ index: Int32, _ value: Int64) {
        check(sqlite3_bind_int64(handle, index, value))
    }

    func bind(_ index: Int32, _ value: Int64?) {
        guard let value else { return bindNull(index) }
        bind(index, value)
    }

    func bind(_ index: Int32, _ value: Int) {
        bind(index, Int64(value))
    }

    func bind(_ index: Int32, _ value: Bool) {
        bind(index, value ? 1 : 0 as Int64)
    }

    func bind(_ index: Int32, _ value: String?) {
        guard var text = value else { return bindNull(index) }
        // Not a null pointer: that would bind NULL instead of empty text.
        if text.isEmpty { return check(csqlite_bind_text(handle, index, "", 0)) }
        let code = text.withUTF8 { bytes in
            bytes.withMemoryRebound(to: CChar.self) { csqlite_bind_text(handle, index, $0.baseAddress, Int32($0.count)) }
        }
        check(code)
    }

    func bind(_ index: Int32, _ value: [UInt8]?) {
        guard let value else { return bindNull(index) }
        // Not a null pointer: that would bind NULL instead of an empty blob.
        let somewhere = UnsafeRawPointer(bitPattern: 1)
        check(value.withUnsafeBytes { csqlite_bind_blob(handle, index, $0.baseAddress ?? somewhere, Int32($0.count)) })
    }

    func bind(_ index: Int32, _ value: Bits256?) {
        guard let value else { return bindNull(index) }
        let code = withUnsafeTemporaryAllocation(byteCount: Bits256.byteCount, alignment: 8) { buffer in
            value.write(to: buffer)
            return csqlite_bind_blob(handle, index, buffer.baseAddress, Int32(Bits256.byteCount))
        }
        check(code)
    }

    /// Binds kind and id to two parameters in a row.
    func bind(_ index: Int32, _ key: ResourceKey) {
        bind(index, Int64(key.kind.rawValue))
        bind(index + 1, key.id)
    }

    private func bindNull(_ index: Int32) {
        check(sqlite3_bind_null(handle, index))
    }

    private func check(_ code: Int32) {
        precondition(code == SQLITE_OK, "a parameter does not fit its statement (\(code))")
    }
}

// MARK: - Columns

extension Statement {
    func isNull(_ column: Int32) -> Bool {
        sqlite3_column_type(handle, column) == SQLITE_NULL
    }

    func int(_ column: Int32) -> Int64 {
        sqlite3_column_int64(handle, column)
    }

    func bool(_ column: Int32) -> Bool {
        int(column) != 0
    }

    /// Nil for NULL.
    func text(_ column: Int32) -> String? {
        guard let bytes = sqlite3_column_text(handle, column) else { return nil }
        let count = Int(sqlite3_column_bytes(handle, column))
        return String(decoding: UnsafeBufferPointer(start: bytes, count: count), as: UTF8.self)
    }

    /// The bytes of a blob, valid until the next step; empty for NULL.
    func blob(_ column: Int32) -> UnsafeRawBufferPointer {
        // The order of the two calls is the one that SQLite's manual asks for: bytes after blob.
        let bytes = sqlite3_column_blob(handle, column)
        return UnsafeRawBufferPointer(start: bytes, count: bytes == nil ? 0 : Int(sqlite3_column_bytes(handle, column)))
    }

    /// A blob of exactly 32 bytes.
    func bits(_ column: Int32) throws -> Bits256 {
        let bytes = blob(column)
        guard bytes.count == Bits256.byteCount else { throw damage("a digest or id has \(bytes.count) bytes instead of 32") }
        return Bits256(bytes: bytes)
    }

    /// A blob of exactly 32 bytes, or nil for NULL.
    func bitsIfAny(_ column: Int32) throws -> Bits256? {
        isNull(column) ? nil : try bits(column)
    }

    /// Kind and id from two columns in a row.
    func key(_ column: Int32) throws -> ResourceKey {
        let number = int(column)
        guard let raw = UInt8(exactly: number), let kind = ResourceKind(rawValue: raw) else {
            throw damage("\(number) is no kind of resource")
        }
        return ResourceKey(kind, try bits(column + 1))
    }

    /// The failure for a row that cannot have been written by us.
    func damage(_ reason: String) -> Failure {
        Failure(damagedCatalog: place, reason: reason)
    }
}
