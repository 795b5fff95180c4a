internal import Glibc
internal import Storage

/// The file below the state folder.
enum CatalogFile {
    static let name = "catalog.sqlite"

    /// Makes folder (0700, with parents) and an empty file (0600) where there are none.
    ///
    /// - Returns: the file's path without symlinks in it: SQLite refuses any in the whole path, but only the file itself must be
    ///   none.
    static func prepare(folder: String) throws -> String {
        try makeFolder(folder)
        guard let resolved = realpath(folder, nil) else { throw failure(folder, errno) }
        defer { free(resolved) }
        let file = String(cString: resolved) + "/" + name
        // Not open(2): closing that descriptor would drop the POSIX locks of another connection of this process. Where a file
        // system has no mknod for plain files, SQLite makes the file.
        _ = mknod(file, S_IFREG | 0o600, 0)
        // SQLite's words for these two do not help anybody.
        if isFolder(file) { throw failure(file, EISDIR) }
        return file
    }

    private static func makeFolder(_ path: String) throws {
        if mkdir(path, 0o700) == 0 { return }
        var code = errno
        if code == ENOENT, let cut = path.lastIndex(of: "/"), cut != path.startIndex {
            try makeFolder(String(path[..<cut]))
            if mkdir(path, 0o700) == 0 { return }
            code = errno
        }
        guard code == EEXIST else { throw failure(path, code) }
        if !isFolder(path) { throw failure(path, ENOTDIR) }
    }

    /// Also by a link.
    private static func isFolder(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
    }

    private static func failure(_ folder: String, _ code: Int32) -> Failure {
        let reason = String(cString: strerror(code))
        if code == EACCES || code == EPERM {
            return Failure(
                .permission, "cannot use the state folder", place: folder, reason: reason,
                advice: "Give it to the user that runs sealift, or set SEALIFT_STATE.")
        }
        return Failure(
            .readWrite, "cannot use the state folder", place: folder, reason: reason,
            advice: "SEALIFT_STATE names another one.")
    }
}
