internal import Glibc
internal import StorageTesting
internal import Synchronization
internal import Testing

/// A real client backs up, removes and maintains while its store is copied: the copy is a good store at every moment.
@Suite(
    "Beside a living client", .serialized, .enabled(if: Binary.isThere, Binary.reason),
    .enabled(if: Plakar.isThere, Plakar.reason))
struct LiveClientTests {
    /// What the two sides tell each other.
    private final class Talk: Sendable {
        struct Words: Sendable {
            var isOver = false
            /// How many syncs have begun, and which was the last to succeed.
            var (begun, lastDone) = (0, 0)
            /// What `ls` of the source showed after each step of the client.
            var moments: Set<[String]> = []
            /// What `ls` of copies showed, and which these were.
            var shown: [(copy: String, snapshots: [String])] = []
        }
        let words = Mutex(Words())
    }

    @Test("Replicas taken at any moment pass the client's check and show what the source showed")
    func live() async throws {
        let seed = Loops.seed("living client")
        let rounds = Loops.count(fast: 1, part: 5, full: 40)
        let place = try Workplace()
        let source = place("source")
        let talk = Talk()
        _ = try await Plakar.run("at", source, "create", in: place, on: .owner)
        try await Self.backUp(source, number: 0, in: place, talk)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await Self.client(source, in: place, talk) }
            group.addTask {
                defer { talk.words.withLock { $0.isOver = true } }
                var random = SeededRandom(seed: seed)
                for round in 0..<rounds {
                    try await Self.copyAndJudge(source, round: round, in: place, talk, &random)
                }
            }
            try await group.waitForAll()
        }
        let words = talk.words.withLock { $0 }
        #expect(!words.shown.isEmpty)
        for (copy, snapshots) in words.shown {
            #expect(words.moments.contains(snapshots), "\(copy) shows what the source never showed: \(snapshots)")
        }
        // The client is quiet now: what the copy shows is what the source shows.
        try await place.sealift("sync", source, place("target"), "--verify", "all")
        try await Plakar.check(place("target"), in: place)
        let shown = try await Plakar.snapshots(of: place("target"), in: place)
        let original = try await Plakar.snapshots(of: source, in: place)
        #expect(original == shown && !shown.isEmpty)
    }

    // MARK: - the client's side

    /// Backs up, keeps the last two snapshots, and now and then maintains, until told to stop.
    private static func client(_ source: String, in place: Workplace, _ talk: Talk) async throws {
        var number = 1
        var maintained = 0
        while !talk.words.withLock({ $0.isOver }) {
            try await backUp(source, number: number, in: place, talk)
            let snapshots = try await Plakar.snapshotsByAge(of: source, in: place, on: .owner)
            if snapshots.count > 2, let oldest = snapshots.last {
                _ = try await Plakar.run("at", source, "rm", "-apply", oldest, in: place, on: .owner)
                try await note(source, in: place, talk)
            }
            // Each maintenance colours what may go, and deletes what the one before has coloured. A whole sync in between is the grace that real
            // clients give in days: without it a copy that catches up has moments that nobody can avoid (docs/decisions/0002).
            if talk.words.withLock({ $0.lastDone > maintained }) {
                _ = try await Plakar.run(
                    "at", source, "maintenance", in: place, on: .owner, variables: ["PLAKAR_GRACEPERIOD": "0s"])
                maintained = talk.words.withLock { $0.begun }
            }
            number += 1
        }
        // The source's next state: without it a point that was cut in the middle of the last maintenance makes that look like a loss (there, too).
        try await backUp(source, number: number, in: place, talk)
    }

    /// Of a folder in which a file comes and a file goes, so that an old snapshot is alone with some of its packfiles.
    private static func backUp(_ source: String, number: Int, in place: Workplace, _ talk: Talk) async throws {
        var random = SeededRandom(seed: UInt64(number))
        try place.folder.put("data/\(number)", random.bytes(200_000))
        try place.folder.remove("data/\(number - 2)")
        _ = try await Plakar.run("at", source, "backup", place("data"), in: place, on: .owner)
        try await note(source, in: place, talk)
    }

    private static func note(_ source: String, in place: Workplace, _ talk: Talk) async throws {
        let now = try await Plakar.snapshots(of: source, in: place, on: .owner)
        talk.words.withLock { _ = $0.moments.insert(now) }
    }

    // MARK: - our side

    /// Copies, takes the copy as it is at a random moment of that, and asks the client about both.
    private static func copyAndJudge(
        _ source: String, round: Int, in place: Workplace, _ talk: Talk, _ random: inout SeededRandom
    ) async throws {
        let number = talk.words.withLock { words in
            words.begun += 1
            return words.begun
        }
        let child = try place.starting("sync", source, place("target"), "--limit", "4M")
        try await Task.sleep(for: .milliseconds(Int.random(in: 0...400, using: &random)))
        // Everything stands still while it is looked at, as a snapshot of a file system would have it.
        child.signal(SIGSTOP)
        let deadline = ContinuousClock.now + .seconds(Workplace.secondsMax)
        while !child.isStill, ContinuousClock.now < deadline { try await Task.sleep(for: .milliseconds(2)) }
        let taken = "taken-\(round)"
        if place.folder.names().contains("target") { try await place.run(["cp", "-a", place("target"), place(taken)]) }
        child.signal(SIGCONT)
        let ended = try await child.ended()
        // Put off while the source changes; or a maintenance takes a while between its state and its deletions.
        let isPutOff = ended.code == 75 || ended.code == 3 && ended.err.contains("no new state says why")
        #expect(ended.code == 0 || isPutOff, "round \(round): \(ended.err)")
        if ended.code == 0 { talk.words.withLock { $0.lastDone = number } }
        if place.folder.contents(of: "\(taken)/CONFIG") != nil { try await judge(taken, round, in: place, talk) }
        if ended.code == 0 { try await judge("target", round, in: place, talk) }
        try await place.run(["rm", "-rf", place(taken)])
    }

    private static func judge(_ store: String, _ round: Int, in place: Workplace, _ talk: Talk) async throws {
        try await Plakar.check(place(store), in: place)
        let shown = try await Plakar.snapshots(of: place(store), in: place)
        talk.words.withLock { $0.shown.append(("\(store) of round \(round)", shown)) }
    }
}
