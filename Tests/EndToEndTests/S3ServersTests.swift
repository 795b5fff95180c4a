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
}
