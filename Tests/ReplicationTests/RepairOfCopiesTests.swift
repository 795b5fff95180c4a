import Kloset
import Planning
import Replication
import Storage
import StorageTesting
import Testing

/// What a repair must not do, and whom it can help.
@Suite struct RepairOfCopiesTests {
    private static let store = GeneratedStore(seed: 51)

    /// A first copy that was cut has no CONFIG for a good reason.
    @Test func anUnfinishedCopyIsNotMadeAStoreByRepair() async throws {
        let source = try MemoryStore(Self.store)
        let target = MemoryStore(place: "target")
        target.faults[.publish] = .late(after: 1)
        let machine = try Machine()
        let limits = BatchLimits(byteCountMax: 4096, resourceCountMax: 2, age: .seconds(3600))
        let cut = try await machine.sync(source, [target], limits: limits).targets[0]
        #expect(cut.failure != nil)
        target.faults[.publish] = nil
        for machine in [machine, try Machine()] {
            let repair = RepairRun(of: target, from: source, environment: machine.process())
            await #expect {
                try await repair.run()
            } throws: {
                ($0 as? Failure)?.kind == .noStore
            }
            #expect(target.bytes(of: .config) == nil)
        }
        let next = try await machine.sync(source, to: target)
        #expect(next.failure == nil)
    }

    /// CONFIG of a whole replica is a resource like any other.
    @Test func aLostConfigComesBack() async throws {
        let source = try MemoryStore(Self.store)
        let target = MemoryStore(place: "target")
        let first = try await Machine().sync(source, to: target)
        #expect(first.failure == nil)
        target.withContent { $0.published[.config] = nil }
        let report = try await RepairRun(of: target, from: source, environment: Machine().process()).run()
        #expect(report.repaired == [.config])
        #expect(target.bytes(of: .config) == GeneratedStore.config)
    }

    /// A source is no replica, and nobody but its resources says which store it was.
    @Test func aSourceGetsItsLostConfigBack() async throws {
        let (source, replica) = (try MemoryStore(Self.store), MemoryStore(place: "replica"))
        let machine = try Machine()
        #expect(try await machine.sync(source, to: replica).failure == nil)
        for machine in [machine, try Machine()] {
            source.withContent { $0.published[.config] = nil }
            for outcome in [
                await Self.failure { try await machine.verify(source) },
                await Self.failure { try await machine.sync(source, to: replica) },
            ] {
                #expect(outcome?.kind == .noStore && outcome?.advice.contains("sealift repair source --from REPLICA") == true)
            }
            #expect(try await machine.repair(source, from: replica).repaired == [.config])
            #expect(source.bytes(of: .config) == GeneratedStore.config)
            #expect(try await machine.verify(source).isGood)
        }
    }

    /// Where this machine knows what the source had, that is healed first.
    @Test func aSourceThatLostMoreIsHealedWhereThatIsKnown() async throws {
        let (source, replica) = (try MemoryStore(Self.store), MemoryStore(place: "replica"))
        let machine = try Machine()
        #expect(try await machine.sync(source, to: replica).failure == nil)
        let before = source.files
        let lost = [.config, Self.store.keys().last { $0.kind == .packfile } ?? .config]
        source.withContent { for key in lost { $0.published[key] = nil } }
        let stranger = try Machine()
        let refused = await Self.failure { try await stranger.repair(source, from: replica) }
        #expect(refused?.kind == .refused && refused?.reason.contains(lost[1].id.hex) == true)
        #expect(source.bytes(of: .config) == nil)
        #expect(Set(try await machine.repair(source, from: replica).repaired) == Set(lost))
        #expect(source.files == before)
    }

    /// CONFIG makes a store of a folder: nothing but proof is good enough.
    @Test func nothingElseGetsAConfig() async throws {
        let donor = try MemoryStore(Self.store)
        let part = try MemoryStore(Self.store, upTo: 3, place: "part")
        part.withContent { $0.published[.config] = nil }
        #expect(await Self.failure { try await Machine().repair(part, from: donor) }?.kind == .refused, "a copy that was cut")
        let other = try MemoryStore(GeneratedStore(seed: 52), place: "other")
        other.withContent { $0.published[.config] = nil }
        #expect(await Self.failure { try await Machine().repair(other, from: donor) }?.kind == .noStore, "another repository")
        let namesake = try MemoryStore(Self.store, place: "namesake")
        namesake.withContent { content in
            content.published[.config] = nil
            for key in content.published.keys { content.published[key]?.bytes[40] ^= 1 }
        }
        #expect(await Self.failure { try await Machine().repair(namesake, from: donor) }?.kind == .noStore, "names alone")
        let empty = MemoryStore(place: "empty")
        empty.withContent { $0.exists = true }
        #expect(await Self.failure { try await Machine().repair(empty, from: donor) }?.kind == .noStore)
        for store in [part, other, namesake, empty] { #expect(store.bytes(of: .config) == nil) }
    }

    private static func failure(_ body: () async throws -> some Any) async -> Failure? {
        do {
            _ = try await body()
            return nil
        } catch {
            return error as? Failure
        }
    }

    /// The replica has its mark, and its ledger is still empty: all that a repair learns is told to it, and the next sync goes on from there.
    @Test func aReplicaThatNobodyKnowsYetIsRepaired() async throws {
        let source = try MemoryStore(Self.store)
        let target = MemoryStore(place: "target")
        try Self.store.place(in: MemorySink(target))
        target.faults[.createDocument] = .always
        let cut = try await Machine().sync(source, to: target)
        #expect(cut.failure != nil)
        target.faults[.createDocument] = nil
        let bad = Self.store.keys().last ?? .config
        target.withContent { $0.published[bad]?.bytes[0] ^= 1 }
        let machine = try Machine()
        let report = try await RepairRun(of: target, from: source, environment: machine.process()).run()
        #expect(report.repaired == [bad])
        #expect(target.bytes(of: bad) == Self.store.bytes(of: bad))
        let next = try await machine.sync(source, to: target, SyncOptions(verify: .all))
        #expect(next.failure == nil)
        for machine in [machine, try Machine()] {
            let verified = try await machine.verify(target)
            #expect(verified.isGood && verified.isComplete)
        }
    }
}
