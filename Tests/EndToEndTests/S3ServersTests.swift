internal import Kloset
internal import S3Testing
internal import StorageTesting
internal import Testing

/// The command line and the real S3 servers beside radosgw.
@Suite("Other S3 servers", .enabled(if: Binary.isThere, Binary.reason))
struct S3ServersTests {
    /// What `inspect` must find out about a server.
    struct Traits: Sendable {
        var conditionalPut, conditionalComplete, checksums, objectLock: String
    }

    @Test("OpenStack Swift", .enabled(if: OtherServer.swift.isThere, Comment(rawValue: OtherServer.swift.reason)))
    func swift() async throws {
        try await roundTrip(
            .swift, Traits(conditionalPut: "no", conditionalComplete: "yes", checksums: "yes", objectLock: "none"))
    }

    @Test("moto", .enabled(if: OtherServer.moto.isThere, Comment(rawValue: OtherServer.moto.reason)))
    func moto() async throws {
        try await roundTrip(
            .moto, Traits(conditionalPut: "yes", conditionalComplete: "yes", checksums: "no", objectLock: "none"))
    }

    @Test("rclone serve s3", .enabled(if: OtherServer.rclone.isThere, Comment(rawValue: OtherServer.rclone.reason)))
    func rclone() async throws {
        try await roundTrip(
            .rclone, Traits(conditionalPut: "no", conditionalComplete: "no", checksums: "no", objectLock: "none"))
    }

    /// A store that a real client wrote, and one with uploads of several parts: there, damaged there and repaired, to another bucket and back.
    private func roundTrip(_ server: OtherServer, _ traits: Traits) async throws {
        let place = try Workplace()
        let (first, second, third) = (try await server.place(), try await server.place(), try await server.place())
        try S3Tests.name(
            ["real": first.settings.place, "made": second.settings.place, "copy": third.settings.place], key: server.accessKey,
            secret: server.secret, in: place)
        let store = try await RealStores.unpack("written-by-1.0.6", at: "real", in: place)
        let facts = try RealStores.facts("written-by-1.0.6").resources
        try await place.sealift("sync", store, "@real", "--verify", "all")
        let again = try await place.json("sync", store, "@real")
        #expect(again.target?["copied"]?["bytes"] == .number(0))
        try await place.sealift("sync", "@real", place("back"), "--verify", "all")
        #expect(place.resources("back") == facts)
        let found = try await place.json("inspect", "@real")["server"]
        for (name, wanted) in [
            ("conditional_put", traits.conditionalPut), ("conditional_complete", traits.conditionalComplete),
            ("checksums", traits.checksums), ("object_lock", traits.objectLock),
        ] { #expect(found?[name] == .string(wanted), "\(name)") }

        var shape = Shape.heavy(states: 3)
        shape.packfileByteCountCycle += [17_500_000...17_500_000]
        let made = GeneratedStore(seed: 21, shape)
        try made.place(in: FolderSink(place.folder, "source"), upTo: 2)
        try await place.sealift("sync", place("source"), "@made", "--verify", "all")
        try made.place(in: FolderSink(place.folder, "source"))
        try await place.sealift("sync", place("source"), "@made")
        let keys = try await second.names("packfiles/").sorted()
        let (flipped, lost) = (try #require(keys.first), try #require(keys.last))
        var bytes = try await second.get(flipped)
        bytes[bytes.count / 2] ^= 1
        try await second.put(flipped, bytes)
        try await second.remove(lost)
        try await place.sealift("verify", "@made", expect: 65)
        try await place.sealift("repair", "@made", "--from", place("source"))
        try await place.sealift("verify", "@made", "--server-checksums")
        try await place.sealift("sync", "@made", place("second"))
        let wanted = place.resources("source")
        let copied = try await place.json("sync", "@made", "@copy")
        #expect(copied.target?["copied_by_server"]?["packfiles"] == copied.target?["copied"]?["packfiles"])
        try await place.sealift("verify", "@copy", "--against", "@made")
        #expect(place.resources("second").allSatisfy { wanted[$0] == $1 } && !wanted.isEmpty)
    }

    @Test(
        "What lies cold is planned, recalled, and copied by a later run",
        .enabled(if: OtherServer.moto.isThere, Comment(rawValue: OtherServer.moto.reason)))
    func cold() async throws {
        let place = try Workplace()
        let bucket = try await OtherServer.moto.place()
        try S3Tests.name(["frozen": bucket.settings.place], more: ["storage_class: \"GLACIER\""], in: place)
        let store = GeneratedStore(seed: 22, Shape.heavy(states: 2))
        try store.place(in: FolderSink(place.folder, "source"))
        // Nothing of it can be read back.
        try await place.sealift("sync", place("source"), "@frozen", "--verify", "none")
        for key in store.keys() { #expect(try await bucket.storageClass(key.path) == "GLACIER") }
        #expect(try await bucket.storageClass("CONFIG") == nil)
        // As plakar leaves it.
        try await bucket.put("CONFIG.frozen", try await bucket.get("CONFIG"), [("x-amz-storage-class", "GLACIER")])
        #expect(try await place.json("inspect", "@frozen")["foreign"] == .number(0))

        let packfiles = store.keys().filter { $0.kind == .packfile }.count
        let plan = try await place.json("plan", "@frozen", place("back"))
        #expect(plan.target?["cold"]?["cold"]?["packfiles"] == .number(Double(packfiles)))
        #expect(plan.target?["cold"]?["classes"]?[0] == .string("GLACIER"))
        #expect(try await place.sealift("plan", "@frozen", place("back")).out.contains("bulk 5 to 12"))
        let refused = try await place.fails(69, "sync", "@frozen", place("back"))
        #expect(refused.contains("\(packfiles) packfiles and 2 states") && refused.contains("--recall"))
        #expect(place.folder.contents(of: "back/CONFIG") == nil)
        for wrong in ["slow", "bulk,0", "bulk,366", "bulk,x", "bulk,1,2", ""] {
            _ = try await place.fails(64, "sync", "@frozen", place("back"), "--recall", wrong)
        }
        // What was asked for stands at the server: any later run finds it, asked for again or not.
        let asked = try await place.fails(75, "sync", "@frozen", place("back"), "--recall", "bulk,2")
        #expect(asked.contains("being recalled from GLACIER"))
        try await place.run(["rm", "-rf", place("state")])
        try await place.sealift("sync", "@frozen", place("back"), "--verify", "all")
        #expect(place.resources("back") == place.resources("source"))
        #expect(try await place.json("plan", "@frozen", place("other")).target?["cold"] == .null)
    }
}
