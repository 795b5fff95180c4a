import Kloset
import Planning
import Replication
import Storage
import StorageLocal
import StorageTesting
import Testing

/// What a sync refuses before a byte is written, as its caller sees it.
@Suite struct GuardTests {
    private static let store = GeneratedStore(seed: 21)

    /// Nothing but what was there: no byte was written.
    private func expectUntouched(_ target: MemoryStore, _ work: () async throws -> Void) async throws {
        let before = target.withContent { ($0.published, $0.documents, $0.staged.count, $0.exists) }
        try await work()
        let after = target.withContent { ($0.published, $0.documents, $0.staged.count, $0.exists) }
        #expect(before.0 == after.0 && before.1 == after.1 && before.2 == after.2 && before.3 == after.3)
        #expect(target.withContent { $0.holder } == nil)
    }

    @Test func anotherRepositoryIsRefused() async throws {
        let source = try MemoryStore(Self.store)
        let target = MemoryStore(place: "target")
        try Self.store.place(in: MemorySink(target), config: GeneratedStore.config(repository: Array(0..<16)))
        let machine = try Machine()
        for options in [SyncOptions(), SyncOptions(allowIncomplete: true, newReplica: true)] {
            try await expectUntouched(target) {
                let failure = try await machine.sync(source, to: target, options).failure
                #expect(failure?.kind == .refused)
                #expect(failure?.place == "target")
            }
        }
    }

    @Test func anUnfinishedCopyOfAnotherRepositoryIsRefused() async throws {
        let machine = try Machine()
        let target = MemoryStore(place: "target")
        target.faults[.makeDurable] = .always
        _ = try await machine.sync(try MemoryStore(Self.store), to: target)
        target.faults[.makeDurable] = nil
        let other = MemoryStore(place: "other")
        try Self.store.place(in: MemorySink(other), config: GeneratedStore.config(repository: Array(0..<16)))
        try await expectUntouched(target) {
            let outcome = try await machine.outcome(other, to: target)
            #expect(outcome == .refused)
        }
        #expect(try await machine.sync(try MemoryStore(Self.store), to: target).failure == nil)
    }

    @Test func aPlaceWithOtherThingsIsRefused() async throws {
        let target = MemoryStore(place: "target")
        target.withContent { content in
            content.exists = true
            content.foreign = 1
        }
        try await expectUntouched(target) {
            let outcome = try await Machine().outcome(try MemoryStore(Self.store), to: target)
            #expect(outcome == .refused)
        }
        // Packfiles without CONFIG and without our mark are somebody's damaged store.
        let store = try MemoryStore(Self.store, place: "store")
        store.withContent { $0.published[.config] = nil }
        try await expectUntouched(store) {
            let outcome = try await Machine().outcome(try MemoryStore(Self.store), to: store)
            #expect(outcome == .refused)
        }
    }

    @Test func anUnfinishedCopyOfOursGoesOn() async throws {
        let source = try MemoryStore(Self.store)
        let target = MemoryStore(place: "target")
        target.faults[.publish] = .late(after: 1)
        let machine = try Machine()
        let limits = BatchLimits(byteCountMax: 4096, resourceCountMax: 2, age: .seconds(3600))
        #expect(try await machine.sync(source, [target], limits: limits).targets[0].failure != nil)
        let before = target.files.count
        target.faults[.publish] = nil
        // Any machine sees whose it is.
        let report = try await Machine().sync(source, to: target)
        #expect(report.failure == nil)
        #expect(report.copied.resources == Self.store.keys().count - before)
        #expect(Set(target.files.keys) == Set(Self.store.files().keys))
    }

    // MARK: - states that only the target has

    @Test func aStateThatOnlyTheTargetHasIsRefusedByName() async throws {
        let source = try MemoryStore(Self.store, upTo: 5)
        let target = MemoryStore(place: "target")
        let machine = try Machine()
        #expect(try await machine.sync(source, to: target).failure == nil)
        let stranger = ResourceKey(.state, Self.store.states[6].id)
        target.put(stranger, Self.store.bytes(of: stranger) ?? [])
        for event in Self.store.events(upTo: 6) { try Self.store.apply(event, to: MemorySink(source)) }
        try await expectUntouched(target) {
            let failure = try await machine.sync(source, to: target).failure
            #expect(failure?.kind == .refused)
            #expect(failure?.reason.contains(stranger.id.hex) == true)
        }
    }

    @Test func aSourceThatWentBackInTimeIsRefused() async throws {
        let target = MemoryStore(place: "target")
        let machine = try Machine()
        #expect(try await machine.sync(try MemoryStore(Self.store, upTo: 6), to: target).failure == nil)
        try await expectUntouched(target) {
            let outcome = try await machine.outcome(try MemoryStore(Self.store, upTo: 4), to: target)
            #expect(outcome == .refused)
        }
    }

    /// Somebody writes to the replica while packfiles are copied to it: seen just before states become visible.
    @Test func aStateThatAppearsInMidRunStopsTheStates() async throws {
        let source = try MemoryStore(Self.store, upTo: 4)
        let target = MemoryStore(place: "target")
        let machine = try Machine()
        #expect(try await machine.sync(source, to: target).failure == nil)
        for event in Self.store.events() { try Self.store.apply(event, to: MemorySink(source)) }
        let states = ClosureCheck(Self.store).stateCount(in: target.files)
        let stranger = ResourceKey(.state, GeneratedStore(seed: 99).states[0].id)
        let watched = ForwardingStore(
            target,
            after: { operation, _ in
                if operation == .publish { target.put(stranger, [1, 2, 3]) }
            })
        let failure = try await machine.sync(source, to: watched).failure
        #expect(failure?.kind == .refused && failure?.what == "refusing to publish states at")
        #expect(failure?.reason.contains(stranger.id.hex) == true)
        #expect(ClosureCheck(Self.store).stateCount(in: target.files) == states + 1)
    }

    // MARK: - loss

    @Test func packfilesThatAreGoneWithoutANewStateAreALoss() async throws {
        let source = try MemoryStore(Self.store)
        let target = MemoryStore(place: "target")
        let machine = try Machine()
        #expect(try await machine.sync(source, to: target).failure == nil)
        let lost = Self.store.keys().last { $0.kind == .packfile }.map { $0 } ?? .config
        source.withContent { $0.published[lost] = nil }
        for options in [SyncOptions(), SyncOptions(relist: true)] {
            try await expectUntouched(target) {
                let failure = try await machine.sync(source, to: target, options).failure
                #expect(failure?.kind == .refused)
                #expect(failure?.reason.contains(lost.id.hex) == true)
            }
        }
        // It comes back: all is well.
        source.put(lost, Self.store.bytes(of: lost) ?? [], modified: Self.store.modified(lost) ?? Timestamp(seconds: 0))
        #expect(try await machine.sync(source, to: target).failure == nil)
    }

    /// A replica keeps what the origin dropped; as a source of its own it may hold more, and then the origin less than it.
    /// A target that knows nothing yet must not make a point of what is left.
    @Test func aLossIsOneForANewTargetToo() async throws {
        let source = try MemoryStore(Self.store)
        let machine = try Machine()
        #expect(try await machine.sync(source, to: MemoryStore(place: "target")).failure == nil)
        let lost = Self.store.keys().last { $0.kind == .packfile }.map { $0 } ?? .config
        source.withContent { $0.published[lost] = nil }
        let other = MemoryStore(place: "other")
        try await expectUntouched(other) {
            let failure = try await machine.sync(source, to: other).failure
            #expect(failure?.kind == .refused)
            #expect(failure?.reason.contains(lost.id.hex) == true)
        }
    }

    /// A store that was moved, or mounted elsewhere, is the same source; a copy of it is another one.
    @Test func aSourceThatWasMovedIsTheSameSource() async throws {
        let source = MemoryStore(place: "source", anchor: "folder 1")
        try Self.store.place(in: MemorySink(source))
        let machine = try Machine()
        let target = MemoryStore(place: "target")
        #expect(try await machine.sync(source, to: target).failure == nil)
        let lost = Self.store.keys().last { $0.kind == .packfile }.map { $0 } ?? .config
        let (moved, copy) = (
            MemoryStore(place: "moved", anchor: "folder 1"), MemoryStore(place: "copy", anchor: "folder 2")
        )
        for store in [moved, copy] {
            try Self.store.place(in: MemorySink(store))
            store.withContent { $0.published[lost] = nil }
        }
        for target in [target, MemoryStore(place: "other")] {
            try await expectUntouched(target) {
                let failure = try await machine.sync(moved, to: target).failure
                #expect(failure?.kind == .refused && failure?.reason.contains(lost.id.hex) == true)
            }
        }
        #expect(try await machine.verify(moved).lost == [lost])
        #expect(try await machine.verify(copy).lost.isEmpty)
        #expect(try await machine.sync(copy, to: MemoryStore(place: "third")).failure == nil)
        // Its place is taken by another folder: that is the same source by its name.
        let taken = MemoryStore(place: "source", anchor: "folder 3")
        try Self.store.place(in: MemorySink(taken))
        taken.withContent { $0.published[lost] = nil }
        #expect(try await machine.outcome(taken, to: target) == .refused)
    }

    /// An inode that another store got means nothing.
    @Test func anotherRepositoryInTheSameFolderIsAnotherSource() async throws {
        let source = MemoryStore(place: "source", anchor: "folder 1")
        try Self.store.place(in: MemorySink(source))
        let machine = try Machine()
        #expect(try await machine.sync(source, to: MemoryStore(place: "target")).failure == nil)
        let other = MemoryStore(place: "source", anchor: "folder 1")
        try GeneratedStore(seed: 22).place(
            in: MemorySink(other), config: GeneratedStore.config(repository: Array(0..<16)))
        #expect(try await machine.sync(other, to: MemoryStore(place: "second")).failure == nil)
    }

    @Test func anotherSourceOfTheSameStoreMayHoldLess() async throws {
        let origin = try MemoryStore(Self.store, upTo: 3, place: "origin")
        let (first, second) = (MemoryStore(place: "first"), MemoryStore(place: "second"))
        let machine = try Machine()
        #expect(try await machine.sync(origin, to: first).failure == nil)
        for event in Self.store.events() { try Self.store.apply(event, to: MemorySink(origin)) }
        #expect(try await machine.sync(origin, to: first).failure == nil)
        #expect(first.files.count > origin.files.count)
        #expect(try await machine.sync(first, to: second).failure == nil)
        #expect(second.files.count == first.files.count)
        #expect(try await machine.sync(origin, to: second).failure == nil)
        #expect(try await machine.sync(first, to: second).failure == nil)
    }

    // MARK: - the wrong disk

    @Test func whereAReplicaWasNothingElseIsWrittenUnlessItIsMeant() async throws {
        let source = try MemoryStore(Self.store)
        let machine = try Machine()
        let outcome = try await machine.sync(source, to: MemoryStore(place: "disk")).failure
        #expect(outcome == nil)
        // The mount is missing: the same place, empty.
        let bare = MemoryStore(place: "disk")
        try await expectUntouched(bare) {
            let outcome = try await machine.outcome(source, to: bare)
            #expect(outcome == .refused)
        }
        // Another replica of the same store has its place: disks were rotated.
        let rotated = MemoryStore(place: "disk")
        #expect(try await Machine().sync(source, to: rotated).failure == nil)
        try await expectUntouched(rotated) {
            let outcome = try await machine.outcome(source, to: rotated)
            #expect(outcome == .refused)
        }
        #expect(try await machine.sync(source, to: rotated, SyncOptions(newReplica: true)).failure == nil)
        #expect(try await machine.sync(source, to: rotated).failure == nil)
        #expect(try await machine.outcome(source, to: bare) == .refused)
        #expect(try await machine.sync(source, to: bare, SyncOptions(newReplica: true)).failure == nil)
        #expect(bare.withContent { $0.documents["replica"] } != rotated.withContent { $0.documents["replica"] })
    }

    /// A replica is known by its id, wherever it is found.
    @Test func aReplicaThatMovedIsTheSameReplica() async throws {
        let disk = SimulatedDisk()
        try Self.store.place(in: DiskSink(disk, "/source"))
        let source = LocalStore(path: "/source", files: disk, pool: Machine.places)
        let machine = try Machine()
        let first = try await machine.sync(
            source, to: LocalStore(path: "/target", place: "here", files: disk, pool: Machine.places))
        let second = try await machine.sync(
            source, to: LocalStore(path: "/target", place: "there", files: disk, pool: Machine.places))
        #expect(first.failure == nil && second.failure == nil)
        #expect(second.recoveryPoint == first.recoveryPoint)
        #expect(second.copied.isEmpty)
    }

    // MARK: - CONFIG

    @Test func theSameRepositoryWithAnotherConfigIsDamage() async throws {
        let source = try MemoryStore(Self.store, upTo: 5)
        let target = MemoryStore(place: "target")
        let machine = try Machine()
        #expect(try await machine.sync(source, to: target).failure == nil)
        for event in Self.store.events() { try Self.store.apply(event, to: MemorySink(source)) }
        var other = GeneratedStore.config
        other[other.count - 1] ^= 1
        // At the target.
        target.put(.config, other)
        let states = ClosureCheck(Self.store).stateCount(in: target.files)
        #expect(try await machine.outcome(source, to: target) == .damage)
        #expect(ClosureCheck(Self.store).stateCount(in: target.files) == states)
        #expect(target.bytes(of: .config) == other)
        // At the source: known to this machine from before.
        target.put(.config, GeneratedStore.config)
        source.put(.config, other)
        try await expectUntouched(target) {
            await #expect(throws: Failure.self) { try await machine.sync(source, to: target) }
        }
    }

    // MARK: - places that are one

    @Test func aTargetInsideTheSourceOrAroundItIsAMistake() async throws {
        let disk = SimulatedDisk()
        try Self.store.place(in: DiskSink(disk, "/a/source"))
        let source = LocalStore(path: "/a/source", files: disk, pool: Machine.places)
        let before = disk.files(below: "/")
        for paths in [["/a/source"], ["/a/source/packfiles/new"], ["/a"], ["/b", "/b"], ["/b", "/b/c"]] {
            let targets = paths.map { LocalStore(path: $0, files: disk, pool: Machine.places) }
            await #expect("\(paths)") { try await Machine().sync(source, targets) } throws: { ($0 as? Failure)?.kind == .usage }
        }
        #expect(Set(disk.files(below: "/").keys) == Set(before.keys))
    }

    @Test func whoHoldsATargetIsNamed() async throws {
        let source = try MemoryStore(Self.store)
        let target = MemoryStore(place: "target")
        let machine = try Machine()
        #expect(try await machine.sync(source, to: target).failure == nil)
        let lock = try await target.lock(holder: "somebody else")
        let failure = try await machine.sync(source, to: target).failure
        #expect(failure?.kind == .tryAgain)
        #expect(failure?.reason.contains("somebody else") == true)
        await lock.release()
        #expect(try await machine.sync(source, to: target).failure == nil)
    }
}
