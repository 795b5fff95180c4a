import Catalog
import Kloset
import Replication
import Storage
import StorageTesting
import Testing

/// A replica's ledger that was changed, cut or lost is told, stops only what would append to it, and is written anew by `repair`.
@Suite struct LedgerDamageTests {
    enum Damage: String, CaseIterable {
        case firstFlipped, middleFlipped, middleCut, lastFlipped, firstGone, middleGone, lastGone, folderGone, noise

        /// What precedes the damage is a sound ledger, so that who knows nothing else sees no damage at its end.
        var isUnseenWithoutCatalog: Bool { [.lastGone, .folderGone].contains(self) }
        /// A `sync` without news looks at names and at the end; all of it is read by `verify`, and by whoever is about to continue it.
        var isSeenWithoutNews: Bool { ![.firstFlipped, .middleFlipped, .middleCut].contains(self) }
    }

    private let store: GeneratedStore
    private let source: MemoryStore
    private let target = MemoryStore(place: "target")
    private let machine: Machine
    private let pointCount: Int

    init() async throws {
        store = GeneratedStore(seed: Loops.seed("ledger damage"))
        source = try MemoryStore(store, upTo: 4)
        machine = try Machine()
        #expect(try await machine.sync(source, to: target).failure == nil)
        for event in store.events().dropFirst(store.events(upTo: 4).count) { try store.apply(event, to: MemorySink(source)) }
        #expect(try await machine.sync(source, to: target).failure == nil)
        pointCount = try await machine.points(of: target).count
    }

    private func apply(_ damage: Damage, to other: MemoryStore? = nil) {
        (other ?? target).withContent { content in
            let names = content.documents.keys.filter { $0.hasPrefix("ledger/") }.sorted()
            func flip(_ name: String) { content.documents[name]?[20] ^= 1 }
            switch damage {
            case .firstFlipped: flip(names[0])
            case .middleFlipped: flip(names[names.count / 2])
            case .middleCut: content.documents[names[names.count / 2]]?.removeLast(9)
            case .lastFlipped: flip(names[names.count - 1])
            case .firstGone: content.documents[names[0]] = nil
            case .middleGone: content.documents[names[names.count / 2]] = nil
            case .lastGone: content.documents[names[names.count - 1]] = nil
            case .folderGone: for name in names { content.documents[name] = nil }
            case .noise: content.documents[names[names.count - 1]] = Array(1...100)
            }
        }
    }

    @Test(arguments: Damage.allCases)
    func aDamagedLedgerIsToldAndWrittenAnew(_ damage: Damage) async throws {
        #expect(pointCount == 2)
        let before = try await machine.points(of: target)
        apply(damage)
        let seen = try await machine.verify(target)
        #expect(seen.ledgerDamage != nil && !seen.isGood)
        #expect(seen.damaged.isEmpty && seen.lost.isEmpty && seen.unknown == 0, "what the catalog knows is compared")
        #expect(try await machine.points(of: target) == before)
        let failure = try await machine.sync(source, to: target).failure
        #expect((failure?.kind == .damage) == damage.isSeenWithoutNews)
        #expect(failure.map { $0.advice.contains("sealift repair target --from") } ?? true)
        let report = try await machine.repair(target, from: source)
        #expect(report.ledgerDamage != nil && report.repaired.isEmpty && report.failed.isEmpty)
        if damage != .folderGone { #expect(target.withContent { !$0.quarantinedDocuments.isEmpty }) }
        // This machine's knowledge, and what anybody learns from the replica alone.
        for machine in [machine, try Machine()] {
            let after = try await machine.verify(target)
            #expect(after.isGood && after.unknown == 0)
            #expect(try await machine.points(of: target).map(\.point) == before.map(\.point))
        }
        #expect(try await machine.sync(source, to: target).failure == nil)
        #expect(try await Machine().sync(source, to: target).failure == nil)
    }

    /// Nothing is appended behind damage: all points would be lost with this machine.
    @Test(arguments: Damage.allCases)
    func newsAreNotWrittenBehindDamage(_ damage: Damage) async throws {
        let store = GeneratedStore(seed: store.seed ^ 1)
        let (source, target) = (try MemoryStore(store, upTo: 2), MemoryStore(place: "target"))
        let machine = try Machine()
        for stateCount in [2, 4, 5] {
            for event in store.events(upTo: stateCount) { try store.apply(event, to: MemorySink(source)) }
            #expect(try await machine.sync(source, to: target).failure == nil)
        }
        apply(damage, to: target)
        for event in store.events() { try store.apply(event, to: MemorySink(source)) }
        let before = target.withContent { ($0.published, $0.documents) }
        let failure = try await machine.sync(source, to: target).failure
        #expect(failure?.kind == .damage && failure?.advice.contains("sealift repair target --from") == true)
        let after = target.withContent { ($0.published, $0.documents) }
        #expect(before.0 == after.0 && before.1 == after.1, "nothing was copied")
        let known = try await machine.points(of: target).map(\.point)
        #expect(known.count == 3)
        #expect(try await machine.repair(target, from: source).ledgerDamage != nil)
        #expect(try await machine.sync(source, to: target).failure == nil)
        let all = try await Machine().points(of: target).map(\.point)
        #expect(all.count == 4 && Array(all.prefix(3)) == known, "read again by whoever knows nothing else")
    }

    @Test(arguments: Damage.allCases)
    func aMachineThatKnowsNothingIsNoDeadEnd(_ damage: Damage) async throws {
        apply(damage)
        let machine = try Machine()
        let seen = try await machine.verify(target)
        #expect((seen.ledgerDamage == nil) == damage.isUnseenWithoutCatalog)
        #expect(seen.damaged.isEmpty)
        _ = try await machine.points(of: target)
        if !damage.isUnseenWithoutCatalog {
            let failure = try await machine.sync(source, to: target).failure
            #expect(failure?.kind == .damage && failure?.advice.contains("sealift repair target --from") == true)
        }
        let report = try await machine.repair(target, from: source)
        #expect(report.failed.isEmpty)
        let proven = try await machine.sync(source, to: target, SyncOptions(verify: .all))
        #expect(proven.failure == nil && proven.unproven == 0 && proven.copied.resources == 0)
        for machine in [machine, try Machine()] {
            let after = try await machine.verify(target)
            #expect(after.isGood)
        }
        // What the source no longer has is known from what precedes the damage, or not at all.
        let kept = Set(target.files.keys).subtracting(source.files.keys)
        #expect(try await Machine().verify(target).unknown <= kept.count)
    }

    /// A rewriting that is cut is told until it is done.
    @Test func aRepairThatIsCutIsBegunAgain() async throws {
        apply(.lastFlipped)
        for operation in [StoreOperation.quarantineDocument, .createDocument] {
            for count in 0..<3 {
                target.faults[operation] = .late(after: count)
                await #expect(throws: Failure.self, "\(operation) \(count)") { try await machine.repair(target, from: source) }
                target.faults[operation] = nil
                #expect(try await machine.verify(target).ledgerDamage != nil, "\(operation) \(count)")
                #expect(try await machine.sync(source, to: target).failure?.kind == .damage)
                if operation == .createDocument { break }  // all of it fits into one segment
            }
        }
        #expect(try await machine.repair(target, from: source).ledgerDamage != nil)
        for machine in [machine, try Machine()] { #expect(try await machine.verify(target).isGood) }
    }

    /// Damage of both kinds at once.
    @Test func resourcesAreHealedWithTheLedger() async throws {
        let victim = try #require(
            target.files.keys.compactMap { ResourceKey(storePath: $0) }.first { source.bytes(of: $0) != nil })
        apply(.lastFlipped)
        target.flip(victim)
        let report = try await machine.repair(target, from: source)
        #expect(report.repaired == [victim] && report.ledgerDamage != nil)
        for machine in [machine, try Machine()] { #expect(try await machine.verify(target).isGood) }
    }

    /// The mark was taken away; the ledger of the old replica would stand in the way of the new one's for ever.
    @Test func anotherReplicasLedgerIsMovedAside() async throws {
        target.withContent { $0.documents["replica"] = nil }
        #expect(try await machine.sync(source, to: target).failure?.kind == .refused)
        var options = SyncOptions(verify: .all)
        options.newReplica = true
        #expect(try await machine.sync(source, to: target, options).failure == nil)
        #expect(target.withContent { !$0.quarantinedDocuments.isEmpty })
        for machine in [machine, try Machine()] {
            #expect(try await machine.sync(source, to: target).failure == nil)
            #expect(try await machine.verify(target).isGood)
        }
    }
}
