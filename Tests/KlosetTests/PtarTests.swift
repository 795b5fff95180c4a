import Testing

@testable import Kloset

@Suite struct PtarTests {
    /// Head, a real CONFIG, a packfile of 100 bytes, a state of 60, trailer.
    private func archive(_ change: (inout [Int64]) -> Void = { _ in }) throws -> [UInt8] {
        let configuration = try configurationFixture("archive")
        let size = Int64(configuration.count)
        var places: [Int64] = [12, size, 12 + size, 100, 112 + size, 60]
        change(&places)
        var bytes = head
        bytes.append(contentsOf: configuration)
        bytes.append(contentsOf: [UInt8](repeating: 4, count: 100))
        bytes.append(contentsOf: [UInt8](repeating: 3, count: 60))
        bytes.append(contentsOf: trailer(places))
        return bytes
    }

    private var head: [UInt8] { Array("_PLATAR_\0\0\u{1}\0".utf8) }

    private func trailer(_ places: [Int64]) -> [UInt8] {
        var bytes: [UInt8] = []
        for place in places { withUnsafeBytes(of: place.littleEndian) { bytes.append(contentsOf: $0) } }
        return bytes
    }

    private func layout(_ bytes: [UInt8], size: Int64? = nil) throws -> Ptar {
        let head = Array(bytes.prefix(Ptar.headByteCount))
        let trailer = Array(bytes.suffix(Ptar.trailerByteCount))
        return try head.withUnsafeBytes { head in
            try trailer.withUnsafeBytes { trailer in
                try Ptar(fileByteCount: size ?? Int64(bytes.count), head: head, trailer: trailer)
            }
        }
    }

    @Test func saysWhereThePartsAre() throws {
        let bytes = try archive()
        let ptar = try layout(bytes)
        #expect(ptar.version.description == "1.0.0")
        #expect(ptar.config == 12..<675)
        #expect(ptar.packfile == 675..<775)
        #expect(ptar.state == 775..<835)
        let configuration = Array(bytes[Int(ptar.config.lowerBound)..<Int(ptar.config.upperBound)])
        #expect(try parse(configuration).repositoryID.description == "718ff2d5-3512-41d7-ab15-2a5f9a386cc2")
    }

    @Test func readsTheNumbersOfARealArchive() throws {
        let places: [Int64] = [12, 663, 675, 835_331, 836_006, 14_315]
        var bytes = head
        bytes.append(contentsOf: "_KLO".utf8)
        bytes.append(contentsOf: trailer(places))
        let ptar = try layout(bytes, size: 850_369)
        #expect(ptar.state.upperBound == 850_321)
    }

    @Test func everyNumberOutsideIsRefused() throws {
        let bad: [Int64] = [-1, .min, .max, .max - 11, .max - 675, 1 << 62, 883, 836, 11, 0]
        for index in 0..<6 {
            for number in bad {
                #expect(throws: PtarDamage.self, "number \(index) is \(number)") { try layout(archive { $0[index] = number }) }
            }
        }
    }

    @Test func partsThatReachIntoEachOtherOrTheTrailerAreRefused() throws {
        #expect(throws: PtarDamage("has parts that reach into each other")) { try layout(archive { $0[2] -= 1 }) }
        #expect(throws: PtarDamage("has parts that reach into each other")) { try layout(archive { $0[4] = $0[2] }) }
        #expect(throws: PtarDamage("says its state lies outside the file")) { try layout(archive { $0[5] += 1 }) }
        #expect(throws: PtarDamage("says its state is only 47 bytes long")) { try layout(archive { $0[5] = 47 }) }
    }

    @Test func shortAndForeignFilesAreRefused() throws {
        let whole = try archive()
        for count in 0..<(12 + 3 * 48 + 48) {
            #expect(throws: PtarDamage.self) { try layout(Array(whole.prefix(count))) }
        }
        var foreign = whole
        foreign[0] = 0
        #expect(throws: PtarDamage("does not begin with a ptar's magic")) { try layout(foreign) }
    }

    @Test func randomNumbersNeverLeadOutside() throws {
        try withSeed { random in
            for _ in 0..<20_000 {
                let bytes = try archive { places in
                    for index in 0..<6 where Bool.random(using: &random) {
                        let shift = Int64.random(in: 0..<64, using: &random)
                        places[index] = Int64.random(in: .min ... .max, using: &random) >> shift
                    }
                }
                guard let ptar = try? layout(bytes) else { continue }
                for part in [ptar.config, ptar.packfile, ptar.state] {
                    #expect(part.lowerBound >= 12 && part.upperBound <= Int64(bytes.count) - 48 && part.count >= 48)
                }
            }
        }
    }
}
