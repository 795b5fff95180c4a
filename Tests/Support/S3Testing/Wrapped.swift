public import HTTPClient
internal import Synchronization

/// A transport that gives up sooner than users want it to.
public struct Impatient: HTTPTransport {
    private let inner: any HTTPTransport
    private let stall: Duration

    public init(_ inner: any HTTPTransport, stall: Duration) {
        (self.inner, self.stall) = (inner, stall)
    }

    public func send(_ request: HTTPRequest, into sink: HTTPSink) async throws -> HTTPResponse {
        var request = request
        request.timeouts.stall = stall
        return try await inner.send(request, into: sink)
    }
}

/// A transport that counts what came of its requests.
public final class Counting: HTTPTransport {
    private let inner: any HTTPTransport
    private let counts = Mutex<[Int: Int]>([:])

    public init(_ inner: any HTTPTransport) {
        self.inner = inner
    }

    /// How many answers had a status.
    public func answers(_ status: Int) -> Int { counts.withLock { $0[status] ?? 0 } }
    /// How many requests had no answer.
    public var failures: Int { answers(0) }

    public func send(_ request: HTTPRequest, into sink: HTTPSink) async throws -> HTTPResponse {
        do {
            let response = try await inner.send(request, into: sink)
            counts.withLock { $0[response.status, default: 0] += 1 }
            return response
        } catch {
            counts.withLock { $0[0, default: 0] += 1 }
            throw error
        }
    }
}
