import Kloset
import Replication
import Storage
import StorageTesting
import Synchronization
import Testing

/// Sources whose listings tell sizes, and that are worth asking for several chunks at a time: buckets.
@Suite struct ListedSizesTests {
    private static let shape = {
        var shape = GeneratedStore.Shape()
        shape.states = 4
        shape.packfileByteCountCycle = [500...3000, 5_000_000...9_000_000, 1_000_000...1_100_000, 2_200_000...2_300_000]
        return shape
    }()

    private let store = GeneratedStore(seed: Loops.seed("listed sizes"), shape)
    private let source: MemoryStore

    init() throws {
        var capabilities = MemoryStore.hiding
        (capabilities.chunksInFlight, capabilities.readersInFlight) = (6, 8)
        source = MemoryStore(place: "source", capabilities: capabilities)
        try store.place(in: MemorySink(source))
        source.withContent { $0.listedSizesAreOffBy = 0 }
    }

    @Test func whatTheListingTellsIsNotAskedFor() async throws {
        let asked = Mutex<[ResourceKey]>([])
        let watched = ForwardingStore(source) { operation, keys in
            if operation == .attributes { asked.withLock { $0 += keys } }
        }
        let target = MemoryStore(place: "target")
        let report = try await Machine().sync(watched, to: target)
        #expect(report.failure == nil)
        let isAll = target.withContent { $0.published } == source.withContent { $0.published }
        #expect(isAll, "times included")
        let packfiles = asked.withLock { $0.filter { $0.kind == .packfile } }
        let large = source.withContent { content in content.published.filter { $0.value.bytes.count > 1 << 20 }.map(\.key) }
        #expect(Set(packfiles).isSubset(of: large), "only where a read does not tell the time")
    }

    /// What was listed is only announced: other lengths are found, and nothing leans on them.
    @Test(arguments: [-1, 1, 1 << 20] as [Int64])
    func aListingThatLiesIsFound(_ error: Int64) async throws {
        source.withContent { $0.listedSizesAreOffBy = error }
        let target = MemoryStore(place: "target")
        let report = try await Machine().sync(source, to: target)
        #expect(report.failure?.kind == .damage)
        #expect(target.withContent { $0.published.keys.allSatisfy { $0.kind == .packfile } })
        let isRight = target.withContent { $0.published }.allSatisfy { source.bytes(of: $0.key) == $0.value.bytes }
        #expect(isRight)
    }

    /// Chunks that come in any order, a reader at a time that waits for memory: what arrives is the source's, and never more than the pool.
    @Test func chunksMayComeInAnyOrder() async throws {
        let underway = Mutex((now: 0, most: 0))
        let slow = ForwardingStore(
            source,
            before: { operation, _ in
                guard operation == .read else { return }
                underway.withLock { $0 = ($0.now + 1, max($0.most, $0.now + 1)) }
                for _ in 0..<Int.random(in: 0...40) { await Task.yield() }
            },
            after: { operation, _ in
                if operation == .read { underway.withLock { $0.now -= 1 } }
            })
        let targets = [MemoryStore(place: "a"), MemoryStore(place: "b", capabilities: MemoryStore.hiding)]
        let report = try await Machine().sync(slow, targets)
        #expect(report.targets.allSatisfy { $0.failure == nil })
        for target in targets {
            let isAll = target.files == source.files
            #expect(isAll)
        }
        #expect((2...RunEnvironment.piecesStandard).contains(underway.withLock { $0.most }))
    }

    @Test func aReadThatFailsEndsItsResourceOnly() async throws {
        let victim = try #require(
            source.withContent { content in content.published.first { $0.value.bytes.count > 4 << 20 }?.key })
        let calls = Mutex(0)
        let failing = ForwardingStore(source) { operation, keys in
            guard operation == .read, keys == [victim],
                calls.withLock({
                    $0 += 1; return $0
                }) == 3
            else { return }
            throw Failure(.readWrite, "cannot read", resource: victim, place: "source", reason: "bad sector")
        }
        let target = MemoryStore(place: "target")
        let report = try await Machine().sync(failing, to: target)
        #expect(report.failure?.kind == .damage && report.failed.map(\.key) == [victim])
        #expect(target.bytes(of: victim) == nil)
        #expect(try await Machine().sync(source, to: MemoryStore(place: "other")).failure == nil)
    }
}
