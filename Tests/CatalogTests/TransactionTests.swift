import Glibc
import Kloset
import Storage
import Synchronization
import Testing

@testable import Catalog

final class Counter: Sendable {
    private let count = Mutex(0)

    var value: Int { count.withLock { $0 } }

    @discardableResult
    func add() -> Int {
        count.withLock {
            $0 += 1
            return $0
        }
    }
}

@Suite struct TransactionTests {
    private let folder = TemporaryFolder()

    /// A run of several transactions, cut at each commit, before and after it: what is there is what was committed, and a second
    /// run completes it.
    @Test(arguments: [false, true])
    func diesAtEachCommit(after: Bool) async throws {
        var random = Seeded("dies at each commit")
        let (replica, repository) = (random.replica(), random.repository())
        let batches = (0..<5).map { _ in (0..<20).map { _ in (random.key(), random.proof(large: true)) } }
        // The first commit makes the schema, the second registers the replica.
        for cut in 1...(batches.count + 2) {
            let folder = TemporaryFolder()
            let commits = Counter()
            let die: @Sendable () throws -> Void = { if commits.add() == cut { throw Died() } }
            let dying = StateCatalog(folder: folder.path + "/state", onCommit: after ? nil : die, afterCommit: after ? die : nil)
            await #expect(throws: Died.self) { try await run(dying, replica, repository, batches) }
            let committed = max(0, cut - 2 - (after ? 0 : 1))
            let held = try await folder.catalog().read { try $0.allHoldings(of: replica) }
            #expect(held.map(\.key) == batches.prefix(committed).flatMap { $0.map(\.0) }.sorted())
            try await run(folder.catalog(), replica, repository, batches)
            #expect(try await folder.catalog().read { try $0.allHoldings(of: replica) }.count == 100)
        }
    }

    private func run(
        _ catalog: StateCatalog, _ replica: ReplicaID, _ repository: RepositoryID, _ batches: [[(ResourceKey, ResourceProof)]]
    ) async throws {
        try await catalog.write { try $0.register(ReplicaRecord(id: replica, repository: repository, location: "/a")) }
        for batch in batches {
            try await catalog.write { db in
                for (key, proof) in batch {
                    try db.record(proof, for: key, in: repository, authenticated: true)
                    try db.hold(key, in: replica, status: .pending, from: 1)
                }
            }
        }
    }

    @Test func whatThrowsHasNotHappened() async throws {
        var random = Seeded("rolled back")
        let (replica, repository) = (random.replica(), random.repository())
        let catalog = folder.catalog()
        await #expect(throws: Died.self) {
            try await catalog.write { db in
                try db.register(ReplicaRecord(id: replica, repository: repository, location: "/a"))
                throw Died()
            }
        }
        #expect(try await catalog.read { try $0.replica(replica) } == nil)
        // The numbers that the rolled back transaction gave away must not be remembered.
        let (other, second) = (random.replica(), random.repository())
        try await catalog.write { try $0.register(ReplicaRecord(id: other, repository: repository, location: "/b")) }
        try await catalog.write { try $0.register(ReplicaRecord(id: replica, repository: second, location: "/a")) }
        #expect(try await catalog.read { try $0.replicas().map(\.repository) } == [repository, second])
    }

    @Test func aReaderSeesOneState() throws {
        var random = Seeded("one state")
        let record = ReplicaRecord(id: random.replica(), repository: random.repository(), location: "/a")
        let reader = try open()
        let writer = try open()
        try reader.read {
            let before = try CatalogReading(reader).replicas()
            try writer.write { try CatalogWriting(writer).register(record) }
            let after = try CatalogReading(reader).replicas()
            #expect(before.isEmpty && after.isEmpty)
        }
        let later = try reader.read { try CatalogReading(reader).replicas() }
        #expect(later == [record])
    }

    @Test func aSecondWriterIsToldToTryAgain() throws {
        let first = try open()
        let second = try open()
        try first.write {
            #expect {
                try second.write {}
            } throws: { error in
                (error as? Failure)?.kind == .tryAgain && (error as? Failure)?.retryable == true
            }
        }
        try second.write {}
    }

    private func open() throws -> CatalogDatabase {
        try CatalogDatabase(folder: folder.path + "/state", hooks: CommitHooks(), busyMilliseconds: 0)
    }

    /// As several processes would: each catalog has its own connection and thread; all begin with no file at all.
    @Test func manyAtOnceFromNothing() async throws {
        var random = Seeded("many at once")
        let repository = random.repository()
        let replicas = (0..<8).map { _ in random.replica() }
        let keys = (0..<50).map { _ in (random.key(), random.proof()) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for replica in replicas {
                group.addTask {
                    let catalog = folder.catalog()
                    try await catalog.write {
                        try $0.register(ReplicaRecord(id: replica, repository: repository, location: "/\(replica)"))
                    }
                    for (key, proof) in keys {
                        try await catalog.write { db in
                            try db.record(proof, for: key, in: repository, authenticated: true)
                            try db.hold(key, in: replica, status: .confirmed, from: 1)
                        }
                    }
                }
            }
            try await group.waitForAll()
        }
        let catalog = folder.catalog()
        for replica in replicas {
            let held = try await catalog.read { try $0.allHoldings(of: replica) }
            #expect(held.map(\.key) == keys.map(\.0).sorted())
        }
    }
}
