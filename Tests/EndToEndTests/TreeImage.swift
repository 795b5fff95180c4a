internal import Glibc
internal import Hashing
internal import StorageTesting

/// Everything below a folder as it is at one moment: names, kinds, modes, sizes, times, bytes.
struct TreeImage: Equatable {
    enum Kind { case folder, file, link, other }

    struct Entry: Equatable {
        var kind: Kind
        var mode: UInt32
        var inode: UInt64
        /// Of files; a folder's time changes with names, which are compared anyway.
        var modified: Int64?
        var size: Int
        var digest: String?
    }

    private(set) var entries: [String: Entry] = [:]

    /// - Parameter root: absolute; a folder that is not there has the empty image.
    init(of root: String) throws {
        try walk(root, "")
    }

    /// What changed: relative paths.
    ///
    /// - Parameter ignored: paths, and with a slash at their end beginnings of paths, that may change.
    func differences(from other: TreeImage, ignoring ignored: [String] = []) -> [String] {
        Set(entries.keys).union(other.entries.keys)
            .filter { entries[$0] != other.entries[$0] }
            .filter { path in !ignored.contains { path == $0 || ($0.hasSuffix("/") && path.hasPrefix($0)) } }
            .sorted()
    }

    private mutating func walk(_ root: String, _ relative: String) throws {
        let path = relative.isEmpty ? root : "\(root)/\(relative)"
        guard let folder = opendir(path) else {
            guard errno == ENOENT else { throw TestFolder.Trouble(what: "opendir \(path)", code: errno) }
            return
        }
        defer { closedir(folder) }
        while let found = readdir(folder) {
            let name = withUnsafeBytes(of: &found.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            guard name != ".", name != ".." else { continue }
            let inner = relative.isEmpty ? name : "\(relative)/\(name)"
            let entry = try Self.entry("\(root)/\(inner)")
            entries[inner] = entry
            if entry.kind == .folder { try walk(root, inner) }
        }
    }

    private static func entry(_ path: String) throws -> Entry {
        var status = stat()
        guard lstat(path, &status) == 0 else { throw TestFolder.Trouble(what: "lstat \(path)", code: errno) }
        let kind: Kind =
            switch status.st_mode & S_IFMT {
            case S_IFDIR: .folder
            case S_IFREG: .file
            case S_IFLNK: .link
            default: .other
            }
        var entry = Entry(
            kind: kind, mode: status.st_mode & 0o7777, inode: UInt64(status.st_ino), modified: nil, size: 0, digest: nil)
        guard kind == .file else { return entry }
        entry.modified = Int64(status.st_mtim.tv_sec) * 1_000_000_000 + Int64(status.st_mtim.tv_nsec)
        entry.size = Int(status.st_size)
        entry.digest = try digest(path)
        return entry
    }

    private static func digest(_ path: String) throws -> String {
        guard let file = fopen(path, "r") else { throw TestFolder.Trouble(what: "open \(path)", code: errno) }
        defer { fclose(file) }
        let hash = SHA256()
        var buffer = [UInt8](repeating: 0, count: 256 << 10)
        while true {
            let count = fread(&buffer, 1, buffer.count, file)
            guard count > 0 else { return hash.finalize().hex }
            buffer.withUnsafeBytes { hash.update(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
        }
    }
}
