internal import Glibc
public import Kloset

/// A folder of this machine for one test, removed with all that is in it when nobody holds it any more.
public final class TestFolder: StoreSink, Sendable {
    /// Absolute, without links.
    public let path: String

    /// A file could not be made or read; the test cannot go on.
    public struct Trouble: Error {
        public var what: String
        public var code: Int32

        public init(what: String, code: Int32) {
            self.what = what
            self.code = code
        }
    }

    /// - Parameter parent: below `$TMPDIR`, or `/tmp`, by default.
    public init(in parent: String? = nil) throws {
        let base = parent ?? getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        var template = Array("\(base)/sealift-test-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil, let real = realpath(template, nil) else { throw Trouble(what: "mkdtemp", code: errno) }
        defer { free(real) }
        path = String(cString: real)
    }

    deinit {
        Self.removeTree(path)
    }

    /// Removes a file, or a folder with all that is in it; links are not followed.
    private static func removeTree(_ path: String) {
        guard unlink(path) != 0, errno == EISDIR || errno == EPERM else { return }
        for entry in entries(in: path) { removeTree("\(path)/\(entry.name)") }
        rmdir(path)
    }

    private static func entries(in path: String) -> [(name: String, isFolder: Bool)] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var entries: [(name: String, isFolder: Bool)] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != ".", name != ".." { entries.append((name, entry.pointee.d_type == 4)) }  // DT_DIR
        }
        return entries
    }

    /// The absolute path of something in it.
    public func path(_ name: String) -> String { name.isEmpty ? path : "\(path)/\(name)" }

    public func put(_ path: String, _ bytes: [UInt8], modified: Timestamp = Timestamp(seconds: 1)) throws {
        if let cut = path.lastIndex(of: "/") { try putFolder(String(path[..<cut])) }
        let file = open(self.path(path), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600)
        guard file >= 0 else { throw Trouble(what: "open \(path)", code: errno) }
        defer { close(file) }
        var done = 0
        while done < bytes.count {
            let count = bytes[done...].withUnsafeBytes { Glibc.write(file, $0.baseAddress, $0.count) }
            guard count > 0 else { throw Trouble(what: "write \(path)", code: errno) }
            done += count
        }
        let moment = timespec(
            tv_sec: Int(modified.nanoseconds / 1_000_000_000), tv_nsec: Int(modified.nanoseconds % 1_000_000_000))
        guard futimens(file, [moment, moment]) == 0 else { throw Trouble(what: "futimens \(path)", code: errno) }
    }

    public func putFolder(_ path: String) throws {
        var made = self.path
        for part in path.split(separator: "/") {
            made += "/\(part)"
            guard mkdir(made, 0o700) == 0 || errno == EEXIST else { throw Trouble(what: "mkdir \(path)", code: errno) }
        }
    }

    public func putLink(_ path: String, to target: String) throws {
        if let cut = path.lastIndex(of: "/") { try putFolder(String(path[..<cut])) }
        guard symlink(target, self.path(path)) == 0 else { throw Trouble(what: "symlink \(path)", code: errno) }
    }

    public func putPipe(_ path: String) throws {
        if let cut = path.lastIndex(of: "/") { try putFolder(String(path[..<cut])) }
        guard mkfifo(self.path(path), 0o600) == 0 else { throw Trouble(what: "mkfifo \(path)", code: errno) }
    }

    public func remove(_ path: String) throws {
        guard unlink(self.path(path)) == 0 || errno == ENOENT else { throw Trouble(what: "unlink \(path)", code: errno) }
    }

    /// A file's bytes; nil if there is none.
    public func contents(of path: String) -> [UInt8]? {
        let file = open(self.path(path), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var status = stat()
        guard fstat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size))
        let count = bytes.withUnsafeMutableBytes { pread(file, $0.baseAddress, $0.count, 0) }
        return Array(bytes.prefix(max(0, count)))
    }

    /// The names in a folder, ascending.
    public func names(in path: String = "") -> [String] {
        Self.entries(in: self.path(path)).map(\.name).sorted()
    }

    /// All regular files below a folder: path relative to it, and bytes.
    public func files(below path: String = "") -> [String: [UInt8]] {
        var found: [String: [UInt8]] = [:]
        var waiting = [""]
        while let relative = waiting.popLast() {
            for entry in Self.entries(in: self.path(path.isEmpty ? relative : "\(path)/\(relative)")) {
                let inner = relative.isEmpty ? entry.name : "\(relative)/\(entry.name)"
                if entry.isFolder {
                    waiting.append(inner)
                } else if let bytes = contents(of: path.isEmpty ? inner : "\(path)/\(inner)") {
                    found[inner] = bytes
                }
            }
        }
        return found
    }
}
