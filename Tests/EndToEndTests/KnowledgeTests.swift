internal import Glibc
internal import Kloset
internal import StorageTesting
internal import Testing

/// Where a call's knowledge comes from, what it does without, and what it takes for the same place.
@Suite("Knowledge", .serialized, .enabled(if: Binary.isThere, Binary.reason))
struct KnowledgeTests {
    // MARK: - the same source

    @Test("A source that was moved, or is mounted elsewhere, is the same source; a copy of it is another one")
    func movedSource() async throws {
        let (place, store) = try CallTests.placeWithStore()
        try await place.sealift("sync", place("source"), place("target"))
        try await place.run(["cp", "-a", place("source"), place("copy")])
        try await place.run(["mv", place("source"), place("moved")])
        let victim = try #require(store.keys().last { $0.kind == .packfile })
        for source in ["copy", "moved"] { try place.folder.remove("\(source)/\(victim.path)") }
        for target in ["target", "other"] {
            #expect(try await place.fails(3, "sync", place("moved"), place(target)).contains(victim.id.hex))
        }
        #expect(!place.folder.names().contains("other"))
        #expect(try await place.json("verify", place("moved"), expect: 65)["lost"]?[0]?["id"]?.text == victim.id.hex)
        #expect(try await place.json("verify", place("copy"))["lost"] == .array([]))
        try await place.sealift("sync", place("copy"), place("third"))
        try await place.sealift("repair", place("moved"), "--from", place("target"))
        try await place.sealift("sync", place("moved"), place("target"))
    }

    @Test("So is one behind a bind mount", .enabled(if: Root.canMount, Root.noMount))
    func boundSource() async throws {
        let (place, store) = try CallTests.placeWithStore()
        try await place.sealift("sync", place("source"), place("target"))
        let victim = try #require(store.keys().last { $0.kind == .packfile })
        try place.folder.remove("source/\(victim.path)")
        try place.folder.putFolder("bound")
        try await place.run(["mount", "--bind", place("source"), place("bound")])
        defer { umount2(place("bound"), Int32(MNT_DETACH)) }
        #expect(try await place.fails(3, "sync", place("bound"), place("target")).contains(victim.id.hex))
    }

    // MARK: - CONFIG

    @Test("A source that lost its CONFIG gets it back from a replica")
    func lostConfig() async throws {
        let (place, _) = try CallTests.placeWithStore()
        try await place.sealift("sync", place("source"), place("target"))
        let config = place.folder.contents(of: "source/CONFIG")
        try place.folder.remove("source/CONFIG")
        for words in [
            ["sync", "source", "target"], ["verify", "source"], ["inspect", "source"], ["plan", "source", "target"],
        ] {
            let ended = try await place.run([Binary.path] + words, expect: 66)
            #expect(ended.err.contains("sealift repair \(place("source")) --from"), "\(words): \(ended.err)")
        }
        let report = try await place.json("repair", place("source"), "--from", place("target"))
        #expect(report["repaired"] == .array([.object(["kind": .string("config"), "id": .string("CONFIG")])]))
        #expect(place.folder.contents(of: "source/CONFIG") == config)
        try await place.sealift("sync", place("source"), place("target"))
        // Nothing there has anything to do with the replica.
        try place.folder.putFolder("empty/packfiles")
        let words = try await place.fails(66, "repair", place("empty"), "--from", place("target"))
        #expect(words.contains("there is no CONFIG"))
    }

    // MARK: - the mark

    @Test("A mark that cannot be read stops nobody who only looks, and there is a way out")
    func brokenMark() async throws {
        let (place, _) = try CallTests.placeWithStore()
        try await place.sealift("sync", place("source"), place("target"))
        let mark = place.folder.contents(of: "target/.sealift/replica")
        for broken in [[], Array("{".utf8), Array("{\"format\":1,\"replica_id\":\"x\"}".utf8)] as [[UInt8]] {
            try place.folder.put("target/.sealift/replica", broken)
            for words in [["inspect"], ["verify"], ["points"]] {
                let value = try await place.json(words[0], place("target"), expect: 65)
                #expect(value["mark_damage"]?.text?.isEmpty == false, "\(words)")
                #expect(value["error"] == nil)
            }
            #expect(try await place.json("points", place("target"), expect: 65)["points"]?.elements.count == 1)
            let words = try await place.fails(65, "sync", place("source"), place("target"))
            #expect(words.contains("--new-replica") && words.contains("no model"))
            let healed = try await place.json("repair", place("target"), "--from", place("source"))
            #expect(healed["mark_restored"] == .boolean(true))
            #expect(place.folder.contents(of: "target/.sealift/replica") == mark)
        }
        #expect(place.folder.names(in: "target/.sealift/quarantine").filter { $0.hasPrefix("replica-") }.count == 3)
        try place.folder.remove("target/.sealift/replica")
        try place.folder.putFolder("target/.sealift/replica")
        try await place.fails(65, "sync", place("source"), place("target"))
        try await place.sealift("sync", place("source"), place("target"), "--new-replica", "--verify", "all")
        #expect(place.folder.contents(of: "target/.sealift/replica") != mark)
        try await place.sealift("verify", place("target"))
    }

    // MARK: - what only a ledger tells

    @Test("What only a replica's ledger tells is marked until it is proven")
    func unauthenticated() async throws {
        let (place, _) = try CallTests.placeWithStore()
        let own = try await place.json("sync", place("source"), place("target"))
        #expect(own.target?["ledger"]?.text == "catalog")
        #expect(try await place.json("points")["points"]?[0]?["authenticated"] == .boolean(true))
        try await place.run(["rm", "-r", place("state")])
        let told = try await place.sealift("sync", place("source"), place("target"), "--verify", "none")
        #expect(told.err.contains("unauthenticated"), "\(told.err)")
        let report = try await place.json("sync", place("source"), place("target"), "--verify", "none")
        #expect(report.target?["ledger"]?.text == "replica (unauthenticated)")
        let list = try await place.json("points", place("target"))
        #expect(list["ledger"]?.text == "replica (unauthenticated)")
        #expect(list["points"]?[0]?["authenticated"] == .boolean(false))
        let id = try #require(list["points"]?[0]?["id"]?.text)
        for words in [["points", place("target")], ["points", "show", id], ["points", "diff", id, id], ["points"]] {
            let ended = try await place.run([Binary.path] + words)
            #expect(ended.err.contains("UNAUTHENTICATED"), "\(words)")
            #expect(words.contains("diff") || ended.out.contains("UNAUTHENTICATED"), "\(words)")
        }
        #expect(try await place.json("points", "show", id)["points"]?[0]?["authenticated"] == .boolean(false))
        try await place.sealift("sync", place("source"), place("target"), "--verify", "all")
        let proven = try await place.sealift("sync", place("source"), place("target"))
        #expect(proven.err.isEmpty, "\(proven.err)")
        #expect(try await place.json("points")["points"]?[0]?["authenticated"] == .boolean(true))
        #expect(try await place.json("verify", place("target"))["ledger"]?.text == "catalog")
        // Learned and proven at once: it is said all the same.
        try await place.run(["rm", "-r", place("state")])
        let both = try await place.sealift("sync", place("source"), place("target"), "--verify", "all")
        #expect(both.err.contains("unauthenticated"), "\(both.err)")
        #expect(try await place.json("points")["ledger"]?.text == "catalog")
    }

    @Test("Nothing on record is said")
    func nothing() async throws {
        let (place, _) = try CallTests.placeWithStore()
        #expect(try await place.json("verify", place("source"))["ledger"]?.text == "nothing")
        #expect(try await place.json("points")["ledger"]?.text == "nothing")
    }

    // MARK: - a state folder that is of no use

    @Test("inspect needs no state folder, and others say once what is wrong with it", arguments: ["file", "folder"])
    func uselessState(what: String) async throws {
        let (place, _) = try CallTests.placeWithStore()
        if what == "file" {
            try place.folder.put("state", [1])
        } else {
            try place.folder.putFolder("state/catalog.sqlite")
        }
        #expect(try await place.json("inspect", place("source"))["packfiles"] != .number(0))
        for words in [["verify", "source"], ["sync", "source", "target"], ["points"]] {
            let ended = try await place.run([Binary.path] + words, expect: nil)
            #expect(ended.code != 0)
            #expect(ended.err.split(separator: "\n").filter { $0.hasPrefix("sealift:") }.count == 1, "\(ended.err)")
        }
    }

    @Test("inspect works without a home, and where nothing may be written", .enabled(if: Root.canChangeUser, Root.noOtherUser))
    func forbiddenState() async throws {
        let (place, _) = try CallTests.placeWithStore()
        try await place.run(["chown", "-R", "65534:65534", place("source")])
        try await place.run(["chmod", "755", place.folder.path])
        try place.folder.putFolder("state")
        let before = try TreeImage(of: place.folder.path)
        let words = Root.asNobody + [Binary.path, "inspect", place("source")]
        try await place.run(words, ["TMPDIR": "/nowhere"])
        try await place.run(["env", "-u", "SEALIFT_STATE", "-u", "HOME"] + words)
        #expect(try TreeImage(of: place.folder.path).differences(from: before, ignoring: ["output/"]) == [])
        let ended = try await place.run(Root.asNobody + [Binary.path, "verify", place("source")], expect: 77)
        #expect(ended.err.split(separator: "\n").count == 1, "\(ended.err)")
    }
}
