/// Sends requests. A seam: tests put one with faults or a script in between.
public protocol HTTPTransport: Sendable {
    /// Sends a request once and waits for its answer. May be called from many tasks at a time.
    ///
    /// Nothing is sent twice, but for a GET or HEAD whose kept-alive connection turned out to be closed.
    ///
    /// - Throws: ``HTTPError``; `CancellationError` when the task is cancelled. After either, memory of the request and of the sink is no longer
    ///   touched, and pieces of the sink hold anything.
    func send(_ request: HTTPRequest, into sink: HTTPSink) async throws -> HTTPResponse
}

/// Why there is no answer. The reasons are phrases for a person; none holds a URL's path or query, a header or a body.
public enum HTTPError: Error, Sendable, Equatable, CustomStringConvertible {
    /// Nothing of the request reached a server: the name is unknown, the connection was refused or took too long, or the request is malformed.
    case notSent(String)
    /// The connection ended or stalled after the request had begun: the server may have done what was asked.
    case unclear(String)
    /// No trust in the other side (certificate expired, unknown, for another host) or no common TLS. Nothing of the request was sent.
    case tls(String)
    /// The head was longer than ``CurlTransport/headByteCountMax`` or had more lines than ``CurlTransport/headLinesMax``, or the body was longer
    /// than its sink allows. The server may have done what was asked.
    case tooLong(String)

    public var description: String {
        switch self {
        case .notSent(let reason), .unclear(let reason), .tls(let reason), .tooLong(let reason): reason
        }
    }
}
