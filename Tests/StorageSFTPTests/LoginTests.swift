import Glibc
import Kloset
import Storage
import StorageSFTP
import StorageTesting
import Testing

/// Whatever the user's ssh can log in with works, for it is that ssh which logs in.
@Suite(.withOpenSSH, .serialized) struct LoginTests {
    private let folder: TestFolder
    private let server: TestServer

    init() throws {
        folder = try TestFolder()
        server = try #require(TestServer.shared)
    }

    /// Logs in with these options in place of the server's own key.
    private func logsIn(_ options: [String], user: String? = nil) async throws -> Failure? {
        var address = server.address("/data")
        (address.identity, address.user) = (nil, user ?? server.user)
        var command = SSHCommand(to: address, isBatch: true)
        let words = ["UserKnownHostsFile=\(server.knownHosts)"] + options
        command.arguments = ["-F", "/dev/null"] + words.flatMap { ["-o", $0] } + command.arguments
        let store = SFTPStore(address, command: command)
        do { _ = try await store.presence() } catch let failure as Failure { return failure }
        return nil
    }

    private func makeKey(_ type: String, _ bits: String? = nil, passphrase: String = "") throws -> String {
        let path = folder.path("key-\(type)")
        let length = bits.map { ["-b", $0] } ?? []
        try run(["ssh-keygen", "-q", "-t", type] + length + ["-N", passphrase, "-f", path])
        return path
    }

    @Test(arguments: [("rsa", "4096"), ("ecdsa", "256"), ("ecdsa", "521")])
    func key(_ type: String, _ bits: String) async throws {
        let key = try makeKey(type, bits)
        try server.authorize(key + ".pub")
        let failure = try await logsIn(["IdentityFile=\(key)", "IdentitiesOnly=yes", "IdentityAgent=none"])
        #expect(failure == nil)
    }

    @Test func certificate() async throws {
        let key = try makeKey("ed25519")
        try run("ssh-keygen", "-q", "-s", "\(server.keys)/authority", "-I", "a test", "-n", server.user, key + ".pub")
        let options = ["IdentityFile=\(key)", "IdentitiesOnly=yes", "IdentityAgent=none"]
        #expect(try await logsIn(options + ["CertificateFile=\(key)-cert.pub"]) == nil)
        // The key alone is nobody's.
        try run("rm", key + "-cert.pub")
        #expect(try await logsIn(options)?.kind == .permission)
    }

    /// Without a terminal nobody is asked for the passphrase: the agent has to know it.
    @Test func passphraseThroughTheAgent() async throws {
        let key = try makeKey("ed25519", passphrase: "harbour light")
        try server.authorize(key + ".pub")
        let options = ["IdentityFile=\(key)", "IdentitiesOnly=yes"]
        #expect(try await logsIn(options + ["IdentityAgent=none"])?.kind == .permission)
        let socket = folder.path("agent")
        let agent = try spawn(["ssh-agent", "-D", "-a", socket])
        defer { kill(agent, SIGTERM) }
        for _ in 0..<500 where access(socket, F_OK) != 0 { usleep(10_000) }
        try put(folder.path("answer"), "#!/bin/sh\necho 'harbour light'\n")
        chmod(folder.path("answer"), 0o700)
        try run(
            "env", "SSH_AUTH_SOCK=\(socket)", "SSH_ASKPASS=\(folder.path("answer"))", "SSH_ASKPASS_REQUIRE=force", "ssh-add",
            "-q", key)
        #expect(try await logsIn(options + ["IdentityAgent=\(socket)"]) == nil)
    }

    @Test func wrongUser() async throws {
        let failure = try await logsIn(["IdentityFile=\(server.identity)", "IdentitiesOnly=yes"], user: "nobody")
        #expect(failure?.kind == .permission)
        #expect(failure?.reason.contains("refused to let us in") == true, "\(failure?.description ?? "")")
    }

    /// An alias whose host is reached through another one only.
    @Test func aliasThroughJumpHost() async throws {
        let jump = try server.twin()
        defer { kill(jump.process, SIGTERM) }
        let known = try server.knownHosts(for: server.port, jump.port, at: folder.path("known"))
        try put(
            folder.path("config"),
            """
            Host *
              User \(server.user)
              HostName 127.0.0.1
              IdentityFile \(server.identity)
              IdentitiesOnly yes
              UserKnownHostsFile \(known)
              BatchMode yes
            Host the-jump
              Port \(jump.port)
            Host the-box
              Port \(server.port)
              ProxyJump the-jump

            """)
        let address = SFTPAddress(host: "the-box", path: "/data")
        var command = SSHCommand(to: address, isBatch: true)
        command.arguments = ["-F", folder.path("config")] + command.arguments
        let store = SFTPStore(address, command: command)
        _ = try await store.presence()
        #expect(try contents("\(server.keys)/log-\(jump.port)").contains("Accepted publickey"))
    }

    /// Two names of one host are two places to us: only the replica's own id tells.
    @Test func aliasesLookLikeTwoPlaces() async throws {
        let place = try ServedPlace(server)
        var other = server.address(place.sftp().place)
        other = try SFTPAddress(parsing: place.sftp().place)
        other.host = "localhost"
        var command = server.command("/")
        command.arguments = command.arguments.map { $0 == "127.0.0.1" ? "localhost" : $0 }
        let known = try server.knownHosts(for: server.port, at: folder.path("known"))
        try put(known, contents(known) + contents(known).replacing("[127.0.0.1]", with: "[localhost]"))
        command.arguments = command.arguments.map { $0.hasPrefix("UserKnownHostsFile=") ? "UserKnownHostsFile=\(known)" : $0 }
        let (mine, theirs) = (place.sftp(), SFTPStore(other, command: command))
        #expect(try await mine.footprint().relation(to: try await theirs.footprint()) == .apart)
        try await mine.prepare()
        try await mine.createDocument("replica", with: Array("one".utf8))
        #expect(try await theirs.document("replica", byteCountMax: 10) == Array("one".utf8))
    }
}
