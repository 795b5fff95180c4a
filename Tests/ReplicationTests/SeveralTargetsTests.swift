import Kloset
import Planning
import Replication
import Storage
import StorageTesting
import Testing

/// One read feeds all targets, and none waits for another.
@Suite struct SeveralTargetsTests {
    /// 24 packfiles that fill a unit each, more than one target may have waiting.
    private static let store = {
        var shape = GeneratedStore.Shape()
        shape.states = 6
        shape.packfilesPerState = 12...12
        shape.maintenanceEvery = 0
        shape.packfileByteCountCycle = [600_000...620_000, 1_300_000...1_400_000, 48...9000]
        return GeneratedStore(seed: 5, shape)
    }()
    private static let sourceByteCount = store.keys().reduce(Int64(0)) { $0 + Int64(store.bytes(of: $1)?.count ?? 0) }

    @Test func allTargetsGetOneReadOnePointAndOneRoot() async throws {
        let source = try MemoryStore(Self.store)
        let targets = (0..<3).map { MemoryStore(place: "target \($0)") }
        let machine = try Machine()
        let report = try await machine.sync(source, targets)
        #expect(report.targets.allSatisfy { $0.failure == nil })
        #expect(report.bytesRead == Self.sourceByteCount)
        #expect(Set(report.targets.map(\.recoveryPoint)).count == 1)
        var roots: Set<Digest> = []
        for target in targets {
            #expect(Set(target.files.keys) == Set(Self.store.files().keys))
            roots.formUnion(try await machine.points(of: target).map(\.point.root))
        }
        #expect(roots.count == 1)
    }

    /// The first target waits in its first write until the second is done: then it has been passed over, and fetches from its sibling.
    @Test func aSlowTargetDelaysNoneAndCatchesUpFromItsSibling() async throws {
        let source = try MemoryStore(Self.store)
        let (slow, quick) = (MemoryStore(place: "slow"), MemoryStore(place: "quick"))
        let isDone = Gate()
        let waiting = ForwardingStore(
            slow,
            before: { operation, _ in
                if operation == .stage || operation == .writeChunk { await isDone.wait() }
            })
        let siblingReads = Counter()
        let watched = ForwardingStore(
            quick, before: { operation, _ in if operation == .read { _ = siblingReads.next() } },
            after: { operation, keys in if operation == .publish, keys == [.config] { isDone.open() } })
        let machine = try Machine()
        let report = try await machine.sync(source, [waiting, watched], SyncOptions(verify: VerificationDepth.none))
        #expect(report.targets.map(\.failure) == [nil, nil])
        #expect(report.bytesRead == Self.sourceByteCount)
        #expect(siblingReads.count > 0)
        for target in [slow, quick] {
            #expect(Set(target.files.keys) == Set(Self.store.files().keys))
            #expect(ClosureCheck(Self.store).violations(in: target.files) == [])
        }
        #expect(report.targets[0].recoveryPoint == report.targets[1].recoveryPoint)
    }

    @Test(arguments: [StoreOperation.lock, .presence, .stage, .writeChunk, .publish, .makeDurable])
    func aFailedTargetHarmsNoOther(_ operation: StoreOperation) async throws {
        let source = try MemoryStore(Self.store)
        let (bad, good) = (MemoryStore(place: "bad"), MemoryStore(place: "good"))
        bad.faults[operation] = .always
        let report = try await Machine().sync(source, [bad, good])
        #expect(report.targets[0].failure != nil)
        #expect(report.targets[1].failure == nil)
        // What only the failed one had taken is read again.
        #expect(report.bytesRead >= Self.sourceByteCount)
        #expect(Set(good.files.keys) == Set(Self.store.files().keys))
        #expect(bad.bytes(of: .config) == nil)
    }

    /// A target that is behind meets a source that was maintained since: it cuts again, while the other one is done.
    @Test func whatVanishesBeforeASlowTargetFetchesItIsCutAgain() async throws {
        var shape = GeneratedStore.Shape()
        shape.states = 6
        shape.packfilesPerState = 12...12
        shape.maintenanceEvery = 6
        shape.packfileByteCountCycle = [600_000...620_000]
        let store = GeneratedStore(seed: 6, shape)
        let source = try MemoryStore(store, upTo: 5)
        let drop = store.events().dropFirst(store.events(upTo: 5).count)
        let (slow, quick) = (MemoryStore(place: "slow"), MemoryStore(place: "quick"))
        let isDone = Gate()
        let waiting = ForwardingStore(
            slow,
            before: { operation, _ in
                if operation == .stage { await isDone.wait() }
            })
        // The sibling lets nobody read, so the slow one has to ask the source.
        let watched = ForwardingStore(
            quick, before: { operation, keys in if operation == .read, isDone.isOpen { throw Vanished(keys[0]) } },
            after: { operation, keys in
                guard operation == .publish, keys == [.config] else { return }
                for event in drop { try store.apply(event, to: MemorySink(source)) }
                isDone.open()
            })
        let report = try await Machine().sync(source, [waiting, watched], SyncOptions(verify: VerificationDepth.none))
        #expect(report.targets.map(\.failure) == [nil, nil])
        #expect(ClosureCheck(store).violations(in: slow.files, stateCountWithConfig: 6) == [])
        #expect(ClosureCheck(store).violations(in: quick.files, stateCountWithConfig: 5) == [])
    }
}
