internal import Glibc
internal import Replication
internal import Storage

/// A plan on disk: written whole or not at all, compared without being held in memory.
struct PlanFile {
    let path: String

    /// How much is written or compared at a time.
    private static let bufferByteCount = 64 << 10

    /// Writes a plan under a new name and then gives it its own. What has that name already is replaced only if it is a plan or empty: a
    /// slip of the hand must cost nobody a file, least of all a store one of its own.
    ///
    /// - Throws: `.cannotWrite` when something else has the name.
    func write(_ plan: PlannedTarget) throws {
        try write { output in try PlanDocument.write(plan, quote: JSONText.quoted, to: output) }
    }

    /// The same for the text that `pieces` hands to the closure which it is given.
    func write(_ pieces: ((String) throws -> Void) throws -> Void) throws {
        let isNew = try checkName()
        let temporary = folder + ".sealift-plan-" + String(UInt64.random(in: .min ... .max), radix: 16)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else { throw failure("cannot write the plan", errno) }
        defer { unlink(temporary) }
        do {
            defer { Glibc.close(descriptor) }
            var buffer: [UInt8] = []
            try pieces { text in
                buffer += text.utf8
                if buffer.count >= Self.bufferByteCount { try flush(&buffer, to: descriptor) }
            }
            try flush(&buffer, to: descriptor)
            guard fsync(descriptor) == 0 else { throw failure("cannot write the plan", errno) }
        }
        // link(2) takes no name that somebody else took meanwhile; not all file systems have links.
        if isNew {
            if link(temporary, path) == 0 { return }
            guard [EPERM, EOPNOTSUPP, ENOSYS, EMLINK].contains(errno) else { throw failure("cannot write the plan", errno) }
        }
        guard rename(temporary, path) == 0 else { throw failure("cannot write the plan", errno) }
    }

    /// The folder that the plan lies in, with its slash; empty for the working folder.
    private var folder: String { path.lastIndex(of: "/").map { String(path[...$0]) } ?? "" }

    /// - Returns: whether nothing has the name yet.
    private func checkName() throws -> Bool {
        var status = stat()
        guard lstat(path, &status) == 0 else {
            if errno == ENOENT { return true }
            throw failure("cannot write the plan", errno)
        }
        guard status.st_mode & S_IFMT == S_IFREG else { throw taken("something that is no regular file has the name") }
        guard status.st_size > 0 else { return false }
        let descriptor = try openForReading()
        defer { close(descriptor) }
        let beginning = try read(PlanDocument.beginning.utf8.count, from: descriptor)
        guard beginning == Array(PlanDocument.beginning.utf8) else { throw taken("a file that is no plan has the name") }
        return false
    }

    private func taken(_ reason: String) -> Failure {
        Failure(
            .cannotWrite, "cannot write the plan", place: path, reason: reason, advice: "Nothing was touched. Name another file.")
    }

    private func flush(_ buffer: inout [UInt8], to descriptor: Int32) throws {
        try buffer.withUnsafeBytes { bytes in
            var done = 0
            while done < bytes.count {
                let count = Glibc.write(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done)
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw failure("cannot write the plan", errno) }
                done += count
            }
        }
        buffer.removeAll(keepingCapacity: true)
    }

    func header() throws -> PlanDocument.Header {
        let descriptor = try openForReading()
        defer { close(descriptor) }
        return try PlanDocument.header(parsing: try read(PlanDocument.headerByteCountMax, from: descriptor), place: path)
    }

    /// Whether the file says exactly what `plan` says.
    func says(_ plan: PlannedTarget) throws -> Bool {
        let descriptor = try openForReading()
        defer { close(descriptor) }
        var isEqual = true
        var buffer: [UInt8] = []
        func compare() throws {
            guard isEqual, !buffer.isEmpty else { return buffer.removeAll(keepingCapacity: true) }
            isEqual = try read(buffer.count, from: descriptor) == buffer
            buffer.removeAll(keepingCapacity: true)
        }
        try PlanDocument.write(plan, quote: JSONText.quoted) { text in
            buffer += text.utf8
            if buffer.count >= Self.bufferByteCount { try compare() }
        }
        try compare()
        return try isEqual && read(1, from: descriptor).isEmpty
    }

    /// A plan may lie anywhere, but a FIFO or a device must not make us wait.
    private func openForReading() throws -> Int32 {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw failure("cannot read the plan", errno) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw Failure(.usage, "cannot read the plan", place: path, reason: "it is no regular file")
        }
        return descriptor
    }

    private func read(_ limit: Int, from descriptor: Int32) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: limit)
        var done = 0
        while done < limit {
            let count = bytes.withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress.map { $0 + done }, limit - done) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure("cannot read the plan", errno) }
            if count == 0 { break }
            done += count
        }
        bytes.removeLast(limit - done)
        return bytes
    }

    private func failure(_ what: String, _ code: Int32) -> Failure {
        let kind: Failure.Kind =
            switch code {
            case EACCES, EPERM: .permission
            case ENOENT, ENOTDIR, EISDIR, ENAMETOOLONG: .usage
            case EEXIST, EROFS: .cannotWrite
            default: .readWrite
            }
        return Failure(kind, what, place: path, reason: String(cString: strerror(code)))
    }
}
