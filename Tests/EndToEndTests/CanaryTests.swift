internal import Glibc
internal import StorageTesting
internal import Testing

/// What is secret stays where it is: nothing of it in the catalog, the ledger, a plan, JSON, messages.
@Suite("Canaries", .serialized, .enabled(if: Binary.isThere, Binary.reason))
struct CanaryTests {
    /// The passphrase of the real stores, names and text of what is backed up in them, and what stands in the configuration of these tests.
    private static let secrets = ["lighthouse", "CANARY", "canary-"]

    private static func configuration(_ place: Workplace) -> String {
        """
        # canary-comment
        version: v1.0.0
        default: mine
        stores:
            mine:
                location: \(place("source"))
                passphrase: \(RealStores.passphrase)
            copy:
                passphrase_cmd: "touch \(place("canary-was-run")); echo canary-command"
                location: \(place("target"))
            other:
                location: s3://canary-user:canary-password@127.0.0.1/bucket
                access_key: canary-access
                secret_access_key: "canary-secret"
                passphrase: |
                    canary-block
                    CANARY-CONTENT-sealift-b83ae1

        """
    }

    @Test("No verb writes a secret anywhere")
    func everyVerb() async throws {
        let place = try Workplace()
        try await RealStores.unpack("written-by-1.0.6", at: "source", in: place)
        try place.folder.put("home/.config/plakar/stores.yml", Array(Self.configuration(place).utf8))
        let before = try TreeImage(of: place("home"))
        for words in [
            ["plan", "@mine", "@copy", "-o", place("plan.json")], ["apply", place("plan.json")], ["sync", "@mine", "@copy"],
            ["verify", "@copy", "--against", "@mine"], ["inspect", "@mine"], ["inspect", "@copy"], ["points", "@copy"],
            ["points"],
        ] {
            _ = try await place.run([Binary.path] + words)
            _ = try await place.run([Binary.path] + words + ["--json"], expect: words[0] == "apply" ? 3 : 0)
        }
        let victim = try #require(place.paths("packfiles", in: "target").first)
        var bytes = try #require(place.folder.contents(of: "target/\(victim)"))
        bytes[99] ^= 1
        try place.folder.put("target/\(victim)", bytes)
        try await place.sealift("verify", "@copy", "--json", expect: 65)
        try await place.sealift("repair", "@copy", "--from", "@mine", "--json")
        try await place.fails(78, "inspect", "@other")
        try await place.fails(78, "inspect", "@nobody")
        #expect(try TreeImage(of: place("home")) == before)
        #expect(place.folder.contents(of: "canary-was-run") == nil, "a configured command was run")
        try await expectClean(in: place, store: "source")
    }

    @Test(
        "Nor does any of it from a store whose backups hold canaries", .enabled(if: RealStores.haveHistory, RealStores.noHistory))
    func history() async throws {
        let place = try Workplace()
        try place.folder.put("home/.config/plakar/stores.yml", Array(Self.configuration(place).utf8))
        for moment in ["history-t2", "history-t4"] {
            try await RealStores.unpack(moment, at: "source", in: place)
            try await place.sealift("sync", "@mine", "@copy", "--verify", "all", "--json")
        }
        try await expectClean(in: place, store: "source")
    }

    private func expectClean(in place: Workplace, store source: String, source location: SourceLocation = #_sourceLocation)
        async throws
    {
        var segments = 0
        // Before the texts of segments are made, which lie among the outputs then.
        let files = place.folder.files().filter { !$0.key.hasPrefix("\(source)/") && !$0.key.hasPrefix("home/") }
        #expect(files["state/catalog.sqlite"]?.isEmpty == false)
        for (path, bytes) in files {
            var texts = [bytes]
            if path.hasSuffix(".zst") {
                let text = try await place.run(["zstd", "-dc", place(path)], source: location).out
                #expect(text.hasPrefix("sealift-ledger"), "the search does not see the text")
                texts.append(Array(text.utf8))
                segments += 1
            }
            for secret in Self.secrets {
                #expect(!texts.contains { Self.contains(secret, in: $0) }, "\(secret) in \(path)", sourceLocation: location)
            }
        }
        #expect(segments > 0)
    }

    private static func contains(_ word: String, in bytes: [UInt8]) -> Bool {
        let word = Array(word.utf8)
        return bytes.withUnsafeBytes { text in
            guard let start = text.baseAddress else { return false }
            return memmem(start, text.count, word, word.count) != nil
        }
    }
}
