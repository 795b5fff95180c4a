import Kloset
import Planning
import Replication
import Storage
import StorageTesting
import Testing

/// Damage is named, never copied and never touched; nothing leans on it.
@Suite struct DamageTests {
    private let fresh = FreshMachines()

    private static let store = GeneratedStore(seed: 31)
    private static let packfiles = store.keys().filter { $0.kind == .packfile }

    /// How a resource of the source can be no good.
    enum Harm: CaseIterable {
        case magic, short, irregular, unreadable

        func happen(to key: ResourceKey, in source: MemoryStore) -> any StoreReader {
            switch self {
            case .magic: source.withContent { $0.published[key]?.bytes[0] ^= 1 }
            case .short: source.withContent { $0.published[key]?.bytes.removeSubrange(20...) }
            case .irregular: _ = source.withContent { $0.irregular.insert(key) }
            case .unreadable:
                return ForwardingStore(
                    source,
                    before: { operation, keys in
                        source.faults[.readWhole] = operation == .readWhole ? keys.firstIndex(of: key).map { .items([$0]) } : nil
                    })
            }
            return source
        }
    }

    @Test(arguments: Harm.allCases)
    func aDamagedSourceGivesAllTheRestAndNoState(_ harm: Harm) async throws {
        let memory = try MemoryStore(Self.store)
        let bad = Self.packfiles[2]
        let source = harm.happen(to: bad, in: memory)
        let target = MemoryStore(place: "target")
        let machine = try Machine()
        let report = try await machine.sync(source, to: target)
        #expect(report.failure?.kind == .damage)
        #expect(report.failure?.resource == bad)
        #expect(report.failed.map(\.key) == [bad])
        #expect(report.copied.packfiles == Self.packfiles.count - 1)
        #expect(report.copied.states == 0)
        #expect(target.bytes(of: .config) == nil)
        #expect(report.recoveryPoint == nil)

        // Accepted: published all the same, marked, and remembered for just this one.
        let accepted = try await machine.sync(source, to: target, SyncOptions(allowIncomplete: true))
        #expect(accepted.failure?.kind == .incomplete)
        #expect(accepted.failed.map(\.key) == [bad])
        #expect(ClosureCheck(Self.store).stateCount(in: target.files) == Self.store.states.count)
        let point = try await machine.points(of: target).last?.point
        #expect(point?.missing == [bad])
        #expect(point?.isComplete == false)
        #expect(try await machine.outcome(source, to: target) == .incomplete)
        #expect(try await machine.points(of: target).count == 1)
    }

    /// What the target has already is damage all the same when the source's own is no good any more.
    @Test(arguments: [Harm.short, .irregular])
    func damageOfWhatTheTargetHasIsNamedToo(_ harm: Harm) async throws {
        let memory = try MemoryStore(Self.store)
        let target = MemoryStore(place: "target")
        let machine = try Machine()
        #expect(try await machine.sync(memory, to: target).failure == nil)
        let bad = Self.packfiles[2]
        let source = harm.happen(to: bad, in: memory)
        // A listing shows what is no file; sizes are looked at only when asked for.
        let report = try await machine.sync(source, to: target, SyncOptions(relist: harm == .short))
        #expect(report.failure?.kind == .damage)
        #expect(report.failure?.resource == bad)
        #expect(report.copied == Tally())
    }

    @Test func oneAcceptedDamageAcceptsNoOther() async throws {
        let source = try MemoryStore(Self.store, upTo: 4)
        let target = MemoryStore(place: "target")
        let machine = try Machine()
        let first = Self.store.states[0].adds[0]
        source.withContent { $0.published[ResourceKey(.packfile, first)]?.bytes[0] ^= 1 }
        #expect(try await machine.outcome(source, to: target, SyncOptions(allowIncomplete: true)) == .incomplete)
        for event in Self.store.events(upTo: 6).dropFirst(Self.store.events(upTo: 4).count) {
            try Self.store.apply(event, to: MemorySink(source))
        }
        let second = ResourceKey(.packfile, Self.store.states[4].adds[0])
        source.withContent { $0.published[second]?.bytes[0] ^= 1 }
        let report = try await machine.sync(source, to: target)
        #expect(report.failure?.kind == .damage)
        #expect(report.failure?.resource == second)
        #expect(report.copied.states == 0)
        #expect(ClosureCheck(Self.store).stateCount(in: target.files) == 4)
        // Healed, it goes on; the accepted one is still missing.
        source.put(second, Self.store.bytes(of: second) ?? [])
        #expect(try await machine.outcome(source, to: target) == .incomplete)
        #expect(ClosureCheck(Self.store).stateCount(in: target.files) == 6)
        // The accepted one healed too: complete.
        let healed = ResourceKey(.packfile, first)
        source.put(healed, Self.store.bytes(of: healed) ?? [])
        #expect(try await machine.sync(source, to: target).failure == nil)
        let last = try await machine.points(of: target).last?.point
        #expect(last?.isComplete == true)
    }

    /// A copy that lacks something is a decision for each copy; the replica itself remembers it for a machine that forgot.
    @Test(arguments: [Harm.short, .irregular])
    func whatOneTargetAcceptedNoOtherDoes(_ harm: Harm) async throws {
        let source = harm.happen(to: Self.packfiles[2], in: try MemoryStore(Self.store))
        let (first, second) = (MemoryStore(place: "first"), MemoryStore(place: "second"))
        let machine = try Machine()
        let accepting = SyncOptions(allowIncomplete: true)
        #expect(try await machine.outcome(source, to: first, accepting) == .incomplete)
        #expect(try await machine.outcome(source, to: second) == .damage)
        #expect(second.bytes(of: .config) == nil)
        let both = try await machine.sync(source, [first, second]).targets.map(\.failure?.kind)
        #expect(both == [.incomplete, .damage])
        #expect(try await machine.outcome(source, to: second, accepting) == .incomplete)
        #expect(try await machine.outcome(source, to: second) == .incomplete)
        // The catalog is lost: the ledgers tell.
        let next = try Machine()
        #expect(try await next.outcome(source, to: first) == .incomplete)
        #expect(try await next.outcome(source, to: MemoryStore(place: "third")) == .damage)
    }

    /// The bytes look whole, but another target got others.
    @Test(arguments: [300, 1_200_000])
    func otherBytesThanRecordedAreDamage(_ byteCount: Int) async throws {
        var shape = GeneratedStore.Shape()
        shape.packfileByteCountCycle = [byteCount...byteCount, 100...200]
        let store = GeneratedStore(seed: 8, shape)
        let source = try MemoryStore(store)
        let machine = try Machine()
        let outcome = try await machine.sync(source, to: MemoryStore(place: "first")).failure
        #expect(outcome == nil)
        let key = store.keys().first { $0.kind == .packfile && store.bytes(of: $0)?.count == byteCount } ?? .config
        source.withContent { $0.published[key]?.bytes[byteCount / 2] ^= 1 }
        let second = MemoryStore(place: "second")
        let report = try await machine.sync(source, to: second)
        #expect(report.failure?.kind == .damage)
        #expect(report.failure?.resource == key)
        #expect(second.bytes(of: key) == nil)
        #expect(report.copied.states == 0)
    }

    /// How a resource of the target can be no good, as a run meets it.
    enum TargetHarm: CaseIterable {
        case shorter, irregular, adoptedDiffers, adoptedShorter
    }

    @Test(arguments: TargetHarm.allCases)
    func damageThatARunMeetsOnTheTargetIsNotTouched(_ harm: TargetHarm) async throws {
        let source = try MemoryStore(Self.store, upTo: 5)
        let target = MemoryStore(place: "target")
        let machine = try Machine()
        let isAdopted = harm == .adoptedDiffers || harm == .adoptedShorter
        if isAdopted {
            try Self.store.place(in: MemorySink(target), upTo: 5)
        } else {
            #expect(try await machine.sync(source, to: target).failure == nil)
        }
        for event in Self.store.events().dropFirst(Self.store.events(upTo: 5).count) {
            try Self.store.apply(event, to: MemorySink(source))
        }
        let bad = ResourceKey(.packfile, Self.store.states[4].adds[0])
        target.withContent { content in
            switch harm {
            case .shorter, .adoptedShorter: content.published[bad]?.bytes.removeLast()
            case .irregular: content.irregular.insert(bad)
            case .adoptedDiffers: content.published[bad]?.bytes[30] ^= 1
            }
        }
        let damaged = target.bytes(of: bad)
        let report = try await machine.sync(source, to: target, SyncOptions(verify: .all, relist: true))
        #expect(report.failure?.kind == .damage)
        #expect(report.failure?.resource == bad)
        #expect(report.copied.states == 0)
        #expect(ClosureCheck(Self.store).stateCount(in: target.files) == 5)
        #expect(target.bytes(of: bad) == damaged)
        #expect(target.withContent { $0.quarantine.isEmpty })

        if isAdopted {
            // Both look whole and nobody recorded a digest: it is not for a repair to say who is right, until one is recorded elsewhere.
            let repair = try await RepairRun(of: target, from: source, environment: machine.process()).run()
            #expect(repair.failed.map(\.key) == [bad])
            #expect(target.bytes(of: bad) == damaged)
            let other = try await machine.sync(source, to: MemoryStore(place: "other"))
            #expect(other.failure == nil)
        }
        // Repair moves it, then the sync goes on.
        let repair = try await RepairRun(of: target, from: source, environment: machine.process()).run()
        #expect(repair.repaired.contains(bad))
        #expect(target.withContent { $0.quarantine.map(\.key) }.contains(bad) || harm == .irregular)
        #expect(try await machine.sync(source, to: target, SyncOptions(verify: .all)).failure == nil)
        #expect(ClosureCheck(Self.store).violations(in: target.files, stateCountWithConfig: Self.store.states.count) == [])
    }

    // MARK: - what is said

    /// A copy that another tool made, with a resource that is not the source's.
    private func adopted(_ harm: (MemoryStore, MemoryStore, ResourceKey) -> Void) async throws -> (
        bad: ResourceKey, TargetReport, again: () async throws -> TargetReport
    ) {
        let (source, target, machine) = (
            try MemoryStore(Self.store), try MemoryStore(Self.store, place: "target"), try Machine()
        )
        let bad = Self.packfiles[2]
        harm(source, target, bad)
        let report = try await machine.sync(source, to: target, SyncOptions(verify: .all))
        return (
            bad, report,
            {
                _ = try await machine.sync(source, to: MemoryStore(place: "other"))
                return try await machine.sync(source, to: target, SyncOptions(verify: .all))
            }
        )
    }

    @Test func aRepairIsAdvisedOnlyWhereItCanHeal() async throws {
        let (bad, first, again) = try await adopted { _, target, bad in
            target.withContent { $0.published[bad]?.bytes[40] ^= 1 }
        }
        #expect(first.failure?.kind == .damage && first.failure?.resource == bad)
        #expect(first.failure?.advice.contains("plakar check") == true)
        #expect(first.failure?.advice.contains("sealift repair") == false)
        // A sync elsewhere has recorded the source's digests.
        let second = try await again()
        #expect(second.failure?.kind == .damage)
        #expect(second.failure?.description.hasSuffix("Heal it with: sealift repair target --from source") == true)
    }

    @Test func aTargetThatIsBrokenOnItsFaceCanBeHealed() async throws {
        let (bad, report, _) = try await adopted { _, target, bad in target.withContent { $0.published[bad]?.bytes[0] ^= 1 } }
        #expect(report.failed.map(\.key) == [bad] && report.failed.map(\.side) == [.target])
        #expect(report.failure?.advice.contains("sealift repair target --from source") == true)
    }

    /// With a copy that looks whole at the target, a source that is broken on its face blames nobody else.
    @Test func aSourceThatIsBrokenOnItsFaceIsTheOneThatIsNamed() async throws {
        for harm in [Harm.magic, .short] {
            let (bad, report, _) = try await adopted { source, _, bad in _ = harm.happen(to: bad, in: source) }
            #expect(report.failure?.kind == .damage && report.failure?.place == "source", "\(harm)")
            #expect(report.failed.map(\.key) == [bad] && report.failed.map(\.side) == [.source], "\(harm)")
        }
    }

    @Test func bothSidesCanBeBroken() async throws {
        let (bad, report, _) = try await adopted { source, target, bad in
            for place in [source, target] { place.withContent { $0.published[bad]?.bytes[0] ^= 1 } }
        }
        #expect(report.failed.map(\.key) == [bad, bad])
        #expect(Set(report.failed.map(\.side)) == [.source, .target])
        #expect(report.failure?.place == "target" && report.failure?.advice.contains("another copy") == true)
    }

    @Test func severalAreAllNamed() async throws {
        let (source, target, machine) = (try MemoryStore(Self.store), MemoryStore(place: "target"), try Machine())
        let bad = Array(Self.packfiles.prefix(4)).sorted()
        for key in bad { source.withContent { $0.published[key]?.bytes[0] ^= 1 } }
        let report = try await machine.sync(source, to: target)
        #expect(report.failure?.kind == .damage && report.failure?.resource == nil)
        #expect(report.failure?.resources.sorted() == bad)
        #expect(report.failedCount == 4 && report.failed.map(\.key).sorted() == bad)
        let accepted = try await machine.sync(source, to: target, SyncOptions(allowIncomplete: true))
        #expect(accepted.failure?.kind == .incomplete && accepted.failure?.resources.sorted() == bad)
        #expect(accepted.madePoint)
        let again = try await machine.sync(source, to: target)
        #expect(again.failure?.kind == .incomplete && !again.madePoint && again.recoveryPoint == accepted.recoveryPoint)
    }

    @Test func aPlanSeesWhatNeedsNoRead() async throws {
        let (source, target) = (try MemoryStore(Self.store), MemoryStore(place: "target"))
        let bad = Self.packfiles[2]
        source.withContent { $0.published[bad]?.bytes.removeSubrange(10...) }
        let plan = try await SyncRun(
            from: source, to: [target], options: SyncOptions(), environment: fresh.next().process()
        ).plan()[0]
        #expect(plan.damage.map(\.key) == [bad] && plan.damage[0].reason.contains("10 bytes"))
        #expect(plan.toCopy.packfiles == Self.packfiles.count - 1)
        var copies: [ResourceKey] = []
        try plan.forEachCopy { key, _ in copies.append(key) }
        #expect(!copies.contains(bad) && copies.count == Self.store.keys().count - 1)
    }

    /// A copy of a damaged one, of one length that nothing whole has.
    @Test func aPlanSeesItOnBothSides() async throws {
        let (source, target) = (try MemoryStore(Self.store), try MemoryStore(Self.store, place: "target"))
        let bad = Self.packfiles[2]
        for place in [source, target] { place.withContent { $0.published[bad]?.bytes.removeSubrange(10...) } }
        let plan = try await SyncRun(
            from: source, to: [target], options: SyncOptions(), environment: fresh.next().process()
        ).plan()[0]
        #expect(plan.damage.map(\.key) == [bad, bad] && Set(plan.damage.map(\.side)) == [.source, .target])
    }

    @Test func statesThatCannotBecomeVisibleAreNotRead() async throws {
        let (source, target, machine) = (try MemoryStore(Self.store), MemoryStore(place: "target"), try Machine())
        source.withContent { $0.published[Self.packfiles[2]]?.bytes[0] ^= 1 }
        let first = try await machine.sync(source, [target])
        #expect(first.targets[0].copied.packfiles == Self.packfiles.count - 1)
        #expect(target.withContent { !$0.staged.keys.contains { $0.kind == .state } })
        let second = try await machine.sync(source, [target])
        #expect(second.bytesRead == 0 && second.bytesWritten == 0)
    }

    @Test func whatIsNamedButNotMadeIsTold() async throws {
        let (source, target, machine) = (try MemoryStore(Self.store), MemoryStore(place: "target"), try Machine())
        #expect(try await machine.sync(source, to: target).madePoint)
        let again = try await machine.sync(source, to: target, SyncOptions(name: "later"))
        #expect(!again.madePoint && again.failure == nil)
        #expect(try await machine.points(of: target).map(\.point.name) == [nil])
    }
}
