import Kloset
import Replication
import Storage
import StorageTesting
import Synchronization
import Testing

/// What reading a store back says of it.
@Suite struct VerifyTests {
    private let fresh = FreshMachines()

    private static func generated() -> GeneratedStore {
        var shape = GeneratedStore.Shape()
        shape.states = 6
        shape.packfilesPerState = 3...4
        shape.maintenanceEvery = 100
        shape.packfileByteCountCycle = [48...3000, 1_200_000...1_300_000, 48...3000]
        let seed = SeededRandom.freshSeed()
        print("verify: seed \(seed)")
        return GeneratedStore(seed: seed, shape)
    }

    /// Which call the resource is gone before.
    private static func losing(_ keys: [ResourceKey], of store: MemoryStore, before moment: StoreOperation) -> ForwardingStore {
        ForwardingStore(
            store,
            before: { operation, asked in
                guard operation == moment, !Set(asked).isDisjoint(with: keys) else { return }
                store.withContent { content in
                    for key in keys { content.published[key] = nil }
                }
            })
    }

    @Test(arguments: [StoreOperation.readWhole, .read])
    func whatVanishesFromASourceIsNoDamageAndFromAReplicaIsLost(_ moment: StoreOperation) async throws {
        let store = Self.generated()
        let (source, target, machine) = (try MemoryStore(store), MemoryStore(place: "target"), try Machine())
        #expect(try await machine.sync(source, to: target).failure == nil)
        let packfiles = store.keys().filter { $0.kind == .packfile }
        let small = try #require(packfiles.first { (store.bytes(of: $0)?.count ?? 0) < 4096 })
        let large = try #require(packfiles.first { (store.bytes(of: $0)?.count ?? 0) > 1 << 20 })
        let gone = moment == .read ? [large] : [small, large]
        let ofSource = try await machine.verify(Self.losing(gone, of: source, before: moment))
        #expect(ofSource.isGood && ofSource.unknown == 0)
        // States and packfiles; CONFIG is none.
        #expect(ofSource.checked.resources == store.keys().count - gone.count)
        let ofReplica = try await machine.verify(Self.losing(gone, of: target, before: moment))
        #expect(ofReplica.lost == gone.sorted() && ofReplica.damagedCount == 0)
    }

    @Test func aSourceIsCutAsForASync() async throws {
        let store = Self.generated()
        let (source, machine) = (try MemoryStore(store, upTo: 3), try Machine())
        #expect(try await machine.sync(source, to: MemoryStore(place: "target")).failure == nil)
        let dropped = try #require(store.keys(upTo: 3).first { $0.kind == .packfile })
        let news = ResourceKey(.state, store.states[3].id)
        let lists = Mutex(0)
        // After the first list of states a maintenance commits a state and drops a packfile.
        let live = ForwardingStore(
            source,
            after: { operation, _ in
                guard operation == .list,
                    lists.withLock({
                        $0 += 1; return $0 == 256
                    })
                else { return }
                source.withContent { content in
                    content.published[news] = MemoryStore.Held(
                        bytes: store.bytes(of: news) ?? [], modified: Timestamp(seconds: 1))
                    content.published[dropped] = nil
                }
            })
        let report = try await machine.verify(live)
        #expect(report.isGood && report.lost == [])
        #expect(report.unknown == 1)
    }

    @Test func whatASyncBringsMeanwhileIsNotLost() async throws {
        let store = Self.generated()
        let (target, machine) = (MemoryStore(place: "target"), try Machine())
        #expect(try await machine.sync(try MemoryStore(store, upTo: 3), to: target).failure == nil)
        let full = try MemoryStore(store)
        let isDone = Mutex(false)
        let busy = ForwardingStore(
            target,
            before: { operation, _ in
                guard operation == .readWhole,
                    isDone.withLock({ was in
                        defer { was = true }; return !was
                    })
                else { return }
                _ = try await machine.sync(full, to: target)
            })
        #expect(try await machine.verify(busy).isGood)
    }

    @Test func smallResourcesAreReadInGroupsFromTheMedium() async throws {
        var shape = GeneratedStore.Shape()
        shape.states = 4
        shape.packfilesPerState = 250...250
        shape.maintenanceEvery = 100
        shape.packfileByteCounts = 48...300
        let store = GeneratedStore(seed: SeededRandom.freshSeed(), shape)
        let (source, target, machine) = (try MemoryStore(store), MemoryStore(place: "target"), try Machine())
        #expect(try await machine.sync(source, to: target).failure == nil)
        let calls = Mutex<[StoreOperation: Int]>([:])
        let count: ForwardingStore.Hook = { operation, _ in calls.withLock { $0[operation, default: 0] += 1 } }
        #expect(try await machine.verify(ForwardingStore(target, after: count)).checked.resources == 1004)
        let counted = calls.withLock { $0 }
        // 1,004 in groups of 256, and CONFIG.
        #expect((counted[.readWhole] ?? 0) <= 6 && (counted[.read] ?? 0) <= 1 && (counted[.attributes] ?? 0) <= 1)
    }

    @Test func anotherStoreStandsInForDigests() async throws {
        let store = Self.generated()
        let (mine, other) = (try MemoryStore(store, place: "mine"), try MemoryStore(store, place: "other"))
        let packfiles = store.keys().filter { $0.kind == .packfile }
        for key in packfiles.prefix(4) { mine.withContent { $0.published[key]?.bytes[40] ^= 1 } }
        other.withContent { content in
            for key in packfiles.suffix(2) { content.published[key] = nil }
        }
        let report = try await VerifyRun(of: mine, against: other, environment: fresh.next().process()).run()
        #expect(report.damaged.map(\.key) == packfiles.prefix(4).sorted())
        #expect(report.unknown == 2)
    }

    // MARK: - two copies

    /// Two copies of one store that no machine has seen.
    private struct Copies {
        let store = VerifyTests.generated()
        let mine: MemoryStore
        let other: MemoryStore
        var packfiles: [ResourceKey] { store.keys().filter { $0.kind == .packfile } }
        var small: ResourceKey { get throws { try #require(packfiles.first { (store.bytes(of: $0)?.count ?? 0) < 4096 }) } }
        var large: ResourceKey { get throws { try #require(packfiles.first { (store.bytes(of: $0)?.count ?? 0) > 1 << 20 }) } }

        init() throws {
            (mine, other) = (try MemoryStore(store, place: "mine"), try MemoryStore(store, place: "other"))
        }

        func compare(by machine: Machine) async throws -> VerifyReport {
            try await VerifyRun(of: mine, against: other, environment: machine.process()).run()
        }

        func flip(_ keys: [ResourceKey], _ offset: Int, at place: MemoryStore) {
            place.withContent { content in
                for key in keys { content.published[key]?.bytes[offset] ^= 1 }
            }
        }
    }

    @Test func aCopyThatIsBrokenOnItsFaceBlamesItselfAlone() async throws {
        let copies = try Copies()
        let broken = [try copies.small, try copies.large].sorted()
        copies.flip(broken, 0, at: copies.other)
        let short = try #require(copies.packfiles.first { !broken.contains($0) })
        copies.other.withContent { $0.published[short]?.bytes.removeSubrange(20...) }
        let report = try await copies.compare(by: fresh.next())
        #expect(report.isGood && report.unknown == 3 && !report.isComplete)
        #expect(report.comparison?.damage.first.map(\.key) == (broken + [short]).sorted())
        #expect(report.comparison?.location == "other")
        // Nothing here may be healed from that.
        let repair = try await RepairRun(of: copies.mine, from: copies.other, environment: fresh.next().process()).run()
        #expect(repair.repaired == [] && repair.failed == [])
        // The other way round it is plain damage, and can be healed.
        let back = try await RepairRun(of: copies.other, from: copies.mine, environment: fresh.next().process()).run()
        #expect(Set(back.repaired) == Set(broken + [short]) && back.failed == [])
    }

    @Test func copiesThatLookWholeAndDifferAreDisputed() async throws {
        let copies = try Copies()
        let keys = [try copies.small, try copies.large].sorted()
        copies.flip(keys, 40, at: copies.other)
        let longer = try #require(copies.packfiles.first { !keys.contains($0) })
        copies.other.withContent { $0.published[longer]?.bytes.append(0) }
        let report = try await copies.compare(by: fresh.next())
        #expect(report.damaged.map(\.key) == (keys + [longer]).sorted())
        #expect(report.damaged.allSatisfy { $0.isDisputed && $0.reason.contains("other") })
        #expect(report.comparison?.damage.isEmpty == true)
    }

    /// A machine that knows nothing learns digests from the replica's ledger: they condemn the replica, and nobody else.
    @Test func aLedgerDecidesAgainstItsOwnReplicaOnly() async throws {
        let (copies, target) = (try Copies(), MemoryStore(place: "target"))
        #expect(try await fresh.next().sync(copies.mine, to: target).failure == nil)
        let (theirs, ours) = (try copies.small, try copies.large)
        copies.flip([theirs], 40, at: copies.other)
        copies.flip([ours], 40, at: target)
        let report = try await VerifyRun(of: target, against: copies.other, environment: fresh.next().process()).run()
        #expect(report.damaged.map(\.key) == [ours, theirs].sorted())
        #expect(report.damaged.filter(\.isDisputed).map(\.key) == [theirs])
        #expect(report.comparison?.damage.isEmpty == true)
    }

    @Test func whatOnlyTheOtherHasIsTold() async throws {
        let copies = try Copies()
        let packfile = copies.packfiles[1]
        copies.mine.withContent { $0.published[packfile] = nil }
        let report = try await copies.compare(by: fresh.next())
        #expect(report.isGood && report.lost == [])
        #expect(report.comparison?.onlyThere.first == [packfile] && report.comparison?.statesOnlyThere == 0)
        // What is only here is not told: a replica keeps what its origin dropped.
        let back = try await VerifyRun(of: copies.other, against: copies.mine, environment: fresh.next().process()).run()
        #expect(back.comparison?.onlyThere.isEmpty == true)
        let state = try #require(copies.store.keys().last { $0.kind == .state })
        copies.mine.withContent { $0.published[state] = nil }
        let behind = try await copies.compare(by: fresh.next())
        #expect(behind.comparison?.onlyThere.first == [state, packfile].sorted() && behind.comparison?.statesOnlyThere == 1)
    }

    @Test func whatARecoveryPointNamesIsLostAndNotToldTwice() async throws {
        let store = Self.generated()
        let (source, target, machine) = (try MemoryStore(store), MemoryStore(place: "target"), try Machine())
        #expect(try await machine.sync(source, to: target).failure == nil)
        let packfile = try #require(store.keys().first { $0.kind == .packfile })
        target.withContent { $0.published[packfile] = nil }
        let report = try await VerifyRun(of: target, against: source, environment: machine.process()).run()
        #expect(report.lost == [packfile] && report.comparison?.onlyThere.isEmpty == true)
    }
}
