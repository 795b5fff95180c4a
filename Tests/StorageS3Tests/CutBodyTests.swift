import Glibc
import HTTPTesting
import Kloset
import S3Testing
import Storage
import StorageTesting
import Synchronization
import Testing

@testable import StorageS3

/// What the proxy is to do next, once.
private final class Orders: Sendable {
    private let state = Mutex<(next: Proxy.Fault?, done: Int)>((nil, 0))

    var done: Int { state.withLock { $0.done } }
    func give(_ fault: Proxy.Fault) { state.withLock { $0.next = fault } }

    func take(_ isMeant: (Proxy.Fault) -> Bool) -> Proxy.Fault? {
        state.withLock { state in
            guard let fault = state.next, isMeant(fault) else { return nil }
            (state.next, state.done) = (nil, state.done + 1)
            return fault
        }
    }
}

/// Bodies that end early at each KiB, between us and a real server: never taken as whole, sent again, right in the end.
@Suite(.enabled(if: Gateway.isThere, Comment(rawValue: Gateway.reason))) struct CutBodyTests {
    /// A whole chunk in the long loops.
    private static let byteCount =
        (getenv("SEALIFT_TEST_LOOPS").map { String(cString: $0) } == "full" ? ChunkLayout.chunkByteCount : 128 << 10) + 100

    private static func key(_ number: Int) -> ResourceKey {
        ResourceKey(
            .packfile,
            (0..<32).map { UInt8(truncatingIfNeeded: number >> (8 * ($0 % 4))) }.withUnsafeBytes { ResourceID(bytes: $0) })
    }

    private static func bytes(_ count: Int, _ seed: UInt64) -> [UInt8] {
        var random = SeededRandom(seed: seed)
        return random.bytes(count)
    }

    /// Each KiB, and one byte before the end.
    private static var places: [Int] { Array(stride(from: 0, to: byteCount, by: 1024)) + [byteCount - 1] }

    private func proxied(_ place: BucketPlace, _ orders: Orders) throws -> Proxy {
        try Proxy(to: try #require(place.settings.host.split(separator: ":").last.flatMap { Int($0) })) { request in
            let isRead = request.line.hasPrefix("GET") && request.line.contains("/packfiles/")
            let isWrite = request.line.hasPrefix("PUT") && request.line.contains("/packfiles/") && !request.body.isEmpty
            return orders.take {
                switch $0 {
                case .cutAnswer: isRead
                case .cutRequest: isWrite
                case .change: false
                }
            }
        }
    }

    @Test func answersCutAtEachKiB() async throws {
        let place = try await BucketPlace(patient: false)
        let bytes = Self.bytes(Self.byteCount, 1)
        try await place.put(Self.key(1).path, bytes)
        let orders = Orders()
        let proxy = try proxied(place, orders)
        let piece = Piece()
        for at in Self.places {
            // New ones: a server that fails every other call is given up.
            let store = BucketPlace(place, port: proxy.port).s3()
            let hasty = BucketPlace(place, port: proxy.port, attempts: 1).s3()
            let cut = Proxy.Fault.cutAnswer(after: at, resets: at % 2048 != 0)
            orders.give(cut)
            await #expect(throws: Failure.self, "\(at)") {
                try await hasty.read(Self.key(1), from: .published, at: 0, count: bytes.count, into: piece)
            }
            orders.give(cut)
            #expect(try await store.read(Self.key(1), from: .published, at: 0, count: bytes.count, into: piece) == bytes.count)
            #expect(ClosureCheck.areEqual(Array(piece.bytes(0..<bytes.count)), bytes), "\(at)")
            orders.give(cut)
            guard case .bytes(let range, _) = try await store.readWhole([Self.key(1)], from: .published, into: piece).first else {
                Issue.record("not read, cut at \(at)")
                continue
            }
            #expect(ClosureCheck.areEqual(Array(piece.bytes(range)), bytes), "\(at)")
        }
        #expect(orders.done == 3 * Self.places.count)
    }

    @Test func requestsCutAtEachKiB() async throws {
        let place = try await BucketPlace(patient: false)
        let orders = Orders()
        let proxy = try proxied(place, orders)
        for at in Self.places {
            let store = BucketPlace(place, port: proxy.port).s3()
            let hasty = BucketPlace(place, port: proxy.port, attempts: 1).s3()
            let (key, bytes) = (Self.key(at), Self.bytes(Self.byteCount, UInt64(at)))
            let cut = Proxy.Fault.cutRequest(after: at, resets: at % 2048 != 0)
            orders.give(cut)
            try await hasty.stage(key, bytes)
            guard case .failed? = try await hasty.publish([key]).first else {
                Issue.record("taken as whole, cut at \(at)")
                continue
            }
            #expect(try await place.names(key.path) == [], "\(at)")
            orders.give(cut)
            try await store.stage(key, bytes)
            #expect(try await store.publish([key]) == [.published], "\(at)")
            #expect(ClosureCheck.areEqual(try await place.get(key.path), bytes), "\(at)")
            try await place.remove(key.path)
        }
        #expect(orders.done == 2 * Self.places.count)
    }

    @Test func partsCutAnywhere() async throws {
        let place = try await BucketPlace(patient: false)
        let orders = Orders()
        let proxy = try proxied(place, orders)
        let store = BucketPlace(place, port: proxy.port).s3()
        let seed = SeededRandom.freshSeed()
        var random = SeededRandom(seed: seed)
        let bytes = Self.bytes(9 << 20, 2)
        for number in 0..<4 {
            orders.give(.cutRequest(after: Int.random(in: 0..<8192, using: &random) << 10, resets: number % 2 == 0))
            try await store.stageLarge(Self.key(number), bytes)
            #expect(try await store.publish([Self.key(number)]) == [.published], "seed \(seed)")
            #expect(ClosureCheck.areEqual(try await place.get(Self.key(number).path), bytes), "seed \(seed)")
        }
        #expect(orders.done == 4)
    }
}
