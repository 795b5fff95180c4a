internal import CLinux
internal import Glibc
internal import Storage

/// A TCP connection that does not block. Used by one thread; closed when it is dropped.
final class SSHSocket {
    let descriptor: Int32

    private init(_ descriptor: Int32) { self.descriptor = descriptor }

    deinit { close(descriptor) }

    /// Seconds for each address of the host; the kernel's own patience is two minutes.
    private static let patience = 20.0

    /// Tries the host's addresses one after the other.
    ///
    /// - Parameter stop: a file that becomes readable when nobody wants the connection any more.
    /// - Throws: `.unavailable`.
    static func connect(to host: String, port: Int, stop: Int32) throws(Failure) -> SSHSocket {
        NameLookup.avoidPlugins()
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV
        var found: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(host, "\(port)", &hints, &found)
        guard code == 0 else {
            throw Failure(
                .unavailable, "cannot reach", reason: "the host's name is not known (\(String(cString: gai_strerror(code))))",
                advice: "Check the location; aliases of ~/.ssh/config need transport=ssh.", retryable: code == EAI_AGAIN)
        }
        defer { freeaddrinfo(found) }
        var last = ECONNREFUSED
        var next = found
        while let address = next {
            let socket = socket(address.pointee.ai_family, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC | O_NONBLOCK, 0)
            if socket >= 0 {
                let connection = SSHSocket(socket)
                last = connection.connect(address.pointee, stop)
                if last == 0 { return connection }
                if last == ECANCELED { break }
            } else {
                last = errno
            }
            next = address.pointee.ai_next
        }
        throw Failure(
            .unavailable, "cannot reach", reason: "connect to \(host) port \(port): \(String(cString: strerror(last)))",
            advice: "Look whether the host is up and an SSH server listens there.", retryable: true)
    }

    private func connect(_ address: addrinfo, _ stop: Int32) -> Int32 {
        var on: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        // Requests are gathered before they are sent; and a dead peer is noticed at last even while nothing is asked.
        setsockopt(descriptor, Int32(IPPROTO_TCP), TCP_NODELAY, &on, size)
        setsockopt(descriptor, SOL_SOCKET, SO_KEEPALIVE, &on, size)
        if Glibc.connect(descriptor, address.ai_addr, address.ai_addrlen) == 0 { return 0 }
        guard errno == EINPROGRESS else { return errno }
        switch wait(Int16(POLLOUT), stop, milliseconds: Int32(Self.patience * 1000)) {
        case .stopped: return ECANCELED
        case .timedOut: return ETIMEDOUT
        case .ready: break
        }
        var code: Int32 = 0
        var length = size
        return getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &length) == 0 ? code : errno
    }

    /// Whether the other side said that nothing more comes.
    var isClosedByPeer: Bool {
        var byte: UInt8 = 0
        let count = recv(descriptor, &byte, 1, Int32(MSG_PEEK | MSG_DONTWAIT))
        return count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)
    }

    enum Readiness {
        case ready
        case timedOut
        case stopped
    }

    /// Sleeps until something can be done. -1 waits for ever.
    func wait(_ events: Int16, _ stop: Int32, milliseconds: Int32) -> Readiness {
        var watched = [
            pollfd(fd: descriptor, events: events, revents: 0), pollfd(fd: stop, events: Int16(POLLIN), revents: 0),
        ]
        while true {
            let count = poll(&watched, 2, milliseconds)
            if count < 0 && errno == EINTR { continue }
            if watched[1].revents != 0 { return .stopped }
            return count == 0 ? .timedOut : .ready
        }
    }
}

/// Packets that libssh2 made and the connection has not taken yet.
///
/// libssh2 never hears that the connection is full: it would want the same call again before any other, and the other direction
/// would wait.
final class OutgoingPackets {
    let socket: Int32
    private var memory = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 16)
    private var start = 0
    private var end = 0

    init(to socket: Int32) { self.socket = socket }

    deinit { memory.deallocate() }

    var count: Int { end - start }

    func add(_ bytes: UnsafeRawBufferPointer) {
        if memory.count - end < bytes.count { makeRoom(bytes.count) }
        UnsafeMutableRawBufferPointer(rebasing: memory[end..<end + bytes.count]).copyMemory(from: bytes)
        end += bytes.count
    }

    private func makeRoom(_ more: Int) {
        let kept = UnsafeRawBufferPointer(rebasing: memory[start..<end])
        if kept.count + more <= memory.count, let base = memory.baseAddress {
            memmove(base, base + start, kept.count)
        } else {
            let larger = UnsafeMutableRawBufferPointer.allocate(byteCount: 2 * (kept.count + more), alignment: 16)
            larger.copyMemory(from: kept)
            memory.deallocate()
            memory = larger
        }
        (start, end) = (0, kept.count)
    }

    /// Sends what the connection takes.
    ///
    /// - Returns: how much went out, or the negative errno; 0 when there is nothing or the connection is full.
    func flush() -> Int {
        var sent = 0
        while start < end {
            let count = send(socket, memory.baseAddress.map { $0 + start }, end - start, Int32(MSG_NOSIGNAL))
            if count < 0 {
                if errno == EINTR { continue }
                if sent > 0 || errno == EAGAIN { break }
                return -Int(errno)
            }
            sent += count
            start += count
        }
        if start == end { (start, end) = (0, 0) }
        return sent
    }
}
