internal import Glibc
internal import Kloset
internal import StorageTesting
internal import Testing

/// Single files made to mislead: CONFIG, archives, plans.
@Suite("Hostile files", .serialized, .enabled(if: Binary.isThere, Binary.reason))
struct HostileFilesTests {
    private static let header = Array(GeneratedStore.config.prefix(16))
    private static let trailer = [UInt8](repeating: 7, count: 32)

    /// A CONFIG with any map in it.
    private static func config(_ map: [UInt8]) -> [UInt8] { header + map + trailer }

    private static func text(_ text: String) -> [UInt8] { [0xA0 | UInt8(text.utf8.count)] + Array(text.utf8) }

    /// A file of `size` bytes that takes no room.
    private static func makeSparse(_ path: String, size: Int, in place: Workplace) throws {
        guard truncate(place(path), size) == 0 else { throw TestFolder.Trouble(what: "truncate", code: errno) }
    }

    // MARK: - CONFIG

    private static let configs: [(String, [UInt8])] = [
        ("empty", []), ("header alone", header), ("no map", config([])), ("random", header + SeededRandomBytes.some(600)),
        ("lists in lists", config([UInt8](repeating: 0x91, count: 10_000) + [0xC0])),
        ("maps in maps", config(Array((0..<10_000).map { _ in [0x81, 0xA1, 0x61] }.joined()) + [0xC0])),
        ("nested where a known key stands", config([0x81] + text("Packfile") + [UInt8](repeating: 0x91, count: 10_000) + [0xC0])),
        ("a map of four billion", config([0xDF, 0xFF, 0xFF, 0xFF, 0xFF])),
        ("a list of four billion", config([0xDD, 0xFF, 0xFF, 0xFF, 0xFF])),
        ("text of four gigabytes", config([0x81, 0xDB, 0xFF, 0xFF, 0xFF, 0xFF])),
        ("bytes of four gigabytes", config([0x81] + text("RepositoryID") + [0xC6, 0xFF, 0xFF, 0xFF, 0xFF])),
        ("a repository id of 15 bytes", config([0x81] + text("RepositoryID") + [0xC4, 15] + SeededRandomBytes.some(15))),
        ("a repository id that is text", config([0x81] + text("RepositoryID") + text("0123456789abcdef"))),
        ("an extension that lies", config([0x81] + text("Timestamp") + [0xC9, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF])),
        ("a key that is no text", config([0x81, 0xC0, 0xC0])), ("a broken key", config([0x81, 0xA2, 0xFF, 0xFE, 0xC0])),
        ("another magic", Array("_KLOSSET".utf8) + GeneratedStore.config.dropFirst(8)),
        ("another type", GeneratedStore.config.prefix(8) + [4, 0, 0, 0] + GeneratedStore.config.dropFirst(12)),
    ]

    @Test("A CONFIG that cannot be understood is 65 in bounded memory", arguments: configs.indices)
    func configs(index: Int) async throws {
        let (name, bytes) = Self.configs[index]
        let (place, _) = try CallTests.placeWithStore()
        try place.folder.put("source/CONFIG", bytes)
        try await expectDamage(name, in: place)
    }

    @Test("A CONFIG that was cut short is 65 or understood, never a crash")
    func cutShort() async throws {
        let (place, _) = try CallTests.placeWithStore()
        let whole = GeneratedStore.config
        for length in stride(from: 0, to: whole.count, by: Loops.count(fast: 97, part: 23, full: 1)) {
            try place.folder.put("source/CONFIG", Array(whole.prefix(length)))
            let seen = try await HostileStoreTests.bounded("inspect", place("source"), in: place, expect: [65])
            #expect(seen["repository_id"] != .string(""), "\(length)")
        }
    }

    @Test("A CONFIG of 1 GiB is 65 in bounded memory")
    func hugeConfig() async throws {
        let (place, _) = try CallTests.placeWithStore()
        try Self.makeSparse("source/CONFIG", size: 1 << 30, in: place)
        try await expectDamage("1 GiB", in: place)
    }

    private func expectDamage(_ name: String, in place: Workplace) async throws {
        _ = try await HostileStoreTests.bounded("inspect", place("source"), in: place, expect: [65])
        _ = try await HostileStoreTests.bounded("sync", place("source"), place("target"), in: place, expect: [65])
        #expect(!place.folder.names().contains("target"), "\(name)")
    }

    // MARK: - archives

    /// Head and trailer of an archive (kloset-format 1 and 4) around `body`.
    private static func archive(_ ranges: [Int64], body: [UInt8] = [UInt8](repeating: 0, count: 4096)) -> [UInt8] {
        var bytes = Array("_PLATAR_".utf8) + [0, 0, 1, 0] + body
        for number in ranges { withUnsafeBytes(of: number.littleEndian) { bytes += $0 } }
        return bytes
    }

    private static let archives: [[UInt8]] = [
        [], Array("_PLATAR_".utf8), archive([]), archive([0, 0, 0, 0, 0, 0]), archive([12, 100, 112, 1 << 40, 200, 100]),
        archive([12, .max, .max, .max, .max, .max]), archive([.max, 1, .max, 1, .max, 1]),
        archive([-1, 100, -5, 100, .min, 100]),
        archive([12, -1, 12, -1, 12, -1]), archive([12, 3000, 12, 3000, 12, 3000]), archive([4000, 200, 4050, 200, 4090, 60]),
        archive([12, 100, 200, 100, 300, 100]), SeededRandomBytes.some(5000),
    ]

    @Test("An archive whose offsets lie is 65 in bounded memory", arguments: archives.indices)
    func archives(index: Int) async throws {
        let place = try Workplace()
        try place.folder.put("lying.ptar", Self.archives[index])
        for verb in ["inspect", "verify"] {
            _ = try await HostileStoreTests.bounded(verb, "ptar:" + place("lying.ptar"), in: place, expect: [65])
        }
    }

    @Test("A real archive that was changed or cut is never a crash", .enabled(if: RealStores.ptar != nil, RealStores.noPtar))
    func changedArchive() async throws {
        let seed = Loops.seed("changed archives")
        var random = SeededRandom(seed: seed)
        let place = try Workplace()
        try await place.run(["cp", RealStores.ptar ?? "", place("real.ptar")])
        try await place.run(["chmod", "600", place("real.ptar")])
        let whole = try #require(place.folder.contents(of: "real.ptar"))
        for _ in 0..<Loops.count(fast: 5, part: 30, full: 300) {
            var bytes = whole
            // The trailer and the head decide what is read; the middle is somebody's data.
            let index =
                Bool.random(using: &random)
                ? Int.random(in: 0..<700, using: &random) : bytes.count - Int.random(in: 1...48, using: &random)
            bytes[index] ^= UInt8.random(in: 1...255, using: &random)
            if Int.random(in: 0..<3, using: &random) == 0 { bytes.removeLast(Int.random(in: 1...bytes.count, using: &random)) }
            try place.folder.put("real.ptar", bytes)
            _ = try await HostileStoreTests.bounded("verify", "ptar:" + place("real.ptar"), in: place, expect: [0, 65])
        }
    }

    @Test("An archive that is a FIFO, a folder, or 1 GiB of nothing")
    func oddArchives() async throws {
        let place = try Workplace()
        try place.folder.putPipe("pipe")
        try place.folder.putFolder("folder")
        try place.folder.put("huge", Self.archive([12, 400 << 20, 500 << 20, 400 << 20, 900 << 20, 1 << 20]))
        try Self.makeSparse("huge", size: 1 << 30, in: place)
        for name in ["pipe", "folder"] {
            _ = try await HostileStoreTests.bounded("inspect", "ptar:" + place(name), in: place, expect: [65, 66])
        }
        _ = try await HostileStoreTests.bounded("inspect", "ptar:" + place("huge"), in: place, expect: [65])
    }

    // MARK: - plans

    @Test("A plan that was edited, or is somebody else's, does nothing")
    func editedPlans() async throws {
        let (place, store) = try CallTests.placeWithStore()
        try place.folder.putFolder("bystander")
        try place.folder.put("bystander/file", [1])
        try await place.sealift("plan", place("source"), place("target"), "-o", place("plan.json"))
        let plan = String(decoding: try #require(place.folder.contents(of: "plan.json")), as: UTF8.self)
        let id = try #require(store.keys().first { $0.kind == .packfile }).id.hex
        let other = String(repeating: "ab", count: 32)
        let repository = try #require(try JSONValue(parsing: plan)["repository_id"]?.text)
        let edits: [(String, String, Set<Int32>)] = [
            (id, other, [3]), (id, "../../../bystander/file", [3]), (repository, "01234567-89ab-cdef-0123-456789abcdef", [3]),
            (place("target"), place("bystander"), [3]), (place("target"), place("target") + "/../bystander", [3, 64]),
            (place("source"), place("nowhere"), [66]), (place("target"), place("source"), [64]), (place("target"), "", [64]),
            (place("target"), "@nobody", [78]), ("sealift-plan-1", "sealift-plan-2", [64]),
            ("\"resources\"", "\"ressources\"", [64]),
            ("\"packfile\"", "\"state\"", [3]), ("\n}\n", "\n}\n ", [3]), ("\n}\n", "", [3]),
        ]
        let before = try TreeImage(of: place.folder.path)
        for (old, new, codes) in edits {
            let edited = plan.replacing(old, with: new)
            #expect(edited != plan)
            try place.folder.put("edited.json", Array(edited.utf8))
            _ = try await HostileStoreTests.bounded("apply", place("edited.json"), in: place, expect: codes)
        }
        let changes = try TreeImage(of: place.folder.path).differences(
            from: before, ignoring: ["output/", "state/", "state", "edited.json"])
        #expect(changes.isEmpty)
    }

    @Test(
        "A plan that is no plan is 64 in bounded memory",
        arguments: ["empty", "garbage", "huge", "nested", "pipe", "folder", "zero"])
    func noPlans(what: String) async throws {
        let place = try Workplace()
        switch what {
        case "garbage": try place.folder.put("plan", SeededRandomBytes.some(100_000))
        case "nested": try place.folder.put("plan", [UInt8](repeating: UInt8(ascii: "["), count: 200_000))
        case "pipe": try place.folder.putPipe("plan")
        case "folder": try place.folder.putFolder("plan")
        case "zero": try place.folder.putLink("plan", to: "/dev/zero")
        default:
            try place.folder.put("plan", [])
            if what == "huge" { try Self.makeSparse("plan", size: 1 << 30, in: place) }
        }
        _ = try await HostileStoreTests.bounded("apply", place("plan"), in: place, expect: [64])
    }

    @Test("A plan takes the place of no pipe and no link")
    func planInThePlaceOf() async throws {
        let (place, _) = try CallTests.placeWithStore()
        try place.folder.putPipe("pipe")
        try place.folder.putLink("link", to: place("precious"))
        let before = try TreeImage(of: place.folder.path)
        for name in ["pipe", "link"] { try await place.fails(73, "plan", place("source"), place("target"), "-o", place(name)) }
        #expect(try TreeImage(of: place.folder.path).differences(from: before, ignoring: ["output/"]) == [])
    }

    @Test("A plan's file that is a link is not written through")
    func planThroughLink() async throws {
        let (place, _) = try CallTests.placeWithStore()
        try place.folder.put("precious", Array("do not touch".utf8))
        try place.folder.putLink("plan.json.tmp", to: place("precious"))
        _ = try await place.sealift("plan", place("source"), place("target"), "-o", place("plan.json"), expect: nil)
        #expect(place.folder.contents(of: "precious") == Array("do not touch".utf8))
    }
}

enum SeededRandomBytes {
    /// Bytes that mean nothing, the same each time.
    static func some(_ count: Int) -> [UInt8] {
        var random = SeededRandom(seed: 77)
        return random.bytes(count)
    }
}
