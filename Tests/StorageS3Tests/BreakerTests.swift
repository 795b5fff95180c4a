import HTTPClient
import Kloset
import S3Testing
import Storage
import StorageTesting
import Synchronization
import Testing

@testable import StorageS3

/// An endpoint that is gone, on a clock of the tests.
struct BreakerTests {
    private static let key = ResourceKey(.packfile, ResourceID(hex: String(repeating: "ab", count: 32)) ?? .zero)
    private static let head = HTTPResponse.text(200, "", [("Content-Length", "48")])

    private enum Outcome: Equatable {
        case answer
        case failure(Failure.Kind, String)
    }

    private static func ask(_ store: S3Store) async -> Outcome {
        do {
            _ = try await store.attributes(of: [key])
            return .answer
        } catch let failure as Failure { return .failure(failure.kind, failure.reason) } catch {
            return .failure(.usage, "\(error)")
        }
    }

    private static func ask(_ store: S3Store, times count: Int) async -> [Outcome] {
        await withTaskGroup(of: Outcome.self) { group in
            for _ in 0..<count { group.addTask { await ask(store) } }
            return await group.reduce(into: []) { $0.append($1) }
        }
    }

    private static let failures: [@Sendable () throws -> HTTPResponse] = [
        { throw HTTPError.notSent("no connection: Connection refused") },
        { throw HTTPError.unclear("nothing moved for 60 seconds") },
        { .error(502, "") }, { .error(503, "SlowDown") },
    ]

    @Test(arguments: 0..<4) func whatIsGoneIsGivenUpSoon(_ which: Int) async {
        let clock = VirtualClock()
        let start = clock.now
        let server = Scripted { _, _ in try Self.failures[which]() }
        let store = server.store(clock)
        for outcome in await Self.ask(store, times: 200) {
            guard case .failure(.unavailable, let reason) = outcome else {
                Issue.record("\(outcome)")
                continue
            }
            #expect(reason.contains("20 seconds"))
        }
        #expect(clock.now - start < .seconds(25))
        // One attempt of each that was under way, then one question at a time.
        #expect(server.requests.count < 64 + 30)

        // Left alone, then asked once.
        let asked = server.requests.count
        for _ in 0..<20 { #expect(await Self.ask(store) != .answer) }
        #expect(server.requests.count == asked)
        clock.advance(S3Breaker.rest)
        _ = await Self.ask(store, times: 20)
        #expect(server.requests.count == asked + 1)
    }

    /// One call at a time, and each stands still for a minute: not for eight.
    @Test func whatHangsIsGivenUpAfterTwo() async {
        let clock = VirtualClock()
        let start = clock.now
        let server = Scripted { _, _ in
            clock.advance(.seconds(60))
            throw HTTPError.unclear("nothing moved for 60 seconds")
        }
        let store = server.store(clock)
        #expect(await Self.ask(store) != .answer)
        #expect(server.requests.count <= 3 && clock.now - start < .seconds(200))
        #expect(await Self.ask(store) != .answer)
        #expect(server.requests.count <= 3)
    }

    @Test func whatStartsAgainCostsAPause() async {
        let clock = VirtualClock()
        let start = clock.now
        for _ in 0..<5 {
            let back = clock.now + .seconds(15)
            let server = Scripted { _, _ in
                guard clock.now >= back else { throw HTTPError.notSent("no connection: Connection refused") }
                return Self.head
            }
            let store = server.store(clock)
            #expect(await Self.ask(store, times: 100).allSatisfy { $0 == .answer })
            #expect(server.requests.count < 100 + 64 + 30)
        }
        #expect(clock.now - start < .seconds(5 * 18))
    }

    /// Outages that end do not add up: each costs no more repetitions than opened it.
    @Test func outagesDoNotUseUpTheBudget() async {
        let clock = VirtualClock()
        let back = Mutex(clock.now)
        let server = Scripted { _, _ in
            guard clock.now >= back.withLock({ $0 }) else { throw HTTPError.unclear("the connection was lost") }
            return Self.head
        }
        let store = server.store(clock)
        for _ in 0..<8 {
            back.withLock { $0 = clock.now + .seconds(3) }
            #expect(await Self.ask(store, times: 64).allSatisfy { $0 == .answer })
            clock.advance(.seconds(1))
        }
    }

    /// What the server fails on alone is that call's failure, and nobody else's.
    @Test func oneBadObjectStopsNobody() async {
        let clock = VirtualClock()
        let server = Scripted { request, _ in
            if request.url.hasSuffix("/CONFIG") { return .error(500, "InternalError") }
            return Self.head
        }
        let store = server.store(clock)
        for _ in 0..<4 {
            let before = server.requests.count
            do {
                _ = try await store.attributes(of: [.config])
                Issue.record("an answer")
            } catch {}
            #expect(server.requests.count == before + 8)
            #expect(await Self.ask(store) == .answer)
        }
    }

    /// The one that asks may be cancelled: another asks then.
    @Test func theQuestionIsPassedOn() async throws {
        let clock = VirtualClock()
        let isHanging = Mutex(false)
        let server = Hanging { isHanging.withLock { $0 } }
        let store = S3Store.on(server, clock)
        for _ in 0..<2 { _ = await Self.ask(store) }
        isHanging.withLock { $0 = true }
        clock.advance(.seconds(60))
        let asking = Task { await Self.ask(store) }
        while server.hanging == 0 { await Task.yield() }
        // Given up while the one asks: refused at once.
        #expect(await Self.ask(store) != .answer)
        asking.cancel()
        _ = await asking.value
        isHanging.withLock { $0 = false }
        server.recover()
        #expect(await Self.ask(store) == .answer)
    }
}

/// Fails, then hangs until its caller is cancelled, then answers.
private final class Hanging: HTTPTransport {
    private let hangs: @Sendable () -> Bool
    private let state = Mutex((hanging: 0, isWell: false))

    init(_ hangs: @escaping @Sendable () -> Bool) {
        self.hangs = hangs
    }

    var hanging: Int { state.withLock { $0.hanging } }
    func recover() { state.withLock { $0.isWell = true } }

    func send(_ request: HTTPRequest, into sink: HTTPSink) async throws -> HTTPResponse {
        if state.withLock({ $0.isWell }) { return .text(200, "", [("Content-Length", "48")]) }
        guard hangs() else { throw HTTPError.notSent("no connection: Connection refused") }
        state.withLock { $0.hanging += 1 }
        try await Task.sleep(for: .seconds(3600))
        throw HTTPError.unclear("nothing moved")
    }
}
