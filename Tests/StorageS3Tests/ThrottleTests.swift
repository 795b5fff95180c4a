import HTTPClient
import Kloset
import S3Testing
import Storage
import Synchronization
import Testing

@testable import StorageS3

/// A server that answers 503 to whoever comes while so many others are there.
private final class Limited: HTTPTransport {
    private let limit: Int
    private let counts = Mutex((running: 0, refused: 0, served: 0))

    init(limit: Int) { self.limit = limit }

    var refused: Int { counts.withLock { $0.refused } }
    var served: Int { counts.withLock { $0.served } }

    func send(_ request: HTTPRequest, into sink: HTTPSink) async throws -> HTTPResponse {
        let isTaken = counts.withLock { counts in
            guard counts.running < limit else {
                counts.refused += 1
                return false
            }
            counts.running += 1
            return true
        }
        guard isTaken else { return .error(503, "SlowDown") }
        for _ in 0..<20 { await Task.yield() }
        counts.withLock { counts in
            counts.running -= 1
            counts.served += 1
        }
        return .text(200, "", [("Content-Length", "48")])
    }
}

struct ThrottleTests {
    @Test(arguments: [1, 3, 10]) func aLimitIsFoundAndKept(_ limit: Int) async throws {
        let server = Limited(limit: limit)
        let store = S3Store.on(server, VirtualClock())
        let keys = (0..<3000).map { number in
            ResourceKey(
                .packfile,
                (0..<32).map { UInt8(truncatingIfNeeded: number >> ($0 * 8 % 16)) }.withUnsafeBytes { ResourceID(bytes: $0) })
        }
        #expect(try await store.attributes(of: keys).count == 3000)
        #expect(server.served == 3000)
        // The first burst, then one in fifteen.
        #expect(server.refused < 64 + 3000 / 10, "\(server.refused) refused")
    }
}
