internal import Glibc
internal import Kloset
internal import StorageTesting
internal import Testing

/// Stores made to mislead: nothing follows a link out, waits for ever, or takes much memory.
@Suite("Hostile stores", .serialized, .enabled(if: Binary.isThere, Binary.reason))
struct HostileStoreTests {
    /// The bound of the issue for a million resources: no hostile input may need more.
    static let memoryMax = Double(96 << 20)

    /// Long for these tiny stores even on a busy machine: a call that waits for a FIFO's other end takes for ever.
    private static let secondsMax = 60

    static func bounded(
        _ words: String..., in place: Workplace, expect codes: Set<Int32>, source: SourceLocation = #_sourceLocation
    ) async throws -> JSONValue {
        let ended = try await place.run([Binary.path] + words + ["--json"], expect: nil, seconds: secondsMax, source: source)
        #expect(codes.contains(ended.code), "\(words): \(ended.code): \(ended.err)\(ended.out)", sourceLocation: source)
        let value = try JSONValue(parsing: ended.out)
        if let peak = value["peak_memory_bytes"]?.number { #expect(peak < memoryMax, sourceLocation: source) }
        if ended.code != 0 { #expect(ended.err.contains("sealift: "), sourceLocation: source) }
        return value
    }

    // MARK: - what stands under a resource's name

    enum Obstacle: String, CaseIterable, Sendable { case link, dangling, pipe, folder, device }

    private func put(_ obstacle: Obstacle, at path: String, in place: Workplace) throws {
        try? place.folder.remove(path)
        switch obstacle {
        case .link:
            try place.folder.put("secret", GeneratedStore.config)
            try place.folder.putLink(path, to: place("secret"))
        case .dangling: try place.folder.putLink(path, to: place("made-by-following"))
        case .pipe: try place.folder.putPipe(path)
        case .folder: try place.folder.putFolder(path)
        case .device:
            // 1,5 is /dev/zero: without an end.
            guard mknod(place(path), S_IFCHR | 0o600, 1 << 8 | 5) == 0 else {
                throw TestFolder.Trouble(what: "mknod", code: errno)
            }
        }
    }

    private static let obstacles = Obstacle.allCases.filter { $0 != .device || Root.isRoot }

    @Test(
        "A resource of the source that is no file: the rest is copied, no state appears", arguments: obstacles,
        ["packfile", "state"])
    func sourceResource(obstacle: Obstacle, kind: String) async throws {
        let (place, store) = try CallTests.placeWithStore()
        let victim = try #require(store.keys().last { $0.kind.name == kind })
        try put(obstacle, at: "source/\(victim.path)", in: place)
        let report = try await Self.bounded("sync", place("source"), place("target"), in: place, expect: [65])
        #expect(report.target?["failed"]?.elements.map { $0["id"]?.text } == [victim.id.hex])
        #expect(place.paths("states", in: "target").isEmpty)
        #expect(place.folder.contents(of: "target/CONFIG") == nil)
        #expect(place.paths("packfiles", in: "target").count == place.paths("packfiles", in: "source").count)
        #expect(!place.folder.names().contains("made-by-following"))
        // Healthy again, complete again.
        try await place.run(["rm", "-rf", place("source/\(victim.path)")])
        try place.folder.put(
            "source/\(victim.path)", try #require(store.bytes(of: victim)),
            modified: store.modified(victim) ?? Timestamp(seconds: 1))
        try await place.sealift("sync", place("source"), place("target"))
        #expect(ClosureCheck(store).violations(in: place, "target", stateCountWithConfig: 3).isEmpty)
    }

    @Test("CONFIG that is no file", arguments: obstacles)
    func sourceConfig(obstacle: Obstacle) async throws {
        let (place, _) = try CallTests.placeWithStore()
        try put(obstacle, at: "source/CONFIG", in: place)
        for words in [["inspect"], ["verify"]] {
            _ = try await Self.bounded(words[0], place("source"), in: place, expect: [65])
        }
        _ = try await Self.bounded("sync", place("source"), place("target"), in: place, expect: [65])
        #expect(!place.folder.names().contains("target"))
    }

    @Test(
        "A folder of the source that is a link or a file", arguments: ["packfiles", "packfiles/ab", "states", "states/cd"],
        [true, false])
    func sourceBucket(folder: String, isLink: Bool) async throws {
        let (place, _) = try CallTests.placeWithStore()
        try await place.run(["mv", place("source/\(folder)"), place("elsewhere")])
        if isLink {
            try place.folder.putLink("source/\(folder)", to: place("elsewhere"))
        } else {
            try place.folder.put("source/\(folder)", [1, 2, 3])
        }
        _ = try await Self.bounded("sync", place("source"), place("target"), in: place, expect: [65])
        #expect(place.paths("states", in: "target").isEmpty)
        _ = try await Self.bounded("inspect", place("source"), in: place, expect: [0, 65])
        _ = try await Self.bounded("verify", place("source"), in: place, expect: [65])
    }

    // MARK: - links planted in a target

    @Test(
        "A link planted in a target leads nowhere",
        arguments: [
            "packfiles", "states", "packfiles/ab", "locks", ".sealift", ".sealift/uploads", ".sealift/ledger",
            ".sealift/quarantine",
        ])
    func targetFolder(folder: String) async throws {
        let place = try Workplace()
        let store = GeneratedStore(seed: 12, Shape.small(states: 6))
        try store.place(in: FolderSink(place.folder, "source"), upTo: 2)
        try await place.sealift("sync", place("source"), place("target"))
        try store.place(in: FolderSink(place.folder, "source"))
        try await place.run(["mv", place("target/\(folder)"), place("elsewhere")])
        try place.folder.putLink("target/\(folder)", to: place("elsewhere"))
        let before = try TreeImage(of: place("elsewhere"))
        for words in [
            ["sync", place("source"), place("target")], ["repair", place("target"), "--from", place("source")],
            ["verify", place("target")], ["inspect", place("target")],
        ] {
            let ended = try await place.run([Binary.path] + words, expect: nil)
            // A link in place of locks/ harms nobody: nothing of ours goes there.
            if words[0] == "sync" {
                #expect([3, 65, 73].contains(ended.code) || folder == "locks", "\(ended.code) \(ended.err)")
            }
            #expect(ended.code < 128)
        }
        #expect(try TreeImage(of: place("elsewhere")) == before, "something was written through the link")
    }

    @Test(
        "A document of ours that is a link or a FIFO is not followed",
        arguments: ["replica", "lock", "ledger/00000001.zst", "ledger/00000099.zst"], [true, false])
    func targetDocument(name: String, isLink: Bool) async throws {
        let place = try Workplace()
        let store = GeneratedStore(seed: 13, Shape.small(states: 6))
        try store.place(in: FolderSink(place.folder, "source"), upTo: 2)
        try await place.sealift("sync", place("source"), place("target"))
        try store.place(in: FolderSink(place.folder, "source"))
        try? place.folder.remove("target/.sealift/\(name)")
        try place.folder.put("precious", Array("do not touch".utf8))
        if isLink {
            try place.folder.putLink("target/.sealift/\(name)", to: place("precious"))
        } else {
            try place.folder.putPipe("target/.sealift/\(name)")
        }
        // With the catalog and without: then the ledger is all that is known.
        for _ in 0..<2 {
            _ = try await Self.bounded("sync", place("source"), place("target"), in: place, expect: [0, 3, 65, 73])
            _ = try await Self.bounded("verify", place("target"), in: place, expect: [0, 65])
            try await place.run(["rm", "-rf", place("state")])
        }
        #expect(place.folder.contents(of: "precious") == Array("do not touch".utf8))
    }

    @Test("A published name that is a link is damage of the target, and what it leads to is not touched")
    func targetResource() async throws {
        let (place, store) = try CallTests.placeWithStore()
        try await place.sealift("sync", place("source"), place("target"))
        let victim = try #require(store.keys().first { $0.kind == .packfile })
        try await place.run(["mv", place("target/\(victim.path)"), place("elsewhere")])
        try place.folder.putLink("target/\(victim.path)", to: place("elsewhere"))
        let before = place.folder.contents(of: "elsewhere")
        _ = try await Self.bounded("sync", place("source"), place("target"), "--relist", in: place, expect: [65])
        let found = try await Self.bounded("verify", place("target"), in: place, expect: [65])
        #expect((found["damaged"]?.elements ?? []).count + (found["lost"]?.elements ?? []).count == 1)
        _ = try await Self.bounded("repair", place("target"), "--from", place("source"), in: place, expect: [0, 65])
        #expect(place.folder.contents(of: "elsewhere") == before)
    }

    // MARK: - names

    @Test("Odd, upper-case and misplaced names are foreign, counted, and not copied")
    func names() async throws {
        let (place, store) = try CallTests.placeWithStore()
        let good = String(repeating: "ab", count: 32)
        let odd = [
            "packfiles/ab/\(good.uppercased())", "packfiles/cd/\(good)", "packfiles/ab/README", "packfiles/ab/\(good.dropLast())",
            "packfiles/ab/\(good)0", "states/ab/\(String(repeating: "é", count: 32))", "states/ab/-rf", "states/ab/a\nb",
            "packfiles/AB/x",
            "packfiles/zz/\(good)", "NOTES", "states/ab/\u{1B}[31m",
        ]
        for name in odd { try place.folder.put("source/\(name)", [1]) }
        let temporary = ["packfiles/tmp.1", "packfiles/ab/tmp.2", "states/ab/\(good).tmp", "tmp.3"]
        for name in temporary { try place.folder.put("source/\(name)", [1]) }
        let seen = try await place.json("inspect", place("source"))
        // Of the two buckets that are none, the folders are counted and not what is in them.
        #expect(seen["foreign"] == .number(Double(odd.count)))
        #expect(seen.counts == [store.keys().filter { $0.kind == .packfile }.count, 3])
        try await place.sealift("sync", place("source"), place("target"))
        #expect(ClosureCheck(store).violations(in: place, "target", stateCountWithConfig: 3).isEmpty)
    }

    @Test("Strange names and control characters in paths never reach a terminal raw")
    func paths() async throws {
        let (place, _) = try CallTests.placeWithStore()
        let name = "a \u{1B}[31m\n\u{202E}b\"\\"
        let report = try await place.json("sync", place("source"), place(name))
        #expect(report.target?["location"]?.text == place(name))
        let ended = try await place.sealift("inspect", place("nowhere \u{1B}[31m"), expect: 66)
        #expect(!ended.err.contains("\u{1B}"))
    }
}
