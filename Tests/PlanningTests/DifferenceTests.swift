import Kloset
import Reconciliation
import StorageTesting
import Testing

@Suite("The difference of two sorted inventories")
struct DifferenceTests {
    /// All inventories of up to four resources on each side, against plain set arithmetic.
    @Test func everySmallPairOfInventories() throws {
        let keys = (0..<4).map { ResourceKey($0 % 2 == 0 ? .state : .packfile, Self.id(UInt8($0))) }.sorted()
        for left in 0..<16 {
            for right in 0..<16 {
                let mine = keys.indices.filter { left >> $0 & 1 == 1 }.map { keys[$0] }
                let theirs = keys.indices.filter { right >> $0 & 1 == 1 }.map { keys[$0] }
                try Self.check(mine, theirs)
            }
        }
    }

    @Test func randomInventories() throws {
        let seed = UInt64.random(in: .min ... .max)
        print("seed \(seed)")
        var random = SeededRandom(seed: seed)
        for _ in 0..<300 {
            func inventory() -> [ResourceKey] {
                let keys = (0..<Int.random(in: 0...60, using: &random)).map { _ in
                    ResourceKey(
                        Bool.random(using: &random) ? .state : .packfile, Self.id(UInt8.random(in: 0...40, using: &random)))
                }
                return Array(Set(keys)).sorted()
            }
            try Self.check(inventory(), inventory())
        }
    }

    /// A cursor that goes back would make resources look missing or foreign.
    @Test func aCursorThatDoesNotAscendIsAnError() throws {
        let keys = [ResourceKey(.state, Self.id(2)), ResourceKey(.state, Self.id(1))]
        for wrong in [keys, [keys[0], keys[0]]] {
            #expect(throws: CursorOutOfOrder.self) {
                var difference = SortedDifference(ArrayCursor(wrong), ArrayCursor<ResourceKey>([]))
                while try difference.next() != nil {}
            }
        }
    }

    private static func check(_ mine: [ResourceKey], _ theirs: [ResourceKey]) throws {
        var (left, right, both): ([ResourceKey], [ResourceKey], [ResourceKey]) = ([], [], [])
        var difference = SortedDifference(ArrayCursor(mine), ArrayCursor(theirs))
        while let step = try difference.next() {
            switch step {
            case .leftOnly(let key): left.append(key)
            case .rightOnly(let key): right.append(key)
            case .both(let one, let other):
                #expect(one == other)
                both.append(one)
            }
        }
        #expect(left == Set(mine).subtracting(theirs).sorted())
        #expect(right == Set(theirs).subtracting(mine).sorted())
        #expect(both == Set(mine).intersection(theirs).sorted())
    }

    static func id(_ byte: UInt8) -> ResourceID {
        ResourceID([byte] + [UInt8](repeating: 7, count: 31)) ?? .zero
    }
}
