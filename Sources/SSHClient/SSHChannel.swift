internal import CSSH2
internal import Glibc
internal import Storage

/// One channel of a session, from its opening to its end. Used by one thread.
final class SSHChannel {
    private let session: SSHSession
    private let handle: OpaquePointer
    /// From the pipe to the server, and back; each is filled anew when it is empty.
    private var upward = Bytes()
    private var downward = Bytes()
    private var inputIsOver = false
    private var saidEnd = false

    private struct Bytes {
        let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: SSHChannel.bufferByteCount, alignment: 16)
        var start = 0
        var end = 0
        var isEmpty: Bool { start == end }
        var rest: UnsafeMutableRawBufferPointer { UnsafeMutableRawBufferPointer(rebasing: memory[start..<end]) }
    }

    /// Eight packets of the longest kind: one system call for all.
    private static let bufferByteCount = 256 << 10
    /// What the server may send before we take it. 20 ms at 1 Gbit/s are 2.4 MB; libssh2 grants more when a quarter is used up.
    private static let windowByteCount: UInt32 = 8 << 20
    /// The longest packet of data; libssh2 takes 40,000 bytes at most.
    private static let packetByteCount: UInt32 = 32 << 10
    /// No more is encrypted ahead of the connection than this.
    private static let outgoingMax = 512 << 10
    /// Seconds of idleness before a word that keeps routers from forgetting the connection.
    private static let keepAlive: UInt32 = 30

    private init(_ handle: OpaquePointer, on session: SSHSession) {
        self.handle = handle
        self.session = session
    }

    deinit {
        upward.memory.deallocate()
        downward.memory.deallocate()
    }

    /// Opens a channel and starts a subsystem in it.
    ///
    /// - Throws: `.unavailable`.
    static func open(_ subsystem: String, on session: SSHSession) throws(Failure) -> SSHChannel {
        let kind = "session"
        let opened = try session.make {
            libssh2_channel_open_ex(session.handle, kind, UInt32(kind.utf8.count), windowByteCount, packetByteCount, nil, 0)
        }
        guard let opened else {
            throw Failure(
                .unavailable, "cannot reach", reason: "the host opens no channel (libssh2: \(session.words))",
                advice: "It may allow no more sessions at present.", retryable: true)
        }
        let channel = SSHChannel(opened, on: session)
        let request = "subsystem"
        let code = try session.step {
            libssh2_channel_process_startup(
                opened, request, UInt32(request.utf8.count), subsystem, UInt32(subsystem.utf8.count))
        }
        if SSHSession.isLost(code) { throw session.lost() }
        guard code == 0 else {
            throw Failure(
                .unavailable, "cannot reach", reason: "the host offers no SFTP to this account",
                advice: "Ask who runs the host to allow it.")
        }
        libssh2_keepalive_config(session.handle, 0, keepAlive)
        return channel
    }

    /// Carries bytes until the subsystem has ended.
    ///
    /// - Returns: its exit status.
    func carry(_ pump: SSHPump) throws(Failure) -> Int32 {
        while true {
            let sent = session.outgoing.flush()
            guard sent >= 0 else { throw session.lost() }
            var hasMoved = sent > 0
            // Sending looks at what has come first, so that after receiving nothing lies in the library that nobody wakes up for.
            if try sendUp(from: pump.input) { hasMoved = true }
            if receiveErrors(to: pump.errors) { hasMoved = true }
            if try receiveDown(to: pump.output) { hasMoved = true }
            if downward.isEmpty, libssh2_channel_eof(handle) != 0 { return exitStatus() }
            if !hasMoved { try sleep(pump) }
        }
    }

    /// The status comes between the end of the data and the closing of the channel; a server that closes nothing is waited for
    /// no longer than two seconds.
    private func exitStatus() -> Int32 {
        for _ in 0..<20 where libssh2_channel_close(handle) == LIBSSH2_ERROR_EAGAIN {
            _ = session.outgoing.flush()
            if case .stopped = session.socket.wait(Int16(POLLIN), session.stop, milliseconds: 100) { break }
        }
        return libssh2_channel_get_exit_status(handle)
    }

    // MARK: - both directions

    private func sendUp(from input: Int32) throws(Failure) -> Bool {
        if upward.isEmpty, !inputIsOver {
            let count = read(input, upward.memory.baseAddress, upward.memory.count)
            if count == 0 { inputIsOver = true }
            (upward.start, upward.end) = (0, max(0, count))
        }
        var hasMoved = false
        while !upward.isEmpty, session.outgoing.count < Self.outgoingMax {
            let bytes = upward.rest.bindMemory(to: CChar.self)
            let count = libssh2_channel_write_ex(handle, 0, bytes.baseAddress, bytes.count)
            // Zero, too, means that the server wants some of it read first.
            if count == LIBSSH2_ERROR_EAGAIN || count == 0 { break }
            if count < 0 { return try ended(Int32(clamping: count)) }
            upward.start += count
            hasMoved = true
        }
        if inputIsOver, upward.isEmpty, !saidEnd, libssh2_channel_send_eof(handle) != LIBSSH2_ERROR_EAGAIN {
            saidEnd = true
            hasMoved = true
        }
        return hasMoved
    }

    private func receiveDown(to output: Int32) throws(Failure) -> Bool {
        var hasMoved = false
        if downward.isEmpty {
            let bytes = downward.memory.bindMemory(to: CChar.self)
            let count = libssh2_channel_read_ex(handle, 0, bytes.baseAddress, bytes.count)
            if count < 0, count != LIBSSH2_ERROR_EAGAIN { return try ended(Int32(clamping: count)) }
            (downward.start, downward.end) = (0, max(0, count))
            hasMoved = count > 0
        }
        guard !downward.isEmpty else { return false }
        let bytes = downward.rest
        let count = write(output, bytes.baseAddress, bytes.count)
        if count < 0, errno != EAGAIN, errno != EINTR { throw SSHSession.stopped }
        downward.start += max(0, count)
        return hasMoved || count > 0
    }

    private func receiveErrors(to errors: Int32) -> Bool {
        withUnsafeTemporaryAllocation(of: CChar.self, capacity: 4096) { words in
            let count = libssh2_channel_read_ex(handle, SSH_EXTENDED_DATA_STDERR, words.baseAddress, words.count)
            guard count > 0 else { return false }
            // What the pipe does not take is lost: the last words are wanted, not all.
            _ = write(errors, words.baseAddress, count)
            return true
        }
    }

    /// The end of a channel that the server closed shows as an error of the call that comes next.
    private func ended(_ code: Int32) throws(Failure) -> Bool {
        if code == LIBSSH2_ERROR_CHANNEL_CLOSED || code == LIBSSH2_ERROR_CHANNEL_EOF_SENT {
            upward.start = upward.end
            inputIsOver = true
            saidEnd = true
            return false
        }
        throw session.lost()
    }

    private func sleep(_ pump: SSHPump) throws(Failure) {
        var seconds: Int32 = 0
        if libssh2_keepalive_send(session.handle, &seconds) != 0 { throw session.lost() }
        // While the reader is behind, the server has to wait, unless we cannot send without hearing from it.
        let listens = downward.isEmpty || !upward.isEmpty
        var events = listens ? Int16(POLLIN) : 0
        if session.outgoing.count > 0 { events |= Int16(POLLOUT) }
        var watched = [
            pollfd(fd: session.socket.descriptor, events: events, revents: 0),
            pollfd(fd: session.stop, events: Int16(POLLIN), revents: 0),
            pollfd(fd: upward.isEmpty && !inputIsOver ? pump.input : -1, events: Int16(POLLIN), revents: 0),
            pollfd(fd: downward.isEmpty ? -1 : pump.output, events: Int16(POLLOUT), revents: 0),
        ]
        guard poll(&watched, 4, max(1, seconds) * 1000) >= 0 || errno == EINTR else { throw session.lost() }
        if watched[1].revents != 0 { throw SSHSession.stopped }
    }
}
