import Glibc
import Kloset
import Storage
import Testing

@testable import Catalog

/// A folder that goes away with the test.
final class TemporaryFolder: Sendable {
    let path: String

    init() {
        var template = Array("\(String(cString: getenv("TMPDIR") ?? strdup("/tmp")))/catalog-test-XXXXXX".utf8CString)
        path = template.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress, let made = mkdtemp(base) else { preconditionFailure("no temporary folder") }
            return String(cString: made)
        }
    }

    deinit {
        Self.remove(path)
    }

    var catalogFile: String { path + "/state/catalog.sqlite" }

    func catalog() -> StateCatalog { StateCatalog(folder: path + "/state") }

    private static func remove(_ path: String) {
        if let folder = opendir(path) {
            while let entry = readdir(folder) {
                let name = withUnsafePointer(to: &entry.pointee.d_name) {
                    $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
                }
                if name != "." && name != ".." { remove(path + "/" + name) }
            }
            closedir(folder)
            rmdir(path)
        } else {
            unlink(path)
        }
    }
}

/// SplitMix64 with a printed seed: the same seed gives the same test.
struct Seeded: RandomNumberGenerator {
    private var state: UInt64

    init(_ what: String, seed: UInt64 = .random(in: 0...UInt64.max)) {
        print("\(what): seed \(seed)")
        state = seed
    }

    mutating func next() -> UInt64 {
        state &+= 0x9e37_79b9_7f4a_7c15
        var z = state
        z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
        z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
        return z ^ (z >> 31)
    }

    mutating func bytes(_ count: Int) -> [UInt8] {
        (0..<count).map { _ in UInt8.random(in: 0...255, using: &self) }
    }

    mutating func bits() -> Bits256 { Bits256(bytes(32)) ?? .zero }

    mutating func key() -> ResourceKey { ResourceKey(Bool.random(using: &self) ? .packfile : .state, bits()) }

    mutating func chance(_ percent: Int) -> Bool { Int.random(in: 0..<100, using: &self) < percent }

    mutating func proof(large: Bool = false) -> ResourceProof {
        let size = Int64.random(in: 0...(large ? 5 << 20 : 1 << 20), using: &self)
        let count = ChunkLayout.count(size: size)
        let chunks = count > 1 ? (0..<count).map { _ in ChunkHash(high: next(), low: next()) } : []
        return ResourceProof(size: size, digest: bits(), chunks: chunks)
    }

    mutating func point(missing: Int = 0) -> RecoveryPoint {
        RecoveryPoint(
            id: hexText(bytes(8)), created: Timestamp(nanoseconds: Int64.random(in: 0...Int64.max, using: &self)),
            name: chance(50) ? text() : nil, source: text(), sourceIdentity: chance(50) ? text() : "", root: bits(),
            namesDigest: bits(),
            packfiles: Int64.random(in: 0...9, using: &self), states: Int64.random(in: 0...9, using: &self),
            bytes: Int64.random(in: 0...Int64.max, using: &self), missing: (0..<missing).map { _ in key() }.sorted())
    }

    /// Not empty; everything that a path may hold.
    mutating func text() -> String {
        let letters = Array("-ab/ \n%é🚢\u{0}\u{7f}=,.:~\"\\é")
        return String((0..<Int.random(in: 1...12, using: &self)).map { _ in letters.randomElement(using: &self) ?? "x" })
    }

    mutating func replica() -> ReplicaID {
        guard let id = ReplicaID(bytes: bytes(16)) else { preconditionFailure("16 bytes") }
        return id
    }

    mutating func repository() -> RepositoryID {
        guard let id = RepositoryID(bytes: bytes(16)) else { preconditionFailure("16 bytes") }
        return id
    }
}

/// What a test throws where a real run would die.
struct Died: Error {}

extension CatalogReading {
    func allHoldings(of replica: ReplicaID) throws -> [Holding] {
        var cursor = try holdings(of: replica)
        var all: [Holding] = []
        while let holding = try cursor.next() { all.append(holding) }
        return all
    }

    func allMembers(of point: CatalogPoint) throws -> [PointMember] {
        var cursor = try members(of: point)
        var all: [PointMember] = []
        while let member = try cursor.next() { all.append(member) }
        return all
    }
}

/// The failure that `body` throws, or nil.
func failure(_ body: () async throws -> Void) async -> Failure? {
    do {
        try await body()
        return nil
    } catch {
        return error as? Failure
    }
}
