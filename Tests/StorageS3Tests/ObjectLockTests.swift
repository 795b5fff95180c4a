import HTTPClient
import Kloset
import S3Testing
import Storage
import StorageTesting
import Synchronization
import Testing

@testable import StorageS3

private func key(_ number: UInt8, _ kind: ResourceKind = .packfile) -> ResourceKey {
    ResourceKey(kind, Array(repeating: number, count: 32).withUnsafeBytes { ResourceID(bytes: $0) })
}

private let large = [UInt8](repeating: 7, count: 9 << 20)
private let day: Int64 = 86_400 * 1_000_000_000

private func lock(_ mode: ResourceLock.Mode?, _ days: Int = 0, isHeld: Bool = false) -> ResourceLock {
    ResourceLock(retention: mode.map { ResourceLock.Retention(mode: $0, days: days) }, isHeld: isHeld)
}

/// Why a store will not lock; nil when it will.
private func refusal(of store: S3Store, _ wanted: ResourceLock) async -> Failure? {
    do {
        _ = try await store.lockPublished(wanted)
        return nil
    } catch {
        return error as? Failure
    }
}

extension BucketPlace {
    /// How long a name is kept from now on, in days, and how.
    fileprivate func kept(_ name: String) async throws -> (mode: String, days: Int64)? {
        guard let words = try await retention(name)?.split(separator: " "), words.count == 2,
            let until = Timestamp(isoDate: String(words[1]))
        else { return nil }
        // Half a day more, to be near a whole number.
        return (String(words[0]), (until.nanoseconds - wallClock().nanoseconds + day / 2) / day)
    }
}

/// On a server whose Object Lock is real.
@Suite(.enabled(if: Gateway.isThere, Comment(rawValue: Gateway.reason))) struct ObjectLockTests {
    private func prepared(_ place: BucketPlace) async throws -> S3Store {
        let base = place.s3()
        let store = S3Store(base.settings, client: base.client, memory: S3Memory(known: S3Abilities(), keep: { _ in }))
        try await store.prepare()
        return store
    }

    @Test func whatIsPublishedIsLocked() async throws {
        let place = try await BucketPlace.locked()
        let store = try await prepared(place)
        let until = try #require(try await store.lockPublished(lock(.governance, 30, isHeld: true)))
        #expect(try await store.lockPublished(lock(.governance, 30, isHeld: true)) == until, "asked twice, it is the same date")
        try await store.stage(key(1), [1, 2, 3])
        // radosgw drops the locks of multipart uploads: they are given afterwards.
        try await store.stageLarge(key(2), large)
        #expect(try await store.publish([key(1), key(2)]) == [.published, .published])
        for key in [key(1), key(2)] {
            let kept = try #require(try await place.kept(key.path))
            #expect(kept == ("GOVERNANCE", 30))
            #expect(try await place.isHeld(key.path))
            #expect(try await place.removingVersion(key.path) == 403)
        }
        try await store.replaceDocument("x", with: [1])
        for name in try await place.names(".sealift/") { #expect(try await place.retention(name) == nil) }
        #expect(try await store.extendLocks(of: [key(1), key(2)]) == 0)
    }

    @Test func aBucketWithoutLocksIsRefused() async throws {
        let place = try await BucketPlace()
        let store = place.s3()
        let refused = try #require(await refusal(of: store, lock(.compliance, 1)))
        #expect(refused.kind == .refused && refused.reason.contains("no Object Lock"))
        #expect(try await place.names("") == [])
        // Who may not ask cannot know.
        let writer = try await BucketPlace.writeOnly()
        let denied = try #require(await refusal(of: writer.s3(), lock(.compliance, 1)))
        #expect(denied.kind == .permission && denied.advice.contains("GetBucketObjectLockConfiguration"))
    }

    @Test func theBucketsOwnRuleLocksNothingThatIsRewritten() async throws {
        let place = try await BucketPlace.locked(rule: ("COMPLIANCE", 5))
        let store = try await prepared(place)
        try await store.replaceDocument("x", with: [1])
        try await store.replaceDocument("x", with: [2])
        try await store.createDocument("ledger/1", with: [3])
        let upload = try await store.upload(key(9), size: Int64(large.count), modified: Timestamp(seconds: 0))
        for name in try await place.names(".sealift/") {
            let kept = try #require(try await place.kept(name), "\(name)")
            #expect(kept == ("GOVERNANCE", 0), "\(name)")
        }
        await upload.abandon()
        try await store.stage(key(1), [1])
        #expect(try await store.publish([key(1)]) == [.published])
        #expect(try await place.kept(key(1).path)?.mode == "COMPLIANCE")
        #expect(try await place.kept(key(1).path)?.days == 5)
        // What is asked for takes the rule's place; where the rule came first, nothing gets less than it gave.
        _ = try await store.lockPublished(lock(.governance, 30))
        try await store.stage(key(2), [2])
        try await store.stageLarge(key(3), large)
        #expect(try await store.publish([key(2), key(3)]) == [.published, .published])
        #expect(try #require(try await place.kept(key(2).path)) == ("GOVERNANCE", 30))
        #expect(try #require(try await place.kept(key(3).path)) == ("COMPLIANCE", 30))
    }

    @Test func whatHasLessGetsMoreAndNothingGetsLess() async throws {
        let place = try await BucketPlace.locked()
        let first = try await prepared(place)
        try await first.stage(key(1), [1])
        _ = try await first.publish([key(1)])
        _ = try await first.lockPublished(lock(.governance, 3))
        try await first.stage(key(2), [2])
        _ = try await first.publish([key(2)])
        _ = try await first.lockPublished(lock(.compliance, 90))
        try await first.stage(key(3), [3])
        _ = try await first.publish([key(3)])
        let second = try await prepared(place)
        _ = try await second.lockPublished(lock(.governance, 30))
        #expect(try await second.extendLocks(of: [key(1), key(2), key(3)]) == 2)
        #expect(try #require(try await place.kept(key(1).path)) == ("GOVERNANCE", 30))
        #expect(try #require(try await place.kept(key(2).path)) == ("GOVERNANCE", 30))
        #expect(try #require(try await place.kept(key(3).path)) == ("COMPLIANCE", 90))
    }

    @Test func aReplacedResourceIsLockedAgain() async throws {
        let place = try await BucketPlace.locked()
        let store = try await prepared(place)
        _ = try await store.lockPublished(lock(.governance, 30))
        try await place.put(key(1).path, [9])
        try await store.stage(key(1), [1])
        try await store.exchange(key(1))
        #expect(try #require(try await place.kept(key(1).path)) == ("GOVERNANCE", 30))
        #expect(try await place.get(key(1).path) == [1])
    }
}

/// Servers that know nothing of locks, or only say so.
@Suite struct LyingLockTests {
    private static let enabled =
        "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>"

    /// OpenStack Swift and rclone: the question is a listing to them, and a request for a lock an object.
    @Test func aLockIsNeverAskedForInTheDark() async throws {
        let server = BucketDouble()
        let store = server.store()
        let refused = try #require(await refusal(of: store, lock(.governance, 1)))
        #expect(refused.kind == .refused)
        #expect(server.objects.isEmpty && server.requests.allSatisfy { $0.method == .get })
    }

    /// A server in front of a ``BucketDouble`` that says that it has Object Lock.
    private final class Claiming: HTTPTransport {
        let double: BucketDouble
        let answer: @Sendable (HTTPRequest) -> HTTPResponse?
        let asked = Mutex<[String]>([])

        init(_ answer: @escaping @Sendable (HTTPRequest) -> HTTPResponse?) {
            (double, self.answer) = (BucketDouble(), answer)
        }

        func send(_ request: HTTPRequest, into sink: HTTPSink) async throws -> HTTPResponse {
            asked.withLock { $0.append("\(request.method.rawValue) \(request.url)") }
            if request.url.contains("?object-lock") { return .text(200, LyingLockTests.enabled) }
            if let answer = answer(request) { return answer }
            return try await double.send(request, into: sink)
        }

        func store() -> S3Store {
            var retry = S3Retry()
            retry.sleep = { _ in await Task.yield() }
            let settings = S3Settings(scheme: "http", host: "h:1", bucket: "b", prefix: "p")
            let client = S3Client(
                settings: settings, transport: self, credentials: { Gateway.credentials },
                now: { Timestamp(seconds: 1_700_000_000) }, retry: retry)
            return S3Store(settings, client: client)
        }

        var putsOfLocks: Int {
            asked.withLock { $0.count { $0.hasPrefix("PUT") && ($0.contains("retention") || $0.contains("legal-hold")) } }
        }
    }

    private func published(_ server: Claiming, _ wanted: ResourceLock) async throws -> PublishOutcome {
        let store = server.store()
        _ = try await store.lockPublished(wanted)
        try await store.stage(key(1), [1, 2, 3])
        return try await store.publish([key(1)])[0]
    }

    /// The object itself is no answer to what its retention is, and nothing is then written to it.
    @Test func anObjectIsNoRetention() async throws {
        for wanted in [lock(.governance, 1), lock(nil, isHeld: true)] {
            let server = Claiming { _ in nil }
            guard case .failed(let failure) = try await published(server, wanted) else {
                Issue.record("it was believed")
                continue
            }
            #expect(failure.kind == .readWrite && server.putsOfLocks == 0)
            #expect(server.double.objects["p/\(key(1).path)"]?.bytes == [1, 2, 3])
        }
    }

    @Test func whatIsTakenButNotKeptIsAFailure() async throws {
        let server = Claiming { request in
            guard request.url.contains("?retention") else { return nil }
            return request.method == .put ? .text(200) : .error(404, "NoSuchObjectLockConfiguration")
        }
        guard case .failed(let failure) = try await published(server, lock(.compliance, 7)) else {
            Issue.record("it was believed")
            return
        }
        #expect(failure.kind == .readWrite && failure.reason.contains("does not have it") && server.putsOfLocks == 1)
    }

    @Test(arguments: [
        ("COMPLIANCE", "2023-11-15T22:13:21Z", true), ("GOVERNANCE", "2023-11-15T22:13:21.5Z", true),
        ("GOVERNANCE", "2023-11-15T22:13:20Z", false), ("GOVERNANCE", "soon", false), ("NONE", "2099-11-15T22:13:21Z", false),
    ])
    func aRetentionIsReadAsItStands(_ mode: String, _ until: String, _ isEnough: Bool) async throws {
        let text = "<Retention><Mode>\(mode)</Mode><RetainUntilDate>\(until)</RetainUntilDate></Retention>"
        let server = Claiming { request in
            request.url.contains("?retention") ? (request.method == .put ? .text(200) : .text(200, text)) : nil
        }
        #expect((try await published(server, lock(.governance, 1)) == .published) == isEnough)
    }

    /// A bucket with a rule, and an account that may put but not lock.
    @Test func whoMayNotLockStillWritesWhatIsOurs() async throws {
        let server = Claiming { request in
            request.headers.contains { $0.name.lowercased() == "x-amz-object-lock-mode" } ? .error(403, "AccessDenied") : nil
        }
        var known = S3Abilities()
        known.objectLock = "governance 30 days"
        let base = server.store()
        let store = S3Store(base.settings, client: base.client, memory: S3Memory(known: known, keep: { _ in }))
        try await store.replaceDocument("x", with: [1])
        try await store.replaceDocument("x", with: [2])
        #expect(server.double.objects["p/.sealift/x"]?.bytes == [2])
        #expect(server.asked.withLock { $0.count } == 3, "it is tried once")
    }
}
