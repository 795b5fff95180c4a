import HTTPClient
import Kloset
import S3Identity
import S3Signing
import Storage
import StorageTesting
import Synchronization

/// A transport that answers from a table of the test and remembers what was asked.
final class ScriptedTransport: HTTPTransport {
    typealias Answer = @Sendable (HTTPRequest) throws -> HTTPResponse
    let asked = Mutex<[HTTPRequest]>([])
    private let answer: Answer

    /// - Parameter answer: without one, nothing may be asked.
    init(_ answer: @escaping Answer = { _ in throw HTTPError.notSent("nobody is there") }) { self.answer = answer }

    func send(_ request: HTTPRequest, into sink: HTTPSink) async throws -> HTTPResponse {
        asked.withLock { $0.append(request) }
        return try answer(request)
    }

    var count: Int { asked.withLock { $0.count } }
}

/// A clock of the test.
final class TestClock: Sendable {
    private let time = Mutex<Int64>(1_800_000_000)  // 2027-01-15T08:00:00Z
    var now: Timestamp { Timestamp(seconds: time.withLock { $0 }) }
    func advance(_ seconds: Int64) { time.withLock { $0 += seconds } }
}

func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

func answer(_ body: String, status: Int = 200) -> HTTPResponse { HTTPResponse(status: status, bytes: Array(body.utf8)) }

extension CredentialProvider {
    /// Without a metadata service, unless the test has one.
    init(
        _ options: CredentialOptions = CredentialOptions(), _ environment: [String: String] = [:],
        transport: any HTTPTransport = ScriptedTransport(), clock: TestClock = TestClock()
    ) {
        self.init(options: options, environment: environment, transport: transport, now: { clock.now })
    }
}

/// The failure of a call that must fail.
func failure(of call: () async throws -> some Any) async -> Failure? {
    do { _ = try await call() } catch { return error as? Failure }
    return nil
}
