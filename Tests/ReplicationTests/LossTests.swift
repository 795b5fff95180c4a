import Catalog
import Kloset
import Planning
import Replication
import Storage
import StorageTesting
import Testing

/// What a source has lost, as the recovery points that were taken from it tell: no target may make a point of what is left.
@Suite struct LossTests {
    private static let store = GeneratedStore(seed: 77)
    private static let accepting = SyncOptions(allowLoss: true)

    private let machine: Machine
    private let source: MemoryStore
    private let target = MemoryStore(place: "target")

    init() async throws {
        machine = try Machine()
        source = try MemoryStore(Self.store, place: "source")
        try #require(try await machine.sync(source, to: target).failure == nil)
    }

    private func remove(_ key: ResourceKey) { source.withContent { $0.published[key] = nil } }

    private func bringBack(_ key: ResourceKey) {
        source.put(key, Self.store.bytes(of: key) ?? [], modified: Self.store.modified(key) ?? Timestamp(seconds: 0))
    }

    private static func last(_ kind: ResourceKind, _ count: Int = 1) -> ArraySlice<ResourceKey> {
        store.keys().filter { $0.kind == kind }.suffix(count)
    }

    private func expectRefused(_ target: MemoryStore, naming lost: ResourceKey, _ options: SyncOptions = SyncOptions())
        async throws
    {
        let before = target.withContent { ($0.published, $0.documents) }
        let failure = try await machine.sync(source, to: target, options).failure
        #expect(
            failure?.kind == .refused && failure?.resources.contains(lost) == true, "\(failure?.description ?? "went through")")
        #expect(target.withContent { ($0.published, $0.documents) } == before)
    }

    /// A state that is gone is a loss, however many are new: no client deletes one.
    @Test func aStateThatIsGoneIsALossForEveryTarget() async throws {
        let state = try #require(Self.last(.state).first)
        remove(state)
        try await expectRefused(MemoryStore(place: "other"), naming: state)
        let stranger = GeneratedStore(seed: 78)
        let new = ResourceKey(.state, stranger.states[0].id)
        source.put(new, stranger.bytes(of: new) ?? [])
        try await expectRefused(MemoryStore(place: "other"), naming: state)
        #expect(try await machine.verify(source).lost == [state])
        let repaired = try await RepairRun(of: source, from: target, environment: machine.process()).run()
        #expect(repaired.repaired == [state] && repaired.failed.isEmpty)
        #expect(try await machine.verify(source).lost.isEmpty)
    }

    /// Each replica saw the source at another time: the older one's point counts although the newer one's contradicts nothing.
    @Test func whatOnlyAnOlderPointNamesIsLostToo() async throws {
        let (state, packfile) = (try #require(Self.last(.state).first), try #require(Self.last(.packfile).first))
        let second = MemoryStore(place: "second")
        remove(state)
        #expect(try await machine.sync(source, to: second, Self.accepting).failure == nil)
        bringBack(state)
        // The first point holds again; without that word nothing would measure what follows.
        #expect(try await machine.sync(source, to: target).failure == nil)
        remove(packfile)
        for target in [target, second, MemoryStore(place: "third")] { try await expectRefused(target, naming: packfile) }
        #expect(try await machine.verify(source).lost == [packfile])
    }

    /// What a point left out was there once.
    @Test func aDamagedPackfileThatGoesIsALoss() async throws {
        let packfile = try #require(Self.last(.packfile).first)
        let other = MemoryStore(place: "other")
        let machine = try Machine()
        source.put(packfile, [0])
        let accepted = try await machine.sync(source, to: other, SyncOptions(allowIncomplete: true))
        #expect(accepted.failure?.kind == .incomplete)
        remove(packfile)
        for target in [other, MemoryStore(place: "third")] {
            let failure = try await machine.sync(source, to: target).failure
            #expect(failure?.kind == .refused && failure?.resources == [packfile])
        }
        let known = try await machine.sync(source, to: other, Self.accepting)
        #expect(known.failure == nil && known.madePoint, "a complete point of what is left, not the incomplete one of before")
        #expect(try await machine.points(of: other).map(\.point.isComplete) == [false, true])
        #expect(try await machine.sync(source, to: other).failure == nil)
    }

    /// A new state explains what a point left out as well as what it held.
    @Test func aDamagedPackfileThatIsDroppedIsNone() async throws {
        let machine = try Machine()
        let source = try MemoryStore(Self.store, upTo: 3)
        let target = MemoryStore(place: "other")
        let packfile = try #require(
            source.files.keys.compactMap { ResourceKey(storePath: $0) }.filter { $0.kind == .packfile }.max())
        source.put(packfile, [0])
        #expect(try await machine.sync(source, to: target, SyncOptions(allowIncomplete: true)).failure?.kind == .incomplete)
        remove(packfile)
        for event in Self.store.events() { try Self.store.apply(event, to: MemorySink(source)) }
        source.withContent { $0.published[packfile] = nil }
        #expect(try await machine.sync(source, to: target).failure == nil)
    }

    /// The way out for a source that was put back: one word, one place of its own, remembered.
    @Test func aSourceThatWasPutBackIsCopiedElsewhereWhenThatIsMeant() async throws {
        let old = try MemoryStore(Self.store, upTo: 3, place: "source")
        let elsewhere = MemoryStore(place: "elsewhere")
        let lost = try #require(Self.last(.state).first)
        let first = try await machine.sync(old, to: elsewhere).failure
        #expect(first?.kind == .refused && first?.advice.contains("--allow-loss") == true)
        #expect(first?.advice.hasSuffix("sealift repair source --from REPLICA") == false, "the replica is known by its place")
        #expect(try await machine.sync(old, to: elsewhere, Self.accepting).failure == nil)
        #expect(Set(elsewhere.files.keys) == Set(old.files.keys))
        // Remembered: here, elsewhere, and by verify.
        #expect(try await machine.sync(old, to: elsewhere).failure == nil)
        #expect(try await machine.sync(old, to: MemoryStore(place: "third")).failure == nil)
        #expect(try await machine.verify(old).lost.isEmpty)
        // The replica that knows more keeps what it has, said or not.
        for options in [SyncOptions(), Self.accepting] {
            let before = target.files
            #expect(try await machine.outcome(old, to: target, options) == .refused)
            #expect(target.files == before && before[lost.path] != nil)
        }
        // A loss after that is a loss again.
        let state = try #require(old.files.keys.compactMap { ResourceKey(storePath: $0) }.filter { $0.kind == .state }.max())
        old.withContent { $0.published[state] = nil }
        #expect(try await machine.outcome(old, to: MemoryStore(place: "fourth")) == .refused)
    }

    /// A run that is told so and does not come to its end has accepted nothing.
    @Test func aRunThatFailsRemembersNothing() async throws {
        let packfile = try #require(Self.last(.packfile).first)
        remove(packfile)
        let other = MemoryStore(place: "other")
        other.faults[.publish] = .always
        #expect(try await machine.sync(source, to: other, Self.accepting).failure != nil)
        other.faults[.publish] = nil
        #expect(try await machine.outcome(source, to: other) == .refused)
    }

    /// What a replica's own last point names and is gone is not to be copied on as if it had never been.
    @Test func aReplicaThatLostSomethingIsNoSource() async throws {
        let packfile = try #require(Self.last(.packfile).first)
        target.withContent { $0.published[packfile] = nil }
        let failure = try await machine.sync(target, to: MemoryStore(place: "other")).failure
        #expect(failure?.kind == .refused && failure?.resources == [packfile])
        #expect(try await machine.sync(source, to: target).failure == nil)
        #expect(try await machine.sync(target, to: MemoryStore(place: "other")).failure == nil)
    }

    /// Points that another run records while this one looks at the source say nothing about this one's look.
    @Test func aPointThatIsNewerThanTheCutIsNoLoss() async throws {
        let machine = try Machine()
        let source = try MemoryStore(Self.store, upTo: 3, place: "source")
        let (slow, quick) = (MemoryStore(place: "slow"), MemoryStore(place: "quick"))
        #expect(try await machine.sync(source, to: slow).failure == nil)
        // The slow run's second listing of states is its last look; then the source grows and the quick run sees all of it.
        let isDone = Counter()
        let watched = ForwardingStore(
            source,
            after: { operation, _ in
                guard operation == .list, isDone.next() == 256 * 3 - 1 else { return }
                for event in Self.store.events() { try? Self.store.apply(event, to: MemorySink(source)) }
                _ = try? await machine.sync(source, to: quick)
            })
        #expect(try await machine.sync(watched, to: MemoryStore(place: "late")).failure == nil)
        #expect(quick.files.count > 3)
    }

    /// A state that was out of sight while somebody said so is not new when it comes back: it does not say why a packfile is gone.
    @Test func whatComesBackIsNotNew() async throws {
        let (state, packfile) = (try #require(Self.last(.state).first), try #require(Self.last(.packfile).first))
        let second = MemoryStore(place: "second")
        remove(state)
        let accepted = try await machine.sync(source, to: second, Self.accepting)
        #expect(accepted.failure == nil && accepted.renounced.count == 1)
        bringBack(state)
        remove(packfile)
        for target in [second, MemoryStore(place: "third")] { try await expectRefused(target, naming: packfile) }
    }

    /// What this machine has forgotten, or never knew, the ledger of the target tells before anything is written.
    @Test func aTargetsLedgerMeasuresTheSourceToo() async throws {
        let packfile = try #require(Self.last(.packfile).first)
        remove(packfile)
        let stranger = try Machine()
        let before = target.files
        let failure = try await stranger.sync(source, to: target).failure
        #expect(failure?.kind == .refused && failure?.resources == [packfile])
        #expect(target.files == before)
        #expect(try await stranger.verify(source).lost == [packfile])
        #expect(try await stranger.sync(source, to: target, Self.accepting).failure == nil)
        #expect(try await stranger.sync(source, to: target).failure == nil)
    }

    /// Another source that has just what the last point says is measured by it from then on, although nothing was to be done.
    @Test func aSourceWithNothingToCopyIsRememberedToo() async throws {
        let packfile = try #require(Self.last(.packfile).first)
        let copy = try MemoryStore(Self.store, place: "copy")
        let first = try await machine.sync(copy, to: target)
        #expect(first.failure == nil && !first.madePoint)
        copy.withContent { $0.published[packfile] = nil }
        #expect(try await machine.outcome(copy, to: target) == .refused)
        #expect(try await machine.verify(copy).lost == [packfile])
    }

    /// After a disaster a client goes on with a replica: it maintains it, and what that drops is not lost; what is lost is found and healed.
    @Test func aReplicaThatAClientGoesOnWith() async throws {
        let machine = try Machine()
        let (origin, promoted, copy) = (
            try MemoryStore(Self.store, upTo: 3, place: "origin"), MemoryStore(place: "promoted"), MemoryStore(place: "copy")
        )
        #expect(try await machine.sync(origin, to: promoted).failure == nil)
        let before = Set(promoted.files.keys)
        for event in Self.store.events() { try Self.store.apply(event, to: MemorySink(promoted)) }
        #expect(!before.isSubset(of: promoted.files.keys), "the client's maintenance removed some")
        #expect(try await machine.verify(promoted).isGood)
        #expect(try await machine.sync(promoted, to: copy).failure == nil)
        // Lost after that, named by no point of its own, only by one that was taken from it.
        let lost = try #require(
            promoted.files.keys.filter { !before.contains($0) }.compactMap { ResourceKey(storePath: $0) }.filter {
                $0.kind == .packfile
            }.max())
        promoted.withContent { $0.published[lost] = nil }
        #expect(try await machine.outcome(promoted, to: copy) == .refused)
        #expect(try await machine.verify(promoted).lost == [lost])
        let repaired = try await RepairRun(of: promoted, from: copy, environment: machine.process()).run()
        #expect(repaired.repaired == [lost])
        #expect(try await machine.sync(promoted, to: copy).failure == nil)
    }

    /// Two sources that take turns within a second make points of the same root at the same time.
    @Test func pointsOfOneSecondHaveNamesOfTheirOwn() async throws {
        let large = try MemoryStore(Self.store, upTo: 3, place: "large")
        let target = MemoryStore(place: "turns")
        var environment = machine.process()
        environment.now = { Timestamp(seconds: 1_900_000_000) }
        #expect(
            try await SyncRun(from: large, to: [target], options: SyncOptions(), environment: environment).run().targets[0]
                .failure == nil)
        var ids: Set<String> = []
        let lost = try #require(large.files.keys.compactMap { ResourceKey(storePath: $0) }.filter { $0.kind == .packfile }.max())
        for turn in 0..<4 {
            if turn % 2 == 0 {
                large.withContent { $0.published[lost] = nil }
            } else {
                large.put(lost, Self.store.bytes(of: lost) ?? [], modified: Self.store.modified(lost) ?? Timestamp(seconds: 0))
            }
            let report = try await SyncRun(from: large, to: [target], options: Self.accepting, environment: environment).run()
                .targets[0]
            #expect(report.failure == nil && report.madePoint)
            if let id = report.recoveryPoint { ids.insert(id) }
        }
        #expect(ids.count == 4)
        #expect(try await machine.verify(target).isGood)
    }

    /// Another machine made a point of a larger source meanwhile: it says nothing of the smaller one, for which nothing has changed.
    @Test func anotherMachinesPointIsNotThatOfAnUnchangedSource() async throws {
        let small = try MemoryStore(Self.store, place: "small")
        let packfile = try #require(Self.last(.packfile).first)
        small.withContent { $0.published[packfile] = nil }
        for _ in 0..<2 { #expect(try await machine.sync(small, to: target).failure == nil) }
        let others = try await Machine().sync(source, to: target)
        #expect(others.failure == nil && others.madePoint)
        let report = try await machine.sync(small, to: target)
        #expect(report.failure == nil && report.madePoint && report.recoveryPoint != others.recoveryPoint)
        #expect(try await machine.sync(small, to: target).madePoint == false)
        #expect(try await machine.sync(small, to: MemoryStore(place: "third")).failure == nil)
        #expect(try await machine.sync(source, to: target).failure == nil)
    }

    /// What one target's ledger tells of the source keeps the other targets of the call from a point of what is left, whichever comes first.
    @Test(arguments: [true, false]) func aLedgerMeasuresTheSourceForAllTargets(_ isFirst: Bool) async throws {
        let packfile = try #require(Self.last(.packfile).first)
        remove(packfile)
        let (stranger, other) = (try Machine(), MemoryStore(place: "other"))
        let report = try await stranger.sync(source, isFirst ? [target, other] : [other, target])
        for one in report.targets { #expect(one.failure?.kind == .refused && one.failure?.resources == [packfile]) }
        #expect(other.withContent { $0.published.isEmpty })
    }
}
