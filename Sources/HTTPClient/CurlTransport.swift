/// How the other side of an `https` connection is known.
public enum TLSTrust: Sendable, Equatable {
    /// By the system's authorities: the file that `SSL_CERT_FILE` names, else the distribution's.
    case system
    /// By the authorities of a PEM file alone; the system's do not count.
    case file(String)
    /// Not at all: encrypted to whoever answers. Only for `insecure_no_verify`.
    case nobody
}

/// HTTP/1.1 over libcurl: one thread drives all requests of a transport, connections are kept and used again.
///
/// - Redirects are answers, never followed. Proxies of the environment, `.netrc`, HSTS lists and cookies are not looked at.
/// - Bodies are sent without waiting for `100 Continue`: the wait costs a round trip for every upload (a second with servers that do not know it),
///   and would gain something only where a server refuses. An early refusal is still seen, and ends the sending.
/// - Names are looked up by the system (`getaddrinfo`); in a static program by `/etc/hosts` and DNS alone.
public final class CurlTransport: HTTPTransport {
    /// Lines of an answer's head at most, interim answers and trailers included; S3 sends about 20.
    public static let headLinesMax = 200
    /// Bytes of an answer's head at most, likewise; 2 KiB of own metadata and some long ids fit many times.
    public static let headByteCountMax = 64 << 10
    /// Slower than this is a stall, in bytes a second: it only has to keep a server from dripping for ever.
    public static let byteRateMin = 100

    private let engine: CurlEngine

    /// - Parameter connectionsMax: requests at a time; more wait their turn without using up their time-outs.
    /// - Throws: ``HTTPError/notSent(_:)`` when the system has no memory or no thread left.
    public init(trust: TLSTrust, connectionsMax: Int) throws(HTTPError) {
        precondition(connectionsMax > 0, "a transport without connections would never send anything")
        engine = try CurlEngine(trust: trust, connectionsMax: connectionsMax)
        try engine.startThread()
    }

    /// Requests that are under way still finish; then the thread ends and connections are closed.
    deinit {
        engine.close()
    }

    public func send(_ request: HTTPRequest, into sink: HTTPSink) async throws -> HTTPResponse {
        try request.check()
        try Task.checkCancellation()
        let transfer = CurlTransfer(request, sink)
        return try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                transfer.continuation = continuation
                engine.submit(transfer)
            }
        } onCancel: {
            engine.cancel(transfer)
        }
    }
}

extension HTTPRequest {
    /// Lines that the transport makes itself: a second one would contradict it.
    private static let reserved = ["content-length", "transfer-encoding", "connection", "expect"]

    func check() throws(HTTPError) {
        let address = Array(url.utf8)
        let isPrintable = address.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "#") }
        guard isPrintable, url.hasPrefix("http://") || url.hasPrefix("https://") else {
            throw .notSent("the request has an address that is none")
        }
        for header in headers {
            let isName = !header.name.isEmpty && header.name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: ":") }
            let isValue = header.value.utf8.allSatisfy { $0 != 0 && $0 != 10 && $0 != 13 }
            guard isName, isValue, !Self.reserved.contains(where: { header.name.isSameHeaderName(as: $0) }) else {
                throw .notSent("the request has a header line that cannot be sent")
            }
        }
    }
}
