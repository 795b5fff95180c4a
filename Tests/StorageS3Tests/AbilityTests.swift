import HTTPClient
import Hashing
import Kloset
import S3Signing
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

/// What a server can do is found out by asking, and what it says counts for no more than it was seen to do.
@Suite struct AbilityTests {
    /// A memory that a test can look into.
    private final class Kept: Sendable {
        private let answers = Mutex<[S3Abilities]>([])
        var all: [S3Abilities] { answers.withLock { $0 } }
        func memory(_ known: S3Abilities = S3Abilities()) -> S3Memory {
            S3Memory(known: known) { found in self.answers.withLock { $0.append(found) } }
        }
    }

    private func found(_ habits: BucketDouble.Habits) async throws -> S3Abilities {
        let kept = Kept()
        try await BucketDouble(habits).store(memory: kept.memory()).prepare()
        return try #require(kept.all.last)
    }

    @Test func eachAnswerIsTheServersOwn() async throws {
        var habits = BucketDouble.Habits()
        habits.knowsProtection = true
        let all = try await found(habits)
        #expect(all.conditionalPut == true && all.conditionalComplete == true && all.checksums == true && all.deleteMany == true)
        #expect(all.objectLock == "none" && all.versioning == "none" && all.region == "us-east-1")
        (habits.honoursPut, habits.honoursComplete, habits.checksums) = (false, false, false)
        let none = try await found(habits)
        #expect(none.conditionalPut == false && none.conditionalComplete == false && none.checksums == false)
        habits.refusesChecksums = true
        #expect(try await found(habits).checksums == false)
        #expect(S3Abilities(words: all.words) == all && S3Abilities(words: none.words) == none)
        #expect(S3Abilities(words: ["checksums": "perhaps", "x": "yes"]) == S3Abilities())
    }

    @Test func onlyTheProbeIsTouchedAndNothingStaysBehind() async throws {
        for honours in [true, false] {
            var habits = BucketDouble.Habits()
            (habits.honoursPut, habits.honoursComplete, habits.checksums) = (honours, honours, honours)
            let server = BucketDouble(habits)
            try await server.store(memory: Kept().memory()).prepare()
            #expect(Array(server.objects.keys) == ["p/.sealift/probe"] && server.uploads.isEmpty)
            let word = honours ? S3Names.honoured : S3Names.ignored
            #expect(server.objects["p/.sealift/probe"]?.bytes == Array(word.utf8))
            #expect(!server.requests.contains { $0.method == .delete })
        }
    }

    @Test func whatIsKnownIsNotAskedAgainUntilAnAnswerChanges() async throws {
        let server = BucketDouble()
        let kept = Kept()
        try await server.store(memory: kept.memory()).prepare()
        let known = try #require(kept.all.last)
        server.forgetRequests()
        let again = Kept()
        let store = server.store(memory: again.memory(known))
        try await store.prepare()
        try await store.prepare()
        #expect(server.requests.count == 1 && again.all.isEmpty)
        // A server that was replaced by one that does not honour conditions and computes nothing.
        server.habits.honoursPut = false
        server.habits.honoursComplete = false
        server.habits.checksums = false
        try await server.store(memory: again.memory(known)).prepare()
        #expect(again.all.last?.checksums == false && again.all.last?.conditionalComplete == false)
    }

    /// Swift and rclone take `PUT ?retention` for an object and `GET ?object-lock` for a listing: the one is never sent, the other believed only
    /// as the document that it should be.
    @Test func lockRequestsThatOverwriteAreNeverSent() async throws {
        let server = BucketDouble()
        let store = server.store(memory: Kept().memory())
        try await store.prepare()
        try await store.stage(key(1), [1, 2, 3])
        #expect(try await store.publish([key(1)]) == [.attested])
        let standing = try await store.standing()
        #expect(standing.abilities.first { $0.name == "object_lock" }?.answer == nil)
        #expect(standing.abilities.first { $0.name == "versioning" }?.answer == nil)
        let questions = ["retention", "legal-hold", "object-lock", "versioning"]
        #expect(
            !server.requests.contains { request in request.method != .get && questions.contains { request.url.contains($0) } })
        #expect(server.objects["p/\(key(1).path)"]?.bytes == [1, 2, 3])
    }

    @Test(
        arguments: [
            ("<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>", "enabled"),
            (
                "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>GOVERNANCE</Mode>"
                    + "<Days>30</Days></DefaultRetention></Rule></ObjectLockConfiguration>", "governance 30 days"
            ),
            (
                "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention><Mode>\u{1B}[2J</Mode>"
                    + "<Days>30</Days></DefaultRetention></Rule></ObjectLockConfiguration>", "enabled"
            ),
            ("<ObjectLockConfiguration/>", "none"), ("<ListBucketResult/>", nil), ("", nil), ("<Object", nil),
        ] as [(String, String?)])
    func objectLockIsReadAsItStands(_ text: String, _ answer: String?) async throws {
        let server = Scripted { request, _ in
            request.url.contains("object-lock") ? .text(200, text) : .text(200, "<ListBucketResult/>")
        }
        #expect(try await server.store().protection().objectLock == answer)
    }

    // MARK: - checksums

    @Test func whatTheServerComputesIsAttested() async throws {
        let server = BucketDouble()
        let store = server.store(memory: Kept().memory())
        try await store.prepare()
        try await store.stage(key(1), [1, 2, 3])
        try await store.stageLarge(key(2), large)
        #expect(try await store.publish([key(1), key(2)]) == [.attested, .attested])
        #expect(server.objects["p/\(key(2).path)"]?.bytes == large)
        // Of parts there is no digest of the whole.
        #expect(try await store.attestedDigests(of: [key(1), key(2), key(3)]) == [SHA256.digest(of: [1, 2, 3]), nil, nil])
    }

    /// radosgw and rclone ignore the line; others only repeat what they are told.
    @Test func whatTheServerIgnoresIsNot() async throws {
        var habits = BucketDouble.Habits()
        habits.checksums = false
        let server = BucketDouble(habits)
        let store = server.store(memory: Kept().memory())
        try await store.prepare()
        try await store.stage(key(1), [1, 2, 3])
        try await store.stageLarge(key(2), large)
        #expect(try await store.publish([key(1), key(2)]) == [.published, .published])
        server.put("p/\(key(4).path)", .init(bytes: [1], checksum: S3Checksum.text(SHA256.digest(of: [1]))))
        #expect(try await store.attestedDigests(of: [key(4)]) == [nil], "never seen to compute any")
        habits.claimedChecksum = S3Checksum.text(SHA256.digest(of: [4, 5]))
        let parrot = BucketDouble(habits).store(memory: Kept().memory())
        try await parrot.prepare()
        try await parrot.stage(key(1), [4, 5])
        #expect(try await parrot.publish([key(1)]) == [.published])
    }

    @Test func anotherChecksumIsDamage() async throws {
        let server = BucketDouble()
        let store = server.store(memory: Kept().memory())
        try await store.prepare()
        try await store.stageLarge(key(2), large)
        server.habits.claimedChecksum = S3Checksum.text(SHA256.digest(of: [9]))
        try await store.stage(key(1), [1, 2, 3])
        for outcome in try await store.publish([key(1), key(2)]) {
            guard case .failed(let failure) = outcome, failure.kind == .damage else {
                Issue.record("\(outcome)")
                continue
            }
        }
    }

    @Test func aServerThatTakesNoneGetsNone() async throws {
        var habits = BucketDouble.Habits()
        habits.refusesChecksums = true
        let store = BucketDouble(habits).store()
        try await store.stage(key(1), [1, 2, 3])
        try await store.stageLarge(key(2), large)
        #expect(try await store.publish([key(1), key(2)]) == [.published, .published])
        (habits.refusesChecksums, habits.takesAlgorithm) = (false, false)
        let server = BucketDouble(habits)
        let other = server.store(memory: Kept().memory())
        try await other.prepare()
        try await other.stage(key(1), [1, 2, 3])
        try await other.stageLarge(key(2), large)
        #expect(try await other.publish([key(1), key(2)]) == [.attested, .published])
    }

    /// Where the tags say nothing, checksums tell which parts are there.
    @Test func partsAreContinuedByTheirChecksums() async throws {
        let server = BucketDouble()
        let first = server.store(memory: Kept().memory())
        try await first.prepare()
        var other = large
        other[0] = 8
        for (bytes, sentAgain) in [(large, 1), (other, 2)] {
            try await first.stageLarge(key(2), large, chunks: Array(0..<8))
            let later = server.store(memory: Kept().memory())
            try await later.prepare()
            server.forgetRequests()
            try await later.stageLarge(key(2), bytes)
            #expect(server.requests.count { $0.method == .put && $0.url.contains("partNumber") } == sentAgain)
            try await later.discard([key(2)])
        }
    }

    // MARK: - other habits of servers

    @Test func completesWithoutATag() async throws {
        var habits = BucketDouble.Habits()
        habits.namesCompleted = false
        let store = BucketDouble(habits).store()
        try await store.stageLarge(key(2), large)
        #expect(try await store.publish([key(2)]) == [.published])
    }

    @Test func capitalisedMetadata() async throws {
        var habits = BucketDouble.Habits()
        habits.capitalises = true
        let store = BucketDouble(habits).store()
        try await store.stage(key(1), [1, 2, 3])
        _ = try await store.publish([key(1)])
        #expect(try await store.attributes(of: [key(1)]) == [.regular(size: 3, modified: Timestamp(nanoseconds: 5))])
    }

    @Test func rangesWithTheChecksumOfTheWhole() async throws {
        var habits = BucketDouble.Habits()
        habits.sumsRanges = true
        let store = BucketDouble(habits).store()
        try await store.stage(key(1), [1, 2, 3, 4])
        _ = try await store.publish([key(1)])
        let piece = Piece()
        #expect(try await store.read(key(1), from: .published, at: 1, count: 2, into: piece) == 2)
        #expect(Array(piece.bytes(0..<2)) == [2, 3])
    }

    @Test func errorsWithoutAWord() async throws {
        let server = Scripted { _, _ in .text(403, "<Error><Code>AccessDenied</Code><Message></Message></Error>") }
        do {
            _ = try await server.store().list(.packfile, bucket: 1)
            Issue.record("nothing was thrown")
        } catch let failure as Failure {
            #expect(failure.kind == .permission && failure.reason.contains("AccessDenied") && !failure.advice.isEmpty)
        }
    }
}

/// Uploads that nobody ended.
@Suite struct UploadTests {
    @Test func allAreSeenAndEndOneByOne() async throws {
        let server = BucketDouble()
        let store = server.store()
        try await store.stageLarge(key(1), large, chunks: [0])
        _ = try await store.client.send(S3Call(.post, "p/\(key(2).path)").asking([("uploads", nil)]))
        let found = try #require(try await server.store().standing().uploads)
        #expect(found.map(\.name) == [key(1).path, key(2).path])
        #expect(found.map(\.isOurs) == [true, false])
        #expect(found.allSatisfy { $0.begun == Timestamp(seconds: 1_700_000_000) })
        let later = server.store()
        for upload in found { try await later.abort(upload) }
        for upload in found { try await later.abort(upload) }
        #expect(server.uploads.isEmpty)
        #expect(!server.objects.keys.contains { $0.contains("/uploads/") }, "its document goes with it")
    }

    @Test func whoMayNotListThemIsToldSo() async throws {
        var habits = BucketDouble.Habits()
        habits.listsUploads = false
        #expect(try await BucketDouble(habits).store().standing().uploads == nil)
    }

    private static func page(_ rows: [(String, String)], next: String? = nil) -> String {
        let text = rows.map { "<Upload><Key>\($0.0)</Key><UploadId>\($0.1)</UploadId></Upload>" }.joined()
        let end = next.map { "<IsTruncated>true</IsTruncated><NextKeyMarker>\($0)</NextKeyMarker>" } ?? ""
        return "<ListMultipartUploadsResult>\(text)\(end)</ListMultipartUploadsResult>"
    }

    /// Lists that lie or never end.
    @Test(arguments: [
        "", "<ListBucketResult/>", page([("p/a", "")]), page([("p/a", "x y")]), page([("p/a", "1")], next: ""),
        page([("p/a", "1")], next: "p/a"), page([], next: "p/a"),
    ])
    func hostileLists(_ text: String) async {
        let server = Scripted { request, _ in
            request.url.contains("uploads&") || request.url.contains("uploads=") || request.url.hasSuffix("uploads")
                ? .text(200, text) : .text(200, "<ListBucketResult/>")
        }
        await #expect(throws: Failure.self) { try await server.store().unfinishedUploads() }
        #expect(server.requests.count < 10)
    }
}
