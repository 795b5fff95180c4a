import Hashing
import Kloset
import Planning
import StorageTesting
import Testing

@Suite("Decisions are pure functions")
struct DecisionTests {
    /// The selection reaches the promised size, whatever the inventory, and is no larger than it must be.
    @Test func theSampleHasThePromisedSize() {
        let seed = UInt64.random(in: .min ... .max)
        print("seed \(seed)")
        var random = SeededRandom(seed: seed)
        for round in 0..<500 {
            let sizeMax = Int64(1) << Int64.random(in: 4...30, using: &random)
            let sizes = (0..<Int.random(in: 0...(round % 2 == 0 ? 40 : 5000), using: &random)).map { _ in
                Int64.random(in: 1...sizeMax, using: &random)
            }
            for depth in VerificationDepth.allCases {
                var selection = SampleSelection(count: sizes.count, bytes: sizes.reduce(0, +), depth: depth)
                let chosen = sizes.filter { selection.next(size: $0, using: &random) }
                switch depth {
                case .none: #expect(chosen.isEmpty)
                case .all: #expect(chosen.count == sizes.count)
                case .sample:
                    #expect(chosen.count >= (sizes.count + 99) / 100)
                    #expect(chosen.count <= max(16, (sizes.count + 99) / 100))
                    #expect(chosen.count >= min(16, sizes.count) || chosen.reduce(0, +) >= 64 << 20, "\(sizes)")
                }
            }
        }
    }

    /// Each resource has the same chance: over many draws of 16 of 160 every tenth of the stream gets its share.
    @Test func theSampleIsSpreadOverTheWholeStream() {
        var random = SeededRandom(seed: 4711)
        var hits = [Int](repeating: 0, count: 10)
        for _ in 0..<2000 {
            var selection = SampleSelection(count: 160, bytes: 160 << 10, depth: .sample)
            for index in 0..<160 where selection.next(size: 1 << 10, using: &random) { hits[index / 16] += 1 }
        }
        // 3,200 expected for each, standard deviation below 54: five of those.
        for count in hits { #expect(abs(count - 3200) < 270) }
    }

    @Test func statesAreOrderedByTimeThenID() {
        let seed = UInt64.random(in: .min ... .max)
        print("seed \(seed)")
        var random = SeededRandom(seed: seed)
        for _ in 0..<200 {
            let states = (0..<Int.random(in: 0...30, using: &random)).map { _ in
                DatedState(
                    key: ResourceKey(.state, DifferenceTests.id(UInt8.random(in: .min ... .max, using: &random))),
                    modified: Timestamp(seconds: Int64.random(in: 0...5, using: &random)), size: 100)
            }
            let ordered = publicationOrder(states)
            #expect(ordered.count == states.count)
            for (one, next) in zip(ordered, ordered.dropFirst()) {
                #expect((one.modified, one.key.id) <= (next.modified, next.key.id))
            }
            #expect(ordered.map(\.modified) == publicationOrder(states.shuffled(using: &random)).map(\.modified))
        }
    }

    @Test func aBatchIsFullByBytesNumberOrAge() {
        let limits = BatchLimits(byteCountMax: 100, resourceCountMax: 3, age: .seconds(10))
        #expect(!limits.isFull(bytes: 99, resources: 2, age: .seconds(9)))
        #expect(limits.isFull(bytes: 100, resources: 1, age: .zero))
        #expect(limits.isFull(bytes: 1, resources: 3, age: .zero))
        #expect(limits.isFull(bytes: 1, resources: 1, age: .seconds(10)))
        #expect(!limits.isFull(bytes: 0, resources: 0, age: .seconds(100)), "an empty batch is never due")
    }

    /// The root hash as docs/format.md gives it, computed by hand.
    @Test func theRootHashIsTheDocumentedOne() {
        let key = ResourceKey(.packfile, DifferenceTests.id(9))
        let digest = SHA256.digest(of: Array("bytes".utf8))
        var root = RootHash()
        root.add(.config, size: 663, digest: digest)
        root.add(key, size: 258, digest: nil)
        var text = Array("sealift root 1\n".utf8)
        text += [1] + [UInt8](repeating: 0, count: 32)
        text += [0, 0, 0, 0, 0, 0, 2, 0x97, 1]
        text += digest.bytes
        text += [4] + key.id.bytes
        text += [0, 0, 0, 0, 0, 0, 1, 2, 0]
        text += [UInt8](repeating: 0, count: 32)
        #expect(root.finalize() == SHA256.digest(of: text))
    }

    /// Whatever is found at a target: a refusal is given exactly when one of the rules of the guards says so.
    @Test func everyCombinationOfFactsAtATarget() {
        let mine = RepositoryID(bytes: [UInt8](repeating: 1, count: 16))
        let other = RepositoryID(bytes: [UInt8](repeating: 2, count: 16))
        guard let mine else { return }
        for config in [nil, mine, other] {
            for marked in [nil, mine, other] {
                for replica in [nil, "aa", "bb"] {
                    for expected in [nil, "aa"] {
                        for occupied in [false, true] {
                            for newReplica in [false, true] {
                                let facts = TargetFacts(
                                    configRepository: config, markedRepository: marked, markedReplica: replica,
                                    isOccupied: occupied,
                                    expectedReplica: expected)
                                let isForeign = config == other || marked == other
                                let isJunk = occupied && config == nil && marked == nil
                                let isWrongDisk = expected != nil && replica != expected && !newReplica
                                let refusal = Guards.target(facts, repository: mine, newReplicaAllowed: newReplica)
                                #expect((refusal != nil) == (isForeign || isJunk || isWrongDisk), "\(facts)")
                            }
                        }
                    }
                }
            }
        }
    }

    @Test func aRefusalNamesTenResourcesAtMost() {
        let keys = (0..<30).map { ResourceKey(.state, DifferenceTests.id(UInt8($0))) }
        #expect(Guards.divergence(targetOnlyStates: keys, count: 30)?.ids.count == 10)
        #expect(Guards.divergence(targetOnlyStates: [], count: 0) == nil)
        var loss = SourceLoss()
        #expect(Guards.loss(loss, since: "P", repair: "sealift repair S --from R") == nil)
        for key in keys { loss.add(key) }
        let refusal = Guards.loss(loss, since: "P", repair: "sealift repair S --from R")
        #expect(refusal?.ids.count == 10 && refusal?.reason == "the source lost 30 states that recovery point P names")
        loss.add(ResourceKey(.packfile, DifferenceTests.id(1)))
        #expect(
            Guards.loss(loss, since: "P", repair: "")?.reason
                == "the source lost 30 states and 1 packfile that recovery point P names, and no new state says why")
    }

    /// Folders that are gone are lost, unless a tool that makes no empty ones explains all of it.
    @Test(arguments: [
        // All are gone: whatever else there is, the folder above them is.
        (256, 0, 0, 256), (256, 0, 9000, 256),
        // Somebody made empty folders, so the others were there too.
        (1, 200, 55, 1), (255, 1, 0, 255),
        // All that are there hold something: none was made in vain.
        (1, 0, 300, 0), (200, 0, 60, 0), (255, 0, 1, 0),
        // So many resources leave no folder empty.
        (1, 0, 4955, 1), (1, 0, 4954, 0), (0, 0, 100_000, 0), (0, 256, 0, 0),
    ])
    func foldersThatAreGone(_ absent: Int, _ empty: Int, _ resources: Int, _ lost: Int) {
        let census = FolderCensus(absent: (0..<absent).map { UInt8($0) }, empty: empty, resources: resources)
        #expect(census.lost.count == lost)
    }
}
