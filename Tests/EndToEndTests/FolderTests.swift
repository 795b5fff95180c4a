internal import Kloset
internal import StorageTesting
internal import Testing

/// Folders of a store that are gone, closed, or no folders.
@Suite("Folders", .serialized, .enabled(if: Binary.isThere, Binary.reason))
struct FolderTests {
    /// A real store with all its folders, and the folder of one of its packfiles.
    private func placeWithStore() async throws -> (Workplace, source: String, bucket: String, key: ResourceKey) {
        let place = try Workplace()
        let source = try await RealStores.unpack("history-t2", at: "source", in: place)
        let path = try #require(place.paths("packfiles", in: "source").first)
        let key = try #require(ResourceKey(storePath: path))
        return (place, source, "packfiles/\(key.id.hex.prefix(2))", key)
    }

    @Test(
        "A source that lacks folders is not copied as if they had been empty",
        .enabled(if: RealStores.haveHistory, RealStores.noHistory))
    func goneFolders() async throws {
        let (place, source, bucket, key) = try await placeWithStore()
        for folder in ["packfiles", "states", bucket] {
            try await place.run(["mv", "\(source)/\(folder)", place("aside")])
            for words in [["sync", source, place("target")], ["plan", source, place("target")]] {
                let ended = try await place.run([Binary.path] + words, expect: 65)
                #expect(
                    ended.err.contains("its folder \(folder) is not there") && ended.err.contains("sealift repair"),
                    "\(ended.err)")
            }
            let verify = try await place.json("verify", source, expect: 65)
            #expect(verify["unlisted"]?[0]?["folder"]?.text == folder && verify["complete"] == .boolean(false))
            try await place.run(["mv", place("aside"), "\(source)/\(folder)"])
        }
        #expect(!place.folder.names().contains("target"))
        try await place.sealift("sync", source, place("target"))
        // A machine that never saw the source: what the folder held comes from the copy.
        try await place.run(["rm", "-r", "\(source)/\(bucket)"])
        try await place.run(["rm", "-r", place("state")])
        let repaired = try await place.json("repair", source, "--from", place("target"))
        #expect(repaired["repaired"]?[0]?["id"]?.text == key.id.hex)
        #expect(try await place.json("verify", source, "--against", place("target"))["only_against"] == .array([]))
    }

    @Test("A copy without empty folders is a store", .enabled(if: RealStores.haveHistory, RealStores.noHistory))
    func noEmptyFolders() async throws {
        let (place, source, _, _) = try await placeWithStore()
        try await place.run(["find", source, "-mindepth", "2", "-type", "d", "-empty", "-delete"])
        try await place.sealift("sync", source, place("target"))
        #expect(try await place.json("verify", source)["unlisted"] == .array([]))
    }

    @Test(
        "A folder that may not be listed hides nothing else",
        .enabled(if: Root.canChangeUser && RealStores.haveHistory, Root.noOtherUser))
    func closedFolder() async throws {
        let (place, source, bucket, key) = try await placeWithStore()
        try await place.sealift("sync", source, place("target"))
        try await place.run(["cp", Binary.path, place("sealift")])
        try await place.run(["chmod", "-R", "a+rX", place.folder.path])
        try await place.run(["install", "-d", "-o", "65534", "-m", "700", place("own")])
        try await place.run(["chmod", "000", "\(source)/\(bucket)"])
        func nobody(_ words: String..., expect code: Int32) async throws -> JSONValue {
            let ended = try await place.run(
                Root.asNobody + [place("sealift")] + words + ["--json"], ["SEALIFT_STATE": place("own/state")], expect: code)
            return try JSONValue(parsing: ended.out)
        }
        for verb in ["verify", "inspect"] {
            let found = try await nobody(verb, source, expect: 77)
            #expect(found["unlisted"]?[0]?["folder"]?.text == bucket && found["unlisted"]?[0]?["forbidden"] == .boolean(true))
        }
        let verify = try await nobody("verify", source, expect: 77)
        #expect(verify["unknown"] == .number(12), "7 packfiles, 4 states, CONFIG")
        try await place.run(["chmod", "755", "\(source)/\(bucket)"])
        try await place.run(["chmod", "600", source + "/CONFIG"])
        let config = try await nobody("verify", source, expect: 77)
        #expect(config["unreadable"]?[0]?["id"]?.text == "CONFIG" && config["lost"] == .array([]))
        #expect(try await nobody("inspect", source, expect: 77)["packfiles"] == .number(8))
        // Damage outranks it, and is seen beside it.
        try await place.run(["sh", "-c", "printf XXXX | dd of=\(source)/\(key.path) conv=notrunc status=none"])
        #expect(try await nobody("verify", source, expect: 65)["damaged"]?[0]?["id"]?.text == key.id.hex)
    }

    @Test(
        "Something else in a folder's place is damage that hides nothing else",
        .enabled(if: RealStores.haveHistory, RealStores.noHistory))
    func replacedFolder() async throws {
        let (place, source, bucket, key) = try await placeWithStore()
        let target = place("target")
        try await place.sealift("sync", source, target)
        try await place.run(["mv", "\(target)/\(bucket)", place("aside")])
        try await place.run(["ln", "-s", place("aside"), "\(target)/\(bucket)"])
        let verify = try await place.json("verify", target, expect: 65)
        #expect(verify["unlisted"]?[0]?["folder"]?.text == bucket && verify["lost"] == .array([]))
        #expect(verify["checked"] == .number(12))
        #expect(try await place.json("inspect", target, expect: 65)["packfiles"] == .number(7))
        let refused = try await place.run([Binary.path, "repair", target, "--from", source], expect: 65)
        #expect(refused.err.contains(bucket) && refused.err.contains("Move aside"), "\(refused.err)")
        try await place.run(["rm", "\(target)/\(bucket)"])
        #expect(try await place.json("repair", target, "--from", source)["repaired"]?[0]?["id"]?.text == key.id.hex)
        try await place.sealift("verify", target)
    }
}
