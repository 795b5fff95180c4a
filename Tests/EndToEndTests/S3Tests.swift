internal import Glibc
internal import Kloset
internal import S3Testing
internal import StorageTesting
internal import Testing

/// The command line and a real S3 server.
@Suite(
    "S3", .serialized, .enabled(if: Binary.isThere, Binary.reason),
    .enabled(if: Gateway.isThere, Comment(rawValue: Gateway.reason)))
struct S3Tests {
    /// A workplace whose `@remote` is a fresh prefix.
    private static func place(secret: String = "testsecret1", location: String? = nil) async throws -> (Workplace, BucketPlace) {
        let (place, bucket) = (try Workplace(), try await BucketPlace())
        try name(["remote": location ?? bucket.settings.place], secret: secret, in: place)
        return (place, bucket)
    }

    /// Writes `stores.yml`.
    static func name(
        _ locations: [String: String], key: String = "testkey", secret: String = "testsecret1", more: [String] = [],
        in place: Workplace
    ) throws {
        var lines = ["version: v1.0.0", "stores:"]
        for (name, location) in locations.sorted(by: { $0.key < $1.key }) {
            lines += ["    \(name):", "        location: \(location)", "        access_key: \"\(key)\""]
            lines += ["        secret_access_key: \"\(secret)\"", "        use_tls: \"false\""]
            lines += more.map { "        \($0)" }
        }
        try place.folder.putFolder("home/.config/plakar")
        try place.folder.put("home/.config/plakar/stores.yml", Array((lines.joined(separator: "\n") + "\n").utf8))
    }

    @Test("A store's history there and back", .enabled(if: RealStores.haveHistory, RealStores.noHistory))
    func history() async throws {
        let (place, bucket) = try await Self.place()
        var all: [String: String] = [:]
        for archive in ["history-t1", "history-t2", "history-t3", "history-t4"] {
            let store = try await RealStores.unpack(archive, at: "source", in: place)
            try await place.sealift("sync", store, "@remote")
            all.merge(try RealStores.facts(archive).resources) { $1 }
            try await place.sealift("sync", "@remote", place("back-\(archive)"), "--verify", "all")
            #expect(place.resources("back-\(archive)") == all)
        }
        let again = try await place.json("sync", place("source"), "@remote")
        #expect(again.target?["copied"]?["bytes"] == .number(0))
        // From one bucket to another, and back to a folder.
        let other = try await BucketPlace()
        try Self.name(["remote": bucket.settings.place, "second": other.settings.place], in: place)
        let copied = try await place.json("sync", "@remote", "@second")
        // The gateway copies by itself what this machine has seen; states are read.
        let packfiles = all.keys.filter { $0.hasPrefix("packfiles/") }.count
        #expect(copied.target?["copied_by_server"]?["packfiles"] == .number(Double(packfiles)))
        if case .number(let read)? = copied["bytes_read"], case .number(let bytes)? = copied.target?["copied"]?["bytes"] {
            #expect(read < bytes / 2)
        }
        try await place.sealift("sync", "@second", place("twice"))
        #expect(place.resources("twice") == all)
        try await place.sealift("verify", "@second", "--against", "@remote")
    }

    @Test(
        "plakar opens the bucket in place", .enabled(if: RealStores.haveHistory && Plakar.isThere, "no plakar or no real stores"))
    func client() async throws {
        let (place, bucket) = try await Self.place()
        let store = try await RealStores.unpack("history-t4", at: "source", in: place)
        try await place.sealift("sync", store, "@remote")
        let variables = ["PLAKAR_PLUGINS": "1"]
        _ = try await Plakar.run(
            "store", "add", "remote", "location=\(bucket.settings.place)", "access_key=testkey", "secret_access_key=testsecret1",
            "use_tls=false", in: place, variables: variables)
        _ = try await Plakar.run("at", "@remote", "check", in: place, variables: variables)
        let shown = try await Plakar.run("at", "@remote", "ls", in: place, variables: variables).out
        for snapshot in try await Plakar.snapshots(of: store, in: place) { #expect(shown.contains(snapshot)) }
    }

    @Test("Damage in the bucket is found, and repaired from a folder")
    func repair() async throws {
        let (place, bucket) = try await Self.place()
        let store = GeneratedStore(seed: 5, Shape.heavy(states: 4))
        try store.place(in: FolderSink(place.folder, "source"))
        try await place.sealift("sync", place("source"), "@remote")
        let keys = store.keys()
        let (flipped, lost) = (keys.filter { $0.kind == .packfile }[2], keys.filter { $0.kind == .packfile }[3])
        var bytes = try await bucket.get(flipped.path)
        bytes[bytes.count / 2] ^= 1
        try await bucket.put(flipped.path, bytes)
        try await bucket.remove(lost.path)
        let found = try await place.json("verify", "@remote", expect: 65)
        #expect(found["damaged"]?.elements.count == 1)
        #expect(found["lost"]?.elements.count == 1)
        try await place.sealift("repair", "@remote", "--from", place("source"))
        try await place.sealift("verify", "@remote")
        #expect(try await bucket.quarantined(flipped) == [bytes])
        try await place.sealift("sync", "@remote", place("back"))
        #expect(place.resources("back") == place.resources("source"))
    }

    @Test("Killed at any moment, the bucket shows a store or none, and the next run completes")
    func kills() async throws {
        var random = SeededRandom(seed: Loops.seed("S3 kills"))
        let store = GeneratedStore(seed: 6, Shape.heavy(states: 6))
        let (place, bucket) = try await Self.place()
        for round in 0..<Loops.count(fast: 3, part: 20, full: 200) {
            if round % 5 == 0 {
                // An emptied place and a machine that never saw a replica there.
                for name in try await bucket.names("") { try await bucket.remove(name) }
                try await place.run(["rm", "-rf", place("state")])
            }
            try await place.run(["rm", "-rf", place("source")])
            try store.place(in: FolderSink(place.folder, "source"), upTo: 2 + round % 5)
            let child = try place.starting("sync", place("source"), "@remote", "--quiet", "--verify", "none", "--limit", "40M")
            let deadline = ContinuousClock.now + .milliseconds(Int.random(in: 1...400, using: &random))
            // A second reader looks all the time.
            repeat { try await Self.closed(bucket, store, "round \(round), underway") } while .now < deadline
            child.signal(SIGKILL)
            _ = try await child.ended()
            try await Self.closed(bucket, store, "round \(round)")
        }
        try await place.run(["rm", "-rf", place("source")])
        try store.place(in: FolderSink(place.folder, "source"))
        try await place.sealift("sync", place("source"), "@remote")
        try await place.sealift("verify", "@remote")
        try await place.sealift("sync", "@remote", place("back"))
        #expect(place.resources("source").allSatisfy { place.resources("back")[$0] == $1 })
        #expect(try await bucket.stagedCount() == 0)
    }

    @Test("A plan for a named bucket is applied")
    func plan() async throws {
        let (place, bucket) = try await Self.place()
        let store = GeneratedStore(seed: 8, Shape.heavy(states: 2))
        try store.place(in: FolderSink(place.folder, "source"))
        try await place.sealift("plan", place("source"), "@remote", "--output", place("plan"))
        #expect(try await bucket.names("") == [])
        try await place.sealift("apply", place("plan"))
        try await place.sealift("sync", bucket.settings.place, place("back"))
        #expect(place.resources("back") == place.resources("source"))
    }

    /// `@remote` for the user who may only list and put, `@owner` for the one who may do everything.
    private static func writeOnlyPlace() async throws -> (Workplace, BucketPlace) {
        let (place, bucket) = (try Workplace(), try await BucketPlace.writeOnly())
        var lines = ["version: v1.0.0", "stores:"]
        for (name, key, secret) in [("remote", "writerkey", "writersecret1"), ("owner", "testkey", "testsecret1")] {
            lines += ["    \(name):", "        location: \(bucket.settings.place)", "        access_key: \"\(key)\""]
            lines += ["        secret_access_key: \"\(secret)\"", "        use_tls: \"false\""]
        }
        try place.folder.putFolder("home/.config/plakar")
        try place.folder.put("home/.config/plakar/stores.yml", Array((lines.joined(separator: "\n") + "\n").utf8))
        return (place, bucket)
    }

    @Test("An account that may only list and put")
    func writeOnly() async throws {
        let (place, bucket) = try await Self.writeOnlyPlace()
        var shape = Shape.heavy(states: 3)
        shape.packfileByteCountCycle += [9_500_000...9_500_000]
        let store = GeneratedStore(seed: 9, shape)
        try store.place(in: FolderSink(place.folder, "source"), upTo: 1)
        for depth in ["sample", "all"] {
            #expect(try await place.fails(3, "sync", place("source"), "@remote", "--verify", depth).contains("--verify \(depth)"))
        }
        #expect(try await bucket.names("") == [".sealift/probe"])
        let first = try await place.json("sync", place("source"), "@remote")
        #expect(first.target?["verified"]?["resources"] == .number(0))
        #expect(first.target?["verified"]?["reason"]?.text?.contains("not read") == true)
        try await place.sealift("verify", "@owner")
        #expect(try await place.fails(77, "inspect", "@remote").contains("does not allow"))
        // On the way somebody pulls the plug, again and again.
        var random = SeededRandom(seed: Loops.seed("write-only kills"))
        for _ in 0..<Loops.count(fast: 3, part: 10, full: 50) {
            try await place.run(["rm", "-rf", place("source")])
            try store.place(in: FolderSink(place.folder, "source"), upTo: Int.random(in: 2...3, using: &random))
            let child = try place.starting("sync", place("source"), "@remote", "--quiet", "--limit", "60M")
            try await Task.sleep(for: .milliseconds(Int.random(in: 1...600, using: &random)))
            child.signal(SIGKILL)
            _ = try await child.ended()
        }
        try await place.run(["rm", "-rf", place("source")])
        try store.place(in: FolderSink(place.folder, "source"))
        try await place.sealift("sync", place("source"), "@remote", "--verify", "none")
        let again = try await place.json("sync", place("source"), "@remote")
        #expect(again.target?["copied"]?["bytes"] == .number(0))
        // Another machine is a stranger there, until it may read.
        let stranger = try Workplace()
        try stranger.folder.putFolder("home/.config/plakar")
        let stores = try #require(place.folder.contents(of: "home/.config/plakar/stores.yml"))
        try stranger.folder.put("home/.config/plakar/stores.yml", stores)
        #expect(try await stranger.fails(3, "sync", place("source"), "@remote").contains("does not know"))
        try await stranger.sealift("sync", place("source"), "@owner", "--verify", "all")
        try await stranger.sealift("sync", place("source"), "@remote")
        try await stranger.sealift("verify", "@owner")
        try await place.sealift("sync", "@owner", place("back"))
        #expect(place.resources("source").allSatisfy { place.resources("back")[$0] == $1 })
    }

    /// What is estimated, and what a run then counts.
    private func expectNear(_ planned: JSONValue?, _ counted: JSONValue?, _ story: Comment) {
        for name in ["put", "list", "get", "delete"] {
            guard case .number(let guess)? = planned?[name], case .number(let real)? = counted?[name] else {
                Issue.record("\(story): \(name) is missing")
                continue
            }
            // Questions whose number depends on the answers; and the sample, in which there may be three resources of 9 MiB more or fewer.
            let luck = name == "get" ? 30.0 : 6
            #expect(abs(guess - real) <= max(luck, real / 10), "\(story): \(name) \(guess), counted \(real)")
        }
    }

    @Test("A plan says what it costs in requests")
    func costs() async throws {
        let (place, bucket) = try await Self.place()
        var shape = Shape.heavy(states: 30)
        shape.packfilesPerState = 3...3
        shape.packfileByteCounts = 1000...3_000_000
        shape.packfileByteCountCycle = [
            1000...50_000, 1000...5000, 200_000...1_500_000, 1000...2000, 1000...3000, 9_000_000...9_500_000, 5000...5000,
        ]
        shape.graceStates = 40
        let store = GeneratedStore(seed: 11, shape)
        for count in [20, 30, 30] {
            try await place.run(["rm", "-rf", place("source")])
            try store.place(in: FolderSink(place.folder, "source"), upTo: count)
            let plan = try await place.json("plan", place("source"), "@remote")
            let real = try await place.json("sync", place("source"), "@remote")
            expectNear(plan.target?["requests"], real.target?["requests"], "to \(count)")
            #expect(plan.target?["source_requests"] == .null && real["source_requests"] == .null)
        }
        let plan = try await place.json("plan", "@remote", place("back"))
        let real = try await place.json("sync", "@remote", place("back"))
        expectNear(plan.target?["source_requests"], real["source_requests"], "from")
        #expect(place.resources("back") == place.resources("source"))
        // No head for each packfile: the listing has told.
        let packfiles = store.keys().filter { $0.kind == .packfile }.count
        guard case .number(let gets)? = real["source_requests"]?["get"] else { return }
        let bytes = place.folder.files(below: "source").values.reduce(0) { $0 + $1.count }
        #expect(Int(gets) < packfiles + bytes >> 20 + packfiles + 100)
        let text = try await place.sealift("plan", place("source"), bucket.settings.place, "--option", "use_tls=false").out
        #expect(text.contains("LIST"))
    }

    @Test("Uploads that nobody will end are seen, and ended by age")
    func cleanup() async throws {
        let (place, bucket) = try await Self.place()
        let store = GeneratedStore(seed: 10, Shape.heavy(states: 1))
        try store.place(in: FolderSink(place.folder, "source"))
        try await place.sealift("sync", place("source"), "@remote")
        // As a run leaves it that is killed between the beginning of an upload and its record.
        let orphan = try #require(store.keys().first { $0.kind == .packfile })
        try await bucket.beginForeignUpload(orphan)
        let seen = try await place.json("inspect", "@remote")
        #expect(seen["uploads"]?.elements.count == 1 && seen["uploads"]?[0]?["name"] == .string(orphan.path))
        #expect(seen["server"]?["conditional_put"] == .string("yes") && seen["server"]?["checksums"] == .string("no"))
        #expect(seen["server"]?["conditional_complete"] == .string("no") && seen["server"]?["object_lock"] == .string("none"))
        #expect(seen["missing_protection"]?.elements.isEmpty == false)
        let kept = try await place.json("cleanup", "@remote", "--uploads-older-than", "1d")
        #expect(kept["aborted"]?.elements.count == 0 && kept["kept"]?.elements.count == 1)
        let dry = try await place.json("cleanup", "@remote", "--uploads-older-than", "0s", "--dry-run")
        #expect(dry["aborted"]?.elements.count == 1)
        #expect(try await bucket.unfinishedUploads().contains(orphan.id.hex))
        try await place.sealift("cleanup", "@remote", "--uploads-older-than", "0s")
        #expect(try await !bucket.unfinishedUploads().contains(orphan.id.hex))
        #expect(try await place.json("inspect", "@remote")["uploads"]?.elements.count == 0)
        #expect(try await place.sealift("cleanup", place("source"), "--uploads-older-than", "7d").out.contains("nothing to do"))
        _ = try await place.fails(64, "cleanup", "@remote", "--uploads-older-than", "soon")
        _ = try await place.fails(64, "cleanup", "@remote")
        // Nothing that is attested by this server can be believed, and so everything is read.
        let read = try await place.json("verify", "@remote", "--server-checksums")
        #expect(read["attested"]?["resources"] == .number(0) && read["unknown"] == .number(0))
        // Who may only list and put may not look there.
        let (poor, _) = try await Self.writeOnlyPlace()
        try await poor.sealift("sync", place("source"), "@remote")
        _ = try await poor.fails(77, "cleanup", "@remote", "--uploads-older-than", "7d")
    }

    /// What a second reader sees: states are a prefix of the history, with all packfiles that they name, whole.
    static func closed(_ bucket: BucketPlace, _ store: GeneratedStore, _ story: Comment) async throws {
        var files: [String: [UInt8]] = [:]
        // States first: what they name was there before them.
        for folder in ["states/", "packfiles/", "CONFIG"] {
            for name in try await bucket.names(folder) { files[name] = try await bucket.get(name) }
        }
        #expect(ClosureCheck(store).violations(in: files, stateCountWithConfig: nil) == [], story)
    }

    @Test("What does not work says why, in the code and in words")
    func refusals() async throws {
        let store = GeneratedStore(seed: 7, Shape.heavy(states: 1))
        let (place, bucket) = try await Self.place(secret: "wrong-hunter2")
        try store.place(in: FolderSink(place.folder, "source"))
        let refused = try await place.fails(77, "sync", place("source"), "@remote")
        #expect(refused.contains("secret") && !refused.contains("hunter2"))
        #expect(try await bucket.names("") == [])
        _ = try await place.fails(77, "inspect", "@remote")

        let missing = bucket.settings.place.replacing("/sealift/", with: "/no-such-bucket/")
        let (other, _) = try await Self.place(location: missing)
        #expect(try await other.fails(73, "sync", place("source"), "@remote").contains("no-such-bucket"))
        _ = try await other.fails(66, "sync", "@remote", place("x"))
        _ = try await other.fails(66, "inspect", "@remote")

        // Without a stores.yml, which would tell the options of just this location.
        let bare = try Workplace()
        let none = try await bare.run(
            [Binary.path, "inspect", bucket.settings.place], ["AWS_EC2_METADATA_DISABLED": "true"], expect: 77)
        #expect(none.err.contains("AWS_ACCESS_KEY_ID"))
        let keys = ["AWS_ACCESS_KEY_ID": "testkey", "AWS_SECRET_ACCESS_KEY": "testsecret1"]
        try await bare.run(
            [Binary.path, "sync", place("source"), bucket.settings.place, "--option", "use_tls=false"], keys, expect: 0)
        #expect(try await place.fails(64, "inspect", "s3://bucket/prefix").contains("region"))
        #expect(try await place.fails(64, "inspect", "@remote", "--option", "secret_access_key=hunter2").contains("no secrets"))
        _ = try await place.fails(64, "inspect", "@remote", "--option", "no_such=1")
        let (closed, _) = try await Self.place(location: "s3://127.0.0.1:9/b/p")
        #expect(try await closed.fails(69, "inspect", "@remote").contains("127.0.0.1:9"))
    }
}
