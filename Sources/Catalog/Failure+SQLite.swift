internal import CSQLite
internal import Glibc
internal import Storage

extension Failure {
    /// What a result code of SQLite means for an operator (https://sqlite.org/rescode.html).
    ///
    /// - Parameters:
    ///   - connection: where the code came from, for SQLite's own words and the system's error number.
    ///   - code: the extended result code.
    ///   - place: the catalog file.
    init(connection: OpaquePointer?, code: Int32, place: String) {
        let words = connection.flatMap { sqlite3_errmsg($0) }.map { String(cString: $0) } ?? String(cString: sqlite3_errstr(code))
        let systemError = connection.map { sqlite3_system_errno($0) } ?? 0
        switch code & 0xff {
        case SQLITE_FULL:
            self.init(diskFull: place)
        case SQLITE_IOERR where systemError == ENOSPC || systemError == EDQUOT,
            SQLITE_CANTOPEN where systemError == ENOSPC || systemError == EDQUOT:
            self.init(diskFull: place)
        case SQLITE_CORRUPT, SQLITE_NOTADB, SQLITE_FORMAT, SQLITE_ERROR, SQLITE_CONSTRAINT, SQLITE_MISMATCH:
            // ERROR and CONSTRAINT: our statements fit our schema, so the file's schema or rows are not what we wrote.
            self.init(damagedCatalog: place, reason: words)
        case SQLITE_BUSY, SQLITE_LOCKED, SQLITE_PROTOCOL:
            self.init(
                .tryAgain, "cannot use the catalog", place: place, reason: "another process is writing to it",
                advice: "Run it again when that one is done.", retryable: true)
        case SQLITE_PERM, SQLITE_AUTH:
            self.init(notAllowed: place, reason: words)
        case SQLITE_READONLY, SQLITE_CANTOPEN:
            switch systemError {
            case EACCES, EPERM: self.init(notAllowed: place, reason: words)
            case _ where Self.isForbidden(place): self.init(notAllowed: place, reason: String(cString: strerror(EACCES)))
            default: self.init(cannotUse: place, reason: code == csqlite_cantopen_symlink ? "it is a symbolic link" : words)
            }
        case SQLITE_MISUSE, SQLITE_RANGE:
            preconditionFailure("SQLite was called wrongly: \(words)")
        default:
            self.init(.readWrite, "cannot use the catalog", place: place, reason: words)
        }
    }

    /// SQLite forgets the system's error when it tries to open the file in another way.
    private static func isForbidden(_ place: String) -> Bool {
        let folder = place.lastIndex(of: "/").map { String(place[..<$0]) } ?? "."
        return [place, folder].contains { (path: String) in
            access(path, R_OK | W_OK) != 0 && (errno == EACCES || errno == EPERM)
        }
    }

    private init(diskFull place: String) {
        self.init(
            .readWrite, "cannot write the catalog", place: place, reason: "the disk is full",
            advice: "Free some space and run it again; nothing was lost.")
    }

    private init(notAllowed place: String, reason: String) {
        self.init(
            .permission, "cannot use the catalog", place: place, reason: reason,
            advice: "Give the user that runs sealift the file and its folder, or set SEALIFT_STATE.")
    }

    init(cannotUse place: String, reason: String) {
        self.init(
            .readWrite, "cannot use the catalog", place: place, reason: reason,
            advice: "SEALIFT_STATE names the folder it is kept in.")
    }

    init(damagedCatalog place: String, reason: String) {
        self.init(
            .damage, "cannot use the catalog", place: place, reason: reason,
            advice: "Move it away; sealift rebuilds it from the replicas.")
    }
}
