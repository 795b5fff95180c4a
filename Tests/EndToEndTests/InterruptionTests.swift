internal import Glibc
internal import StorageTesting
internal import Testing

/// Runs that are ended, stopped, killed, or meet each other.
@Suite("Interruption", .serialized, .enabled(if: Binary.isThere, Binary.reason))
struct InterruptionTests {
    /// A store of some MiB, and a rate at which its copy takes far longer than any of these tests waits.
    private static func placeWithHeavyStore(_ seed: UInt64 = 21) throws -> (Workplace, GeneratedStore) {
        let place = try Workplace()
        let store = GeneratedStore(seed: seed, Shape.heavy(states: 6))
        try store.place(in: FolderSink(place.folder, "source"))
        return (place, store)
    }

    private static let slow = "10K"

    /// Waits until a run is at work on its target.
    private func untilCopying(to target: String, in place: Workplace, source: SourceLocation = #_sourceLocation) async throws {
        let deadline = ContinuousClock.now + .seconds(Workplace.secondsMax)
        while place.folder.names(in: "\(target)/.sealift/uploads").isEmpty {
            guard ContinuousClock.now < deadline else {
                Issue.record("the run never began to copy", sourceLocation: source)
                return
            }
            try await Task.sleep(for: .milliseconds(5))
        }
    }

    @Test("Ctrl-C and SIGTERM end a run soon, release the lock, and the next run completes", arguments: [SIGINT, SIGTERM])
    func signals(number: Int32) async throws {
        let (place, store) = try Self.placeWithHeavyStore()
        let child = try place.starting("sync", place("source"), place("target"), "--limit", Self.slow, "--json")
        try await untilCopying(to: "target", in: place)
        child.signal(number)
        // At this rate the copy takes some minutes; a run that went on would be killed for taking too long.
        let ended = try await child.ended()
        #expect(!ended.timedOut)
        #expect(ended.code == 128 + number)
        #expect(ended.err.contains("interrupted"))
        #expect(try JSONValue(parsing: ended.out)["exit_code"] == .number(Double(128 + number)))
        #expect(ClosureCheck(store).violations(in: place, "target", stateCountWithConfig: 6).isEmpty)
        try await place.sealift("sync", place("source"), place("target"))
        #expect(place.resources("target") == place.resources("source"))
    }

    @Test("A second run to one target is 75 and names the first")
    func busy() async throws {
        let place = try Workplace()
        let store = GeneratedStore(seed: 22, Shape.heavy(states: 6))
        try store.place(in: FolderSink(place.folder, "source"), upTo: 2)
        try await place.sealift("sync", place("source"), place("target"))
        try store.place(in: FolderSink(place.folder, "source"))
        let first = try place.starting("sync", place("source"), place("target"), "--limit", Self.slow)
        try await untilCopying(to: "target", in: place)
        let report = try await place.json("sync", place("source"), place("target"), expect: 75)
        #expect(report.target?["error"]?["message"]?.text?.contains("\(first.pid)") == true, "\(report)")
        #expect(report.target?["error"]?["retryable"] == .boolean(true))
        let message = try await place.fails(75, "repair", place("target"), "--from", place("source"))
        #expect(message.contains("\(first.pid)"))
        // Reading is nobody's business but the reader's.
        try await place.sealift("inspect", place("target"))
        first.signal(SIGKILL)
        #expect(try await first.ended().code == 128 + SIGKILL)
        // What is left of the first one is a file with its name in it, which must not block.
        #expect(place.folder.contents(of: "target/.sealift/lock")?.isEmpty == false)
        try await place.sealift("sync", place("source"), place("target"))
        #expect(place.resources("target") == place.resources("source"))
    }

    @Test("Two runs with one catalog and different targets both succeed")
    func twoTargets() async throws {
        let (place, _) = try Self.placeWithHeavyStore()
        let children = try ["a", "b", "c"].map { try place.starting("sync", place("source"), place($0), "--json") }
        for child in children {
            let ended = try await child.ended()
            #expect(ended.code == 0, "\(ended.err)")
        }
        for target in ["a", "b", "c"] {
            #expect(place.resources(target) == place.resources("source"))
            try await place.sealift("verify", place(target))
        }
        #expect(try await place.json("points")["points"]?.elements.count == 3)
    }

    @Test("A lock file that somebody left there never blocks", arguments: ["sealift sync, process 1 on elsewhere", "", "\0\0\0"])
    func staleLock(text: String) async throws {
        let (place, store) = try CallTests.placeWithStore()
        try await place.sealift("sync", place("source"), place("target"))
        try place.folder.put("target/.sealift/lock", Array(text.utf8))
        try await place.sealift("sync", place("source"), place("target"))
        #expect(ClosureCheck(store).violations(in: place, "target").isEmpty)
    }

    @Test("Killed at random moments, a copy is closed, and the next run completes it")
    func kills() async throws {
        let seed = Loops.seed("kills")
        var random = SeededRandom(seed: seed)
        for round in 0..<Loops.count(fast: 4, part: 30, full: 300) {
            try await killRound(round, isUpdate: round % 2 == 1, &random)
        }
    }

    private func killRound(_ round: Int, isUpdate: Bool, _ random: inout SeededRandom) async throws {
        let place = try Workplace()
        let store = GeneratedStore(seed: random.next(), Shape.heavy(states: 8))
        let check = ClosureCheck(store)
        if isUpdate {
            try store.place(in: FolderSink(place.folder, "source"), upTo: 3)
            try await place.sealift("sync", place("source"), place("target"))
        }
        try store.place(in: FolderSink(place.folder, "source"))
        // A whole run takes some 200 ms on an idle machine; each try goes on where the one before was cut.
        for attempt in 0..<3 {
            let delay = UInt64.random(in: 0...250_000, using: &random)
            let child = try place.starting("sync", place("source"), place("target"), "--quiet")
            try await Task.sleep(for: .microseconds(delay))
            child.signal(SIGKILL)
            _ = try await child.ended()
            let violations = check.violations(in: place, "target", stateCountWithConfig: isUpdate ? 3 : 8)
            #expect(violations.isEmpty, "round \(round), attempt \(attempt), killed after \(delay) µs: \(violations)")
        }
        try await place.sealift("sync", place("source"), place("target"))
        #expect(check.violations(in: place, "target", stateCountWithConfig: 8).isEmpty)
        let (source, target) = (place.resources("source"), place.resources("target"))
        #expect(source.allSatisfy { target[$0.key] == $0.value }, "round \(round): the next run did not complete the copy")
        #expect(place.folder.names(in: "target/.sealift/uploads").isEmpty, "round \(round): half a copy was left behind")
    }
}
