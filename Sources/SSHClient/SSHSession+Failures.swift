internal import CSSH2
internal import Storage

extension SSHSession {
    static var version: String { libssh2_version(0).map { String(cString: $0) } ?? "" }

    /// What nobody hears, for nobody waits any more.
    static let stopped = Failure(.unavailable, "cannot reach", reason: "the connection was closed", retryable: true)

    /// The library's own words for its last error; they name no secret.
    var words: String {
        var text: UnsafeMutablePointer<CChar>?
        var count: Int32 = 0
        let code = libssh2_session_last_error(handle, &text, &count, 0)
        guard let text, count > 0 else { return "error \(code)" }
        return String(cString: text)
    }

    func lost() -> Failure {
        Failure(
            .unavailable, "cannot reach", reason: "the connection was lost (libssh2: \(words))",
            advice: "Look whether the host is up.", retryable: true)
    }

    static func isLost(_ code: Int32) -> Bool {
        [
            LIBSSH2_ERROR_SOCKET_DISCONNECT, LIBSSH2_ERROR_SOCKET_RECV, LIBSSH2_ERROR_SOCKET_SEND, LIBSSH2_ERROR_SOCKET_NONE,
            LIBSSH2_ERROR_SOCKET_TIMEOUT, LIBSSH2_ERROR_BAD_SOCKET,
        ].contains(code)
    }

    func handshakeFailure(_ code: Int32) -> Failure {
        if Self.isLost(code) || code == LIBSSH2_ERROR_BANNER_RECV {
            return Failure(
                .unavailable, "cannot reach", reason: "no SSH server answered (libssh2: \(words))",
                advice: "Look what listens there.", retryable: true)
        }
        return Failure(
            .unavailable, "cannot reach",
            reason: "libssh2 \(Self.version) and the host cannot agree on keys and ciphers (\(words))",
            advice: "Use transport=ssh.")
    }
}
