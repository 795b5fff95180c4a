import Catalog
import Kloset
import Planning
import Replication
import Storage
import StorageTesting
import Testing

/// What a recovery point says, and when there is a new one.
@Suite struct PointTests {
    private static let store = GeneratedStore(seed: 41)

    private func members(_ point: CatalogPoint, _ machine: Machine) async throws -> Set<ResourceKey> {
        Set(try await PointsRun(environment: machine.process()).members(of: point.point.id).members.map(\.key))
    }

    @Test func aRunWithNothingToDoGivesTheLastPoint() async throws {
        let source = try MemoryStore(Self.store)
        let target = MemoryStore(place: "target")
        let machine = try Machine()
        let first = try await machine.sync(source, to: target, SyncOptions(name: "the first"))
        #expect(first.recoveryPoint != nil)
        for options in [SyncOptions(), SyncOptions(relist: true), SyncOptions(verify: .all, name: "again")] {
            let again = try await machine.sync(source, to: target, options)
            #expect(again.failure == nil)
            #expect(again.recoveryPoint == first.recoveryPoint)
            #expect(again.copied.isEmpty)
            #expect(again.bytesWritten == 0)
            #expect(again.alreadyThere.resources == Self.store.keys().count)
        }
        let points = try await machine.points(of: target)
        #expect(points.map(\.point.name) == ["the first"])
        #expect(points.map(\.point.isComplete) == [true])
        // Another machine finds the same.
        let other = try Machine()
        #expect(try await other.sync(source, to: target).recoveryPoint == first.recoveryPoint)
    }

    @Test func aPointNamesTheCutAlsoWhereTheReplicaHoldsMore() async throws {
        let source = try MemoryStore(Self.store, upTo: 3)
        let target = MemoryStore(place: "target")
        let machine = try Machine()
        var expected: [Set<ResourceKey>] = []
        for count in 3...Self.store.states.count {
            if count > 3 {
                for event in Self.store.events(upTo: count).dropFirst(Self.store.events(upTo: count - 1).count) {
                    try Self.store.apply(event, to: MemorySink(source))
                }
            }
            let report = try await machine.sync(source, to: target)
            #expect(report.failure == nil)
            expected.append(Set([ResourceKey.config] + Self.store.keys(upTo: count)))
        }
        // What this machine knows, and what a new one reads from the replica.
        for machine in [machine, try Machine()] {
            let points = try await machine.points(of: target)
            #expect(points.count == expected.count)
            for (point, expected) in zip(points, expected) {
                #expect(try await members(point, machine) == expected)
                #expect(Int(point.point.packfiles) == expected.filter { $0.kind == .packfile }.count)
                #expect(Int(point.point.states) == expected.filter { $0.kind == .state }.count)
                #expect(point.point.bytes == expected.reduce(0) { $0 + Int64(Self.store.bytes(of: $1)?.count ?? 0) })
            }
        }
        let dropped = Self.store.events().filter { if case .delete = $0 { true } else { false } }.count
        #expect(target.files.count == Self.store.files().count + dropped)
    }

    /// A packfile leaves the source and comes back (a replica is synced from, which kept it): points before, between and after tell it right.
    @Test func whatLeftAndCameBackIsNamedAgain() async throws {
        let source = try MemoryStore(Self.store, upTo: 3)
        let target = MemoryStore(place: "target")
        let machine = try Machine()
        #expect(try await machine.sync(source, to: target).failure == nil)
        for event in Self.store.events(upTo: 5).dropFirst(Self.store.events(upTo: 3).count) {
            try Self.store.apply(event, to: MemorySink(source))
        }
        #expect(try await machine.sync(source, to: target).failure == nil)
        let back = ResourceKey(.packfile, Self.store.states[3].drops[0])
        source.put(back, Self.store.bytes(of: back) ?? [])
        #expect(try await machine.sync(source, to: target).failure == nil)
        for machine in [machine, try Machine()] {
            let points = try await machine.points(of: target)
            #expect(points.count == 3)
            var isNamed: [Bool] = []
            for point in points { isNamed.append(try await members(point, machine).contains(back)) }
            #expect(isNamed == [true, false, true])
        }
    }

    @Test func theRootIsTheSourcesHoweverTheTargetCameToIt() async throws {
        let source = try MemoryStore(Self.store, upTo: 4)
        let (steps, once, adopted) = (MemoryStore(place: "steps"), MemoryStore(place: "once"), MemoryStore(place: "adopted"))
        let machine = try Machine()
        #expect(try await machine.sync(source, to: steps).failure == nil)
        for event in Self.store.events().dropFirst(Self.store.events(upTo: 4).count) {
            try Self.store.apply(event, to: MemorySink(source))
        }
        try Self.store.place(in: MemorySink(adopted))
        let targets = [steps, once, adopted]
        let report = try await machine.sync(source, targets, SyncOptions(verify: .all))
        #expect(report.targets.map(\.failure) == [nil, nil, nil])
        #expect(Set(report.targets.map(\.recoveryPoint)).count == 1)
        var roots: Set<Digest> = []
        for target in targets { roots.formUnion(try await machine.points(of: target).suffix(1).map(\.point.root)) }
        #expect(roots.count == 1)
        // An unrelated machine computes the same.
        let elsewhere = MemoryStore(place: "elsewhere")
        let other = try Machine()
        #expect(try await other.sync(source, to: elsewhere).failure == nil)
        #expect(Set(try await other.points(of: elsewhere).map(\.point.root)) == roots)
    }

    @Test func whatWasAdoptedIsUnprovenUntilItIsRead() async throws {
        var shape = GeneratedStore.Shape()
        shape.states = 12
        shape.packfilesPerState = 4...4
        let store = GeneratedStore(seed: 42, shape)
        let source = try MemoryStore(store)
        let target = MemoryStore(place: "target")
        try store.place(in: MemorySink(target))
        let machine = try Machine()
        let count = store.keys().count
        let none = try await machine.sync(source, to: target, SyncOptions(verify: VerificationDepth.none))
        #expect(none.failure == nil)
        #expect(none.unproven == count)
        #expect(none.copied.isEmpty)
        #expect(none.alreadyThere.resources == count)
        #expect(try await machine.verify(target).unknown == count)
        #expect(try await machine.sync(source, to: target, SyncOptions(verify: VerificationDepth.none)).unproven == count)
        let sample = try await machine.sync(source, to: target)
        #expect(sample.unproven == count - SampleSelection.resourceCountMin)
        #expect(sample.verified.resources == SampleSelection.resourceCountMin)
        let all = try await machine.sync(source, to: target, SyncOptions(verify: .all))
        #expect(all.unproven == 0)
        #expect(all.verified.resources == sample.unproven)
        let verified = try await machine.verify(target)
        #expect(verified.isGood && verified.isComplete)
        // And so for whoever has but the replica.
        let elsewhere = try await Machine().verify(target)
        #expect(elsewhere.isGood && elsewhere.isComplete)
        #expect(try await machine.sync(source, to: target).unproven == 0)
    }
}
