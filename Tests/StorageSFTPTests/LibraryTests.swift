import Glibc
import Kloset
import SSHClient
import Storage
import StorageSFTP
import StorageTesting
import Testing

/// The second transport: libssh2 in this process, on real servers.
@Suite struct LibraryTests {
    @Test(.withOpenSSH, arguments: StoreRule.allCases)
    func openSSH(_ rule: StoreRule) async throws {
        let server = try #require(TestServer.shared)
        try await rule.check(at: ServedPlace(server, byLibrary: true))
    }

    @Test(.withRclone, arguments: [StoreRule.neverReplaces, .publishesConfig, .documentsAreReplacedWhole, .readsWholePrefix])
    func rclone(_ rule: StoreRule) async throws {
        let server = try #require(TestServer.rclone)
        try await rule.check(at: ServedPlace(server, byLibrary: true))
    }

    @Test(.withOpenSSH) func wholeRun() async throws {
        let store = try ServedPlace(try #require(TestServer.shared), byLibrary: true).sftp()
        try await Scenario.run(store)
        #expect(store.capabilities.durability == .fileSync)
    }

    // MARK: - the host's key

    private func failure(_ change: (inout SSHLogin, TestServer, TestFolder) throws -> Void) async throws -> Failure? {
        let server = try #require(TestServer.shared)
        let folder = try TestFolder()
        var login = server.login
        try change(&login, server, folder)
        let store = SFTPStore(server.address("/data"), transport: .library(login))
        let failure = await failing { _ = try await store.presence() }
        #expect(failure?.place == server.address("/data").text)
        return failure
    }

    private func succeeds(_ change: (inout SSHLogin, TestServer, TestFolder) throws -> Void) async throws {
        let server = try #require(TestServer.shared)
        let folder = try TestFolder()
        var login = server.login
        try change(&login, server, folder)
        _ = try await SFTPStore(server.address("/data"), transport: .library(login)).presence()
    }

    private static func record(_ text: String, _ login: inout SSHLogin, _ folder: TestFolder) throws {
        try put(folder.path("known"), text)
        login.knownHosts = [folder.path("missing"), folder.path("known")]
    }

    private static func hostKey(_ server: TestServer, _ name: String) throws -> String {
        try contents("\(server.keys)/\(name).pub").split(separator: " ").prefix(2).joined(separator: " ")
    }

    @Test(.withOpenSSH) func unknownHost() async throws {
        let failure = try await failure { login, _, folder in try Self.record("# nobody\n", &login, folder) }
        #expect(failure?.kind == .permission)
        #expect(
            failure?.reason.hasPrefix("the host's key is not known (ssh-ed25519, SHA256:") == true,
            "\(failure?.description ?? "")")
        // The line that is shown is the one that would do.
        let server = try #require(TestServer.shared)
        #expect(failure?.advice.contains(try contents(server.knownHosts).split(separator: "\n")[0]) == true)
    }

    /// Whichever of the host's keys is on record, it is that one which is asked for.
    @Test(.withOpenSSH, arguments: ["host", "host_ecdsa", "host_rsa"]) func oneKeyOnRecord(_ name: String) async throws {
        try await succeeds { login, server, folder in
            try Self.record("[127.0.0.1]:\(server.port) \(Self.hostKey(server, name))\n", &login, folder)
        }
    }

    @Test(.withOpenSSH) func severalKeysOnRecord() async throws {
        try await succeeds { login, server, folder in
            let lines = try ["host_rsa", "host", "host_ecdsa"].map { name in
                "other.example,[127.0.0.*]:\(server.port) \(try Self.hostKey(server, name))"
            }
            try Self.record(lines.joined(separator: "\n"), &login, folder)
        }
    }

    @Test(.withOpenSSH) func hashedRecord() async throws {
        try await succeeds { login, server, folder in
            try Self.record(contents(server.knownHosts), &login, folder)
            try run("ssh-keygen", "-q", "-H", "-f", folder.path("known"))
            let text = try contents(folder.path("known"))
            #expect(text.hasPrefix("|1|"))
        }
    }

    @Test(.withOpenSSH, arguments: ["ed25519", "ecdsa"]) func changedKey(_ type: String) async throws {
        let failure = try await failure { login, server, folder in
            try run("ssh-keygen", "-q", "-t", type, "-N", "", "-f", folder.path("other"))
            let other = try contents(folder.path("other.pub")).split(separator: " ").prefix(2).joined(separator: " ")
            try Self.record("[127.0.0.1]:\(server.port) \(other)\n", &login, folder)
        }
        #expect(failure?.kind == .permission)
        #expect(failure?.reason.contains("not the one on record") == true, "\(failure?.description ?? "")")
    }

    @Test(.withOpenSSH) func revokedKey() async throws {
        let failure = try await failure { login, server, folder in
            let known = try contents(server.knownHosts)
            try Self.record(known + "@revoked * \(Self.hostKey(server, "host"))\n", &login, folder)
        }
        #expect(failure?.kind == .permission)
        #expect(failure?.reason == "the host's key is marked as revoked")
    }

    @Test(.withOpenSSH) func authorityOnRecord() async throws {
        let failure = try await failure { login, server, folder in
            try Self.record("@cert-authority * \(Self.hostKey(server, "host"))\n", &login, folder)
        }
        #expect(failure?.kind == .permission)
        #expect(failure?.advice == "Use transport=ssh.")
    }

    @Test(.withOpenSSH) func anyHost() async throws {
        try await succeeds { login, _, folder in
            try Self.record("", &login, folder)
            login.ignoresHostKey = true
        }
    }
}
