internal import Glibc
internal import Kloset
public import Storage
internal import Synchronization

extension LocalStore {
    public func lock(holder: String) async throws -> any StoreLock {
        try await run("cannot lock the store", writing: true) { [self] in
            let root = try makeRoot()
            try makeOwnFolders(root)
            let file = try files.open(beneath: root.descriptor, Layout.lock, .updateOrCreate)
            let lock = LocalLock(file, files)
            let status = try files.status(of: file)
            // A second name would mean that somebody else's file is about to be written to.
            guard status.type == .regular, status.links == 1 else {
                throw failure(
                    .cannotWrite, "cannot lock the store", nil, "\(Layout.lock) is no plain file of ours",
                    "Look at what lies there")
            }
            guard try isFree(file) else {
                throw Failure(
                    .tryAgain, "cannot lock the store", place: place, reason: "it is in use by \(try holderName(of: file))",
                    advice: "Wait for it to end, then run again", retryable: true)
            }
            try name(holder, in: file)
            return lock
        }
    }

    /// Takes the lock, unless another one has it.
    private func isFree(_ file: Int32) throws(SystemError) -> Bool {
        do throws(SystemError) {
            try files.lock(file)
            return true
        } catch  where error.code == EWOULDBLOCK {
            return false
        }
    }

    /// Who has the lock, as far as is told. Who took it a moment ago has not written its name yet: what that takes is waited for, and no longer.
    private func holderName(of file: Int32) throws(SystemError) -> String {
        for _ in 0..<10 {
            if let name = try content(of: file) { return name }
            usleep(10_000)
        }
        return "another process"
    }

    private func content(of file: Int32) throws(SystemError) -> String? {
        // 200 bytes are what a message shows at most.
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 200, alignment: 1)
        defer { buffer.deallocate() }
        let count = try files.readFully(file, into: buffer, at: 0)
        let line = buffer[..<count].prefix { $0 != UInt8(ascii: "\n") }
        return line.isEmpty ? nil : LocalErrors.printable(line)
    }

    /// The file's content is for people; who holds the lock is decided by flock alone.
    private func name(_ holder: String, in file: Int32) throws(SystemError) {
        let text = Array("\(LocalErrors.printable(holder.utf8)) on \(hostName()), since \(now())\n".utf8)
        try files.setSize(file, 0)
        var failure: SystemError?
        text.withUnsafeBytes { bytes in
            do throws(SystemError) { try files.writeFully(file, bytes, at: 0) } catch { failure = error }
        }
        // A full disk must not keep anybody from locking; the message of the next one is poorer, that is all.
        if let failure, failure.code != ENOSPC, failure.code != EDQUOT { throw failure }
    }

    private func hostName() -> String {
        var names = utsname()
        guard uname(&names) == 0 else { return "this machine" }
        return withUnsafeBytes(of: &names.nodename) { LocalErrors.printable($0.prefix { $0 != 0 }) }
    }

    /// The time of day for people, UTC.
    private func now() -> String {
        var seconds = time(nil)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        let date = [Int(parts.tm_year) + 1900, Int(parts.tm_mon) + 1, Int(parts.tm_mday)].map(twoDigits).joined(separator: "-")
        let time = [parts.tm_hour, parts.tm_min, parts.tm_sec].map { twoDigits(Int($0)) }.joined(separator: ":")
        return "\(date) \(time) UTC"
    }

    private func twoDigits(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
}

/// flock on an open file: the kernel gives it up when the process ends, however it ends.
private final class LocalLock: StoreLock {
    private let file: Mutex<Int32?>
    private let files: any FileOperations

    init(_ file: Int32, _ files: any FileOperations) {
        self.file = Mutex(file)
        self.files = files
    }

    deinit {
        close()
    }

    func release() async {
        close()
    }

    private func close() {
        let closing = file.withLock { file in
            defer { file = nil }
            return file
        }
        guard let closing else { return }
        // Closing alone would leave it to a child that was being started just then, until that one begins its program.
        files.unlock(closing)
        files.close(closing)
    }
}
