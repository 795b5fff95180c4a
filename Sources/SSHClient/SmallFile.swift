internal import Glibc
internal import Storage

/// Whole files in memory that is overwritten afterwards.
enum SmallFile {
    /// Calls `body` with the bytes; returns nil without a call when there is no such file. Blocks.
    ///
    /// - Parameter isSecret: refuses a file of ours that others may look at, as `ssh` does.
    @discardableResult
    static func read<Value>(
        _ path: String, byteCountMax: Int, isSecret: Bool = false, _ body: (UnsafeRawBufferPointer) -> Value
    ) throws(Failure) -> Value? {
        // Not waiting for a writer, should someone have put a FIFO there.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        if descriptor < 0 {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw unreadable(path, errno)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw unreadable(path, errno) }
        guard status.st_mode & S_IFMT == S_IFREG else { return nil }
        guard !isSecret || status.st_uid != getuid() || status.st_mode & 0o077 == 0 else {
            throw Failure(.permission, "cannot use", place: path, reason: "others may read it", advice: "chmod 600 helps.")
        }
        guard status.st_size <= byteCountMax else {
            throw Failure(.configuration, "cannot use", place: path, reason: "it is longer than \(byteCountMax) bytes")
        }
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: Int(status.st_size), alignment: 1)
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
        return body(UnsafeRawBufferPointer(rebasing: buffer[..<count]))
    }

    private static func unreadable(_ path: String, _ code: Int32) -> Failure {
        let denied = code == EACCES || code == EPERM
        return Failure(denied ? .permission : .readWrite, "cannot read", place: path, reason: String(cString: strerror(code)))
    }
}
