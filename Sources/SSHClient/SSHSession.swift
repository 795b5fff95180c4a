internal import CSSH2
internal import Glibc
internal import Storage

/// One SSH connection through libssh2. Used by one thread; freed when it is dropped.
final class SSHSession {
    let handle: OpaquePointer
    let socket: SSHSocket
    let outgoing: OutgoingPackets
    /// A file that becomes readable when nobody wants the connection any more.
    let stop: Int32

    /// Once for the process, as libssh2 wants it.
    private static let isReady = libssh2_init(0) == 0

    private init(_ handle: OpaquePointer, _ socket: SSHSocket, _ outgoing: OutgoingPackets, stop: Int32) {
        self.handle = handle
        self.socket = socket
        self.outgoing = outgoing
        self.stop = stop
        libssh2_session_set_blocking(handle, 0)
        cssh2_set_send(handle) { socket, bytes, count, flags, context in
            guard let bytes, let owner = context?.pointee else { return -Int(EINVAL) }
            let packets = Unmanaged<OutgoingPackets>.fromOpaque(owner).takeUnretainedValue()
            guard socket == packets.socket else {
                // An agent is spoken to through the same function.
                let sent = send(socket, bytes, count, flags)
                return sent < 0 ? -Int(errno) : sent
            }
            packets.add(UnsafeRawBufferPointer(start: bytes, count: count))
            return count
        }
    }

    /// Connects and agrees on keys; the host is not checked yet and nobody is logged in.
    ///
    /// - Throws: `.unavailable`.
    static func open(_ login: SSHLogin, record: KnownHosts, stop: Int32) throws(Failure) -> SSHSession {
        let socket = try SSHSocket.connect(to: login.host, port: login.port, stop: stop)
        let outgoing = OutgoingPackets(to: socket.descriptor)
        guard isReady, let handle = libssh2_session_init_ex(nil, nil, nil, Unmanaged.passUnretained(outgoing).toOpaque())
        else { throw Failure(.unavailable, "cannot reach", reason: "libssh2 cannot be started") }
        let session = SSHSession(handle, socket, outgoing, stop: stop)
        try session.choose(login, record)
        let code = try session.step { libssh2_session_handshake(handle, session.socket.descriptor) }
        guard code == 0 else { throw session.handshakeFailure(code) }
        return session
    }

    deinit {
        // Otherwise freeing it waits for the other side's last packets.
        shutdown(socket.descriptor, Int32(SHUT_RDWR))
        for _ in 0..<100 where libssh2_session_free(handle) != LIBSSH2_ERROR_EAGAIN { break }
    }

    /// Repeats a call of libssh2 until it no longer waits for the other side.
    func step(_ call: () -> Int32) throws(Failure) -> Int32 {
        while true {
            let code = call()
            let sent = outgoing.flush()
            if code != LIBSSH2_ERROR_EAGAIN { return code }
            guard sent >= 0 else { throw lost() }
            let events = Int16(POLLIN) | (outgoing.count > 0 ? Int16(POLLOUT) : 0)
            // How long silence is borne is for those to say who stop us.
            if case .stopped = socket.wait(events, stop, milliseconds: -1) { throw Self.stopped }
        }
    }

    /// The same for calls that return an object.
    func make<Value>(_ call: () -> Value?) throws(Failure) -> Value? {
        var made: Value?
        let handle = handle
        _ = try step {
            made = call()
            return made == nil ? libssh2_session_last_errno(handle) : 0
        }
        return made
    }

    /// The host's public key as it travels.
    var hostKey: [UInt8] {
        var (count, type) = (0, Int32(0))
        guard let bytes = libssh2_session_hostkey(handle, &count, &type) else { return [] }
        return UnsafeRawBufferPointer(start: bytes, count: count).map { $0 }
    }

    // MARK: - algorithms

    /// Sets what is offered: what is broken is left out, what is fastest here comes first, and of host keys the types on record.
    private func choose(_ login: SSHLogin, _ record: KnownHosts) throws(Failure) {
        let supported = supported(LIBSSH2_METHOD_HOSTKEY)
        let usable = HostKeyOrder.standard.filter { supported.contains($0) }
        let types = login.ignoresHostKey ? [] : record.types(host: login.host, port: login.port)
        guard let ordered = HostKeyOrder.algorithms(usable, onRecord: types) else {
            throw Failure(
                .unavailable, "cannot reach",
                reason:
                    "libssh2 \(Self.version) cannot check the host's keys that are on record (\(types.joined(separator: ", ")))",
                advice: "Use transport=ssh.")
        }
        var lists = Self.preferences
        lists.append((LIBSSH2_METHOD_HOSTKEY, ordered))
        for (method, names) in lists {
            // Names that the library does not know, it drops by itself; without any it keeps its own list.
            _ = libssh2_session_method_pref(handle, method, names.joined(separator: ","))
        }
    }

    private static let preferences: [(Int32, [String])] = {
        let ciphers = [
            "aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes192-ctr", "aes256-ctr",
            "chacha20-poly1305@openssh.com",
        ]
        let codes = [
            "hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256", "hmac-sha2-512",
            "hmac-sha1-etm@openssh.com", "hmac-sha1",
        ]
        return [
            (LIBSSH2_METHOD_CRYPT_CS, ciphers), (LIBSSH2_METHOD_CRYPT_SC, ciphers), (LIBSSH2_METHOD_MAC_CS, codes),
            (LIBSSH2_METHOD_MAC_SC, codes), (LIBSSH2_METHOD_COMP_CS, ["none"]), (LIBSSH2_METHOD_COMP_SC, ["none"]),
        ]
    }()

    private func supported(_ method: Int32) -> [String] {
        var names: UnsafeMutablePointer<UnsafePointer<CChar>?>?
        let count = libssh2_session_supported_algs(handle, method, &names)
        defer { libssh2_free(handle, names) }
        guard let names, count > 0 else { return [] }
        return (0..<Int(count)).compactMap { names[$0].map { String(cString: $0) } }
    }
}

/// Which host key algorithms are offered, in which order.
enum HostKeyOrder {
    /// OpenSSH's own order. Without what rests on SHA-1.
    static let standard = [
        "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521", "rsa-sha2-512", "rsa-sha2-256",
    ]

    /// Those for types that are on record first: another type than those would look like an unknown host (OpenSSH does the same).
    ///
    /// - Returns: nil when none of the types on record can be checked.
    static func algorithms(_ usable: [String], onRecord types: [String]) -> [String]? {
        let known = Set(types.flatMap { $0 == "ssh-rsa" ? ["rsa-sha2-512", "rsa-sha2-256"] : [$0] })
        let first = usable.filter { known.contains($0) }
        guard types.isEmpty || !first.isEmpty else { return nil }
        return first + usable.filter { !known.contains($0) }
    }
}
