internal import StorageTesting
internal import Testing

/// Calls that only look, and plans that no longer fit, change nothing anywhere.
@Suite("Nothing written", .serialized, .enabled(if: Binary.isThere, Binary.reason))
struct NothingWrittenTests {
    private static let looks: [[String]] = [
        ["plan", "source", "target", "--json"], ["plan", "source", "target"], ["sync", "source", "target", "--dry-run"],
        ["sync", "source", "target", "other", "--dry-run", "--json"],
    ]

    @Test("A first look, without a target and without a catalog", arguments: looks, [false, true])
    func firstLook(words: [String], hasFolder: Bool) async throws {
        let (place, _) = try CallTests.placeWithStore()
        if hasFolder { try place.folder.putFolder("state") }
        let before = try TreeImage(of: place.folder.path)
        try await place.run([Binary.path] + words)
        #expect(try TreeImage(of: place.folder.path).differences(from: before, ignoring: ["output/"]) == [])
    }

    @Test("A look at a replica that has something to do", arguments: looks)
    func laterLook(words: [String]) async throws {
        let place = try Workplace()
        let store = GeneratedStore(seed: 5, Shape.small(states: 6))
        try store.place(in: FolderSink(place.folder, "source"), upTo: 3)
        try await place.sealift("sync", place("source"), place("target"))
        try store.place(in: FolderSink(place.folder, "source"))
        let before = try TreeImage(of: place.folder.path)
        try await place.run([Binary.path] + words)
        #expect(try TreeImage(of: place.folder.path).differences(from: before, ignoring: ["output/"]) == [])
    }

    @Test("plan -o writes the plan and nothing else, and apply does what sync does")
    func planAndApply() async throws {
        let (place, store) = try CallTests.placeWithStore()
        let before = try TreeImage(of: place.folder.path)
        let planned = try await place.json("plan", place("source"), place("target"), "-o", place("plan.json"))
        #expect(try TreeImage(of: place.folder.path).differences(from: before, ignoring: ["output/"]) == ["plan.json"])
        let document = try JSONValue(
            parsing: String(decoding: try #require(place.folder.contents(of: "plan.json")), as: UTF8.self))
        #expect(document["resources"]?.elements.count == store.keys().count)
        let done = try await place.json("apply", place("plan.json"))
        #expect(done.target?["copied"] == planned.target?["to_copy"])
        #expect(ClosureCheck(store).violations(in: place, "target", stateCountWithConfig: 3).isEmpty)
    }

    @Test("A plan that no longer fits is refused", arguments: ["source", "target"])
    func oldPlan(changed: String) async throws {
        let place = try Workplace()
        let store = GeneratedStore(seed: 6, Shape.small(states: 6))
        try store.place(in: FolderSink(place.folder, "source"), upTo: 2)
        try await place.sealift("sync", place("source"), place("target"))
        try store.place(in: FolderSink(place.folder, "source"), upTo: 4)
        try await place.sealift("plan", place("source"), place("target"), "-o", place("plan.json"))
        if changed == "source" {
            try store.place(in: FolderSink(place.folder, "source"))
        } else {
            try await place.sealift("sync", place("source"), place("target"))
        }
        let before = try TreeImage(of: place("target"))
        try await place.fails(3, "apply", place("plan.json"))
        #expect(try TreeImage(of: place("target")).differences(from: before, ignoring: [".sealift/lock"]) == [])
    }

    @Test("A source is never written to, whatever is done with it")
    func sources() async throws {
        let (place, store) = try CallTests.placeWithStore()
        let before = try TreeImage(of: place("source"))
        try await place.sealift("sync", place("source"), place("target"), "--verify", "all")
        try await place.sealift("verify", place("target"), "--against", place("source"))
        let victim = try #require(store.keys().last)
        try place.folder.remove("target/\(victim.path)")
        try await place.sealift("repair", place("target"), "--from", place("source"))
        try await place.sealift("inspect", place("source"))
        try await place.sealift("points", place("source"))
        #expect(try TreeImage(of: place("source")) == before)
    }
}
