import Testing

@testable import Kloset

@Suite struct StoreConfigurationTests {
    @Test func readsAnEncryptedStore() throws {
        let configuration = try parse(configurationFixture("history"))
        #expect(configuration.version.description == "1.0.0")
        #expect(configuration.repositoryID.description == "95dc4e64-3d9b-4b10-8fe8-128fca05f353")
        // 64-bit timestamp 0x4680e5146b012d72: 30 bits of nanoseconds, 34 of seconds.
        #expect(configuration.created == Timestamp(nanoseconds: 0x6b01_2d72 * 1_000_000_000 + (0x4680_e514 >> 2)))
        #expect(configuration.packfileByteCountMax == 64 << 20)
        #expect(configuration.hashing == "BLAKE3")
        #expect(configuration.compression == "LZ4")
        #expect(configuration.isEncrypted)
        let encryption = try #require(configuration.encryption)
        #expect(encryption.dataAlgorithm == "AES256-GCM-SIV")
        #expect(encryption.subkeyAlgorithm == "AES256-KW")
        #expect(encryption.keyDerivation == "ARGON2ID")
        let costs = encryption.keyDerivationCosts.map { "\($0.name)=\($0.value)" }
        #expect(costs == ["SaltSize=16", "Time=4", "Memory=262144", "Threads=1", "KeyLen=32"])
    }

    @Test func readsAPlaintextStore() throws {
        let configuration = try parse(configurationFixture("plaintext"))
        #expect(configuration.repositoryID.description == "9eddb87a-334c-4bb5-8381-d24921b83a28")
        #expect(!configuration.isEncrypted)
        #expect(configuration.encryption == nil)
        #expect(configuration.compression == "LZ4")
    }

    @Test func readsAnOldStore() throws {
        let configuration = try parse(configurationFixture("written-by-1.0.6"))
        #expect(configuration.repositoryID.description == "7df8b997-bd09-4381-90f2-702cfaaf8dda")
        #expect(configuration.packfileByteCountMax == 20 << 20)
        #expect(configuration.isEncrypted)
    }

    @Test func readsTheConfigurationOfASingleFileArchive() throws {
        let configuration = try parse(configurationFixture("archive"))
        #expect(configuration.repositoryID.description == "718ff2d5-3512-41d7-ab15-2a5f9a386cc2")
        #expect(configuration.packfileByteCountMax == nil, "all bits set mean no limit")
        #expect(configuration.isEncrypted)
    }

    @Test func aHigherVersionAndUnknownKeysAreNoError() throws {
        let value: [UInt8] = [0x92, 0xc0, 0xcb, 0x7f, 0xf8, 0, 0, 0, 0, 0, 0]
        var bytes = withMember("Later", [0x81], text("Deep"), value)
        bytes[14] = 9
        let configuration = try parse(bytes)
        #expect(configuration.version.description == "9.0.0")
        #expect(configuration.created == nil)
        #expect(configuration.hashing == nil)
    }

    private static let timestamps: [(encoded: [UInt8], nanoseconds: Int64?)] = [
        ([0xd6, 0xff, 0, 0, 0, 2], 2_000_000_000),
        ([0xd7, 0xff, 0, 0, 0, 4, 0, 0, 0, 3], 3_000_000_001),
        ([0xc7, 12, 0xff, 0, 0, 0, 5, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], -999_999_995),
        ([0xc0], nil),
        // the year 1, which Go writes for "never", and a moment beyond 2261
        ([0xc7, 12, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xf1, 0x88, 0x6e, 0x09, 0x00], nil),
        ([0xd7, 0xff, 0, 0, 0, 3, 0xff, 0xff, 0xff, 0xff], nil),
    ]

    @Test(arguments: timestamps)
    func readsTimestampsOfEveryLength(encoded: [UInt8], nanoseconds: Int64?) throws {
        let configuration = try parse(withMember("Timestamp", encoded))
        #expect(configuration.created?.nanoseconds == nanoseconds)
    }
}

@Suite struct HostileConfigurationTests {
    struct Case: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var bytes: [UInt8]
        var reason: String

        init(_ what: String, _ bytes: [UInt8], _ reason: String) {
            (testDescription, self.bytes, self.reason) = (what, bytes, reason)
        }
    }

    private static let structure: [Case] = [
        Case("another kind of resource", wrapped([0x81], identityMember, type: 4), "type 4"),
        Case("no map", wrapped([0x90]), "its map"),
        Case("nil", wrapped([0xc0]), "holds nothing"),
        Case("no body", wrapped([]), "cut short"),
        Case("no identity", wrapped([0x81], text("Hashing"), [0xc0]), "no repository id"),
        Case("identity of 15 bytes", wrapped([0x81], text("RepositoryID"), [0xc4, 15], [UInt8](0..<15)), "not 16 bytes"),
        Case("identity as text", wrapped([0x81], text("RepositoryID"), text("0123456789abcdef")), "not 16 bytes"),
        Case("key twice", wrapped([0x82], identityMember, identityMember), "twice"),
        Case("unknown key twice", wrapped([0x83], identityMember, text("X"), [1], text("X"), [2]), "twice"),
        Case("nested key twice", withMember("Packfile", [0x82], text("A"), [1], text("A"), [1]), "twice"),
        Case("number as key", wrapped([0x82], identityMember, [1, 1]), "no word"),
        Case("escape sequence as key", withMember("\u{1b}[2J", [1]), "no word"),
        Case("bytes behind the map", wrapped([0x81], identityMember, [0xc0]), "behind"),
        Case("byte that begins nothing", withMember("X", [0xc1]), "begins no value"),
    ]

    private static let fields: [Case] = [
        Case("escape sequence as name", withMember("Hashing", [0x81], text("Algorithm"), text("\u{1b}[2J")), "Hashing"),
        Case("number as algorithm", withMember("Hashing", [0x81], text("Algorithm"), [1]), "Hashing"),
        Case("not UTF-8 as algorithm", withMember("Hashing", [0x81], text("Algorithm"), [0xa1, 0xff]), "Hashing"),
        Case("text as Packfile", withMember("Packfile", text("x")), "Packfile"),
        Case("NaN as size", withMember("Packfile", [0x81], text("MaxSize"), [0xca, 0x7f, 0xc0, 0, 0]), "size"),
        Case("negative size", withMember("Packfile", [0x81], text("MaxSize"), [0xff]), "size"),
        Case("timestamp as number", withMember("Timestamp", [1]), "timestamp"),
        Case("timestamp of 5 bytes", withMember("Timestamp", [0xc7, 5, 0xff, 0, 0, 0, 0, 0]), "5 bytes"),
        Case("too many nanoseconds", withMember("Timestamp", [0xd7, 0xff], [UInt8](repeating: 0xff, count: 8)), "nanoseconds"),
        Case("encryption as flag", withMember("Encryption", [0xc3]), "Encryption"),
    ]

    @Test(arguments: structure + fields)
    func isRefused(hostile: Case) {
        let given = damage(of: hostile.bytes)
        #expect(given?.contains(hostile.reason) == true, "\(given ?? "accepted")")
    }

    private static let greedyMaps: [[UInt8]] = [[0xdf, 0xff, 0xff, 0xff, 0xff], [0xde, 0xff, 0xff], [0x8f]]

    @Test(arguments: greedyMaps)
    func aMapThatClaimsMoreThanItHas(head: [UInt8]) {
        #expect(damage(of: wrapped(head))?.contains("more elements") == true)
    }

    private static let greedyValues: [[UInt8]] = [
        [0xdb, 0xff, 0xff, 0xff, 0xff], [0xc6, 0xff, 0xff, 0xff, 0xff], [0xc9, 0xff, 0xff, 0xff, 0xff, 1],
        [0xdd, 0xff, 0xff, 0xff, 0xff], [0xd9, 0xff], [0xc5, 0xff, 0xff], [0xd8, 1], [0xcf, 1], [0xcb, 0], [0xd3],
    ]

    @Test(arguments: greedyValues)
    func aValueThatClaimsMoreThanItHas(value: [UInt8]) {
        #expect(damage(of: withMember("X", value)) != nil)
    }

    @Test func deepNestingIsRefusedWithoutRecursion() {
        let openings: [[UInt8]] = [[0x91], [0x81, 0xa0]]
        for opening in openings {
            let deep: [UInt8] = Array(repeatElement(opening, count: 10_000).joined())
            #expect(damage(of: withMember("X", deep, [0xc0]))?.contains("nested") == true)
        }
        let allowed = [UInt8](repeating: 0x91, count: MessagePackReader.nestingMax)
        #expect(damage(of: withMember("X", allowed, [0xc0])) == nil)
        #expect(damage(of: withMember("X", [0x91], allowed, [0xc0])) != nil)
    }

    @Test func costsAreBounded() throws {
        var costs: [UInt8] = [0x8f]
        for index in 0..<15 {
            costs.append(contentsOf: text("c\(index)"))
            costs.append(1)
        }
        let bytes = withMember("Encryption", [0x81], text("KDFParams"), [0x82], text("a"), costs, text("b"), costs)
        let configuration = try parse(bytes)
        #expect(configuration.encryption?.keyDerivationCosts.count == 16)
    }

    @Test(arguments: ["history", "plaintext", "written-by-1.0.6", "archive"])
    func everyTruncationIsRefused(name: String) throws {
        let whole = try configurationFixture(name)
        for count in 0..<whole.count {
            #expect(damage(of: Array(whole.prefix(count))) != nil, "\(count) bytes of \(whole.count)")
        }
    }

    @Test(arguments: ["history", "plaintext", "written-by-1.0.6", "archive"])
    func everySingleFlippedByteIsReadOrRefused(name: String) throws {
        let whole = try configurationFixture(name)
        for index in whole.indices {
            let values: [UInt8] = [0x00, 0x7f, 0x80, 0xc1, 0xdb, 0xdd, 0xdf, 0xff, whole[index] ^ 1, whole[index] ^ 0x80]
            for value in values where value != whole[index] {
                var changed = whole
                changed[index] = value
                let reason = damage(of: changed)
                if index < 12 { #expect(reason != nil, "magic and type are checked") }
                if index >= whole.count - 32 { #expect(reason == nil, "the trailer needs the key") }
            }
        }
    }

    @Test func randomMutationsAreReadOrRefused() throws {
        let originals = try ["history", "plaintext", "written-by-1.0.6"].map(configurationFixture)
        withSeed { random in
            var refused = 0
            for round in 0..<20_000 {
                var bytes = originals[round % originals.count]
                for _ in 0..<Int.random(in: 1...6, using: &random) {
                    let at = Int.random(in: 16..<bytes.count, using: &random)
                    switch Int.random(in: 0..<4, using: &random) {
                    case 0: bytes[at] = UInt8.random(in: 0...255, using: &random)
                    case 1: bytes.insert(UInt8.random(in: 0...255, using: &random), at: at)
                    case 2: bytes.remove(at: at)
                    default: bytes.replaceSubrange(at..<min(at + 4, bytes.count), with: [0xdd, 0xff, 0xff, 0xff])
                    }
                }
                if damage(of: bytes) != nil { refused += 1 }
            }
            #expect(refused > 1_000, "most changes break the structure")
        }
    }
}

@Suite struct MessagePackReaderTests {
    private func tokens(_ bytes: [UInt8]) throws -> [MessagePackReader.Token] {
        try bytes.withUnsafeBytes { bytes in
            var reader = MessagePackReader(bytes)
            var tokens: [MessagePackReader.Token] = []
            while !reader.isAtEnd { tokens.append(try reader.next()) }
            return tokens
        }
    }

    private static let formats: [(bytes: [UInt8], tokens: [MessagePackReader.Token])] = [
        ([0x00, 0x7f, 0xff, 0xe0], [.unsigned(0), .unsigned(127), .negative(-1), .negative(-32)]),
        ([0xc0, 0xc2, 0xc3], [.null, .bool(false), .bool(true)]),
        ([0xcc, 200, 0xcd, 1, 0, 0xce, 0, 1, 0, 0], [.unsigned(200), .unsigned(256), .unsigned(65536)]),
        ([0xcf, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], [.unsigned(.max)]),
        ([0xd0, 0x80, 0xd1, 0x80, 0], [.negative(-128), .negative(-32768)]),
        ([0xd2, 0x7f, 0xff, 0xff, 0xff], [.unsigned(0x7fff_ffff)]),
        ([0xd3, 0x80, 0, 0, 0, 0, 0, 0, 0], [.negative(.min)]),
        ([0xca, 0x3f, 0xc0, 0, 0, 0xcb, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0], [.float(1.5), .float(1.5)]),
        ([0xa1, 65, 0xd9, 1, 65, 0xda, 0, 1, 65], [.text(1..<2), .text(4..<5), .text(8..<9)]),
        ([0xdb, 0, 0, 0, 0], [.text(5..<5)]),
        ([0xc4, 1, 65, 0xc5, 0, 1, 65, 0xc6, 0, 0, 0, 0], [.binary(2..<3), .binary(6..<7), .binary(12..<12)]),
        ([0xd4, 5, 0, 0xc7, 2, 0xff, 1, 2], [.extended(type: 5, 2..<3), .extended(type: -1, 6..<8)]),
        ([0x91, 1, 0x81, 1, 2], [.array(count: 1), .unsigned(1), .map(count: 1), .unsigned(1), .unsigned(2)]),
        ([0xdc, 0, 1, 0xc0, 0xde, 0, 0], [.array(count: 1), .null, .map(count: 0)]),
    ]

    @Test func readsEveryFormat() throws {
        for (bytes, expected) in Self.formats {
            #expect(try tokens(bytes) == expected)
        }
    }

    @Test func skipPassesOverExactlyOneValue() throws {
        let values: [[UInt8]] = [
            [0xc0], [0x90], [0x80], [0x93, 1, 0x91, 0xc0, 2], [0x82, 1, 0x90, 0x80, 0x91, 0x90], [0x91, 0x91, 0x91, 0x90],
            text("abc"),
        ]
        for value in values {
            var bytes = value
            bytes.append(0x2a)
            try bytes.withUnsafeBytes { bytes in
                var reader = MessagePackReader(bytes)
                try reader.skip()
                #expect(try reader.next() == .unsigned(0x2a), "\(value)")
                #expect(reader.isAtEnd)
            }
        }
    }
}
