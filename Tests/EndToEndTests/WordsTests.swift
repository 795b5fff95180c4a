internal import Glibc
internal import Kloset
internal import StorageTesting
internal import Testing

/// What people are told: which resources, on which side, and what helps.
@Suite("Words", .serialized, .enabled(if: Binary.isThere, Binary.reason))
struct WordsTests {
    private func packfiles(_ store: GeneratedStore) -> [ResourceKey] { store.keys().filter { $0.kind == .packfile } }

    private func flip(_ path: String, _ offset: Int, in place: Workplace) throws {
        var bytes = try #require(place.folder.contents(of: path))
        bytes[offset] ^= 1
        try place.folder.put(path, bytes)
    }

    @Test("Up to ten damaged resources are named, then their number")
    func severalDamaged() async throws {
        let (place, store) = try CallTests.placeWithStore(states: 16)
        let bad = Array(packfiles(store).prefix(12))
        try #require(bad.count == 12)
        for key in bad { try flip("source/\(key.path)", 0, in: place) }
        let text = try await place.run([Binary.path, "sync", "source", "target"], expect: 65).err
        #expect(bad.filter { text.contains($0.id.hex) }.count == 10 && text.contains("and 2 more; --json lists all"), "\(text)")
        #expect(text.contains("cannot copy 12 resources of \(place("source"))"), "\(text)")
        let object = try await place.json("sync", place("source"), place("target"), "--allow-incomplete", expect: 1)
        let error = try #require(object.target?["error"])
        #expect(error["kind"]?.text == "incomplete" && error["resources"]?.elements.count == 12)
        #expect(object.target?["failed_count"] == .number(12) && object.target?["failed"]?[0]?["side"]?.text == "source")
        #expect(object.target?["recovery_point_is_new"] == .boolean(true))
        let again = try await place.run([Binary.path, "sync", "source", "target"], expect: 1)
        #expect(again.out.contains("12 resources left out") && again.out.contains("(incomplete)"), "\(again.out)")
        let id = try #require(object.target?["recovery_point"]?.text)
        let shown = try await place.sealift("points", "show", id).out.split(separator: "\n")
        #expect(shown.filter { $0.hasSuffix(" left out") }.count == 12)
        for key in bad { #expect(shown.contains("  \(key) left out")) }
    }

    @Test("A replica that lost and rotted much names ten of it")
    func damagedReplica() async throws {
        let (place, store) = try CallTests.placeWithStore(states: 16)
        try await place.sealift("sync", place("source"), place("target"))
        let keys = packfiles(store)
        for key in keys.prefix(6) { try flip("target/\(key.path)", 0, in: place) }
        for key in keys.dropFirst(6).prefix(6) { try place.folder.remove("target/\(key.path)") }
        let found = try await place.run([Binary.path, "verify", "target"], expect: 65).err
        #expect(keys.prefix(12).filter { found.contains($0.id.hex) }.count == 10 && found.contains("and 2 more"), "\(found)")
        let healed = try await place.run([Binary.path, "repair", "target", "--from", "source"])
        #expect(healed.out.contains("and 2 more; --json lists all"), "\(healed.out)")
    }

    @Test("verify --against names the side, and what only the other one has")
    func against() async throws {
        let (place, store) = try CallTests.placeWithStore()
        try store.place(in: FolderSink(place.folder, "copy"))
        let keys = packfiles(store)
        try flip("copy/\(keys[0].path)", 0, in: place)
        let broken = try await place.json("verify", place("source"), "--against", place("copy"), expect: 65)
        #expect(broken["damaged"] == .array([]) && broken["complete"] == .boolean(false))
        #expect(broken["against"]?.text == place("copy"))
        #expect(broken["against_damaged"]?[0]?["id"]?.text == keys[0].id.hex)
        let text = try await place.run([Binary.path, "verify", "source", "--against", "copy"], expect: 65)
        #expect(text.err.contains("at \(place("copy"))"), "\(text.err)")
        #expect(text.err.contains("Heal it with: sealift repair \(place("copy")) --from \(place("source"))\n"), "\(text.err)")
        try await place.sealift("repair", place("copy"), "--from", place("source"))
        // Now it is another one that it lacks.
        try place.folder.remove("copy/\(keys[1].path)")
        let lacking = try await place.run([Binary.path, "verify", "copy", "--against", "source"])
        #expect(lacking.err.contains("warning") && lacking.err.contains(keys[1].id.hex), "\(lacking.err)")
        let object = try await place.json("verify", place("copy"), "--against", place("source"))
        #expect(object["only_against"]?.elements.map { $0["id"]?.text } == [keys[1].id.hex])
        // And one that differs, with nothing to tell which is right.
        try flip("copy/\(keys[2].path)", 40, in: place)
        let disputed = try await place.run([Binary.path, "verify", "copy", "--against", "source"], expect: 65)
        #expect(disputed.err.contains("plakar check") && !disputed.err.contains("sealift repair"), "\(disputed.err)")
    }

    @Test("Stores of two repositories are not compared: 3, which the help knows")
    func repositories() async throws {
        let (place, store) = try CallTests.placeWithStore()
        try store.place(in: FolderSink(place.folder, "stranger"), config: GeneratedStore.config(repository: Array(0..<16)))
        try await place.fails(3, "verify", place("source"), "--against", place("stranger"))
        let help = try await place.sealift("help", "verify").out
        #expect(help.contains("\n  3  "), "\(help)")
    }

    @Test("What may not be read is no damage", .enabled(if: Root.canChangeUser, Root.noOtherUser))
    func unreadable() async throws {
        let (place, store) = try CallTests.placeWithStore()
        try await place.run(["cp", Binary.path, place("sealift")])
        try await place.run(["chmod", "755", place.folder.path, place("sealift")])
        try await place.run(["install", "-d", "-o", "65534", "-m", "700", place("own")])
        try await place.run(["chown", "-R", "65534:65534", place("source"), place("home")])
        let key = try #require(packfiles(store).first)
        try await place.run(["chown", "root", place("source/\(key.path)")])
        try await place.run(["chmod", "600", place("source/\(key.path)")])
        func nobody(_ words: String..., expect code: Int32) async throws -> Ended {
            try await place.run(
                Root.asNobody + [place("sealift")] + words, ["SEALIFT_STATE": place("own/state")], expect: code)
        }
        let sync = try await nobody("sync", place("source"), place("own/target"), expect: 65)
        #expect(sync.err.contains(key.id.hex) && sync.err.contains("Run as a user who may read"), "\(sync.err)")
        #expect(!sync.err.contains("sealift repair") && !sync.err.contains("--allow-incomplete"), "\(sync.err)")
        let verify = try await nobody("verify", place("source"), expect: 77)
        #expect(verify.err.contains(key.id.hex) && verify.err.contains("Run as a user who may read"), "\(verify.err)")
        #expect(verify.out.contains("0 damaged, 0 lost; 1 could not be read"), "\(verify.out)")
        let object = try JSONValue(parsing: try await nobody("verify", place("source"), "--json", expect: 77).out)
        #expect(object["unreadable"]?[0]?["id"]?.text == key.id.hex && object["damaged"] == .array([]))
        // Damage outranks it.
        try flip("source/\(packfiles(store)[1].path)", 0, in: place)
        try await place.run(["chown", "-R", "65534:65534", place("source/\(packfiles(store)[1].path)")])
        #expect(try await nobody("verify", place("source"), expect: 65).err.contains("Run as a user who may read"))
    }

    @Test("A name that no new point gets is told")
    func name() async throws {
        let (place, _) = try CallTests.placeWithStore()
        try await place.sealift("sync", place("source"), place("target"), "--name", "first")
        let again = try await place.run([Binary.path, "sync", "source", "target", "--name", "later"])
        #expect(again.err.contains("“later” is not used"), "\(again.err)")
        let object = try await place.json("sync", place("source"), place("target"), "--name", "later")
        #expect(object.target?["recovery_point_is_new"] == .boolean(false))
    }

    @Test("Neither the state nor a plan is kept in a store", arguments: ["source", "target"])
    func ownFiles(store: String) async throws {
        let (place, _) = try CallTests.placeWithStore()
        try place.folder.putLink("alias", to: place(store))
        try await place.sealift("sync", place("source"), place("target"))
        let before = try TreeImage(of: place(store))
        let outside = place.folder.names()
        for folder in ["\(store)/state", "\(store)/.sealift/state", store, "alias/state"] {
            for words in [
                ["sync", "source", "target"], ["plan", "source", "target"], ["verify", store], ["inspect", store],
                ["repair", "target", "--from", "source"], ["points", store],
            ] {
                let ended = try await place.run([Binary.path] + words, ["SEALIFT_STATE": place(folder)], expect: 64)
                #expect(ended.err.contains("SEALIFT_STATE"), "\(ended.err)")
            }
        }
        for path in ["\(store)/plan.json", "alias/plan.json", place("\(store)/packfiles/plan.json")] {
            try await place.fails(64, "plan", "source", "target", "-o", path)
        }
        #expect(try TreeImage(of: place(store)) == before)
        #expect(place.folder.names() == outside)
    }

    @Test("An option that means nothing for a folder is named, once")
    func ignoredOption() async throws {
        let (place, _) = try CallTests.placeWithStore()
        try place.folder.put(
            "home/.config/plakar/stores.yml",
            Array("version: v1.0.0\nstores:\n  mine:\n    location: \(place("source"))\n    root: /elsewhere\n".utf8))
        for words in [["inspect", "@mine"], ["verify", "@mine"], ["sync", "@mine", "target"]] {
            let ended = try await place.run([Binary.path] + words)
            #expect(ended.err.split(separator: "\n").filter { $0.contains("root") }.count == 1, "\(words): \(ended.err)")
        }
    }

    @Test("A place in which nothing can be made is 73")
    func nothingCanBeMade() async throws {
        let (place, _) = try CallTests.placeWithStore()
        try await place.fails(73, "sync", place("source"), "/proc/sealift-test")
    }

    @Test("A line break in a name makes no line of its own")
    func lineBreak() async throws {
        let (place, _) = try CallTests.placeWithStore()
        let ended = try await place.run([Binary.path, "sync", "source", "target\nsealift: all is well"])
        #expect(ended.out.split(separator: "\n").count == 1, "\(ended.out)")
        let failed = try await place.run([Binary.path, "inspect", "nowhere\nsealift: all is well"], expect: 66)
        #expect(failed.err.split(separator: "\n").count == 1, "\(failed.err)")
    }

    @Test("An unfinished copy says whose it is, and nothing of plakar")
    func unfinished() async throws {
        let (place, store) = try CallTests.placeWithStore()
        try flip("source/\(try #require(packfiles(store).first).path)", 0, in: place)
        try await place.fails(65, "sync", place("source"), place("target"))
        let object = try await place.json("inspect", place("target"))
        #expect(object["unfinished"] == .boolean(true))
        let origin = try await place.json("inspect", place("source"))
        #expect(object["repository_id"] == origin["repository_id"])
        let text = try await place.sealift("inspect", place("target")).out
        #expect(!text.contains("plakar"), "\(text)")
    }
}
