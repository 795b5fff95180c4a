import Glibc
import StorageTesting

/// How much of the long loops a run does: `SEALIFT_TEST_LOOPS` (scripts/check); little of it by default.
enum Loops: String {
    case fast, part, full

    static let chosen = getenv("SEALIFT_TEST_LOOPS").flatMap { Loops(rawValue: String(cString: $0)) } ?? .fast

    /// How many rounds to do; nil is all there are.
    static func rounds(fast: Int, part: Int, full: Int? = nil) -> Int? {
        switch chosen {
        case .fast: fast
        case .part: part
        case .full: full
        }
    }

    /// What the choices of a test follow from: fresh, or `SEALIFT_TEST_SEED` to see a failure again. Printed.
    static func seed(_ test: String) -> UInt64 {
        let given = getenv("SEALIFT_TEST_SEED").flatMap { UInt64(String(cString: $0)) }
        let seed = given ?? SeededRandom.freshSeed()
        print("\(test): seed \(seed)")
        return seed
    }
}

extension SeededRandom {
    /// Some of the numbers of a range, ascending; all of them when that is not more than asked for.
    mutating func choose(_ count: Int?, of range: Range<Int>) -> [Int] {
        guard let count, count < range.count else { return Array(range) }
        return Array(range.shuffled(using: &self).prefix(count)).sorted()
    }
}
