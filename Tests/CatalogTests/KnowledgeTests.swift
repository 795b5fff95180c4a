import Kloset
import Storage
import Testing

@testable import Catalog

/// Replicas, resources, points, runs: one operation after the other.
@Suite struct KnowledgeTests {
    private let folder = TemporaryFolder()

    // MARK: - Replicas

    @Test func aReplicaIsKnownByItsIDAndSeenAtAPlace() async throws {
        var random = Seeded("replicas")
        let first = ReplicaRecord(id: random.replica(), repository: random.repository(), location: "/mnt/a")
        let second = ReplicaRecord(id: random.replica(), repository: first.repository, location: "/mnt/b", authenticated: false)
        let catalog = folder.catalog()
        try await catalog.write { db in
            try db.register(first)
            try db.register(second)
        }
        #expect(try await catalog.read { try $0.replica(first.id) } == first)
        #expect(try await catalog.read { try $0.replicas(at: "/mnt/b") } == [second])
        #expect(try await catalog.read { try $0.replicas(at: "/mnt") } == [])
        try await catalog.write { try $0.setLocation("/mnt/c", of: second.id) }
        try await catalog.write { try $0.forgetLocation("/mnt/a") }
        #expect(try await catalog.read { try $0.replicas().map(\.location) } == [nil, "/mnt/c"])
        let head = LedgerHead(sequence: 3, digest: random.bits())
        try await catalog.write { try $0.setLedgerHead(head, of: first.id) }
        #expect(try await folder.catalog().read { try $0.replica(first.id)?.ledgerHead } == head)
    }

    @Test func registeringAgainOnlyMovesIt() async throws {
        var random = Seeded("registering again")
        let known = ReplicaRecord(id: random.replica(), repository: random.repository(), location: "/a", authenticated: false)
        let catalog = folder.catalog()
        try await catalog.write { try $0.register(known) }
        try await catalog.write { try $0.register(ReplicaRecord(id: known.id, repository: known.repository, location: "/b")) }
        #expect(
            try await catalog.read { try $0.replicas() } == [
                ReplicaRecord(id: known.id, repository: known.repository, location: "/b", authenticated: false)
            ])
        let foreign = ReplicaRecord(id: known.id, repository: random.repository(), location: "/c")
        #expect(await failure { try await catalog.write { try $0.register(foreign) } }?.kind == .damage)
    }

    /// Each of these changes what the replica holds, so each must clear the summary, and only that of its own replica.
    @Test(arguments: ["hold", "confirm", "mark", "gone"])
    func anyChangeOfHoldingsClearsTheSummary(change: String) async throws {
        var random = Seeded("summary")
        let repository = random.repository()
        let (replica, other, key, proof) = (random.replica(), random.replica(), random.key(), random.proof())
        let summary = ReplicaSummary(
            sourceNames: random.bits(), targetNames: random.bits(), packfiles: 1, states: 2, bytes: 3, unproven: 4,
            targetOnlyPackfiles: 0, targetOnlyBytes: 0,
            lastPoint: "p")
        let catalog = folder.catalog()
        try await catalog.write { db in
            for id in [replica, other] {
                try db.register(ReplicaRecord(id: id, repository: repository, location: nil))
                try db.record(proof, for: key, in: repository, authenticated: true)
                try db.hold(key, in: id, status: .pending, from: 1)
                try db.setSummary(summary, of: id)
            }
        }
        #expect(try await catalog.read { try $0.replicas().map(\.summary) } == [summary, summary])
        try await catalog.write { db in
            switch change {
            case "hold": try db.hold(key, in: replica, status: .confirmed, from: 1)
            case "confirm": try db.confirm([key], in: replica)
            case "mark": try db.mark([key], as: .unproven, in: replica)
            default: try db.endMembership(of: key, in: replica, at: 1)
            }
        }
        #expect(try await catalog.read { try $0.replicas().map(\.summary) } == [nil, summary])
        try await catalog.write { db in
            try db.confirm([key], in: replica)
            try db.setSummary(summary, of: replica)
            try db.confirm([key], in: replica)
        }
        #expect(try await catalog.read { try $0.replica(replica)?.summary } == nil)
    }

    // MARK: - Resources

    /// One row of the table: what is known, what is said, what then.
    struct Meeting: Sendable, CustomTestStringConvertible {
        var known: KnownResource
        var news: KnownResource
        var outcome: RecordOutcome
        var after: KnownResource
        var testDescription: String { "\(known) \(news)" }
    }

    static let meetings: [Meeting] = {
        let (a, b) = (Bits256(Array(repeating: 1, count: 32)), Bits256(Array(repeating: 2, count: 32)))
        let chunks = [ChunkHash(high: 1, low: 2), ChunkHash(high: 3, low: .max)]
        func fact(_ digest: Digest?, _ authenticated: Bool, size: Int64 = 2 << 20, chunks: [ChunkHash] = []) -> KnownResource {
            KnownResource(size: size, digest: digest, chunks: chunks, authenticated: authenticated)
        }
        func keeps(_ known: KnownResource, _ news: KnownResource) -> Meeting {
            Meeting(known: known, news: news, outcome: .known, after: known)
        }
        func learns(_ known: KnownResource, _ news: KnownResource) -> Meeting {
            Meeting(known: known, news: news, outcome: .recorded, after: news)
        }
        func refuses(_ known: KnownResource, _ news: KnownResource) -> Meeting {
            Meeting(known: known, news: news, outcome: .conflict(known), after: known)
        }
        return [
            keeps(fact(a, true), fact(a, true)), keeps(fact(a, true), fact(a, false)), keeps(fact(a, false), fact(a, false)),
            learns(fact(a, false), fact(a, true)), learns(fact(a, false), fact(a, true, chunks: chunks)),
            keeps(fact(a, true, chunks: chunks), fact(a, false, chunks: chunks.reversed())),
            keeps(fact(a, true), fact(nil, true)), keeps(fact(a, false), fact(nil, true)), keeps(fact(a, true), fact(nil, false)),
            refuses(fact(a, true), fact(b, true)), refuses(fact(a, true), fact(b, false)),
            refuses(fact(a, false), fact(b, false)),
            learns(fact(a, false, chunks: chunks), fact(b, true)), learns(fact(a, false), fact(b, true, chunks: chunks)),
            learns(fact(a, false), fact(a, true, size: 9)), refuses(fact(a, true), fact(a, true, size: 9)),
            refuses(fact(a, true), fact(nil, true, size: 9)), refuses(fact(a, false), fact(nil, true, size: 9)),
            learns(fact(nil, true), fact(a, true)), learns(fact(nil, false), fact(a, true)),
            learns(fact(nil, false), fact(a, false)),
            learns(fact(nil, true), fact(a, false, chunks: chunks)), learns(fact(nil, true), fact(a, true, size: 9)),
            refuses(fact(nil, true), fact(a, false, size: 9)), refuses(fact(nil, true), fact(nil, false, size: 9)),
            learns(fact(nil, false), fact(nil, true, size: 9)), learns(fact(nil, false), fact(nil, true)),
            keeps(fact(nil, true), fact(nil, true)), keeps(fact(nil, true), fact(nil, false)),
        ]
    }()

    @Test(arguments: meetings)
    func knowledgeMeetsKnowledge(meeting: Meeting) async throws {
        var random = Seeded("meeting")
        let (key, repository) = (random.key(), random.repository())
        let catalog = folder.catalog()
        #expect(try await catalog.write { try $0.record(meeting.known, for: key, in: repository) } == .recorded)
        #expect(try await catalog.read { try $0.proof(of: key, in: repository) } == meeting.known)
        #expect(try await catalog.write { try $0.record(meeting.news, for: key, in: repository) } == meeting.outcome)
        #expect(try await catalog.read { try $0.proof(of: key, in: repository) } == meeting.after)
    }

    @Test func repositoriesDoNotMix() async throws {
        var random = Seeded("repositories")
        let (key, first, second, proof) = (random.key(), random.repository(), random.repository(), random.proof(large: true))
        let catalog = folder.catalog()
        try await catalog.write { _ = try $0.record(proof, for: key, in: first, authenticated: true) }
        #expect(try await catalog.read { try $0.proof(of: key, in: first)?.proof } == proof)
        #expect(try await catalog.read { try $0.proof(of: key, in: second) } == nil)
    }

    // MARK: - Points and runs

    @Test func pointsAreListedFoundAndKept() async throws {
        var random = Seeded("points")
        let repository = random.repository()
        let (a, b) = (random.replica(), random.replica())
        var first = random.point(missing: 3)
        first.id = "aabb"
        var second = random.point()
        second.id = "aacc"
        let catalog = folder.catalog()
        let points = [first, second]
        try await catalog.write { db in
            try db.register(ReplicaRecord(id: a, repository: repository, location: "/a"))
            try db.register(ReplicaRecord(id: b, repository: repository, location: nil))
            #expect(try db.nextPointSequence(of: a) == 1)
            for point in points { try db.insertPoint(point, of: a) }
            try db.insertPoint(points[1], of: b)
        }
        let listed = [
            CatalogPoint(point: first, sequence: 1, replica: a, repository: repository, location: "/a"),
            CatalogPoint(point: second, sequence: 2, replica: a, repository: repository, location: "/a"),
            CatalogPoint(point: second, sequence: 1, replica: b, repository: repository, location: nil),
        ]
        let again = folder.catalog()
        #expect(try await again.read { try $0.points() } == listed)
        #expect(try await again.read { try $0.points(of: a) } == Array(listed[..<2]))
        #expect(try await again.read { try $0.points(matching: "aab") } == [listed[0]])
        #expect(try await again.read { try $0.points(matching: "aacc") } == [listed[1], listed[2]])
        #expect(try await again.read { try $0.points(matching: "aa") } == listed)
        #expect(try await again.read { try $0.points(matching: "a%") } == [])
        #expect(try await again.read { try $0.points(matching: "") } == [])
        #expect(try await again.read { try $0.latestPoint(of: a) } == listed[1])
        #expect(try await again.read { try $0.nextPointSequence(of: a) } == 3)
        #expect(await failure { try await again.write { _ = try $0.insertPoint(points[0], of: a) } }?.kind == .damage)
    }

    @Test(arguments: [
        "UPDATE points SET name = 'x'", "DELETE FROM points", "UPDATE missing SET kind = 3", "DELETE FROM missing",
        "UPDATE runs SET exit_code = 0", "DELETE FROM runs",
    ])
    func whatIsAppendOnlyResistsSQL(statement: String) async throws {
        var random = Seeded("append-only")
        let (replica, repository, point) = (random.replica(), random.repository(), random.point(missing: 1))
        try await folder.catalog().write { db in
            try db.register(ReplicaRecord(id: replica, repository: repository, location: nil))
            try db.insertPoint(point, of: replica)
            try db.recordRun(
                RunRecord(
                    started: Timestamp(seconds: 1), finished: Timestamp(seconds: 2), command: "sync", source: nil, targets: [],
                    exitCode: 1))
        }
        let database = try CatalogDatabase(folder: folder.path + "/state", hooks: CommitHooks(), busyMilliseconds: 1000)
        #expect(throws: Failure.self) { try database.execute(statement) }
        #expect(try await folder.catalog().read { try $0.points().map(\.point) } == [point])
        #expect(try await folder.catalog().read { try $0.runs().map(\.exitCode) } == [1])
    }

    @Test func runsAndAcceptedDamageAreRemembered() async throws {
        var random = Seeded("runs")
        let repository = random.repository()
        let (replica, other) = (random.replica(), random.replica())
        let keys = [random.key(), random.key(), .config]
        let runs = (0..<3).map { index in
            RunRecord(
                started: Timestamp(seconds: Int64(index)), finished: Timestamp(seconds: 9), command: "sync",
                source: random.text(),
                targets: (0..<index).map { _ in random.text() }, exitCode: Int64(index), packfiles: 1, states: 2, bytes: .max)
        }
        try await folder.catalog().write { db in
            for run in runs { try db.recordRun(run) }
            for id in [replica, other] { try db.register(ReplicaRecord(id: id, repository: repository, location: nil)) }
            try db.accept(keys, for: replica)
            try db.accept([keys[0]], for: replica)
        }
        #expect(try await folder.catalog().read { try $0.runs() } == runs.reversed())
        #expect(try await folder.catalog().read { try $0.runs(limit: 1) } == [runs[2]])
        #expect(try await folder.catalog().read { try $0.acceptedKeys(of: replica) } == keys.sorted())
        #expect(try await folder.catalog().read { try $0.acceptedKeys(of: other) }.isEmpty)
    }
}
