internal import Glibc
internal import Kloset
internal import StorageTesting
internal import Testing

/// Disks that are full, forbidden, taken away or exchanged: a clear error, the right code, nothing lost, and the next run completes.
@Suite("Failing places", .serialized, .enabled(if: Binary.isThere, Binary.reason))
struct FailingPlacesTests {
    private static func heavy(_ place: Workplace, seed: UInt64, states: Int = 8, upTo: Int = .max) throws -> GeneratedStore {
        let store = GeneratedStore(seed: seed, Shape.heavy(states: states))
        try store.place(in: FolderSink(place.folder, "source"), upTo: upTo)
        return store
    }

    private func expectComplete(_ target: String, in place: Workplace, source: SourceLocation = #_sourceLocation) async throws {
        try await place.sealift("sync", place("source"), place(target), source: source)
        let (original, copy) = (place.resources("source"), place.resources(target))
        #expect(original.allSatisfy { copy[$0.key] == $0.value }, sourceLocation: source)
        try await place.sealift("verify", place(target), source: source)
    }

    @Test("A full target is 74", .enabled(if: Root.canMount, Root.noMount), arguments: [false, true])
    func full(isUpdate: Bool) async throws {
        let place = try Workplace()
        let store = try Self.heavy(place, seed: 31, upTo: isUpdate ? 2 : .max)
        let small = try await Mounted(over: "disk", in: place, megabytes: 3)
        if isUpdate {
            try await place.sealift("sync", place("source"), place("disk/target"))
            try store.place(in: FolderSink(place.folder, "source"))
        }
        let report = try await place.json("sync", place("source"), place("disk/target"), expect: 74)
        #expect(report.target?["error"]?["message"]?.text?.contains("disk is full") == true, "\(report)")
        let check = ClosureCheck(store)
        #expect(check.violations(in: place, "disk/target", stateCountWithConfig: isUpdate ? 2 : 8).isEmpty)
        #expect(place.folder.names(in: "disk/target/states/").count == 256)
        // More room: the same call goes on.
        try await place.run(["mount", "-o", "remount,size=64m", place("disk")])
        try await expectComplete("disk/target", in: place)
        withExtendedLifetime(small) {}
    }

    @Test("A full target leaves the other target of the call alone", .enabled(if: Root.canMount, Root.noMount))
    func fullBesideGood() async throws {
        let place = try Workplace()
        _ = try Self.heavy(place, seed: 32)
        let small = try await Mounted(over: "disk", in: place, megabytes: 3)
        let report = try await place.json("sync", place("source"), place("disk/target"), place("good"), expect: 1)
        #expect(report["targets"]?.elements.map { $0["exit_code"]?.number } == [74, 0])
        #expect(place.resources("good") == place.resources("source"))
        withExtendedLifetime(small) {}
    }

    @Test("No room for the state of the machine is 74", .enabled(if: Root.canMount, Root.noMount))
    func fullState() async throws {
        let (place, store) = try CallTests.placeWithStore()
        let disk = try await Mounted(over: "state", in: place, megabytes: 1)
        try place.folder.put("state/filler", [UInt8](repeating: 1, count: (1 << 20) - (16 << 10)))
        let ended = try await place.sealift("sync", place("source"), place("target"), expect: 74)
        #expect(ended.err.contains("full"), "\(ended.err)")
        #expect(ClosureCheck(store).violations(in: place, "target", stateCountWithConfig: 3).isEmpty)
        try place.folder.remove("state/filler")
        try await expectComplete("target", in: place)
        withExtendedLifetime(disk) {}
    }

    @Test(
        "A target that is unmounted in mid-run, and perhaps exchanged, is 69", .enabled(if: Root.canMount, Root.noMount),
        arguments: [false, true])
    func unmounted(isExchanged: Bool) async throws {
        let place = try Workplace()
        _ = try Self.heavy(place, seed: 33)
        let disk = try await Mounted(over: "disk", in: place, megabytes: 64)
        let child = try place.starting("sync", place("source"), place("disk/target"), "--limit", "300K", "--json")
        let deadline = ContinuousClock.now + .seconds(Workplace.secondsMax)
        while place.folder.names(in: "disk/target/.sealift/uploads").isEmpty, ContinuousClock.now < deadline {
            try await Task.sleep(for: .milliseconds(5))
        }
        disk.unmount()
        let other = isExchanged ? try await Mounted(over: "disk", in: place, megabytes: 64) : nil
        let ended = try await child.ended()
        #expect(ended.code == 69, "\(ended.err)\(ended.out)")
        #expect(ended.err.contains(place("disk/target")))
        #expect(place.folder.names(in: "disk").isEmpty, "what came to light was written to")
        withExtendedLifetime(other) {}
        let again = try await Mounted(over: "disk", in: place, megabytes: 64)
        try await place.sealift("sync", place("source"), place("disk/target"), "--new-replica")
        #expect(place.resources("disk/target") == place.resources("source"))
        withExtendedLifetime(again) {}
    }

    @Test("Where a replica is known, an empty place or another replica is refused", arguments: ["empty", "missing", "another"])
    func wrongDisk(what: String) async throws {
        let (place, _) = try CallTests.placeWithStore()
        try await place.sealift("sync", place("source"), place("target"))
        try await place.sealift("sync", place("source"), place("spare"))
        try await place.run(["mv", place("target"), place("shelf")])
        if what == "empty" { try place.folder.putFolder("target") }
        if what == "another" { try await place.run(["mv", place("spare"), place("target")]) }
        let before = try TreeImage(of: place("target"))
        let message = try await place.fails(3, "sync", place("source"), place("target"))
        #expect(message.contains("--new-replica"))
        #expect(try TreeImage(of: place("target")) == before)
        // The right disk is back.
        try await place.run(["rm", "-rf", place("target")])
        try await place.run(["mv", place("shelf"), place("target")])
        let done = try await place.json("sync", place("source"), place("target"))
        #expect(done.target?["copied"]?.counts == [0, 0])
    }

    @Test("A source that became an empty folder is 66, and its replica stays as it is", arguments: ["empty", "missing"])
    func emptySource(what: String) async throws {
        let (place, _) = try CallTests.placeWithStore()
        try await place.sealift("sync", place("source"), place("target"))
        try await place.run(["mv", place("source"), place("shelf")])
        if what == "empty" { try place.folder.putFolder("source") }
        let before = try TreeImage(of: place("target"))
        try await place.fails(66, "sync", place("source"), place("target"))
        #expect(try TreeImage(of: place("target")) == before)
        if what == "empty" {
            // Only the folders are left: CONFIG and all else is on a disk that is not mounted.
            for kind in ["packfiles", "states", "locks"] { try place.folder.putFolder("source/\(kind)") }
            try await place.fails(66, "sync", place("source"), place("target"))
        }
        #expect(try TreeImage(of: place("target")) == before)
    }

    @Test("A source that lost everything but CONFIG is refused")
    func emptiedSource() async throws {
        let (place, _) = try CallTests.placeWithStore()
        try await place.sealift("sync", place("source"), place("target"))
        try await place.run(["sh", "-c", "rm -rf source/packfiles source/states"])
        let before = try TreeImage(of: place("target"))
        try await place.fails(3, "sync", place("source"), place("target"))
        #expect(try TreeImage(of: place("target")).differences(from: before, ignoring: [".sealift/lock"]) == [])
    }

    @Test("Other stores, other people's folders, and replicas that went their own way are refused")
    func guards() async throws {
        let (place, store) = try CallTests.placeWithStore()
        try store.place(in: FolderSink(place.folder, "stranger"), config: GeneratedStore.config(repository: Array(0..<16)))
        try place.folder.put("people/letter", [1])
        try await place.sealift("sync", place("stranger"), place("strangers"))
        try await place.sealift("sync", place("source"), place("target"))
        let newest = try #require(store.states.last)
        try place.folder.remove("source/\(ResourceKey(.state, newest.id).path)")
        let before = try ["people", "stranger", "strangers", "target"].map { try TreeImage(of: place($0)) }
        for target in ["people", "stranger", "strangers"] { try await place.fails(3, "sync", place("source"), place(target)) }
        let message = try await place.fails(3, "sync", place("source"), place("target"))
        #expect(message.contains(newest.id.hex), "the state that only the target has is named")
        let after = try ["people", "stranger", "strangers", "target"].map { try TreeImage(of: place($0)) }
        for (after, before) in zip(after, before) {
            #expect(after.differences(from: before, ignoring: [".sealift/lock"]) == [])
        }
    }

    @Test("A catalog that is none is an error that says what to do", arguments: ["garbage", "pipe", "folder", "link"])
    func catalog(what: String) async throws {
        let (place, store) = try CallTests.placeWithStore()
        try await place.sealift("sync", place("source"), place("target"))
        try await place.run(["rm", "-rf", place("state")])
        switch what {
        case "garbage": try place.folder.put("state/catalog.sqlite", SeededRandomBytes.some(5000))
        case "pipe": try place.folder.putPipe("state/catalog.sqlite")
        case "folder": try place.folder.putFolder("state/catalog.sqlite")
        default: try place.folder.putLink("state/catalog.sqlite", to: place("elsewhere"))
        }
        let ended = try await place.sealift("sync", place("source"), place("target"), expect: nil)
        #expect([65, 74].contains(ended.code) && ended.err.contains("catalog.sqlite"), "\(ended.code) \(ended.err)")
        #expect(!place.folder.names().contains("elsewhere"))
        // Losing the catalog loses nothing.
        try await place.run(["rm", "-rf", place("state")])
        let done = try await place.json("sync", place("source"), place("target"))
        #expect(done.target?["copied"]?.counts == [0, 0] && done.target?["unproven"] == .number(0))
        #expect(ClosureCheck(store).violations(in: place, "target", stateCountWithConfig: 3).isEmpty)
    }

    @Test("What is forbidden is 77", .enabled(if: Root.canChangeUser, Root.noOtherUser))
    func forbidden() async throws {
        let (place, store) = try CallTests.placeWithStore()
        // Somewhere that nobody may look into, with a program that nobody may call.
        try await place.run(["cp", Binary.path, place("sealift")])
        try await place.run(["chmod", "755", place.folder.path, place("sealift")])
        try await place.run(["chown", "-R", "65534:65534", place("source"), place("home")])
        try await place.run(["install", "-d", "-o", "65534", "-m", "700", place("own")])
        try await place.run(["install", "-d", "-m", "700", place("closed")])
        try await place.run(["install", "-d", "-m", "755", place("open")])
        func nobody(_ words: String..., state: String = "own/state", expect code: Int32) async throws -> String {
            try await place.run(
                Root.asNobody + [place("sealift")] + words, ["SEALIFT_STATE": place(state)], expect: code
            ).err
        }
        for target in ["closed/target", "open/target", "closed"] {
            let message = try await nobody("sync", place("source"), place(target), expect: 77)
            #expect(message.contains(place(target)) && message.contains("permitted"), "\(message)")
        }
        _ = try await nobody("sync", place("source"), place("own/target"), state: "closed/state", expect: 77)
        #expect(place.folder.names(in: "closed").isEmpty && place.folder.names(in: "open").isEmpty)
        _ = try await nobody("sync", place("source"), place("own/target"), expect: 0)
        #expect(ClosureCheck(store).violations(in: place, "own/target", stateCountWithConfig: 3).isEmpty)
        // The source is closed to us now.
        try await place.run(["chown", "root", place("source")])
        _ = try await nobody("sync", place("source"), place("own/target"), expect: 77)
        _ = try await nobody("inspect", place("source"), expect: 77)
    }

    @Test(
        "A resource that cannot be read is 65: the rest is copied, no state appears",
        .enabled(if: Programs.isThere("strace"), "no strace"))
    func readError() async throws {
        let place = try Workplace()
        let store = try Self.heavy(place, seed: 34, upTo: 2)
        try await place.sealift("sync", place("source"), place("target"))
        let states = place.paths("states", in: "target")
        try store.place(in: FolderSink(place.folder, "source"))
        let there = place.resources("target")
        let fresh = place.paths("packfiles", in: "source").filter { there[$0] == nil }
        let victim = try #require(fresh.first)
        let words = [
            "strace", "-f", "-o", place("trace"), "-P", place("source/\(victim)"), "-e", "trace=pread64,read,readv,preadv",
            "-e", "inject=pread64,read,readv,preadv:error=EIO", Binary.path, "sync", place("source"), place("target"), "--json",
        ]
        let ended = try await place.run(words, expect: 65)
        let report = try JSONValue(parsing: ended.out)
        let id = victim.split(separator: "/").last.map(String.init)
        #expect(report.target?["failed"]?.elements.map { $0["id"]?.text } == [id])
        #expect(place.paths("states", in: "target") == states)
        #expect(
            place.paths("packfiles", in: "target").count == there.keys.filter { $0.hasPrefix("packfiles/") }.count + fresh.count
                - 1)
        try await expectComplete("target", in: place)
    }
}
