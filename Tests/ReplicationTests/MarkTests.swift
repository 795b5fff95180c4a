import Catalog
import Kloset
import Planning
import Replication
import Storage
import StorageTesting
import Testing

/// A replica whose mark cannot be read: its content is looked at all the same, and there are ways out.
@Suite struct MarkTests {
    enum Harm: String, CaseIterable {
        case garbled, empty, truncated, noise, long

        func bytes(of mark: [UInt8]) -> [UInt8] {
            switch self {
            case .garbled: Array(mark.reversed())
            case .empty: []
            case .truncated: Array(mark.prefix(mark.count / 2))
            case .noise: (0..<90).map { UInt8(truncatingIfNeeded: $0 &* 151) }
            case .long: mark + [UInt8](repeating: UInt8(ascii: " "), count: 5000)
            }
        }
    }

    private let store: GeneratedStore
    private let source: MemoryStore
    private let target = MemoryStore(place: "target")
    private let machine: Machine
    private let mark: [UInt8]

    init() async throws {
        store = GeneratedStore(seed: Loops.seed("mark"))
        source = try MemoryStore(store, upTo: 4)
        machine = try Machine()
        #expect(try await machine.sync(source, to: target).failure == nil)
        mark = try #require(target.withContent { $0.documents["replica"] })
    }

    private func apply(_ harm: Harm) {
        target.withContent { $0.documents["replica"] = harm.bytes(of: mark) }
    }

    private static let new = SyncOptions(verify: .all, newReplica: true)

    @Test(arguments: Harm.allCases)
    func lookingGoesOn(_ harm: Harm) async throws {
        let points = try await machine.points(of: target).map(\.point)
        apply(harm)
        for machine in [machine, try Machine()] {
            let seen = try await machine.verify(target)
            #expect(seen.markDamage?.kind == .damage && !seen.isGood)
            #expect(seen.markDamage?.advice.contains("sealift sync SOURCE target --new-replica") == true)
            #expect(seen.damaged.isEmpty && seen.lost.isEmpty && seen.unknown == 0, "what is known is compared")
            let listed = try await PointsRun(environment: machine.process()).points(of: target)
            #expect(listed.points.map(\.point) == points && listed.markDamage != nil, "the ledger says whose it is")
            let looked = try await InspectRun(of: target, environment: machine.process()).run()
            #expect(looked.markDamage != nil && looked.replica == nil && looked.packfiles > 0 && !looked.isUnfinished)
            // A copy is a source like any other.
            #expect(try await machine.sync(target, to: MemoryStore(place: "copy \(harm)")).failure == nil)
        }
    }

    @Test(arguments: Harm.allCases)
    func aLossIsFoundWithoutAMark(_ harm: Harm) async throws {
        apply(harm)
        let lost = try #require(target.files.keys.compactMap { ResourceKey(storePath: $0) }.first { $0.kind == .packfile })
        target.withContent { $0.published[lost] = nil }
        #expect(try await machine.verify(target).lost == [lost])
        #expect(try await Machine().verify(target).lost == [lost])
    }

    @Test(arguments: Harm.allCases)
    func aSyncIsToldTheWayOut(_ harm: Harm) async throws {
        apply(harm)
        for event in store.events().dropFirst(store.events(upTo: 4).count) { try store.apply(event, to: MemorySink(source)) }
        let before = target.withContent { ($0.published, $0.documents) }
        for machine in [machine, try Machine()] {
            let failure = try await machine.sync(source, to: target).failure
            #expect(failure?.kind == .damage && failure?.advice.contains("--new-replica") == true)
            #expect(failure?.advice.contains("no model") == true)
        }
        let after = target.withContent { ($0.published, $0.documents) }
        #expect(before.0 == after.0 && before.1 == after.1)
        let report = try await machine.sync(source, to: target, Self.new)
        #expect(report.failure == nil && report.unproven == 0)
        #expect(
            target.withContent { $0.quarantinedDocuments }.contains { $0.name == "replica" && $0.bytes == harm.bytes(of: mark) })
        let made = target.withContent { $0.documents["replica"] }
        #expect(made != nil && made != mark && made != harm.bytes(of: mark), "a replica of its own")
        for machine in [machine, try Machine()] {
            #expect(try await machine.sync(source, to: target).failure == nil)
            #expect(try await machine.verify(target).isGood)
        }
    }

    /// The mark is what says whose an unfinished copy is; its ledger says so too.
    @Test func anUnfinishedCopyGoesOn() async throws {
        let target = MemoryStore(place: "unfinished")
        target.faults[.publish] = .late(after: 1)
        let limits = BatchLimits(byteCountMax: 4096, resourceCountMax: 2, age: .seconds(3600))
        #expect(try await machine.sync(source, [target], limits: limits).targets[0].failure != nil)
        target.faults[.publish] = nil
        target.withContent { $0.documents["replica"] = [] }
        #expect(try await machine.sync(source, to: target).failure?.kind == .damage)
        #expect(try await machine.sync(source, to: target, Self.new).failure == nil)
        #expect(target.files == source.files)
        #expect(try await Machine().verify(target).isGood)
    }

    // MARK: - repair

    @Test(arguments: Harm.allCases)
    func repairWritesItAnewWhereThisMachineKnows(_ harm: Harm) async throws {
        let victim = try #require(target.files.keys.compactMap { ResourceKey(storePath: $0) }.first { $0.kind == .packfile })
        apply(harm)
        target.flip(victim)
        let report = try await machine.repair(target, from: source)
        #expect(report.markDamage != nil && report.isMarkRestored && report.repaired == [victim] && report.failed.isEmpty)
        #expect(target.withContent { $0.documents["replica"] } == mark)
        #expect(
            target.withContent { $0.quarantinedDocuments }.contains { $0.name == "replica" && $0.bytes == harm.bytes(of: mark) })
        #expect(try await machine.sync(source, to: target).failure == nil)
        for machine in [machine, try Machine()] { #expect(try await machine.verify(target).isGood) }
    }

    /// Nobody but this machine's own memory of the very place says which replica it was.
    @Test func repairWritesNoMarkThatIsNotSure() async throws {
        apply(.garbled)
        let broken = target.withContent { $0.documents["replica"] }
        // A machine that learned of the replica from what lies there now, also by looking at it before.
        let stranger = try Machine()
        _ = try await stranger.verify(target)
        _ = try await stranger.points(of: target)
        let first = try await stranger.repair(target, from: source)
        #expect(first.markDamage != nil && !first.isMarkRestored)
        // The same bytes at another place: a copy by another tool.
        let clone = MemoryStore(place: "clone")
        let content = target.withContent { ($0.published, $0.documents) }
        clone.withContent { ($0.exists, $0.published, $0.documents) = (true, content.0, content.1) }
        let second = try await machine.repair(clone, from: source)
        #expect(second.markDamage != nil && !second.isMarkRestored)
        #expect(clone.withContent { $0.documents["replica"] } == broken)
        // Another replica at the place of this one: the disk was exchanged.
        let other = MemoryStore(place: "target")
        #expect(try await Machine().sync(source, to: other).failure == nil)
        other.withContent { $0.documents["replica"] = [] }
        let third = try await machine.repair(other, from: source)
        #expect(third.markDamage != nil && !third.isMarkRestored)
        #expect(other.withContent { $0.documents["replica"] } == [])
        // A ledger that is not the one that this machine knows.
        target.withContent { content in
            for name in content.documents.keys where name.hasPrefix("ledger/") { content.documents[name]?[20] ^= 1 }
        }
        let fourth = try await machine.repair(target, from: source)
        #expect(fourth.markDamage != nil && !fourth.isMarkRestored)
        #expect(try await machine.sync(source, to: target, Self.new).failure == nil)
        for machine in [machine, try Machine()] { #expect(try await machine.verify(target).isGood) }
    }
}
