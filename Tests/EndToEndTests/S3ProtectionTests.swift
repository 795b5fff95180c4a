internal import Kloset
internal import S3Testing
internal import StorageTesting
internal import Testing

/// Object Lock and versions of a real S3 server, by the command line.
@Suite(
    "S3 protection", .serialized, .enabled(if: Binary.isThere, Binary.reason),
    .enabled(if: Gateway.isThere, Comment(rawValue: Gateway.reason)))
struct S3ProtectionTests {
    /// A workplace with a source of some states, whose `@remote` is a fresh bucket with Object Lock.
    static func place(_ bucket: BucketPlace, seed: UInt64, states: Int) async throws -> (Workplace, GeneratedStore) {
        let place = try Workplace()
        let lines = [
            "version: v1.0.0", "stores:", "    remote:", "        location: \(bucket.settings.place)",
            "        access_key: \"testkey\"", "        secret_access_key: \"testsecret1\"", "        use_tls: \"false\"",
        ]
        try place.folder.putFolder("home/.config/plakar")
        try place.folder.put("home/.config/plakar/stores.yml", Array((lines.joined(separator: "\n") + "\n").utf8))
        var shape = Shape.heavy(states: states)
        shape.packfileByteCountCycle += [9_500_000...9_500_000]
        let store = GeneratedStore(seed: seed, shape)
        try store.place(in: FolderSink(place.folder, "source"))
        return (place, store)
    }

    @Test("What is copied is locked, and says until when")
    func locks() async throws {
        let bucket = try await BucketPlace.locked()
        let (place, store) = try await Self.place(bucket, seed: 11, states: 2)
        #expect(try await place.json("plan", place("source"), "@remote")["targets"]?[0]?["object_lock"] == .string("enabled"))
        #expect(
            try await place.sealift("sync", place("source"), "@remote", "--dry-run").out.contains(
                "Object Lock without a default rule"))
        // What was there before has no lock, until somebody asks for that, too.
        try await place.run(["rm", "-rf", place("source")])
        try store.place(in: FolderSink(place.folder, "source"), upTo: 1)
        try await place.sealift("sync", place("source"), "@remote")
        let earlier = place.resources("source").count
        try store.place(in: FolderSink(place.folder, "source"))
        let report = try await place.json("sync", place("source"), "@remote", "--object-lock", "governance:30")
        #expect(report.target?["lock"]?["mode"] == .string("governance") && report.target?["lock"]?["extended"] == .number(0))
        #expect(report.target?["lock"]?["until"]?.text?.hasSuffix("Z") == true)
        var locked = 0
        for key in store.keys() where try await bucket.retention(key.path) != nil {
            locked += 1
            #expect(try await bucket.removingVersion(key.path) == 403)
        }
        #expect(locked > 0 && locked < store.keys().count)
        let all = try await place.json(
            "sync", place("source"), "@remote", "--object-lock", "governance:30", "--legal-hold", "--relist")
        #expect(all.target?["lock"]?["extended"] == .number(Double(store.keys().count + 1)))
        for name in store.keys().map(\.path) + ["CONFIG"] {
            #expect(try await bucket.retention(name)?.hasPrefix("GOVERNANCE") == true)
            #expect(try await bucket.isHeld(name))
        }
        for name in try await bucket.names(".sealift/") { #expect(try await bucket.retention(name) == nil) }
        #expect(earlier > 0)
        let seen = try await place.sealift("inspect", "@remote").out
        #expect(seen.contains("object lock   yes, without a default rule") && seen.contains("versioning    enabled"))
        try await place.sealift("verify", "@remote")
        try await place.sealift("sync", "@remote", place("back"))
        #expect(place.resources("back") == place.resources("source"))
    }

    @Test("A plan with a lock is applied with it")
    func plannedLock() async throws {
        let bucket = try await BucketPlace.locked()
        let (place, store) = try await Self.place(bucket, seed: 16, states: 1)
        let words = ["plan", place("source"), "@remote", "--object-lock", "governance:9", "--legal-hold"]
        let plan = try await place.json(words[0], words[1], words[2], words[3], words[4], words[5])
        #expect(plan.target?["lock"]?["mode"] == .string("governance") && plan.target?["lock"]?["days"] == .number(9))
        let text = try await place.sealift(words[0], words[1], words[2], words[3], words[4], words[5], "-o", place("plan")).out
        #expect(text.contains("would be locked for 9 days (governance) and held"))
        #expect(try await bucket.names("") == [])
        // Another lock than the plan's, or one that no plan has, is another plan.
        let written = try #require(place.folder.contents(of: "plan"))
        for (old, new) in [
            ("\"days\": 9", "\"days\": 0"), ("governance", "forever"), ("\"legal_hold\": true", "\"legal_hold\": 1"),
        ] {
            let spoilt = String(decoding: written, as: UTF8.self).replacing(old, with: new)
            try place.folder.put("spoilt", Array(spoilt.utf8))
            _ = try await place.fails(64, "apply", place("spoilt"))
        }
        #expect(try await bucket.names("") == [])
        let report = try await place.json("apply", place("plan"))
        #expect(report.target?["lock"]?["mode"] == .string("governance"))
        for key in store.keys() {
            #expect(try await bucket.retention(key.path)?.hasPrefix("GOVERNANCE") == true)
            #expect(try await bucket.isHeld(key.path))
        }
        let folder = try await place.fails(64, "plan", place("source"), place("folder"), "--object-lock", "governance:9")
        #expect(folder.contains("Object Lock"))
    }

    @Test("Where nothing can be locked, nothing is written")
    func refusals() async throws {
        let bucket = try await BucketPlace()
        let (place, _) = try await Self.place(bucket, seed: 12, states: 1)
        let refused = try await place.fails(3, "sync", place("source"), "@remote", "--object-lock", "compliance:1")
        #expect(refused.contains("no Object Lock"))
        _ = try await place.fails(3, "sync", place("source"), "@remote", "--legal-hold", "--dry-run")
        #expect(try await bucket.names("") == [])
        let folder = try await place.fails(64, "sync", place("source"), place("folder"), "--legal-hold")
        #expect(folder.contains("buckets with Object Lock"))
        #expect(place.folder.contents(of: "folder/CONFIG") == nil)
        for wrong in ["governance", "governance:", "governance:0", "legal:3", "compliance:36501", "compliance:+1", ""] {
            _ = try await place.fails(64, "sync", place("source"), "@remote", "--object-lock", wrong)
        }
    }

    @Test("What was overwritten or removed comes back from its locked version")
    func versions() async throws {
        let bucket = try await BucketPlace.locked()
        let (place, store) = try await Self.place(bucket, seed: 13, states: 3)
        try await place.sealift("sync", place("source"), "@remote", "--object-lock", "governance:7")
        let keys = store.keys()
        let packfiles = keys.filter { $0.kind == .packfile }
        let state = try #require(keys.last { $0.kind == .state })
        let (removed, overwritten, twice) = (packfiles[1], packfiles[2], packfiles[3])
        let large = try #require(
            packfiles.first {
                (place.folder.contents(of: "source/\($0.path)")?.count ?? 0) > 9_000_000 && ![removed, twice].contains($0)
            })
        let good = try await bucket.get(large.path)
        try await bucket.remove(removed.path)
        try await bucket.put(overwritten.path, [1, 2, 3])
        try await bucket.put(large.path, [UInt8](repeating: 5, count: good.count))
        // The same length as before, and above it one more, and all of it removed.
        try await bucket.put(twice.path, [UInt8](repeating: 1, count: try await bucket.get(twice.path).count))
        try await bucket.remove(twice.path)
        try await bucket.remove(state.path)
        try await bucket.remove("CONFIG")
        let victims = Set([removed, overwritten, twice, large, state])
        let found = try await place.json("verify", "@remote", expect: 65)
        #expect(found["versions"]?.elements.count == victims.count + 1)
        #expect(found["versions"]?.elements.count { $0["removed"] == .boolean(true) } == 4)
        let before = try await bucket.versionCount(removed.path)
        let healed = try await place.json("repair", "@remote", "--from", "@remote")
        #expect(healed["repaired"]?.elements.count == victims.count + 1 && healed["failed"]?.elements.isEmpty == true)
        #expect(try await bucket.versionCount(removed.path) == before + 1, "nothing is taken away")
        #expect(try await bucket.quarantined(overwritten) == [[1, 2, 3]])
        let clean = try await place.json("verify", "@remote")
        #expect(clean["versions"]?.elements.isEmpty == true)
        try await place.sealift("sync", "@remote", place("back"))
        #expect(place.resources("back") == place.resources("source"))
    }

    @Test("A bucket that was emptied comes back, also on another machine")
    func emptied() async throws {
        let bucket = try await BucketPlace.locked()
        let (place, _) = try await Self.place(bucket, seed: 14, states: 2)
        try await place.sealift("sync", place("source"), "@remote", "--object-lock", "governance:7")
        for isStranger in [false, true] {
            for name in try await bucket.names("") { try await bucket.remove(name) }
            #expect(try await bucket.names("") == [])
            if isStranger { try await place.run(["rm", "-rf", place("state")]) }
            let missing = try await place.fails(65, "verify", "@remote")
            #expect(missing.contains("older versions") && missing.contains("sealift repair"))
            let healed = try await place.json("repair", "@remote", "--from", "@remote")
            #expect(healed["failed"]?.elements.isEmpty == true)
            try await place.sealift("verify", "@remote")
            try await place.sealift("sync", "@remote", place("back-\(isStranger)"))
            #expect(place.resources("back-\(isStranger)") == place.resources("source"))
        }
        let again = try await place.json("sync", place("source"), "@remote")
        #expect(again.target?["copied"]?["bytes"] == .number(0))
    }

    @Test("Without versions, and from a folder, a place is no donor of its own")
    func noVersions() async throws {
        let bucket = try await BucketPlace()
        let (place, _) = try await Self.place(bucket, seed: 15, states: 1)
        try await place.sealift("sync", place("source"), "@remote")
        _ = try await place.fails(64, "repair", "@remote", "--from", "@remote")
        _ = try await place.fails(64, "repair", place("source"), "--from", place("source"))
    }
}
