internal import Glibc
internal import S3Testing
internal import StorageTesting
internal import Testing

private let sftpServer = "/usr/lib/openssh/sftp-server"

/// Real stores through an SFTP server and back by the real command line. The server is OpenSSH's, started by a stand-in for `ssh`: what
/// ssh itself does is tested where its servers are (StorageSFTPTests).
@Suite(
    "SFTP", .serialized, .enabled(if: Binary.isThere, Binary.reason),
    .enabled(if: access(sftpServer, X_OK) == 0, "openssh-sftp-server is not installed"))
struct SFTPTests {
    private let place: Workplace

    init() throws {
        place = try Workplace()
        try place.folder.put("ssh", Array("#!/bin/sh\nexec \(sftpServer)\n".utf8))
        chmod(place("ssh"), 0o700)
    }

    private var variables: [String: String] { ["SEALIFT_SSH": place("ssh")] }

    private func remote(_ name: String) -> String { "sftp://host\(place(name))" }

    @discardableResult
    private func sealift(_ words: String..., expect code: Int32 = 0, source: SourceLocation = #_sourceLocation) async throws
        -> Ended
    {
        try await place.run([Binary.path] + words, variables, expect: code, source: source)
    }

    @Test("Local to SFTP to SFTP to local gives the same bytes")
    func chain() async throws {
        let source = try await RealStores.unpack("written-by-1.0.6", at: "source", in: place)
        let wanted = try RealStores.facts("written-by-1.0.6").resources
        for (from, to) in [(source, remote("one")), (remote("one"), remote("two")), (remote("two"), place("back"))] {
            try await sealift("sync", from, to, "--verify", "all")
        }
        for store in ["one", "two", "back"] { #expect(place.resources(store) == wanted, "\(store)") }
        let again = try await sealift("sync", source, remote("one"))
        #expect(again.out.contains("nothing to copy"), "\(again.out)")
        try await sealift("verify", remote("two"))
        let inspected = try await sealift("inspect", remote("two"))
        #expect(inspected.out.contains("a sync for each file"), "\(inspected.out)")
    }

    @Test("A store's history there and back", .enabled(if: RealStores.haveHistory, RealStores.noHistory))
    func history() async throws {
        var all: [String: String] = [:]
        for archive in ["history-t1", "history-t2", "history-t3", "history-t4"] {
            let store = try await RealStores.unpack(archive, at: "source", in: place)
            try await sealift("sync", store, remote("one"))
            all.merge(try RealStores.facts(archive).resources) { $1 }
            try await sealift("sync", remote("one"), place("back-\(archive)"), "--verify", "all")
            #expect(place.resources("back-\(archive)") == all)
        }
    }

    @Test("A damaged replica over SFTP is found and repaired, and its original kept")
    func repair() async throws {
        let source = try await RealStores.unpack("written-by-1.0.6", at: "source", in: place)
        let wanted = try RealStores.facts("written-by-1.0.6").resources
        try await sealift("sync", source, remote("one"))
        let victim = try #require(place.paths("packfiles", in: "one").first)
        var bytes = try #require(place.folder.contents(of: "one/\(victim)"))
        bytes[bytes.count / 2] ^= 0x40
        try place.folder.put("one/\(victim)", bytes)
        try await sealift("verify", remote("one"), expect: 65)
        try await sealift("repair", remote("one"), "--from", source)
        #expect(place.resources("one") == wanted)
        let kept = place.folder.names(in: "one/.sealift/quarantine")
            .map { place.folder.contents(of: "one/.sealift/quarantine/\($0)") }
        #expect(kept.contains(bytes))
    }

    @Test("Where there is a shell, digests travel instead of bytes, and what they do not confirm is read")
    func remoteHash() async throws {
        let script = "#!/bin/sh\nfor last; do :; done\n[ \"$last\" = sftp ] && exec \(sftpServer)\nexec /bin/sh -c \"$last\"\n"
        try place.folder.put("ssh", Array(script.utf8))
        let source = try await RealStores.unpack("written-by-1.0.6", at: "source", in: place)
        let count = try RealStores.facts("written-by-1.0.6").resources.count - 1
        try await sealift("sync", source, remote("one"))
        let good = try await place.json("verify", remote("one"), "--remote-hash", variables: variables)
        #expect(good["attested"]?["resources"] == .number(Double(count)), "all but CONFIG: \(good)")
        #expect(good["damaged"] == .array([]) && good["complete"] == .boolean(true))
        let victim = try #require(place.paths("packfiles", in: "one").first)
        var bytes = try #require(place.folder.contents(of: "one/\(victim)"))
        bytes[bytes.count / 2] ^= 0x40
        try place.folder.put("one/\(victim)", bytes)
        let bad = try await sealift("verify", remote("one"), "--remote-hash", expect: 65)
        #expect(bad.err.contains("found damage in"), "\(bad.err)")
        let folder = try await sealift("verify", source, "--remote-hash", expect: 64)
        #expect(folder.err.contains("no SFTP location"), "\(folder.err)")
        let library = try await sealift(
            "verify", remote("one"), "--remote-hash", "--option", "transport=libssh2", expect: 64)
        #expect(library.err.contains("only ssh runs a program there"), "\(library.err)")
    }

    @Test("A run that is killed again and again comes to its end, and no moment shows a state before its packfiles")
    func kills() async throws {
        let source = try await RealStores.unpack("written-by-1.0.6", at: "source", in: place)
        let wanted = try RealStores.facts("written-by-1.0.6").resources
        let packfiles = wanted.keys.filter { $0.hasPrefix("packfiles/") }
        let seed = Loops.seed("kills over SFTP")
        var random = SeededRandom(seed: seed)
        for _ in 0..<Loops.count(fast: 5, part: 30, full: 200) {
            let child = try place.start([Binary.path, "sync", source, remote("one")], variables)
            usleep(UInt32(random.next() % 250_000))
            child.signal(SIGKILL)
            _ = try await child.ended()
            let there = place.resources("one")
            for (path, digest) in there { #expect(wanted[path] == digest, "\(path) is not whole (seed \(seed))") }
            if there.keys.contains(where: { $0.hasPrefix("states/") }) {
                #expect(packfiles.allSatisfy { there[$0] != nil }, "a state before its packfiles (seed \(seed))")
            }
        }
        try await sealift("sync", source, remote("one"), "--verify", "all")
        #expect(place.resources("one") == wanted)
        #expect(place.folder.names(in: "one/.sealift/uploads").isEmpty)
    }

    @Test(
        "Servers that are killed again and again cost nothing but time, and another reader never sees a state before its packfiles"
    )
    func serverKills() async throws {
        try place.folder.put("ssh", Array("#!/bin/sh\necho $$ >> '\(place("servers"))'\nexec \(sftpServer)\n".utf8))
        let source = try await RealStores.unpack("written-by-1.0.6", at: "source", in: place)
        let wanted = try RealStores.facts("written-by-1.0.6").resources
        let packfiles = wanted.keys.filter { $0.hasPrefix("packfiles/") }
        let seed = Loops.seed("killed servers")
        var random = SeededRandom(seed: seed)
        for round in 0..<Loops.count(fast: 3, part: 20, full: 200) {
            let target = "copy-\(round)"
            try place.folder.put("servers", [])
            let child = try place.start([Binary.path, "sync", source, remote(target), "--connections", "3"], variables)
            let ending = Task { try await child.ended() }
            // States first: whatever they name must be there when it is looked for afterwards.
            for _ in 0..<Int(random.next() % 3) {
                usleep(UInt32(random.next() % 200_000))
                let isVisible = !place.paths("states", in: target).isEmpty
                let there = Set(place.paths("packfiles", in: target))
                if isVisible {
                    #expect(packfiles.allSatisfy { there.contains($0) }, "a state before its packfiles (seed \(seed))")
                }
                let servers = String(decoding: place.folder.contents(of: "servers") ?? [], as: UTF8.self)
                for server in servers.split(separator: "\n").compactMap({ pid_t($0) }) where isServer(server) {
                    kill(server, SIGKILL)
                }
            }
            let ended = try await ending.value
            // A first connection is tried once.
            #expect([0, 69].contains(ended.code), "round \(round), seed \(seed): \(ended.err)")
            if ended.code != 0 { try await sealift("sync", source, remote(target)) }
            #expect(place.resources(target) == wanted, "round \(round), seed \(seed)")
            // A document that was cut with its connection is left for the next run to remove.
            let left = place.folder.names(in: "\(target)/.sealift/uploads").filter { !$0.hasPrefix("document.") }
            #expect(left.isEmpty, "round \(round), seed \(seed)")
        }
    }

    /// The number may be somebody else's by now.
    private func isServer(_ process: pid_t) -> Bool {
        guard let file = fopen("/proc/\(process)/cmdline", "r") else { return false }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 64)
        bytes.removeLast(bytes.count - fread(&bytes, 1, bytes.count, file))
        return bytes.starts(with: sftpServer.utf8)
    }

    @Test(
        "All ordered pairs of local, S3 and SFTP give the same bytes",
        .enabled(if: Gateway.isThere, Comment(rawValue: Gateway.reason)),
        .enabled(if: RealStores.haveHistory, RealStores.noHistory))
    func pairs() async throws {
        var variables = variables
        (variables["AWS_ACCESS_KEY_ID"], variables["AWS_SECRET_ACCESS_KEY"]) = ("testkey", "testsecret1")
        for archive in ["written-by-1.0.6", "history-t4"] {
            let source = try await RealStores.unpack(archive, at: "source-\(archive)", in: place)
            let wanted = place.resources("source-\(archive)")
            var bucket: [String] = []
            for _ in 0..<3 { bucket.append(try await BucketPlace().settings.place) }
            let sftp = (0..<3).map { remote("\(archive)-sftp-\($0)") }
            // local → SFTP → S3 → local, local → S3 → SFTP → local, SFTP → SFTP, S3 → S3: each pair once.
            let steps = [
                (source, sftp[0]), (sftp[0], bucket[0]), (bucket[0], place("\(archive)-a")), (source, bucket[1]),
                (bucket[1], sftp[1]),
                (sftp[1], place("\(archive)-b")), (sftp[1], sftp[2]), (bucket[1], bucket[2]), (bucket[2], place("\(archive)-c")),
            ]
            for (from, to) in steps {
                let words = [Binary.path, "sync", from, to, "--verify", "all", "--option", "use_tls=false"]
                _ = try await place.run(words, variables, expect: 0)
            }
            for copy in ["sftp-0", "sftp-1", "sftp-2", "a", "b", "c"] {
                #expect(place.resources("\(archive)-\(copy)") == wanted, "\(archive) \(copy)")
            }
        }
    }

    @Test(
        "What could be an option of ssh is a mistake of the call",
        arguments: ["sftp://-oProxyCommand=touch/p", "sftp://-x@host/p", "sftp://u:word@host/x"])
    func options(_ location: String) async throws {
        let refused = try await sealift("inspect", location, expect: 64)
        #expect(!refused.err.contains("word@"))
    }
}
