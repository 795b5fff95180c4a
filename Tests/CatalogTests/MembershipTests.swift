import Kloset
import Storage
import Testing

@testable import Catalog

/// The interval arithmetic of holdings against a model that keeps the whole set of each point.
@Suite struct MembershipTests {
    @Test func membersOfEachPointAreWhatTheModelSays() async throws {
        var random = Seeded("membership")
        for _ in 0..<12 {
            let folder = TemporaryFolder()
            let catalog = folder.catalog()
            let history = ReplicaHistory(&random, points: 12, keys: 30)
            for step in history.steps { try await catalog.write { try history.apply(step, to: $0) } }
            try await history.check(catalog)
        }
    }

    @Test func aCursorCanStartAnywhere() async throws {
        var random = Seeded("cursor")
        let folder = TemporaryFolder()
        let catalog = folder.catalog()
        let history = ReplicaHistory(&random, points: 3, keys: 40)
        for step in history.steps { try await catalog.write { try history.apply(step, to: $0) } }
        let all = try await catalog.read { try $0.allHoldings(of: history.replica) }
        for after in all.map(\.key) + [random.key(), .config] {
            let rest = try await catalog.read { db in
                var cursor = try db.holdings(of: history.replica, after: after)
                var rest: [Holding] = []
                while let holding = try cursor.next() { rest.append(holding) }
                return rest
            }
            #expect(rest == all.filter { $0.key > after })
        }
        for holding in all {
            let same = try await catalog.read { try $0.holding(of: holding.key, in: history.replica) }
            #expect(same == holding)
        }
    }

    /// Two replicas that hold different parts of one repository, walked side by side: the walk over the resources skips what is
    /// not held, in small and in large steps.
    @Test func replicasShareResourcesButNotHoldings() async throws {
        var random = Seeded("sharing")
        let folder = TemporaryFolder()
        let catalog = folder.catalog()
        let repository = random.repository()
        let (a, b) = (random.replica(), random.replica())
        let known = (0..<3000).map { _ in (random.key(), random.proof()) }
        let few = Set((0..<20).map { _ in known.randomElement(using: &random)?.0 ?? .config }).subtracting([.config])
        try await catalog.write { db in
            for id in [a, b] { try db.register(ReplicaRecord(id: id, repository: repository, location: nil)) }
            for (key, proof) in known {
                try db.record(proof, for: key, in: repository, authenticated: true)
                try db.hold(key, in: a, status: .confirmed, from: 1)
                if few.contains(key) { try db.hold(key, in: b, status: .unproven, from: 1) }
            }
        }
        let sides = try await catalog.read { db in
            var first = try db.holdings(of: a)
            var second = try db.holdings(of: b)
            var sides: (a: [Holding], b: [Holding]) = ([], [])
            while let holding = try first.next() {
                sides.a.append(holding)
                if let holding = try second.next() { sides.b.append(holding) }
            }
            return sides
        }
        let digests = Dictionary(uniqueKeysWithValues: known.map { ($0.0, $0.1.digest) })
        #expect(sides.a.map(\.key) == known.map(\.0).sorted())
        #expect(sides.b.map(\.key) == few.sorted())
        #expect((sides.a + sides.b).allSatisfy { $0.digest == digests[$0.key] })
        let counts = try await catalog.read { try ($0.counts(of: a), $0.counts(of: b)) }
        #expect(counts.0 == HoldingCounts(resources: 3000, pending: 0, unproven: 0))
        #expect(counts.1 == HoldingCounts(resources: Int64(few.count), pending: 0, unproven: Int64(few.count)))
        #expect(try await catalog.read { try $0.unprovenKeys(of: b, limit: 3) } == Array(few.sorted().prefix(3)))
    }

    @Test func pendingKeysAreWhatIsNotConfirmed() async throws {
        var random = Seeded("pending")
        let folder = TemporaryFolder()
        let catalog = folder.catalog()
        let (replica, repository) = (random.replica(), random.repository())
        let keys = (0..<10).map { _ in random.key() }.sorted()
        let proof = random.proof()
        try await catalog.write { db in
            try db.register(ReplicaRecord(id: replica, repository: repository, location: nil))
            for key in keys {
                try db.record(proof, for: key, in: repository, authenticated: true)
                try db.hold(key, in: replica, status: .pending, from: 1)
            }
            try db.confirm(keys[..<4], in: replica)
            try db.mark([keys[4]], as: .unproven, in: replica)
        }
        #expect(try await catalog.read { try $0.pendingKeys(of: replica) } == Array(keys[5...]))
    }
}
