internal import CCurl
internal import Glibc

extension HTTPError {
    /// From what libcurl says. Its messages are repeated for TLS only, where they tell an expired certificate from one for another host: they
    /// name hosts and files there, never an address's path or query.
    ///
    /// - Parameters:
    ///   - wasSent: whether sending began.
    ///   - systemError: the code of the system call that failed, 0 if none is known.
    init(_ code: CURLcode, wasSent: Bool, message: String, systemError: Int32, timeouts: HTTPTimeouts) {
        switch code {
        case CURLE_TOO_LARGE: self = .tooLong("a line of the answer's head is longer than allowed")
        case _ where wasSent: self = .unclear(Self.unclearReason(code))
        case CURLE_SSL_CONNECT_ERROR where Self.isConnectionLoss(message):
            self = .notSent("the connection ended during the TLS handshake")
        case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CACERT_BADFILE, CURLE_SSL_ISSUER_ERROR,
            CURLE_SSL_CIPHER,
            CURLE_SSL_CERTPROBLEM, CURLE_SSL_INVALIDCERTSTATUS, CURLE_SSL_ENGINE_INITFAILED:
            self = .tls(Self.printable(message.isEmpty ? String(cString: curl_easy_strerror(code)) : message))
        case CURLE_COULDNT_RESOLVE_HOST: self = .notSent("the host's name cannot be resolved")
        case CURLE_COULDNT_CONNECT where systemError != 0:
            self = .notSent("no connection: \(String(cString: strerror(systemError)))")
        case CURLE_OPERATION_TIMEDOUT: self = .notSent("no connection within \(timeouts.connect)")
        default: self = .notSent(Self.words(code))
        }
    }

    private static func unclearReason(_ code: CURLcode) -> String {
        switch code {
        case CURLE_PARTIAL_FILE: "the answer's body ended early"
        case CURLE_GOT_NOTHING, CURLE_ABORTED_BY_CALLBACK, CURLE_SEND_FAIL_REWIND: "the connection ended before an answer"
        case CURLE_RECV_ERROR, CURLE_SEND_ERROR: "the connection was lost"
        case CURLE_WEIRD_SERVER_REPLY, CURLE_UNSUPPORTED_PROTOCOL: ResponseHead.notHTTP
        default: words(code)
        }
    }

    private static func words(_ code: CURLcode) -> String {
        "\(printable(String(cString: curl_easy_strerror(code)))) (libcurl \(code.rawValue))"
    }

    /// libcurl has one code for a handshake that failed and for a server that went away meanwhile.
    private static func isConnectionLoss(_ message: String) -> Bool {
        ["SYSCALL", "reset by peer", "unexpected eof", "Broken pipe"].contains { message.contains($0) }
    }

    /// Certificates are the other side's words: nothing of them moves a cursor, and 200 characters are a sentence.
    private static func printable(_ text: String) -> String {
        String(String.UnicodeScalarView(text.unicodeScalars.map { (0x20..<0x7f).contains($0.value) ? $0 : "?" }.prefix(200)))
    }
}
