import Kloset
import Planning
import Replication
import Storage
import StorageTesting
import Synchronization
import Testing

/// A source that is written to and maintained while it is copied: what the copy shows is always a store of some moment, and nothing of what the
/// source had when the run began is left out.
@Suite struct LivingSourceTests {
    @Test func whateverTheSourceDoesMeanwhileTheCopyIsClosed() async throws {
        let seed = Loops.seed("living source")
        var random = SeededRandom(seed: seed)
        var syncs = 0
        var outcomes = Outcomes()
        while syncs < Loops.rounds(fast: 40, part: 250, full: 1000) ?? 1000 {
            syncs += try await oneHistory(seed: random.next(), &random, &outcomes)
        }
        print("living source: \(syncs) syncs, \(outcomes)")
        #expect(outcomes.done > outcomes.putOff, "seed \(seed)")
        #expect(outcomes.cutAgain > 0, "seed \(seed): no packfile ever vanished under a run")
    }

    private struct Outcomes {
        var done = 0
        var putOff = 0
        var cutAgain = 0
        /// A point was cut between a maintenance's state and its deletions: then nothing tells those from a loss before the next state comes.
        var tookForLoss = 0
    }

    /// Syncs one store until its history is over.
    ///
    /// - Returns: how many syncs that took.
    private func oneHistory(seed: UInt64, _ random: inout SeededRandom, _ outcomes: inout Outcomes) async throws -> Int {
        var shape = GeneratedStore.Shape()
        shape.states = 40
        shape.packfilesPerState = 1...6
        shape.maintenanceEvery = 3
        let store = GeneratedStore(seed: seed, shape)
        let living = try LivingSource(store, seed: random.next())
        let targets = [MemoryStore(place: "one"), MemoryStore(place: "two")]
        let machine = try Machine()
        let environment = machine.process()
        var syncs = 0
        while !living.isOver || syncs == 0 {
            living.hurry = Int.random(in: 2...60, using: &random)
            let before = living.stateCount
            // The second target sometimes skips a run, so the two miss different things.
            let chosen: [any Store] = Bool.random(using: &random) ? targets : [targets[0]]
            let verify = VerificationDepth.allCases.randomElement(using: &random) ?? .sample
            let cuts = living.cutCount
            let report = try await sync(living, chosen, SyncOptions(verify: verify), environment)
            syncs += 1
            if let report {
                outcomes.cutAgain += living.cutCount - cuts > 1 ? 1 : 0
                for (target, outcome) in zip(targets, report.targets) {
                    let story = Comment(
                        rawValue: "seed \(seed), sync \(syncs) to \(target.place): \(outcome.failure?.description ?? "done")")
                    let check = ClosureCheck(store)
                    // The last point of the source may be another target's.
                    let newest = store.states.prefix(targets.map { check.stateCount(in: $0.files) }.max() ?? 0).last
                    switch outcome.failure?.kind {
                    case nil: outcomes.done += 1
                    case .tryAgain: outcomes.putOff += 1
                    case .refused where newest?.drops.isEmpty == false: outcomes.tookForLoss += 1
                    default: Issue.record(story)
                    }
                    #expect(check.violations(in: target.files) == [], story)
                    // Nothing was skipped: all states that were there when the run began are there, and closure says the rest.
                    if outcome.failure == nil { #expect(check.stateCount(in: target.files) >= before, story) }
                }
            } else {
                outcomes.putOff += 1
            }
        }
        living.hurry = 0
        let last = try await SyncRun(from: living, to: targets, options: SyncOptions(verify: .all), environment: environment)
            .run()
        for (target, outcome) in zip(targets, last.targets) {
            #expect(outcome.failure == nil, "seed \(seed)")
            #expect(Set(target.files.keys).isSuperset(of: store.files().keys), "seed \(seed)")
            let verified = try await VerifyRun(of: target, against: nil, environment: environment).run()
            #expect(verified.isGood && verified.isComplete, "seed \(seed)")
        }
        return syncs + 1
    }

    /// Nil when the source kept changing.
    private func sync(
        _ source: any StoreReader, _ targets: [any Store], _ options: SyncOptions, _ environment: RunEnvironment
    ) async throws -> SyncReport? {
        do {
            return try await SyncRun(from: source, to: targets, options: options, environment: environment).run()
        } catch let failure as Failure where failure.kind == .tryAgain {
            return nil
        }
    }

    /// The moment that only a second look at the states shows: a packfile is dropped and deleted after the states were listed and before the
    /// packfiles are.
    @Test func aDropBetweenTheListsIsSeen() async throws {
        var shape = GeneratedStore.Shape()
        shape.states = 4
        shape.maintenanceEvery = 4
        shape.packfilesPerState = 3...3
        let store = GeneratedStore(seed: 7, shape)
        let memory = try MemoryStore(store, upTo: 3)
        let drop = store.events().dropFirst(store.events(upTo: 3).count)
        let lists = Counter()
        let source = ForwardingStore(
            memory,
            before: { operation, _ in
                guard operation == .list, lists.next() == 256 else { return }
                for event in drop { try store.apply(event, to: MemorySink(memory)) }
            })
        let target = MemoryStore(place: "target")
        let machine = try Machine()
        let report = try await machine.sync(source, to: target)
        #expect(report.failure == nil)
        #expect(report.copied.states == 4)
        #expect(ClosureCheck(store).violations(in: target.files, stateCountWithConfig: 4) == [])
    }

    /// A packfile that is gone when its turn comes means another cut, also for a target that already has the rest.
    @Test func aVanishedPackfileIsCutAgainAndNeverSkipped() async throws {
        var shape = GeneratedStore.Shape()
        shape.states = 4
        shape.maintenanceEvery = 4
        let store = GeneratedStore(seed: 11, shape)
        let memory = try MemoryStore(store, upTo: 3)
        let drop = store.events().dropFirst(store.events(upTo: 3).count)
        let dropped = store.states[3].drops.map { ResourceKey(.packfile, $0) }
        let reads = Counter()
        let source = ForwardingStore(
            memory,
            before: { operation, keys in
                guard operation == .readWhole, !Set(keys).isDisjoint(with: dropped), reads.next() == 0 else { return }
                for event in drop { try store.apply(event, to: MemorySink(memory)) }
            })
        let target = MemoryStore(place: "target")
        let report = try await Machine().sync(source, to: target)
        #expect(report.failure == nil)
        #expect(reads.count == 1)
        #expect(Set(target.files.keys) == Set(store.files().keys))
        #expect(report.copied.states == 4)
    }
}

/// A generated store in memory whose history goes on, by chance, at any call of its reader.
private final class LivingSource: StoreReader {
    private struct State {
        var random: SeededRandom
        var next: Int
        var hurry = 0
        var stateCount: Int
        var lists = 0
    }

    private let base = MemoryStore(place: "source")
    private let store: GeneratedStore
    private let events: [GeneratedStore.Event]
    private let state: Mutex<State>

    /// Begins with three states.
    init(_ store: GeneratedStore, seed: UInt64) throws {
        self.store = store
        events = store.events()
        try store.place(in: MemorySink(base), upTo: 3)
        state = Mutex(State(random: SeededRandom(seed: seed), next: store.events(upTo: 3).count, stateCount: 3))
    }

    /// Percent of the calls during which something happens (listing a bucket counts as a hundredth of a call); 0 lets it rest.
    var hurry: Int {
        get { state.withLock { $0.hurry } }
        set { state.withLock { $0.hurry = newValue } }
    }
    /// How many states it has.
    var stateCount: Int { state.withLock { $0.stateCount } }
    var isOver: Bool { state.withLock { $0.next == events.count } }
    /// How often it was cut, or nearly: listings of packfiles that were begun.
    var cutCount: Int { state.withLock { $0.lists } }

    private func live(_ weight: Int = 100) throws {
        try state.withLock { state in
            guard state.next < events.count, Int.random(in: 0..<10_000, using: &state.random) < state.hurry * weight else {
                return
            }
            for event in events[state.next..<min(events.count, state.next + Int.random(in: 1...6, using: &state.random))] {
                try store.apply(event, to: MemorySink(base))
                state.next += 1
                if case .put(let key) = event, key.kind == .state { state.stateCount += 1 }
            }
        }
    }

    var place: String { base.place }
    var capabilities: StoreCapabilities { base.capabilities }
    func footprint() async throws -> Footprint { try await base.footprint() }
    func presence() async throws -> Presence { try await base.presence() }
    func extras() async throws -> StoreExtras { try await base.extras() }
    func document(_ name: String, byteCountMax: Int) async throws -> [UInt8]? {
        try await base.document(name, byteCountMax: byteCountMax)
    }
    func documents(in folder: String) async throws -> [String] { try await base.documents(in: folder) }

    func list(_ kind: ResourceKind, bucket: UInt8) async throws -> BucketListing {
        if kind == .packfile, bucket == 0 { state.withLock { $0.lists += 1 } }
        try live(1)
        return try await base.list(kind, bucket: bucket)
    }

    func attributes(of keys: [ResourceKey]) async throws -> [ResourceAttributes] {
        try live()
        return try await base.attributes(of: keys)
    }

    func readWhole(_ keys: [ResourceKey], from view: ResourceView, into piece: Piece) async throws -> [WholeRead] {
        try live()
        return try await base.readWhole(keys, from: view, into: piece)
    }

    func read(_ key: ResourceKey, from view: ResourceView, at offset: Int64, count: Int, into piece: Piece) async throws -> Int {
        try live()
        return try await base.read(key, from: view, at: offset, count: count, into: piece)
    }
}
