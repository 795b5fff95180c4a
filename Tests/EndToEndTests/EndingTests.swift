internal import Glibc
internal import StorageTesting
internal import Testing

/// Whatever way a call ends, its caller is told on standard output, once, and in the exit code.
@Suite("Endings", .enabled(if: Binary.isThere, Binary.reason))
struct EndingTests {
    @Test("An interrupted run prints its object", arguments: [(SIGINT, 130), (SIGTERM, 143)] as [(Int32, Int32)])
    func interrupted(signal: Int32, code: Int32) async throws {
        let place = try Workplace()
        try GeneratedStore(seed: 12, Shape.heavy(states: 4)).place(in: FolderSink(place.folder, "source"))
        // At 64 KiB a second it would take a minute: the signal comes while it runs, on any machine.
        let run = try place.starting("sync", place("source"), place("target"), "--limit", "64K", "--json")
        let deadline = ContinuousClock.now + .seconds(Workplace.secondsMax)
        while !place.folder.names(in: "target").contains(".sealift"), ContinuousClock.now < deadline {
            try await Task.sleep(for: .milliseconds(5))
        }
        run.signal(signal)
        let ended = try await run.ended()
        #expect(ended.code == code)
        let object = try JSONValue(parsing: ended.out)
        #expect(object["command"]?.text == "sync" && object["ok"] == .boolean(false))
        #expect(object["exit_code"] == .number(Double(code)))
        #expect(object["source"]?.text == place("source") && object["targets"] == .array([]))
        #expect(object["error"]?["kind"]?.text == "interrupted")
    }

    @Test(
        "A wrong call prints its object",
        arguments: [
            ("sync --json", .string("sync")), ("points show --json", .string("points")), ("--json", .null),
            ("frobnicate --json", .null), ("sync a --verify some b --json", .string("sync")),
        ] as [(String, JSONValue)])
    func wrong(line: String, command: JSONValue) async throws {
        let place = try Workplace()
        let ended = try await place.run([Binary.path] + line.split(separator: " ").map(String.init), expect: 64)
        let object = try JSONValue(parsing: ended.out)
        #expect(object["command"] == command && object["ok"] == .boolean(false) && object["exit_code"] == .number(64))
        #expect(object["error"]?["kind"]?.text == "usage" && object["error"]?["message"]?.text?.isEmpty == false)
        let after = try await place.run([Binary.path, "sync", "--", "--json"], expect: 64)
        #expect(after.out.isEmpty, "a place called --json")
    }

    @Test("A result that is lost is 74, unless the run itself was worse")
    func lost() async throws {
        let (place, _) = try CallTests.placeWithStore()
        for (line, code) in [
            ("sync source target --json", 74), ("inspect target", 74), ("version", 74), ("points --json", 74),
            ("inspect nowhere --json", 66), ("sync --json", 64),
        ] as [(String, Int32)] {
            let ended = try await place.run(["sh", "-c", "\(Binary.path) \(line) >/dev/full"], expect: code)
            #expect(ended.err.contains("standard output"), "\(line): \(ended.err)")
        }
        try await place.sealift("verify", place("target"))
        try await place.run(["sh", "-c", "\(Binary.path) sync source target --quiet >/dev/full"])
    }

    @Test("A plan takes no name that something else has")
    func planNames() async throws {
        let (place, _) = try CallTests.placeWithStore()
        try place.folder.put("letter", [1])
        try await place.fails(73, "plan", place("source"), place("target"), "-o", place("letter"))
        #expect(place.folder.contents(of: "letter") == [1])
        try place.folder.remove("letter")
        for _ in 0..<2 { try await place.sealift("plan", place("source"), place("target"), "-o", place("plan.json")) }
        #expect(place.folder.names() == ["home", "output", "plan.json", "source"])
        try await place.sealift("apply", place("plan.json"))
    }

    @Test("A failed target is no line on standard output, and names what it failed on")
    func failedTarget() async throws {
        let (place, store) = try CallTests.placeWithStore()
        try await place.sealift("sync", place("source"), place("target"))
        let state = try #require(store.keys().last { $0.kind == .state })
        try place.folder.remove("source/\(state.path)")
        let text = try await place.run([Binary.path, "sync", "source", "target"], expect: 3)
        #expect(text.out.isEmpty, "\(text.out)")
        let report = try await place.json("sync", place("source"), place("target"), expect: 3)
        #expect(report.target?["failed"]?[0]?["id"]?.text == state.id.hex)
        #expect(report.target?["error"]?["kind"]?.text == "refused")
        #expect(report.target?["error"]?["resources"]?[0]?["id"]?.text == state.id.hex)
        let quiet = try await place.run([Binary.path, "sync", "source", "target", "--quiet"], expect: 3)
        #expect(quiet.out.isEmpty && quiet.err.hasPrefix("sealift: "))
    }

    @Test("Every resource is counted once by verify, CONFIG too, and listed once by points")
    func counts() async throws {
        let (place, store) = try CallTests.placeWithStore()
        let all = Double(store.keys().count + 1)
        let unknown = try await place.json("verify", place("source"))
        #expect(unknown["unknown"] == .number(all) && unknown["checked"] == .number(0))
        let first = try await place.json("sync", place("source"), place("target"))
        let known = try await place.json("verify", place("target"))
        #expect(known["unknown"] == .number(0) && known["checked"] == .number(all))
        let id = try #require(first.target?["recovery_point"]?.text)
        let shown = try await place.json("points", "show", id)
        #expect(shown["points"]?[0]?["resources"]?.elements.count == Int(all))
        #expect(shown["points"]?[0]?["missing"] == .array([]))
        let lines = try await place.sealift("points", "show", id).out.split(separator: "\n")
        #expect(lines.count == Int(all) + 1)
        let difference = try await place.json("points", "diff", id, id)
        for name in ["removed", "added", "changed"] { #expect(difference[name] == .array([])) }
    }
}
