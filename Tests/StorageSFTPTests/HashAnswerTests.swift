import Hashing
import Kloset
import StorageTesting
import Testing

@testable import StorageSFTP

/// What a machine says that was asked for digests: bounded, and believed only as far as it answers what was asked.
@Suite struct HashAnswerTests {
    private let names = ["/a/packfiles/00/one", "/a/b c/two", "/a/back\\slash\nand line"].map { Array($0.utf8) }
    private let digests = [1, 2, 3].map { SHA256.digest(of: [UInt8($0)]) }
    private let empty = SHA256.digest(of: []).hex

    private var lines: [String] {
        [
            "\(digests[0].hex)  /a/packfiles/00/one\n", "\(digests[1].hex) */a/b c/two\n",
            "\\\(digests[2].hex)  /a/back\\\\slash\\nand line\n",
        ]
    }

    private var end: String { "\(empty)  /dev/null\n" }

    private func answer(_ text: String, marks: Int = 1) throws(HashAnswer.Nonsense) -> HashAnswer {
        var answer = HashAnswer(to: names, marks: marks)
        try answer.take(text.utf8)
        return answer
    }

    @Test func understood() throws {
        let answer = try answer(lines.joined() + end)
        #expect(answer.isComplete)
        #expect(answer.digests == digests)
    }

    @Test func anyOrderAnyPieces() throws {
        var answer = HashAnswer(to: names, marks: 2)
        for byte in (lines[2] + lines[0] + end + lines[1] + end).utf8 {
            #expect(!answer.isComplete)
            try answer.take([byte])
        }
        #expect(answer.isComplete)
        #expect(answer.digests == digests)
    }

    /// A file that could not be read has no line.
    @Test func missing() throws {
        let answer = try answer(lines[1] + end)
        #expect(answer.isComplete)
        #expect(answer.digests == [nil, digests[1], nil])
    }

    @Test func truncated() throws {
        let answer = try answer(lines[0] + String(lines[1].dropLast()))
        #expect(!answer.isComplete)
        #expect(answer.digests == [digests[0], nil, nil])
    }

    @Test func nonsense() {
        let hex = digests[0].hex
        let odd = [
            "Welcome to this machine\n", "\n", "\(hex)\n", "\(hex)  \n", "\(hex)  /a/other\n", "\(hex)  one\n",
            "\(hex) /a/packfiles/00/one\n", "\(hex)\t /a/packfiles/00/one\n", " \(hex)  /a/packfiles/00/one\n",
            "\(hex.dropLast())  /a/packfiles/00/one\n", "\(hex)0  /a/packfiles/00/one\n",
            "\(hex.uppercased())  /a/packfiles/00/one\n", "\(String(repeating: "g", count: 64))  /a/packfiles/00/one\n",
            "\\\(hex)  /a/back\\slash\\nand line\n", "\\\(hex)  /a/back\\\\slash\\nand line\\\n", lines[0] + lines[0],
            lines[0] + "\(digests[1].hex)  /a/packfiles/00/one\n", "\(hex)  /dev/null\n", end + lines[0], end + end,
            String(repeating: "0", count: 100_000),
        ]
        for text in odd { #expect(throws: HashAnswer.Nonsense.self, "\(text.prefix(200))") { _ = try answer(text) } }
    }

    /// Whatever comes: no crash, no more digests than were asked for, none that was not said.
    @Test func generated() {
        let seed = UInt64.random(in: .min ... .max)
        var random = SeededRandom(seed: seed)
        let whole = Array((lines.joined() + end).utf8)
        var understood = 0
        for _ in 0..<5000 {
            var bytes = whole
            for _ in 0..<Int(random.next() % 4) {
                let place = Int(random.next() % UInt64(bytes.count))
                switch random.next() % 3 {
                case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
                case 1: bytes.remove(at: place)
                default: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: place)
                }
            }
            var answer = HashAnswer(to: names, marks: 1)
            do {
                try answer.take(bytes)
                understood += 1
            } catch {}
            #expect(answer.digests.count == 3, "seed \(seed)")
            for case let digest? in answer.digests {
                #expect(String(decoding: bytes, as: UTF8.self).contains(digest.hex), "seed \(seed)")
            }
        }
        #expect(understood > 500)
    }
}
