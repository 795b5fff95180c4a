import Kloset
import Replication
import Storage
import StorageTesting
import Testing

/// What a replica's own ledger says is believed until somebody reads the bytes, and never against a source (issue: "What is known").
@Suite struct TrustTests {
    private let store: GeneratedStore
    private let source: MemoryStore
    /// A packfile whose bytes at ``evil`` are not the source's, as its ledger says too.
    private let victim: ResourceKey
    /// A replica that another machine made of a copy with a flipped byte.
    private let evil = MemoryStore(place: "evil")
    private let good = MemoryStore(place: "good")

    init() async throws {
        store = GeneratedStore(seed: Loops.seed("trust"))
        source = try MemoryStore(store)
        let sick = try MemoryStore(store, place: "sick")
        victim = try #require(store.keys().first { $0.kind == .packfile })
        sick.flip(victim)
        let report = try await Machine().sync(sick, to: evil)
        #expect(report.failure == nil)
    }

    private static let all = SyncOptions(verify: .all)

    @Test func theSourceIsBelievedOverALedger() async throws {
        let machine = try Machine()
        let report = try await machine.sync(source, to: evil, Self.all)
        #expect(report.failure?.kind == .damage)
        #expect(report.failed.map(\.key) == [victim])
        let honest = try await machine.sync(source, to: good, Self.all)
        #expect(honest.failure == nil && honest.unproven == 0)
        #expect(try await machine.verify(evil).damaged.map(\.key) == [victim])
        let repaired = try await machine.repair(evil, from: source)
        #expect(repaired.repaired == [victim] && repaired.failed.isEmpty)
        #expect(evil.files == source.files)
        let again = try await machine.sync(source, to: evil, Self.all)
        #expect(again.failure == nil && again.unproven == 0)
        #expect(try await machine.verify(evil).isGood)
    }

    @Test func lookingAtAReplicaPoisonsNothing() async throws {
        let machine = try Machine()
        let look = try await machine.verify(evil)
        #expect(look.isGood && look.unknown == 0 && look.knowledge == .replicaLedger)
        let origin = try await machine.verify(source)
        #expect(origin.isGood && origin.unknown == 1, "a ledger from elsewhere condemns a source")
        #expect(try await machine.sync(source, to: good).failure == nil)
        #expect(try await machine.verify(evil).damaged.map(\.key) == [victim])
        #expect(try await machine.verify(good).isGood)
        #expect(try await machine.sync(source, to: evil, Self.all).failure?.kind == .damage)
    }

    @Test func anotherCopyIsAskedWhereOnlyALedgerTells() async throws {
        let report = try await Machine().verify(evil, against: source)
        #expect(report.damaged.map(\.key) == [victim])
        #expect(report.damaged.first?.reason.contains("source") == true)
    }

    /// Neither of two replicas that nobody here has read is believed over the other; the source settles it.
    @Test func replicasThatContradictEachOther() async throws {
        #expect(try await Machine().sync(source, to: good).failure == nil)
        let machine = try Machine()
        #expect(try await machine.verify(evil).isGood)
        let look = try await machine.verify(good)
        #expect(look.isGood && look.unknown == 1)
        let report = try await machine.sync(source, to: good, Self.all)
        #expect(report.failure == nil && report.unproven == 0 && report.bytesWritten == 0)
        #expect(try await machine.verify(evil).damaged.map(\.key) == [victim])
    }

    @Test func aLedgerAgainstWhatThisMachineSaw() async throws {
        let machine = try Machine()
        #expect(try await machine.sync(source, to: good).failure == nil)
        for _ in 0..<2 {
            let report = try await machine.sync(source, to: evil)
            #expect(report.failure?.kind == .damage, "it is told every time")
        }
        #expect(try await machine.sync(source, to: good).failure == nil)
    }

    @Test func whatIsReadAfterALossOfTheCatalogIsProvenAgain() async throws {
        #expect(try await Machine().sync(source, to: good).failure == nil)
        let machine = try Machine()
        let looked = try await machine.verify(good)
        #expect(looked.isGood && looked.unknown == 0 && looked.knowledge == .replicaLedger)
        #expect(try await machine.points(of: good).map(\.authenticated) == [false])
        let none = try await machine.sync(source, to: good, SyncOptions(verify: .none))
        #expect(none.failure == nil && none.bytesWritten == 0 && none.unproven == store.keys().count)
        #expect(none.knowledge == .replicaLedger)
        #expect(try await machine.points(of: good).map(\.authenticated) == [false])
        let all = try await machine.sync(source, to: good, Self.all)
        #expect(all.failure == nil && all.bytesWritten == 0 && all.unproven == 0)
        #expect(all.verified.resources >= store.keys().count)
        #expect(all.recoveryPoint == none.recoveryPoint)
        #expect(all.knowledge == .catalog)
        #expect(try await machine.points(of: good).map(\.authenticated) == [true])
        #expect(try await machine.sync(source, to: good).knowledge == .catalog)
        #expect(try await machine.verify(good).knowledge == .catalog)
        #expect(try await Machine().verify(good).unknown == 0)
    }

    /// A point is proven by the bytes of all its members; what the source dropped since nobody can compare.
    @Test func pointsAreProvenOneByOne() async throws {
        let source = try MemoryStore(store, upTo: 3)
        let before = Set(source.files.keys)
        let first = try Machine()
        #expect(try await first.sync(source, to: good).failure == nil)
        for event in store.events().dropFirst(store.events(upTo: 3).count) { try store.apply(event, to: MemorySink(source)) }
        #expect(try await first.sync(source, to: good).failure == nil)
        #expect(try await first.points(of: good).map(\.authenticated) == [true, true])
        let machine = try Machine()
        #expect(try await machine.points(of: good).map(\.authenticated) == [false, false])
        let proven = try await machine.sync(source, to: good, Self.all)
        #expect(proven.failure == nil && proven.unproven == 0)
        let dropped = before.subtracting(source.files.keys)
        #expect(try await machine.points(of: good).map(\.authenticated) == [dropped.isEmpty, true])
        #expect((proven.knowledge == .catalog) == dropped.isEmpty)
        // A machine's own points are its own, whatever came before.
        let news = GeneratedStore(seed: 7)
        let more = ResourceKey(.packfile, news.states[0].adds[0])
        source.put(more, news.bytes(of: more) ?? [])
        #expect(try await machine.sync(source, to: good).failure == nil)
        #expect(try await machine.points(of: good).last?.authenticated == true)
    }

    /// What the ledger tells of a point is not believed because its members are known: the root hash must be theirs.
    @Test func aPointWithAnotherRootIsNotProven() async throws {
        #expect(try await Machine().sync(source, to: evil, SyncOptions(verify: .all)).failure != nil)
        let machine = try Machine()
        #expect(try await machine.points(of: evil).map(\.authenticated) == [false])
        _ = try await machine.sync(source, to: evil, Self.all)
        #expect(try await machine.repair(evil, from: source).repaired == [victim])
        #expect(try await machine.sync(source, to: evil, Self.all).failure == nil)
        #expect(try await machine.points(of: evil).map(\.authenticated) == [false, true])
    }

    /// A new replica that adopts what an old one's ledger tells of knows no more than that.
    @Test func whatIsAdoptedOnALedgersWordStaysTold() async throws {
        #expect(try await Machine().sync(source, to: good).failure == nil)
        let machine = try Machine()
        #expect(try await machine.verify(good).knowledge == .replicaLedger)
        good.withContent { $0.documents["replica"] = nil }
        let report = try await machine.sync(source, to: good, SyncOptions(verify: .none, newReplica: true))
        #expect(report.failure == nil && report.knowledge == .replicaLedger)
        #expect(try await machine.verify(good).knowledge == .replicaLedger)
        #expect(try await machine.points(of: good).map(\.authenticated) == [false])
        #expect(try await machine.sync(source, to: good, Self.all).knowledge == .catalog)
        #expect(try await machine.points(of: good).map(\.authenticated) == [true])
    }

    @Test func nothingOnRecordIsNothing() async throws {
        let report = try await Machine().verify(source)
        #expect(report.knowledge == .nothing && report.checked.resources == 0)
        let machine = try Machine()
        #expect(try await machine.sync(source, to: good).failure == nil)
        #expect(try await machine.verify(source).knowledge == .catalog)
        let stranger = try Machine()
        _ = try await stranger.verify(good)
        #expect(try await stranger.verify(source).knowledge == .replicaLedger)
    }
}

extension MemoryStore {
    /// Changes a byte in the middle of what lies under a final name.
    func flip(_ key: ResourceKey) {
        withContent { content in
            guard let count = content.published[key]?.bytes.count, count > 0 else { return }
            content.published[key]?.bytes[count / 2] ^= 1
        }
    }
}

extension Machine {
    func verify(_ store: any StoreReader, against other: any StoreReader) async throws -> VerifyReport {
        try await VerifyRun(of: store, against: other, environment: process()).run()
    }

    func repair(_ store: any Store, from donor: any StoreReader) async throws -> RepairReport {
        try await RepairRun(of: store, from: donor, environment: process()).run()
    }
}
