internal import StorageTesting
internal import Testing

/// Replicas of stores that real clients wrote, compared with what is known of these stores, and by the client itself.
@Suite("Real stores", .serialized, .enabled(if: Binary.isThere, Binary.reason))
struct HistoryTests {
    static let moments = ["history-t1", "history-t2", "history-t3", "history-t4"]

    @Test("A target is exactly the source", arguments: ["plaintext", "written-by-1.0.6"])
    func oneStore(archive: String) async throws {
        let place = try Workplace()
        let source = try await RealStores.unpack(archive, at: "source", in: place)
        let facts = try RealStores.facts(archive)
        let done = try await place.json("sync", source, place("target"), "--verify", "all")
        #expect(place.resources("target") == facts.resources)
        #expect(done.target?["copied"]?.counts == [facts.packfiles, facts.states])
        #expect(done.target?["verified"]?["resources"] == .number(Double(facts.packfiles + facts.states)))
        try expectLayout(of: "target", in: place)
        let verified = try await place.json("verify", place("target"))
        #expect(verified["checked"] == .number(Double(facts.resources.count)))
        #expect(verified["complete"] == .boolean(true))
    }

    @Test("Four steps give what one step gives", .enabled(if: RealStores.haveHistory, RealStores.noHistory))
    func fourSteps() async throws {
        let place = try Workplace()
        var expected: [String: String] = [:]
        for moment in Self.moments {
            let source = try await RealStores.unpack(moment, at: "source", in: place)
            let facts = try RealStores.facts(moment)
            // What a running client has lying about is no content.
            try place.folder.put("source/locks/\(String(repeating: "ab", count: 32))", [1, 2, 3])
            try place.folder.put("source/packfiles/tmp.123", [1])
            try place.folder.put("source/states/ab/\(String(repeating: "ab", count: 32)).tmp", [1])
            let fresh = facts.resources.keys.filter { expected[$0] == nil }
            let done = try await place.json("sync", source, place("steps"))
            let wanted = ["packfiles/", "states/"].map { kind in fresh.filter { $0.hasPrefix(kind) }.count }
            #expect(done.target?["copied"]?.counts == wanted, "\(moment)")
            expected.merge(facts.resources) { $1 }
            #expect(place.resources("steps") == expected, "\(moment)")
            #expect(place.folder.names(in: "steps/locks").isEmpty)
            let before = try TreeImage(of: place("steps"))
            let again = try await place.json("sync", source, place("steps"))
            #expect(again.target?["copied"]?.counts == [0, 0])
            #expect(again.target?["recovery_point"] == done.target?["recovery_point"], "nothing new, so no new point")
            let after = try TreeImage(of: place("steps"))
            #expect(after.differences(from: before, ignoring: [".sealift/lock"]) == [])
        }
        try await RealStores.unpack("history-t4", at: "source", in: place)
        try await place.sealift("sync", place("source"), place("once"))
        let last = try RealStores.facts("history-t4").resources
        #expect(place.resources("once") == last)
        // In four steps the two packfiles that maintenance dropped are kept, else there is no difference.
        let kept = Set(place.resources("steps").keys).subtracting(place.resources("once").keys)
        #expect(kept.count == 2 && kept.allSatisfy { $0.hasPrefix("packfiles/") })
        #expect(place.resources("steps").filter { !kept.contains($0.key) } == place.resources("once"))
    }

    @Test(
        "The real client agrees after each step", .enabled(if: RealStores.haveHistory, RealStores.noHistory),
        .enabled(if: Plakar.isThere, Plakar.reason))
    func clientAgreesWithHistory() async throws {
        let place = try Workplace()
        for (moment, count) in zip(Self.moments, [2, 4, 3, 6]) {
            let source = try await RealStores.unpack(moment, at: "source", in: place)
            try await place.sealift("sync", source, place("target"))
            try await expectAgreement(source, place("target"), snapshots: count, in: place)
        }
    }

    @Test("The real client agrees", .enabled(if: Plakar.isThere, Plakar.reason), arguments: ["plaintext", "written-by-1.0.6"])
    func clientAgrees(archive: String) async throws {
        let place = try Workplace()
        let source = try await RealStores.unpack(archive, at: "source", in: place)
        try await place.sealift("sync", source, place("target"))
        try await expectAgreement(source, place("target"), snapshots: 2, in: place)
    }

    private func expectAgreement(_ source: String, _ target: String, snapshots count: Int, in place: Workplace) async throws {
        try await Plakar.check(target, in: place)
        let shown = try await Plakar.snapshots(of: target, in: place)
        let original = try await Plakar.snapshots(of: source, in: place)
        #expect(shown == original)
        #expect(shown.count == count)
    }

    /// Plakar's own folders and modes: without `locks/` a later backup fails.
    private func expectLayout(of store: String, in place: Workplace) throws {
        let modes = try TreeImage(of: place(store)).entries.filter { $0.value.kind == .folder }.mapValues(\.mode)
        for kind in ["packfiles", "states"] {
            let buckets = modes.filter { $0.key.hasPrefix("\(kind)/") }
            #expect(buckets.count == 256 && buckets.values.allSatisfy { $0 == 0o700 }, "\(kind)")
        }
        #expect(modes["locks"] == 0o700)
    }
}
