internal import Glibc
public import Storage

/// From what a person wrote to what is opened. Reads plakar's `stores.yml`, but only when a name asks for it.
public struct LocationResolver: Sendable {
    private let workingDirectory: String
    private let storesPath: String?

    /// - Parameters:
    ///   - workingDirectory: the absolute path that relative ones start from.
    ///   - storesPath: see ``StoresFile/defaultPath(configurationHome:home:)``.
    public init(workingDirectory: String, storesPath: String?) {
        self.workingDirectory = workingDirectory
        self.storesPath = storesPath
    }

    /// Resolves a location. Blocks while a file is read.
    ///
    /// - Throws: `.usage`, `.configuration`, `.permission`, `.readWrite`.
    public func resolve(_ text: String) throws(Failure) -> ResolvedLocation { try locate(text).location }

    /// The same with its options.
    public func locate(_ text: String) throws(Failure) -> LocatedStore {
        let location = try Location(parsing: text, workingDirectory: workingDirectory)
        if let resolved = ResolvedLocation(location, printable: text) {
            // A plan names places as they are: what was said about one under its name holds for it too. A file that cannot be read says nothing;
            // who names nothing in it need not care.
            if case .s3(let address) = location, let storesPath, let file = try? StoresFile.load(storesPath),
                let options = file.options(of: address)
            {
                return LocatedStore(location: resolved, options: options, isNamed: true)
            }
            return LocatedStore(location: resolved, options: StoreOptions(), isNamed: false)
        }
        guard case .named(let name, let sub) = location, let storesPath else {
            throw Failure(
                .configuration, "cannot find the store", place: text, reason: "neither XDG_CONFIG_HOME nor HOME is set",
                advice: "Write the location itself.")
        }
        return try StoresFile.load(storesPath).locate(name, sub: sub, workingDirectory: workingDirectory)
    }
}

extension StoresFile {
    /// Reads and parses the file; one that is not there has no stores. Blocks.
    ///
    /// - Throws: `.configuration`, `.permission`, `.readWrite`.
    public static func load(_ path: String) throws(Failure) -> StoresFile {
        // Not waiting for a writer, should someone have put a FIFO there.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        if descriptor < 0 {
            if errno == ENOENT || errno == ENOTDIR { return StoresFile(absentAt: path) }
            throw unreadable(path, errno)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw unreadable(path, errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { throw tooStrange(path, "it is no regular file") }

        // One byte more than allowed shows a file that is too long.
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCountMax + 1, alignment: 1)
        defer {
            if let start = buffer.baseAddress { explicit_bzero(start, buffer.count) }
            buffer.deallocate()
        }
        var count = 0
        while count < buffer.count {
            let got = Glibc.read(descriptor, buffer.baseAddress.map { $0 + count }, buffer.count - count)
            if got < 0 && errno == EINTR { continue }
            if got < 0 { throw unreadable(path, errno) }
            if got == 0 { break }
            count += got
        }
        guard count <= byteCountMax else { throw tooStrange(path, "it is longer than \(byteCountMax) bytes") }
        return try StoresFile(parsing: UnsafeMutableRawBufferPointer(rebasing: buffer[..<count]), path: path)
    }

    private static func unreadable(_ path: String, _ code: Int32) -> Failure {
        let denied = code == EACCES || code == EPERM
        return Failure(
            denied ? .permission : .readWrite, "cannot read", place: path, reason: String(cString: strerror(code)),
            advice: "Write the location itself, or make the file readable.")
    }

    private static func tooStrange(_ path: String, _ reason: String) -> Failure {
        Failure(
            .configuration, "cannot use", place: path, reason: reason,
            advice: "plakar keeps its stores in this file; look what it is.")
    }
}
