import Glibc
import Hashing
import Kloset
import Storage
import StorageTesting
import Testing

@testable import StorageSFTP

/// `sha256sum` at the other end: names arrive there whatever they hold, and what cannot be asked is said.
@Suite(.withServer) struct RemoteHashTests {
    /// A store below a folder of this name, and a shell that stands in for the one behind `ssh`.
    private func store(_ name: String, _ server: LocalServer, shell: String = "/bin/sh", words: String? = nil) -> SFTPStore {
        let address = SFTPAddress(host: "localhost", path: "\(server.outer.path)/\(name)")
        var command = SSHCommand(to: address, isBatch: true, running: SFTPStore.hashingWords)
        #expect(command.arguments.suffix(3) == ["--", "localhost", "\(SFTPStore.hashingWords)"])
        // As sshd does it: the account's shell, -c, and what stands behind the host.
        (command.program, command.arguments) = (shell, ["-c", words ?? command.arguments[command.arguments.count - 1]])
        return SFTPStore(address, transport: .command(server.command), hashing: command)
    }

    private func filled(_ store: SFTPStore, count: Int = 3) async throws -> [ResourceKey] {
        try await store.prepare()
        let small = (1...count).map { number in
            Scenario.small(UInt8(number), Array("content \(number)".utf8), number % 2 == 0 ? .state : .packfile)
        }
        let failures = try await store.stage(small).compactMap { $0 }
        #expect(failures.isEmpty)
        let outcomes = try await store.publish(small.map(\.key))
        #expect(outcomes == small.map { _ in .published })
        return small.map(\.key)
    }

    private func wanted(_ count: Int = 3) -> [Digest?] { (1...count).map { SHA256.digest(of: Array("content \($0)".utf8)) } }

    private static let shells = ["/bin/sh", "/bin/bash", "/bin/zsh", "/usr/bin/fish", "/bin/tcsh", "/bin/csh", "/bin/mksh"]
        .filter { (shell: String) in access(shell, X_OK) == 0 }

    /// Names that a shell, xargs or sha256sum would take for something else.
    private static let names = [
        "store", "with space", "-c", "--help", "$(touch pwned)", "`touch pwned`", "; touch pwned;", "it's \"quoted\"",
        "back\\slash",
        "line\nbreak", "a\rb", "*", "~", "&& touch pwned", "#", "%s", "\u{1b}[31m", "!!",
    ]

    @Test(arguments: names) func namesArriveAsTheyAre(_ name: String) async throws {
        let server = try LocalServer()
        let store = store(name, server)
        let keys = try await filled(store)
        #expect(try await store.attestedDigests(of: keys) == wanted())
        #expect(!server.outer.names(in: "").contains("pwned"))
        #expect(access("pwned", F_OK) != 0)
    }

    @Test(arguments: shells) func anyShell(_ shell: String) async throws {
        let store = store("store", try LocalServer(), shell: shell)
        let keys = try await filled(store)
        #expect(try await store.attestedDigests(of: keys) == wanted())
    }

    /// One program answers call after call, more files than one sha256sum gets, and several calls at the same time.
    @Test func manyFiles() async throws {
        let server = try LocalServer()
        let store = store("store", server, words: "echo >> '\(server.outer.path)/started'; \(SFTPStore.hashingWords)")
        let keys = try await filled(store, count: 200)
        #expect(try await store.attestedDigests(of: keys) == wanted(200))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in [1, 64, 65, 128] {
                group.addTask {
                    let found = try await store.attestedDigests(of: Array(keys.prefix(number)))
                    #expect(found == wanted(number))
                }
            }
            try await group.waitForAll()
        }
        #expect(server.outer.contents(of: "started")?.count == 1)
        #expect(try await store.attestedDigests(of: []) == [])
    }

    @Test func whatIsGoneHasNone() async throws {
        let store = store("store", try LocalServer())
        let keys = try await filled(store)
        #expect(try await store.attestedDigests(of: [keys[0], Scenario.key(77), keys[2]]) == [wanted()[0], nil, wanted()[2]])
    }

    @Test func notAskedFor() async throws {
        let store = try LocalServer().sftp()
        let keys = try await filled(store)
        #expect(try await store.attestedDigests(of: keys) == [nil, nil, nil])
    }

    /// What stands in place of a shell and `sha256sum`, and what is said of it.
    private static let failures = [
        ("echo 'This account is not available.'; exit 1", "is not of the form"),
        ("echo 'sh: sha256sum: not found' >&2; exit 127", "sha256sum: not found"),
        ("exit 3", "it ended with code 3"), ("exec \(LocalServer.program)", "it ended with code"),
        ("xargs -0 -n 1 md5sum --", "is not of the form"), ("cat", "line that is too long"),
        ("printf '%064d  /other\\n' 0", "not asked for"),
        ("yes 0000000000000000000000000000000000000000000000000000000000000000", "is not of the form"),
        ("tr '\\0' x </dev/zero", "line that is too long"),
        ("echo 'ssh: connect to host h port 22: Connection refused' >&2; exit 255", "Connection refused"),
    ]

    @Test(arguments: failures) func saidClearly(_ words: String, _ reason: String) async throws {
        let store = store("store", try LocalServer(), words: words)
        let keys = try await filled(store)
        let failure = await failing { _ = try await store.attestedDigests(of: keys) }
        #expect(failure?.kind == .unavailable)
        let said = failure?.reason ?? "nothing"
        #expect(said.contains(reason), "\(said)")
    }

    /// An account that is nothing but SFTP.
    @Test(.withOpenSSH) func noShellBehindSSH() async throws {
        let server = try #require(TestServer.shared)
        let place = try ServedPlace(server)
        var hashing = SSHCommand(to: server.address("/data"), isBatch: true, running: SFTPStore.hashingWords)
        let options = ["-F", "/dev/null", "-o", "UserKnownHostsFile=\(server.knownHosts)", "-o", "IdentitiesOnly=yes"]
        hashing.arguments = options + hashing.arguments
        let path = try SFTPAddress(parsing: place.sftp().place).path
        let store = SFTPStore(server.address(path), transport: .command(server.command(path)), hashing: hashing)
        let keys = try await filled(store)
        let failure = await failing { _ = try await store.attestedDigests(of: keys) }
        #expect(failure?.what == "cannot run sha256sum", "\(failure?.description ?? "none")")
    }

    @Test func stopsWhenStopped() async throws {
        let store = store("store", try LocalServer(), words: "exec sleep 1000")
        let keys = try await filled(store)
        let task = Task { try await store.attestedDigests(of: keys) }
        task.cancel()
        await #expect(throws: CancellationError.self) { _ = try await task.value }
    }
}
