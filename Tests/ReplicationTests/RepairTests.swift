import Kloset
import Replication
import Storage
import StorageTesting
import Synchronization
import Testing

/// What repair moves, and in which order.
@Suite struct RepairTests {
    private static let shape = {
        var shape = GeneratedStore.Shape()
        shape.states = 8
        shape.packfilesPerState = 3...4
        shape.maintenanceEvery = 100
        shape.packfileByteCountCycle = [48...3000, 1_200_000...1_300_000, 48...3000]
        return shape
    }()

    /// A source and a replica that was synced from it.
    private struct Pair {
        let seed = SeededRandom.freshSeed()
        let store: GeneratedStore
        let source: MemoryStore
        let target = MemoryStore(place: "target")
        let machine: Machine

        init(_ shape: GeneratedStore.Shape = RepairTests.shape) async throws {
            print("repair: seed \(seed)")
            store = GeneratedStore(seed: seed, shape)
            source = try MemoryStore(store)
            machine = try Machine()
            #expect(try await machine.sync(source, to: target).failure == nil)
        }

        var states: [ResourceKey] { store.states.map { ResourceKey(.state, $0.id) } }
        var packfiles: [ResourceKey] { store.keys().filter { $0.kind == .packfile } }

        func lose(_ keys: [ResourceKey], at place: MemoryStore) {
            place.withContent { content in
                for key in keys { content.published[key] = nil }
            }
        }

        func repair(_ target: (any Store)? = nil, by machine: Machine? = nil) async throws -> RepairReport {
            try await RepairRun(of: target ?? self.target, from: source, environment: (machine ?? self.machine).process()).run()
        }
    }

    private static func isNoStore(_ body: () async throws -> Void) async -> Bool {
        do {
            try await body()
            return false
        } catch let failure as Failure {
            return failure.kind == .noStore && failure.advice.contains("sealift sync")
        } catch {
            return false
        }
    }

    @Test func anUnfinishedCopyIsNoStoreToHeal() async throws {
        let store = GeneratedStore(seed: SeededRandom.freshSeed(), Self.shape)
        let (source, target, machine) = (try MemoryStore(store), MemoryStore(place: "target"), try Machine())
        let cut = ForwardingStore(
            target,
            before: { operation, keys in
                if operation == .publish, keys == [.config] { throw Failure(.readWrite, "cannot publish", reason: "cut") }
            })
        #expect(try await machine.sync(source, to: cut).failure != nil)
        for machine in [machine, try Machine()] {
            #expect(await Self.isNoStore { _ = try await machine.verify(target) })
            #expect(
                await Self.isNoStore {
                    _ = try await RepairRun(of: target, from: source, environment: machine.process()).run()
                })
        }
        #expect(target.bytes(of: .config) == nil)
        #expect(try await machine.sync(source, to: target).failure == nil)
        #expect(try await machine.verify(target).isGood)
    }

    /// A publish by link and unlink leaves this where a power loss keeps the link alone.
    @Test(arguments: [true, false]) func whatIsStagedOfAPublishedResourceGoesAndNothingElse(isDamaged: Bool) async throws {
        let pair = try await Pair()
        let (published, unfinished) = (pair.packfiles[0], ResourceKey(.packfile, pair.states[0].id))
        pair.target.withContent { content in
            content.staged[published] = content.published[published]
            content.staged[unfinished] = content.published[published]
            if isDamaged { content.published[pair.packfiles[1]]?.bytes[40] ^= 1 }
        }
        let report = try await pair.repair()
        #expect(report.failed == [] && report.repaired == (isDamaged ? [pair.packfiles[1]] : []))
        #expect(pair.target.withContent { $0.staged.keys.sorted() } == [unfinished], "a sync may go on with that")
        #expect(try await pair.machine.verify(pair.target).isGood)
    }

    @Test func nothingToHealAndNothingToTidyIsNoWrite() async throws {
        let pair = try await Pair()
        let writes = Counter()
        let harmless: Set<StoreOperation> = [
            .footprint, .presence, .extras, .list, .attributes, .readWhole, .read, .document, .documents, .lock, .discardStaged,
        ]
        let watched = ForwardingStore(
            pair.target, before: { operation, _ in if !harmless.contains(operation) { _ = writes.next() } })
        #expect(try await pair.repair(watched).repaired == [])
        #expect(writes.count == 0)
    }

    @Test func aConfigThatAPointNamesIsLostAndHealed() async throws {
        let pair = try await Pair()
        for machine in [pair.machine, try Machine()] {
            pair.lose([.config], at: pair.target)
            #expect(try await machine.verify(pair.target).lost == [.config])
            #expect(try await pair.repair(by: machine).repaired == [.config])
            #expect(pair.target.bytes(of: .config) == GeneratedStore.config)
        }
    }

    @Test func noLostStateBecomesVisibleWhileAPackfileIsMissing() async throws {
        let pair = try await Pair()
        let (lostState, damagedState) = (pair.states[5], pair.states[2])
        let (hopeless, small) = (pair.packfiles[0], pair.packfiles[1])
        pair.lose([lostState, hopeless, small], at: pair.target)
        pair.target.withContent { $0.published[damagedState]?.bytes[20] ^= 1 }
        let kept = pair.source.withContent { $0.published[hopeless] }
        pair.lose([hopeless], at: pair.source)
        let report = try await pair.repair()
        #expect(Set(report.failed.map(\.key)) == [hopeless, lostState])
        #expect(report.failed.first { $0.key == lostState }?.reason.contains("\(hopeless)") == true)
        #expect(Set(report.repaired) == [small, damagedState])
        #expect(pair.target.bytes(of: lostState) == nil)
        #expect(pair.target.withContent { $0.staged.isEmpty })
        pair.source.withContent { $0.published[hopeless] = kept }
        #expect(try await pair.repair().failed == [])
        #expect(try await pair.machine.verify(pair.target).isGood)
    }

    @Test func aDamagedPackfileThatStaysDamagedHoldsStatesBackToo() async throws {
        let pair = try await Pair()
        for place in [pair.target, pair.source] {
            for key in pair.packfiles.prefix(2) {
                place.withContent { $0.published[key]?.bytes[40] ^= 1 }
            }
        }
        pair.lose([pair.states[0]], at: pair.target)
        let before = pair.packfiles.prefix(2).map { pair.target.bytes(of: $0) }
        let report = try await pair.repair()
        #expect(Set(report.failed.map(\.key)) == Set(pair.packfiles.prefix(2) + [pair.states[0]]))
        #expect(pair.target.bytes(of: pair.states[0]) == nil)
        #expect(pair.packfiles.prefix(2).map { pair.target.bytes(of: $0) } == before)
    }

    @Test func lostStatesComeOldestFirstEachDurableAfterAllPackfiles() async throws {
        let pair = try await Pair()
        let lost = pair.states.suffix(5)
        pair.lose(lost + pair.packfiles, at: pair.target)
        let log = Mutex<[(StoreOperation, [ResourceKey])]>([])
        let watched = ForwardingStore(
            pair.target,
            after: { operation, keys in
                if [.publish, .makeDurable, .makeNamesDurable].contains(operation) {
                    log.withLock { $0.append((operation, keys)) }
                }
            })
        #expect(try await pair.repair(watched).failed == [])
        let steps = log.withLock { $0 }
        let published = steps.filter { $0.0 == .publish }.flatMap(\.1)
        #expect(Array(published.suffix(5)) == Array(lost))
        #expect(published.dropLast(5).allSatisfy { $0.kind == .packfile })
        // Whatever was published before a state, and each state before the next, is durable.
        var volatile: Set<ResourceKey> = []
        for (operation, keys) in steps {
            switch operation {
            case .makeDurable: volatile = []
            case .makeNamesDurable: volatile.subtract(keys)
            default:
                if keys.contains(where: { $0.kind == .state }) { #expect(volatile.isEmpty && keys.count == 1) }
                volatile.formUnion(keys)
            }
        }
        #expect(volatile.isEmpty)
        #expect(try await pair.machine.verify(pair.target).isGood)
    }

    @Test func aStateThatCannotBeHealedHoldsBackTheNewer() async throws {
        let pair = try await Pair()
        let states = pair.states
        pair.lose(Array(states[3...5]), at: pair.target)
        pair.source.withContent { $0.published[states[4]]?.bytes[40] ^= 1 }
        let report = try await pair.repair()
        #expect(report.repaired == [states[3]])
        #expect(Set(report.failed.map(\.key)) == [states[4], states[5]])
        #expect(pair.target.bytes(of: states[5]) == nil)
        #expect(pair.target.withContent { $0.staged.isEmpty })
    }

    /// Another machine appends to the ledger just before repair gets the lock; repair has to append too.
    @Test func aSyncJustBeforeTheLockDoesNotCollideWithTheLedger() async throws {
        let store = GeneratedStore(seed: SeededRandom.freshSeed(), Self.shape)
        let (source, target) = (try MemoryStore(store, upTo: 4), try MemoryStore(store, upTo: 4, place: "target"))
        let (machine, other) = (try Machine(), try Machine())
        #expect(try await machine.sync(source, to: target, SyncOptions(verify: .none)).unproven > 0)
        let unproven = try #require(store.keys(upTo: 4).first { $0.kind == .packfile })
        target.withContent { $0.published[unproven]?.bytes[0] ^= 1 }
        let full = try MemoryStore(store)
        let isDone = Mutex(false)
        let contended = ForwardingStore(
            target,
            before: { operation, _ in
                guard operation == .lock,
                    isDone.withLock({ was in
                        defer { was = true }; return !was
                    })
                else { return }
                let report = try await other.sync(full, to: target, SyncOptions(verify: .none))
                if let failure = report.failure { throw failure }
            })
        let report = try await RepairRun(of: contended, from: full, environment: machine.process()).run()
        #expect(report.repaired == [unproven] && report.failed == [])
        #expect(target.bytes(of: unproven) == store.bytes(of: unproven))
        // The chain of segments is whole: a machine that knows nothing follows it, and knows what repair has recorded.
        let fresh = try await Machine().verify(target)
        #expect(fresh.isGood)
        let own = try await machine.verify(target)
        #expect(fresh.unknown == own.unknown)
    }

    @Test func manyLostPackfilesCostFewSyncs() async throws {
        var shape = GeneratedStore.Shape()
        shape.states = 4
        shape.packfilesPerState = 200...200
        shape.maintenanceEvery = 100
        shape.packfileByteCounts = 48...300
        let pair = try await Pair(shape)
        pair.lose(pair.packfiles, at: pair.target)
        let calls = Mutex<[StoreOperation: Int]>([:])
        let watched = ForwardingStore(pair.target, after: { operation, _ in calls.withLock { $0[operation, default: 0] += 1 } })
        #expect(try await pair.repair(watched).repaired.count == 800)
        // 800 in batches of 256.
        let counted = calls.withLock { $0 }
        #expect((counted[.makeDurable] ?? 0) + (counted[.makeNamesDurable] ?? 0) <= 8)
        #expect(counted[.publish] == 4 && counted[.stage] == 4 && counted[.exchange] == nil)
        #expect(try await pair.machine.verify(pair.target).isGood)
    }
}
