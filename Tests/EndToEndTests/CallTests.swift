internal import Glibc
internal import StorageTesting
internal import Testing

/// How places may be named, what a wrong call says, and where words go.
@Suite("Calls", .serialized, .enabled(if: Binary.isThere, Binary.reason))
struct CallTests {
    /// A workplace with a small generated store at `source`.
    static func placeWithStore(states: Int = 3) throws -> (Workplace, GeneratedStore) {
        let place = try Workplace()
        let store = GeneratedStore(seed: 11, Shape.small(states: states))
        try store.place(in: FolderSink(place.folder, "source"))
        return (place, store)
    }

    @Test("All spellings of one place are the same place")
    func spellings() async throws {
        let (place, _) = try Self.placeWithStore()
        let source = place("source")
        let id = try await place.json("inspect", source)["repository_id"]
        #expect(id?.text?.count == 36)
        try place.folder.put(
            "home/.config/plakar/stores.yml",
            Array(
                "version: v1.0.0\nstores:\n  mine:\n    location: \(source)\n  above:\n    location: fs://\(place.folder.path)\n"
                    .utf8))
        for spelling in [source + "/", source + "//", "fs://\(source)", "fs://\(source)/", "@mine", "@above:source"] {
            #expect(try await place.json("inspect", spelling)["repository_id"] == id, "\(spelling)")
        }
        for spelling in ["source", "./source", "source/", "../\(place.folder.path.split(separator: "/").last ?? "")/source"] {
            #expect(try await place.json("inspect", spelling)["repository_id"] == id, "\(spelling)")
        }
        // Relative places mean the working folder, wherever that is.
        #expect(try await place.json("inspect", "../source", in: "home")["repository_id"] == id)
        let done = try await place.json("sync", "@mine", "fs://\(place("target"))/")
        #expect(done.target?["location"] == .string(place("target")))
        let again = try await place.json("sync", "source/", "./target")
        #expect(again.target?["recovery_point"] == done.target?["recovery_point"], "another spelling, the same replica")
    }

    @Test(
        "A call that makes no sense is 64",
        arguments: [
            [], ["frobnicate"], ["sync"], ["sync", "source"], ["sync", "source", "target", "--frobnicate"],
            ["plan", "source", "a", "b"],
            ["sync", "source", "source"], ["sync", "source", "source/inside"], ["sync", "source", "."],
            ["sync", "source", "alias"], ["sync", "source", "target", "target"],
            ["sync", "source", "target", "--verify", "some"],
            ["sync", "source", "target", "--limit", "fast"], ["sync", "source", "target", "--limit", "0"],
            ["sync", "source", "target", "--jobs", "0"], ["repair", "source"], ["apply", "no-such-plan.json"],
            ["apply", "source"],
            ["sync", "ptar:archive", "target"], ["sync", "source", "ptar:archive"], ["points", "show"], ["points", "diff", "a"],
            ["inspect", "s3://host/bucket"], ["inspect", ""],
        ])
    func usage(words: [String]) async throws {
        let (place, _) = try Self.placeWithStore()
        try place.folder.putLink("alias", to: place("source"))
        try place.folder.put("archive", Array("_PLATAR_".utf8))
        let before = try TreeImage(of: place("source"))
        // A call whose places overlap is a wrong call whatever else is wrong with them.
        let ended = try await place.run([Binary.path] + words, expect: 64)
        #expect(ended.err.hasPrefix("sealift: "), "\(ended.err)")
        #expect(ended.out.isEmpty)
        #expect(try TreeImage(of: place("source")) == before)
        #expect(!place.folder.names().contains("target"))
    }

    @Test("No store is 66, and nothing is made")
    func noStore() async throws {
        let place = try Workplace()
        try place.folder.putFolder("empty")
        try place.folder.put("file", [1])
        for source in ["nowhere", "empty", "file"] {
            try await place.fails(66, "sync", place(source), place("target"))
            try await place.fails(66, "inspect", place(source))
            try await place.fails(66, "verify", place(source))
            try await place.fails(66, "plan", place(source), place("target"))
        }
        try await place.fails(66, "inspect", "ptar:" + place("nowhere"))
        #expect(place.folder.names() == ["empty", "file", "home", "output", "state"])
        #expect(place.folder.names(in: "empty").isEmpty)
    }

    @Test("A wrong stores.yml is 78, and the message says which one and where, not what it holds")
    func configuration() async throws {
        let place = try Workplace()
        let path = "home/.config/plakar/stores.yml"
        try await place.fails(78, "inspect", "@mine")
        let canary = "CANARY-in-stores-yml"
        for text in [
            "version: v1.0.0\nstores: [\(canary)\n", "version: v1.0.0\nstores:\n  other:\n    location: /\(canary)\n",
            "version: v9\nstores:\n  mine:\n    location: /\(canary)\n",
            "version: v1.0.0\nstores:\n  mine:\n    passphrase: \(canary)\n",
            "version: v1.0.0\nstores:\n  mine:\n    location: /x\n    frobnicate: \(canary)\n",
        ] {
            try place.folder.put(path, Array(text.utf8))
            let message = try await place.fails(78, "inspect", "@mine")
            #expect(!message.contains(canary), "\(message)")
            #expect(message.contains("stores.yml") || message.contains("mine"), "\(message)")
        }
    }

    @Test("Nothing but the result is on standard output, and nothing but trouble on standard error")
    func streams() async throws {
        let (place, _) = try Self.placeWithStore()
        let calls: [[String]] = [
            ["sync", "source", "target"], ["plan", "source", "target"], ["inspect", "source"], ["verify", "target"],
            ["repair", "target", "--from", "source"], ["points"], ["points", "target"],
        ]
        for call in calls {
            let json = try await place.run([Binary.path] + call + ["--json"])
            #expect(json.err.isEmpty, "\(call): \(json.err)")
            #expect(json.out.hasSuffix("}\n") && json.out.split(separator: "\n").count == 1, "\(call)")
            let text = try await place.run([Binary.path] + call)
            #expect(!text.out.isEmpty && !text.out.contains("\u{1B}"), "\(call)")
            #expect(!text.err.contains("\u{1B}") && !text.err.contains("\r"), "no terminal, no cursor movements")
        }
        let quiet = try await place.run([Binary.path, "sync", "source", "quiet", "--quiet"])
        #expect(quiet.out.isEmpty && quiet.err.isEmpty)
        for call in [["inspect", "nowhere"], ["sync", "nowhere", "target"]] {
            let text = try await place.run([Binary.path] + call, expect: 66)
            #expect(text.out.isEmpty)
            let json = try await place.run([Binary.path] + call + ["--json"], expect: 66)
            #expect(try JSONValue(parsing: json.out)["exit_code"] == .number(66))
            #expect(json.err.hasPrefix("sealift: "))
        }
    }

    @Test("A closed standard output is no crash")
    func closedOutput() async throws {
        let (place, _) = try Self.placeWithStore()
        let ended = try await place.run(
            ["sh", "-c", "\(Binary.path) inspect source | true; \(Binary.path) inspect source >&-"], expect: nil)
        #expect(ended.code < 128, "ended by a signal: \(ended.err)")
    }
}
