import Glibc
import Testing

@testable import Kloset

/// SplitMix64 (Steele, Lea, Flood 2014): a failing property test is run again with the seed it printed.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) {
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// Runs `body` with a fresh seed, or with `$SEALIFT_SEED`, and prints it.
func withSeed(_ name: String = #function, _ body: (inout SeededGenerator) throws -> Void) rethrows {
    let given = getenv("SEALIFT_SEED").flatMap { UInt64(String(cString: $0)) }
    let seed = given ?? UInt64.random(in: 0...UInt64.max)
    let line = "\(name): SEALIFT_SEED=\(seed)\n"
    _ = line.withCString { write(STDERR_FILENO, $0, strlen($0)) }
    var generator = SeededGenerator(seed: seed)
    try body(&generator)
}

/// The bytes of a file under Tests/Fixtures.
func fixture(_ path: String) throws -> [UInt8] {
    let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(2).joined(separator: "/")
    let file = try #require(fopen("\(root)/Fixtures/\(path)", "r"), "no fixture \(path)")
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var byte = fgetc(file)
    while byte != EOF {
        bytes.append(UInt8(byte))
        byte = fgetc(file)
    }
    return bytes
}

func configurationFixture(_ name: String) throws -> [UInt8] { try fixture("configurations/\(name).config") }

func parse(_ bytes: [UInt8]) throws(ConfigurationDamage) -> StoreConfiguration {
    let result = bytes.withUnsafeBytes { bytes in
        Result { () throws(ConfigurationDamage) in try StoreConfiguration(parsing: bytes) }
    }
    return try result.get()
}

/// The reason why `bytes` are refused, or nil.
func damage(of bytes: [UInt8]) -> String? {
    do throws(ConfigurationDamage) {
        _ = try parse(bytes)
        return nil
    } catch {
        return error.reason
    }
}

/// A CONFIG around a hand-made body. Parts instead of `+`: long sums of literals take the compiler minutes.
func wrapped(_ parts: [UInt8]..., type: UInt8 = 1) -> [UInt8] {
    var bytes = Array("_KLOSET_".utf8)
    bytes.append(contentsOf: [type, 0, 0, 0, 0, 0, 1, 0])
    bytes.append(contentsOf: parts.joined())
    bytes.append(contentsOf: [UInt8](repeating: 7, count: 32))
    return bytes
}

/// A CONFIG with an identity and one member more.
func withMember(_ key: String, _ value: [UInt8]...) -> [UInt8] {
    wrapped([0x82], identityMember, text(key), Array(value.joined()))
}

/// A short MessagePack text.
func text(_ string: String) -> [UInt8] {
    var bytes = [0xa0 | UInt8(string.utf8.count)]
    bytes.append(contentsOf: string.utf8)
    return bytes
}

/// `RepositoryID` with its value.
let identityMember: [UInt8] = {
    var bytes = text("RepositoryID")
    bytes.append(contentsOf: [0xc4, 16])
    bytes.append(contentsOf: 0..<16)
    return bytes
}()
