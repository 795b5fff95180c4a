internal import Glibc
internal import Hashing
public import Kloset
internal import Storage
internal import Synchronization

/// `sha256sum` at the other end, for accounts with a shell: names go there on standard input, digests come back. What comes is the server's word.
///
/// One program runs as long as there is something to ask. No name is ever a word of a command: the command is the same for all, and
/// `xargs` hands the names on behind `--`.
final class RemoteHashing: Sendable {
    /// Files that one `sha256sum` is started for: beside reading so many starting it costs nothing.
    static let filesAtOnce = 64
    static let words: StaticString = "exec xargs -0 -n 64 sha256sum --"
    /// Silence that is borne, in seconds: a file of 100 GiB on a slow disk takes so long.
    private static let patience = 1800.0

    private let command: SSHCommand
    private let place: String
    private let session = Mutex<Session?>(nil)
    /// One thread: one program is asked by one call at a time.
    private let pool = BlockingPool(threadsMax: 1)

    init(_ command: SSHCommand, place: String) {
        self.command = command
        self.place = place
    }

    /// - Parameter paths: absolute paths of the server's, none twice.
    /// - Returns: for each its digest, or nil where it could not be read.
    /// - Throws: `.unavailable` when there is no shell or no `sha256sum`, or what was said makes no sense; `CancellationError`.
    func digests(of paths: [[UInt8]]) async throws -> [Digest?] {
        let isCancelled = Flag()
        return try await withTaskCancellationHandler {
            try await pool.run { [self] in try ask(paths, isCancelled) }
        } onCancel: {
            isCancelled.isSet.store(true, ordering: .relaxed)
        }
    }

    private final class Flag: Sendable {
        let isSet = Atomic(false)
    }

    /// Whoever asks has it alone.
    private final class Session {
        var child: ChildProcess
        var said = LastWords()

        init(_ child: consuming ChildProcess) { self.child = child }
    }

    private func ask(_ paths: [[UInt8]], _ isCancelled: Flag) throws -> [Digest?] {
        try session.withLock { session in
            let current: Session
            if let session { current = session } else { current = Session(try start()) }
            session = nil  // whatever goes wrong, the next one begins anew
            let digests = try converse(current, paths, isCancelled)
            session = current
            return digests
        }
    }

    private func start() throws(Failure) -> ChildProcess {
        do throws(ChildProcess.Trouble) { return try ChildProcess.start(command) } catch {
            throw failure("\(error.call) failed: \(String(cString: strerror(error.code)))")
        }
    }

    private func converse(_ session: Session, _ paths: [[UInt8]], _ isCancelled: Flag) throws -> [Digest?] {
        let marks = Self.filesAtOnce - paths.count % Self.filesAtOnce
        var question: ArraySlice<UInt8> = []
        for path in paths + Array(repeating: HashAnswer.mark, count: marks) {
            question += path
            question.append(0)
        }
        var answer = HashAnswer(to: paths, marks: marks)
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        var lastMoved = ContinuousClock.now
        while !answer.isComplete {
            if isCancelled.isSet.load(ordering: .relaxed) { throw CancellationError() }
            guard ContinuousClock.now - lastMoved < .seconds(Self.patience) else {
                throw failure("nothing came for half an hour")
            }
            var watched = [
                pollfd(fd: session.child.output, events: Int16(POLLIN), revents: 0),
                pollfd(fd: session.said.isClosed ? -1 : session.child.errors, events: Int16(POLLIN), revents: 0),
                pollfd(fd: question.isEmpty ? -1 : session.child.input, events: Int16(POLLOUT), revents: 0),
            ]
            // Woken up to see whether the task was cancelled.
            guard poll(&watched, 3, 100) >= 0 || errno == EINTR else { throw failure("poll failed") }
            if watched[1].revents != 0 { session.said.take(from: session.child.errors) }
            if watched[2].revents != 0, try send(&question, session.child.input) { lastMoved = .now }
            guard watched[0].revents != 0 else { continue }
            let count = read(session.child.output, &buffer, buffer.count)
            if count < 0, errno == EAGAIN || errno == EINTR { continue }
            guard count > 0 else { throw ended(session) }
            lastMoved = .now
            do throws(HashAnswer.Nonsense) { try answer.take(buffer.prefix(count)) } catch {
                throw failure("what it said \(error.reason): \(printable(buffer.prefix(count)))")
            }
        }
        return answer.digests
    }

    /// Whether something went out. A program that is gone says why by its end.
    private func send(_ question: inout ArraySlice<UInt8>, _ file: Int32) throws -> Bool {
        // A write to a child that is gone is an error here, never a signal.
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        let count = question.withUnsafeBytes { write(file, $0.baseAddress, $0.count) }
        if count > 0 { question = question.dropFirst(count) }
        if count < 0, errno == EPIPE { question = [] }
        return count > 0
    }

    private func ended(_ session: Session) -> Failure {
        var status = session.child.ended()
        for _ in 0..<100 where status == nil {
            usleep(20_000)
            status = session.child.ended()
        }
        session.said.take(from: session.child.errors)
        if status == 255 { return SSHEnding.failure(status: 255, said: session.said.text, place: place) }
        let line = SSHEnding.lastLine(session.said.text)
        return failure(line.isEmpty ? "it ended with code \(status ?? 0)" : line)
    }

    private func failure(_ reason: String) -> Failure {
        Failure(
            .unavailable, "cannot run sha256sum", place: place, reason: reason,
            advice: "The account needs a shell, xargs and sha256sum. Without --remote-hash everything is read over the wire.")
    }

    private func printable(_ bytes: ArraySlice<UInt8>) -> String {
        SFTPStore.printable(Array(bytes.prefix { $0 != UInt8(ascii: "\n") }.prefix(100)))
    }
}

extension SFTPStore {
    /// What `sha256sum` says there, where that was asked for; it says what the server reads, from a cache as it likes.
    public func attestedDigests(of keys: [ResourceKey]) async throws -> [Digest?] {
        guard let hashing, !keys.isEmpty else { return keys.map { _ in nil } }
        let paths = try await run { [self] connection, _ in
            // The shell may begin in another folder than SFTP: absolute paths mean the same to both.
            let root = try await root(on: connection)
            let reply = try await connection.send(.realpath(path: root.bytes))[0]
            try check(reply, "cannot find out where this is")
            guard case .names(let names) = reply, let name = names.first, name.name.first == UInt8(ascii: "/") else {
                throw unexpected("cannot find out where this is")
            }
            let prefix = name.name == [UInt8(ascii: "/")] ? [] : name.name
            return keys.map { prefix + "/\($0.path)".bytes }
        }
        return try await hashing.digests(of: paths)
    }
}
