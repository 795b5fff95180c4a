import Testing

@testable import Kloset

@Suite struct Bits256Tests {
    private func randomBytes(_ random: inout SeededGenerator) -> [UInt8] {
        // Few distinct values, so that equal prefixes are common and every word decides a comparison sometimes.
        (0..<32).map { _ in [0x00, 0x01, 0x7f, 0x80, 0xff].randomElement(using: &random) ?? 0 }
    }

    @Test func binaryAndTextAreTheSameValue() {
        withSeed { random in
            for _ in 0..<2_000 {
                let bytes = randomBytes(&random)
                guard let value = Bits256(bytes) else {
                    Issue.record("32 bytes were refused")
                    return
                }
                #expect(value.bytes == bytes)
                #expect(value.hex == hexText(bytes))
                #expect(Bits256(hex: value.hex) == value)
                #expect(value.firstByte == bytes[0])
            }
        }
    }

    @Test func orderIsThatOfTheText() {
        withSeed { random in
            for _ in 0..<2_000 {
                var (left, right) = (randomBytes(&random), randomBytes(&random))
                if Bool.random(using: &random) {  // differ in one place only
                    right = left
                    left[Int.random(in: 0..<32, using: &random)] ^= 0x10
                }
                guard let a = Bits256(left), let b = Bits256(right) else { continue }
                #expect((a < b) == (a.hex < b.hex))
                #expect((a == b) == (a.hex == b.hex))
                if a == b { #expect(a.hashValue == b.hashValue) }
            }
        }
    }

    @Test func onlyLowerCaseDigitsOfTheRightNumberAreAnID() {
        let good = String(repeating: "0123456789abcdef", count: 4)
        #expect(Bits256(hex: good) != nil)
        #expect(Bits256(hex: good.uppercased()) == nil)
        #expect(Bits256(hex: String(good.dropLast())) == nil)
        #expect(Bits256(hex: good + "0") == nil)
        #expect(Bits256(hex: "") == nil)
        for place in 0..<64 {
            for wrong in ["g", "A", "F", "/", ":", "`", " ", "\0"] {
                var digits = Array(good)
                digits[place] = Character(wrong)
                #expect(Bits256(hex: String(digits)) == nil, "\(wrong) at \(place)")
            }
        }
        #expect(Bits256([UInt8](repeating: 0, count: 31)) == nil)
        #expect(Bits256([UInt8](repeating: 0, count: 33)) == nil)
    }
}

@Suite struct ResourceFaceTests {
    private func header(_ magic: String = "_KLOSET_", type: UInt32) -> [UInt8] {
        var bytes = Array(magic.utf8)
        withUnsafeBytes(of: type.littleEndian) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: [0, 0, 1, 0])
        return bytes
    }

    private func damage(_ header: [UInt8], size: Int64 = 48, _ kind: ResourceKind = .packfile) -> String? {
        header.withUnsafeBytes { ResourceFace.damage(header: $0, size: size, kind: kind) }
    }

    @Test(arguments: [("_KLOSET_", ResourceKind.packfile), ("_PLAKAR_", .state), ("_KLOSET_", .config)])
    func wholeResourcesLookWhole(magic: String, kind: ResourceKind) {
        #expect(damage(header(magic, type: UInt32(kind.rawValue)), kind) == nil)
        #expect(damage(header(magic, type: UInt32(kind.rawValue)), size: 1 << 40, kind) == nil)
    }

    @Test func whatCannotBeOneIsNamed() {
        #expect(damage(header(type: 4), size: 47)?.contains("47 bytes") == true)
        #expect(damage([])?.contains("header") == true)
        #expect(damage(Array(header(type: 4).prefix(15)))?.contains("header") == true)
        #expect(damage(header("_KLOSET-", type: 4))?.contains("magic") == true)
        #expect(damage(header(type: 3))?.contains("type 3") == true)
        #expect(damage(header(type: 4 << 24)) != nil, "the type is four bytes")
    }
}

@Suite struct RepositoryIDTests {
    @Test func textAndBytesAreTheSameIdentity() throws {
        let id = try #require(RepositoryID(bytes: [UInt8](0xf0...0xff)))
        #expect(id.description == "f0f1f2f3-f4f5-f6f7-f8f9-fafbfcfdfeff")
        #expect(RepositoryID(text: id.description) == id)
        #expect(RepositoryID(text: "f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff") == id)
        #expect(RepositoryID(text: id.description.uppercased()) == id)
    }

    @Test func everythingElseIsRefused() {
        #expect(RepositoryID(bytes: [UInt8](repeating: 0, count: 15)) == nil)
        #expect(RepositoryID(bytes: [UInt8](repeating: 0, count: 17)) == nil)
        for text in ["", "f0f1f2f3-f4f5-f6f7-f8f9-fafbfcfdfef", "g0f1f2f3-f4f5-f6f7-f8f9-fafbfcfdfeff", "éé"] {
            #expect(RepositoryID(text: text) == nil, "\(text)")
        }
    }
}
