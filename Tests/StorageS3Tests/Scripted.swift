import HTTPClient
import Kloset
import S3Signing
import S3Testing
import Storage
import Synchronization

@testable import StorageS3

/// A server that is a closure. Keeps what it was asked.
final class Scripted: HTTPTransport {
    private let answer: @Sendable (HTTPRequest, Int) throws -> HTTPResponse
    private let asked = Mutex<[HTTPRequest]>([])

    init(_ answer: @escaping @Sendable (HTTPRequest, Int) throws -> HTTPResponse) {
        self.answer = answer
    }

    var requests: [HTTPRequest] { asked.withLock { $0 } }

    func send(_ request: HTTPRequest, into sink: HTTPSink) async throws -> HTTPResponse {
        let number = asked.withLock { asked in
            asked.append(request)
            return asked.count
        }
        var response = try answer(request, number)
        guard (200...299).contains(response.status) else { return response }
        switch sink {
        case .bytes(let max): if response.bytes.count > max { throw HTTPError.tooLong("the body is too long") }
        case .pieces(let pieces, let max):
            if response.bytes.count > max { throw HTTPError.tooLong("the body is too long") }
            pieces[0].memory.copyBytes(from: response.bytes)
            response.bytes = []
        }
        return response
    }

    /// A store on it that never really waits.
    func store(_ clock: VirtualClock = VirtualClock(), attemptsMax: Int = 8) -> S3Store {
        .on(self, clock, attemptsMax: attemptsMax)
    }
}

extension S3Store {
    /// A store of a transport, on a clock of the test's.
    static func on(_ transport: any HTTPTransport, _ clock: VirtualClock, attemptsMax: Int = 8) -> S3Store {
        var retry = S3Retry()
        retry.attemptsMax = attemptsMax
        (retry.sleep, retry.now) = ({ try await clock.sleep($0) }, { clock.now })
        let settings = S3Settings(scheme: "http", host: "h:1", bucket: "b", prefix: "p")
        return S3Store(
            settings,
            client: S3Client(
                settings: settings, transport: transport, credentials: { Gateway.credentials },
                now: { Timestamp(seconds: 1_700_000_000) },
                retry: retry))
    }
}

extension HTTPResponse {
    static func text(_ status: Int, _ text: String = "", _ headers: [(String, String)] = []) -> HTTPResponse {
        HTTPResponse(status: status, headers: HTTPHeaders(headers.map { HTTPField($0.0, $0.1) }), bytes: Array(text.utf8))
    }

    static func error(_ status: Int, _ code: String) -> HTTPResponse {
        text(status, "<?xml version=\"1.0\"?><Error><Code>\(code)</Code><Message></Message></Error>")
    }
}

/// A transport that loses the answers of requests that were carried out, or the requests themselves.
final class Losing: HTTPTransport {
    private let inner: any HTTPTransport
    private let loses: @Sendable (HTTPRequest) -> Bool
    private let left: Mutex<Int>

    /// Loses the answers of the first `count` requests that `loses` names.
    init(_ inner: any HTTPTransport, count: Int = 1, _ loses: @escaping @Sendable (HTTPRequest) -> Bool) {
        self.inner = inner
        self.loses = loses
        left = Mutex(count)
    }

    /// How many answers are still to be lost.
    var remaining: Int { left.withLock { $0 } }

    func send(_ request: HTTPRequest, into sink: HTTPSink) async throws -> HTTPResponse {
        let response = try await inner.send(request, into: sink)
        let isLost =
            loses(request)
            && left.withLock { left in
                guard left > 0 else { return false }
                left -= 1
                return true
            }
        if isLost { throw HTTPError.unclear("the connection was reset") }
        return response
    }
}

/// Keeps what was asked.
final class Recording: HTTPTransport {
    private let inner: any HTTPTransport
    private let asked = Mutex<[(method: HTTPMethod, url: String)]>([])

    init(_ inner: any HTTPTransport) {
        self.inner = inner
    }

    func count(_ isMeant: (HTTPRequest) -> Bool) -> Int {
        asked.withLock { $0 }.count { isMeant(HTTPRequest($0.method, $0.url)) }
    }

    func send(_ request: HTTPRequest, into sink: HTTPSink) async throws -> HTTPResponse {
        asked.withLock { $0.append((request.method, request.url)) }
        return try await inner.send(request, into: sink)
    }
}
