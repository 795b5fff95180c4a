import Hashing
import Kloset
import Storage
import Testing

@testable import Catalog

@Suite struct ImportTests {
    private let folder = TemporaryFolder()

    @Test func anEmptyCatalogLearnsWhatTheOriginalKnew() async throws {
        var random = Seeded("import")
        for _ in 0..<8 {
            let (original, imported) = (TemporaryFolder(), TemporaryFolder())
            let history = ReplicaHistory(&random, points: 8, keys: 30)
            let segments = try history.ledger(&random)
            for step in history.steps { try await original.catalog().write { try history.apply(step, to: $0) } }
            let result = try await Self.importing(history, segments, to: imported.catalog())
            #expect(result.broken == nil && result.conflictCount == 0)
            #expect(result.segments == segments.count)
            #expect(result.newResources == history.proofs.count)
            #expect(result.head == LedgerHead(sequence: Int64(segments.count), digest: SHA256.digest(of: segments.last ?? [])))
            try await history.check(imported.catalog())
            let (told, learned) = (
                try await Self.dump(original.catalog(), history), try await Self.dump(imported.catalog(), history)
            )
            #expect(told == learned)
            let record = try await imported.catalog().read { try $0.replica(history.replica) }
            #expect(record?.authenticated == false && record?.ledgerHead == result.head && record?.location == "/found")
            #expect(
                try await imported.catalog().read { try $0.allHoldings(of: history.replica) }.allSatisfy {
                    !$0.authenticated && $0.status == .unproven
                })
        }
    }

    @Test func importingAgainChangesNothing() async throws {
        var random = Seeded("import again")
        let history = ReplicaHistory(&random, points: 6, keys: 20)
        let segments = try history.ledger(&random)
        let catalog = folder.catalog()
        let first = try await Self.importing(history, Array(segments[..<(segments.count / 2)]), to: catalog)
        let second = try await Self.importing(history, segments, to: catalog)
        #expect(first.segments + second.segments == segments.count)
        try await history.check(catalog)
        let before = try await Self.dump(catalog, history)
        let third = try await Self.importing(history, segments, to: catalog)
        #expect(third.segments == 0 && third.head == second.head && third.broken == nil)
        #expect(try await Self.dump(catalog, history) == before)
    }

    /// A run wrote segments and died before the catalog noted them: nothing in them is news, so nothing changes and no trust is
    /// lost.
    @Test func oursBehindTheHeadTakesNoTrustAway() async throws {
        var random = Seeded("behind the head")
        for _ in 0..<16 {
            let folder = TemporaryFolder()
            let history = ReplicaHistory(&random, points: 6, keys: 15)
            let segments = try history.ledger(&random)
            let catalog = folder.catalog()
            for step in history.steps { try await catalog.write { try history.apply(step, to: $0) } }
            let noted = Int.random(in: 0..<segments.count, using: &random)
            let head =
                noted == 0 ? LedgerHead.none : LedgerHead(sequence: Int64(noted), digest: SHA256.digest(of: segments[noted - 1]))
            try await catalog.write { try $0.setLedgerHead(head, of: history.replica) }
            let before = try await Self.dump(catalog, history)
            let unproven = try await catalog.read { try $0.unprovenKeys(of: history.replica) }
            let result = try await Self.importing(history, segments, to: catalog)
            #expect(result.segments == segments.count - noted && result.newResources == 0)
            #expect(try await catalog.read { try $0.replica(history.replica)?.authenticated } == true)
            #expect(try await catalog.read { try $0.allHoldings(of: history.replica) }.allSatisfy { $0.authenticated })
            #expect(try await catalog.read { try $0.unprovenKeys(of: history.replica) } == unproven)
            #expect(try await Self.dump(catalog, history) == before)
            try await history.check(catalog)
        }
    }

    @Test func aForgedSegmentBehindTheHeadIsNotTrusted() async throws {
        var random = Seeded("forged")
        let (replica, repository) = (random.replica(), random.repository())
        let (known, new) = (random.key(), random.key())
        let (proof, forged) = (random.proof(), random.proof())
        let catalog = folder.catalog()
        let first = try LedgerTests.encode(
            LedgerHeader(after: .none, replica: replica, repository: repository), [.resource(known, proof)])
        try await catalog.write { db in
            try db.register(ReplicaRecord(id: replica, repository: repository, location: "/a", ledgerHead: first.head))
            try db.record(proof, for: known, in: repository, authenticated: true)
            try db.hold(known, in: replica, status: .confirmed, from: 1)
        }
        let second = try LedgerTests.encode(
            LedgerHeader(after: first.head, replica: replica, repository: repository),
            [.resource(known, forged), .resource(new, forged)])
        let segments = [first.bytes, second.bytes]
        let result = try await catalog.importLedger(of: replica, repository: repository, location: nil) {
            Self.segment($0, segments)
        }
        #expect(result.conflicts == [known] && result.conflictCount == 1 && result.newResources == 1)
        #expect(try await catalog.read { try $0.proof(of: known, in: repository) } == KnownResource(proof, authenticated: true))
        #expect(try await catalog.read { try $0.proof(of: new, in: repository) } == KnownResource(forged, authenticated: false))
        #expect(try await catalog.read { try $0.replica(replica)?.authenticated } == false)
        // It is told again until the ledger is another one.
        #expect(try await catalog.read { try $0.replica(replica)?.ledgerHead } == first.head)
        let again = try await catalog.importLedger(of: replica, repository: repository, location: nil) {
            Self.segment($0, segments)
        }
        #expect(again.conflicts == [known] && again.newResources == 0)
    }

    /// Two replicas, one resource, two digests, nobody has read anything.
    @Test func ledgersThatContradictEachOtherAreNotBelieved() async throws {
        var random = Seeded("contradiction")
        let (good, evil, repository, key) = (random.replica(), random.replica(), random.repository(), random.key())
        let (told, forged, other) = (random.proof(large: true), random.proof(large: true), random.proof())
        let catalog = folder.catalog()
        func tell(_ replica: ReplicaID, _ proofs: [ResourceProof]) async throws -> LedgerImport {
            let segment = try LedgerTests.encode(
                LedgerHeader(after: .none, replica: replica, repository: repository), proofs.map { .resource(key, $0) }
            ).bytes
            return try await catalog.importLedger(of: replica, repository: repository, location: nil) { $0 == 1 ? segment : nil }
        }
        // What the same ledger says later counts.
        #expect(try await tell(evil, [other, forged]).conflictCount == 0)
        #expect(try await catalog.read { try $0.proof(of: key, in: repository)?.proof } == forged)
        #expect(try await tell(good, [told]).conflictCount == 0)
        #expect(try await catalog.read { try $0.proof(of: key, in: repository)?.digest } == nil)
        try await catalog.write { db in
            try db.record(told, for: key, in: repository, authenticated: true)
            try db.confirm([key], in: good)
        }
        #expect(try await catalog.read { try $0.proof(of: key, in: repository) } == KnownResource(told, authenticated: true))
    }

    /// What we saw ourselves outranks what a ledger told, and whatever was believed because of that is unproven again.
    @Test func whatWeSawReplacesWhatALedgerTold() async throws {
        var random = Seeded("poison")
        let (evil, ours, repository, key) = (random.replica(), random.replica(), random.repository(), random.key())
        let (seen, forged) = (random.proof(), random.proof(large: true))
        let catalog = folder.catalog()
        try await catalog.write { db in
            for id in [evil, ours] {
                try db.register(ReplicaRecord(id: id, repository: repository, location: nil))
            }
            try db.record(forged, for: key, in: repository, authenticated: false)
            try db.hold(key, in: evil, status: .confirmed, from: 1)
            #expect(try db.holdsUnauthenticated(evil))
        }
        try await catalog.write { db in
            #expect(try db.record(seen, for: key, in: repository, authenticated: true) == .recorded)
            try db.hold(key, in: ours, status: .confirmed, from: 1)
        }
        #expect(try await catalog.read { try $0.proof(of: key, in: repository) } == KnownResource(seen, authenticated: true))
        #expect(try await catalog.read { try $0.unprovenKeys(of: evil) } == [key])
        #expect(try await catalog.read { try $0.unprovenKeys(of: ours) } == [])
        #expect(try await catalog.read { try !$0.holdsUnauthenticated(evil) })
    }

    // MARK: - Broken chains

    enum Break: CaseIterable {
        case gap, swapped, flipped, otherReplica, otherRepository, repeated, truncated, wrongNumber
    }

    /// What precedes the break is imported, nothing behind it, and the reason is told.
    @Test(arguments: Break.allCases)
    func aBrokenChainIsFollowedUpToTheBreak(how: Break) async throws {
        var random = Seeded("broken chain")
        let (replica, repository) = (random.replica(), random.repository())
        let keys = (0..<6).map { _ in random.key() }
        var head = LedgerHead.none
        var segments: [[UInt8]] = []
        for (index, key) in keys.enumerated() {
            var header = LedgerHeader(after: head, replica: replica, repository: repository)
            if index == 3, how == .otherReplica { header.replica = random.replica() }
            if index == 3, how == .otherRepository { header.repository = random.repository() }
            if index == 3, how == .wrongNumber { header.sequence = 9 }
            let done = try LedgerTests.encode(header, [.resource(key, random.proof())])
            segments.append(done.bytes)
            head = LedgerHead(sequence: Int64(index + 1), digest: done.head.digest)
        }
        switch how {
        case .gap: segments[3] = []
        case .swapped: segments.swapAt(3, 4)
        case .flipped: segments[3][segments[3].count / 2] ^= 1
        case .repeated: segments[3] = segments[2]
        case .truncated: segments[3].removeLast()
        case .otherReplica, .otherRepository, .wrongNumber: break
        }
        let given = segments
        let catalog = folder.catalog()
        for _ in 0..<2 {  // the second time it begins where the first ended, and ends there
            let result = try await catalog.importLedger(of: replica, repository: repository, location: nil) {
                Self.segment($0, given)
            }
            #expect(result.head.sequence == 3)
            #expect(result.broken?.kind == .damage)
            #expect(try await catalog.read { try $0.allHoldings(of: replica) }.map(\.key) == keys[..<3].sorted())
        }
    }

    @Test func aLedgerThatWasRewrittenOrCutIsNoticed() async throws {
        var random = Seeded("rewritten")
        let history = ReplicaHistory(&random, points: 5, keys: 20)
        let segments = try history.ledger(&random)
        let catalog = folder.catalog()
        _ = try await Self.importing(history, segments, to: catalog)
        let before = try await Self.dump(catalog, history)
        let shorter = try await Self.importing(history, segments.dropLast(), to: catalog)
        #expect(shorter.broken?.reason == "segment \(segments.count) is gone, which was its last one")
        let other = try await Self.importing(
            history, history.ledger(&random).prefix(1) + segments.dropFirst().dropLast() + [segments[0]], to: catalog)
        #expect(other.broken?.reason == "segment \(segments.count) is another one than was written")
        #expect(try await Self.dump(catalog, history) == before)
    }

    @Test func aPointIsNeverReplacedByAnother() async throws {
        var random = Seeded("other point")
        let (replica, repository, point) = (random.replica(), random.repository(), random.point())
        var forged = point
        forged.root = random.bits()
        let catalog = folder.catalog()
        try await catalog.write { db in
            try db.register(ReplicaRecord(id: replica, repository: repository, location: nil))
            try db.insertPoint(point, of: replica)
        }
        let segment = try LedgerTests.encode(
            LedgerHeader(after: .none, replica: replica, repository: repository), [.point(forged)]
        ).bytes
        let result = try await catalog.importLedger(of: replica, repository: repository, location: nil) {
            $0 == 1 ? segment : nil
        }
        #expect(result.broken?.reason == "its recovery point \(point.id) is another one than is known")
        #expect(try await catalog.read { try $0.points().map(\.point) } == [point])
    }

    @Test func nothingToImportLeavesTheReplicaUnknown() async throws {
        var random = Seeded("nothing")
        let (replica, repository) = (random.replica(), random.repository())
        let result = try await folder.catalog().importLedger(of: replica, repository: repository, location: "/a") { _ in nil }
        #expect(result == LedgerImport(head: .none))
        #expect(try await folder.catalog().read { try $0.replicas() } == [])
    }

    @Test(arguments: [false, true])
    func anImportThatDiesIsContinued(after: Bool) async throws {
        var random = Seeded("import dies")
        let history = ReplicaHistory(&random, points: 4, keys: 15)
        let segments = try history.ledger(&random)
        for cut in 1...(segments.count + 1) {
            let folder = TemporaryFolder()
            let commits = Counter()
            let die: @Sendable () throws -> Void = { if commits.add() == cut { throw Died() } }
            let dying = StateCatalog(folder: folder.path + "/state", onCommit: after ? nil : die, afterCommit: after ? die : nil)
            await #expect(throws: Died.self) { _ = try await Self.importing(history, segments, to: dying) }
            let rest = try await Self.importing(history, segments, to: folder.catalog())
            #expect(rest.broken == nil && rest.segments == segments.count - max(0, cut - (after ? 1 : 2)))
            try await history.check(folder.catalog())
        }
    }

    /// Segments of noise and of changed text never get further than they are legible, and never crash.
    @Test func hostileSegments() async throws {
        var random = Seeded("hostile import")
        let history = ReplicaHistory(&random, points: 3, keys: 12)
        let segments = try history.ledger(&random)
        for round in 0..<60 {
            let folder = TemporaryFolder()
            let index = Int.random(in: 0..<segments.count, using: &random)
            var changed = segments
            if round % 2 == 0 {
                changed[index] = LedgerTests.mutate(segments[index], &random)
            } else {
                changed[index] = LedgerTests.compress(
                    LedgerTests.mutate(Array(try LedgerTests.text(of: segments[index]).utf8), &random))
            }
            let result = try await Self.importing(history, changed, to: folder.catalog())
            #expect(result.segments <= index + 1 || changed[index] == segments[index])
            #expect(result.broken != nil || result.segments == segments.count || index == segments.count - 1)
        }
    }

    // MARK: -

    private static func importing(_ history: ReplicaHistory, _ segments: some Sequence<[UInt8]>, to catalog: StateCatalog)
        async throws
        -> LedgerImport
    {
        let segments = Array(segments)
        return try await catalog.importLedger(of: history.replica, repository: history.repository, location: "/found") {
            segment($0, segments)
        }
    }

    /// An empty one stands for a segment that is not there.
    private static func segment(_ sequence: Int64, _ segments: [[UInt8]]) -> [UInt8]? {
        guard sequence >= 1, sequence <= segments.count, !segments[Int(sequence) - 1].isEmpty else { return nil }
        return segments[Int(sequence) - 1]
    }

    private struct Dump: Sendable, Equatable {
        var holdings: [Holding]
        var points: [RecoveryPoint]
        var members: [[PointMember]]
    }

    /// All that a replica's ledger tells, without the trust in it: what is confirmed here is unproven to who reads the ledger.
    private static func dump(_ catalog: StateCatalog, _ history: ReplicaHistory) async throws -> Dump {
        try await catalog.read { db in
            let points = try db.points(of: history.replica)
            let holdings = try db.allHoldings(of: history.replica).map { holding in
                var holding = holding
                holding.authenticated = true
                holding.status = .unproven
                return holding
            }
            return Dump(holdings: holdings, points: points.map(\.point), members: try points.map { try db.allMembers(of: $0) })
        }
    }
}
