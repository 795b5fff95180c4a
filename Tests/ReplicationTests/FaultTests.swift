import Kloset
import Planning
import Replication
import Storage
import StorageTesting
import Testing

/// Targets that fail, each in its own way: an honest exit, nothing visible that leans on what is missing, and the next run completes.
@Suite struct FaultTests {
    static let store = {
        var shape = GeneratedStore.Shape()
        shape.states = 6
        shape.packfileByteCountCycle = [48...4000, 48...4000, 48...4000, 1_100_000...1_200_000]
        return GeneratedStore(seed: 3, shape)
    }()
    private static let limits = BatchLimits(byteCountMax: 1 << 20, resourceCountMax: 4, age: .seconds(3600))
    /// All that writes, and what is read to prove it.
    private static let operations: [StoreOperation] = [
        .lock, .prepare, .stage, .upload, .heldChunks, .writeChunk, .finish, .makeDurable, .publish, .replaceDocument,
        .createDocument, .list,
        .attributes, .presence, .footprint, .document, .documents,
    ]
    /// In an update, names are made durable state by state.
    private static let updating = operations + [.makeNamesDurable]

    /// One that shows what is staged, and one that hides it.
    private static func targets() -> [MemoryStore] {
        [MemoryStore(place: "target"), MemoryStore(place: "target", capabilities: MemoryStore.hiding)]
    }

    private func check(_ target: MemoryStore, _ story: Comment) {
        #expect(ClosureCheck(Self.store).violations(in: target.files, stateCountWithConfig: nil) == [], story)
    }

    @Test(arguments: operations, [Fault.once, .always, .late(after: 2), .torn, .doneButFailed])
    func aFirstCopyThatFailsSaysSoAndTheNextCompletes(_ operation: StoreOperation, _ fault: Fault) async throws {
        let source = try MemoryStore(Self.store)
        for target in Self.targets() {
            let story: Comment = "first copy: \(operation) \(fault), hides: \(!target.capabilities.showsStaged)"
            try await fail(operation, fault, source, target, try Machine(), story)
        }
    }

    @Test(arguments: updating, [Fault.once, .always, .late(after: 1), .torn, .doneButFailed])
    func anUpdateThatFailsSaysSoAndTheNextCompletes(_ operation: StoreOperation, _ fault: Fault) async throws {
        for target in Self.targets() {
            let source = try MemoryStore(Self.store, upTo: 3)
            let machine = try Machine()
            #expect(try await machine.sync(source, to: target).failure == nil)
            for event in Self.store.events().dropFirst(Self.store.events(upTo: 3).count) {
                try Self.store.apply(event, to: MemorySink(source))
            }
            let story: Comment = "update: \(operation) \(fault), hides: \(!target.capabilities.showsStaged)"
            try await fail(operation, fault, source, target, machine, story)
        }
    }

    /// Where nothing shows before it has its name, other bytes may have it for a moment; nothing leans on them.
    @Test(arguments: [StoreOperation.stage, .writeChunk])
    func whatIsPublishedWithOtherBytesIsReplacedOnce(_ operation: StoreOperation) async throws {
        let source = try MemoryStore(Self.store)
        let target = MemoryStore(place: "target", capabilities: MemoryStore.hiding)
        // Every write of a kind changes a byte until the first read under a published name after there was one.
        target.faults[operation] = .flipping
        let honest = ForwardingStore(
            target,
            before: { called, _ in
                if called == .read, target.faults.callCount(operation) > 0 { target.faults[operation] = nil }
            })
        let report = try await Machine().sync(source, [honest], SyncOptions(verify: .all), limits: Self.limits).targets[0]
        #expect(report.failure == nil)
        #expect(target.files == Self.store.files())
        #expect(target.withContent { !$0.quarantine.isEmpty })
        check(target, "\(operation)")
    }

    @Test func whatIsPublishedWithOtherBytesTwiceIsDamage() async throws {
        let source = try MemoryStore(Self.store)
        let target = MemoryStore(place: "target", capabilities: MemoryStore.hiding)
        for operation in [StoreOperation.stage, .writeChunk] { target.faults[operation] = .flipping }
        let machine = try Machine()
        let report = try await machine.sync(source, [target], SyncOptions(verify: .all), limits: Self.limits).targets[0]
        #expect(report.failure?.kind == .damage)
        #expect(target.files.keys.allSatisfy { !$0.hasPrefix("states/") && $0 != "CONFIG" })
        for operation in [StoreOperation.stage, .writeChunk] { target.faults[operation] = nil }
        // What is there under its name is not what was recorded: only repair may touch it.
        #expect(try await machine.outcome(source, to: target) == .damage)
    }

    private func fail(
        _ operation: StoreOperation, _ fault: Fault, _ source: MemoryStore, _ target: MemoryStore, _ machine: Machine,
        _ story: Comment
    ) async throws {
        // Who never got the lock cannot give it back; that is for the end of the process to do.
        if operation == .lock, fault == .doneButFailed { return }
        target.faults[operation] = fault
        let report = try await machine.sync(source, [target], limits: Self.limits).targets[0]
        let isDue = target.faults.callCount(operation) > (fault == .late(after: 2) ? 2 : fault == .late(after: 1) ? 1 : 0)
        if isDue { #expect(report.failure != nil, story) }
        check(target, story)
        #expect(target.withContent { $0.holder } == nil, story)
        target.faults[operation] = nil
        let next = try await machine.sync(source, [target], limits: Self.limits).targets[0]
        #expect(next.failure == nil, story)
        #expect(Set(target.files.keys).isSuperset(of: Self.store.files().keys), story)
        check(target, story)
        let verified = try await machine.verify(target)
        #expect(verified.isGood && verified.isComplete, story)
    }

    /// It says that it works and drops or changes what is written: all that is read back shows it.
    @Test(arguments: [
        (StoreOperation.stage, Fault.lying), (.stage, .flipping), (.writeChunk, .lying), (.writeChunk, .flipping),
    ])
    func aTargetThatLiesIsFoundOut(_ operation: StoreOperation, _ fault: Fault) async throws {
        let source = try MemoryStore(Self.store)
        let target = MemoryStore(place: "target")
        // `lying` is one call; a medium that loses data does not stop.
        let liar = fault == .lying ? ForwardingStore(target, before: { _, _ in target.faults[operation] = .lying }) : nil
        target.faults[operation] = fault
        let machine = try Machine()
        let options = SyncOptions(verify: .all)
        let failure = try await machine.sync(source, [liar ?? target], options, limits: Self.limits).targets[0].failure
        #expect(failure?.kind == .damage, "\(operation) \(fault): \(String(describing: failure))")
        #expect(target.bytes(of: .config) == nil)
        check(target, "\(operation) \(fault)")
        target.faults[operation] = nil
        #expect(try await machine.sync(source, to: target).failure == nil)
        #expect(Set(target.files.keys) == Set(Self.store.files().keys))
    }

    /// What was lost once is written once more.
    @Test(arguments: [StoreOperation.stage, .writeChunk])
    func oneLieIsHealedInTheSameRun(_ operation: StoreOperation) async throws {
        let source = try MemoryStore(Self.store)
        let target = MemoryStore(place: "target")
        target.faults[operation] = .lying
        let report = try await Machine().sync(source, [target], SyncOptions(verify: .all), limits: Self.limits).targets[0]
        #expect(report.failure == nil)
        #expect(Set(target.files.keys) == Set(Self.store.files().keys))
        check(target, "\(operation)")
    }

    /// Some resources of a bulk call fail, others do not.
    @Test(arguments: [StoreOperation.stage, .publish])
    func aFailureOfOneResourceIsAFailure(_ operation: StoreOperation) async throws {
        let source = try MemoryStore(Self.store)
        let target = MemoryStore(place: "target")
        target.faults[operation] = .items([1])
        let machine = try Machine()
        let report = try await machine.sync(source, [target], limits: Self.limits).targets[0]
        #expect(report.failure?.resource != nil)
        check(target, "\(operation)")
        target.faults[operation] = nil
        #expect(try await machine.sync(source, to: target).failure == nil)
    }
}
