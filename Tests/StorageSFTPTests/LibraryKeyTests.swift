import Glibc
import SSHClient
import Storage
import StorageSFTP
import StorageTesting
import Testing

/// Who is let in through libssh2, and what is said to who is not.
@Suite(.withOpenSSH) struct LibraryKeyTests {
    private static let passphrase = "correct horse"

    private func presence(_ change: (inout SSHLogin, TestServer) throws -> Void) async throws {
        let server = try #require(TestServer.shared)
        var login = server.login
        try change(&login, server)
        _ = try await SFTPStore(server.address("/data"), transport: .library(login)).presence()
    }

    private func refusal(_ change: (inout SSHLogin, TestServer) throws -> Void) async throws -> Failure? {
        let failure = await failing { try await presence(change) }
        #expect(failure?.description.contains(Self.passphrase) == false)
        #expect(failure?.description.contains("BEGIN") == false)
        return failure
    }

    static let kinds = [
        ["-t", "ed25519"], ["-t", "ecdsa", "-b", "256"], ["-t", "ecdsa", "-b", "384"], ["-t", "ecdsa", "-b", "521"],
        ["-t", "rsa", "-b", "4096"], ["-t", "rsa", "-b", "2048", "-m", "PEM"], ["-t", "ecdsa", "-m", "PKCS8"],
    ]

    @Test(arguments: kinds) func keyFile(_ kind: [String]) async throws {
        let folder = try TestFolder()
        try await presence { login, server in login.identity = try server.newKey(kind, in: folder) }
    }

    /// Without a name the usual files are tried, and those that are not there are none.
    @Test func standardKeys() async throws {
        let folder = try TestFolder()
        try await presence { login, server in
            login.identity = nil
            login.standardKeys = [folder.path("missing"), server.identity]
        }
    }

    @Test(arguments: [["-t", "ed25519"], ["-t", "rsa", "-b", "4096"], ["-t", "rsa", "-b", "2048", "-m", "PEM"]])
    func passphraseThroughAgent(_ kind: [String]) async throws {
        let (agent, folder) = (try TestAgent(), try TestFolder())
        var path = ""
        try await presence { login, server in
            path = try server.newKey(kind, passphrase: Self.passphrase, in: folder)
            try agent.add(path, passphrase: Self.passphrase)
            login.agent = agent.socket
            login.identity = nil
        }
        // A named key is found in the agent by its public half, and the public half alone names it too.
        for name in [path, "\(path).pub"] {
            try await presence { login, _ in (login.agent, login.identity) = (agent.socket, name) }
        }
    }

    /// A host bears six wrong keys; naming one keeps to it, however many the agent has.
    @Test func namedKeyAmongMany() async throws {
        let (agent, folder) = (try TestAgent(), try TestFolder())
        for number in 0..<8 {
            let path = folder.path("key\(number)")
            try run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path)
            try agent.add(path, passphrase: "")
        }
        let failure = try await refusal { login, _ in (login.agent, login.identity) = (agent.socket, nil) }
        #expect(failure?.kind == .permission)
        #expect(failure?.reason == "the host hung up after keys that it refused")
        #expect(failure?.advice == "Name the right one with the option identity.", "\(failure?.description ?? "")")
        let other = try TestFolder()
        try await presence { login, server in
            let path = try server.newKey(["-t", "ed25519"], passphrase: Self.passphrase, in: other)
            try agent.add(path, passphrase: Self.passphrase)
            (login.agent, login.identity) = (agent.socket, path)
        }
    }

    @Test(arguments: [["-t", "ed25519"], ["-t", "rsa", "-b", "2048", "-m", "PEM"], ["-t", "rsa", "-b", "2048", "-m", "PKCS8"]])
    func passphraseWithoutAgent(_ kind: [String]) async throws {
        let folder = try TestFolder()
        let failure = try await refusal { login, server in
            login.identity = try server.newKey(kind, passphrase: Self.passphrase, in: folder)
        }
        #expect(failure?.kind == .permission)
        #expect(failure?.reason.contains("has a passphrase, and no agent has the key") == true, "\(failure?.description ?? "")")
        #expect(failure?.advice.contains("ssh-add") == true)
    }

    @Test func wrongKey() async throws {
        let folder = try TestFolder()
        let failure = try await refusal { login, _ in
            try run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder.path("other"))
            login.identity = folder.path("other")
        }
        #expect(failure?.kind == .permission)
        #expect(failure?.reason == "the host refused to let us in: \(folder.path("other"))")
    }

    @Test func wrongUser() async throws {
        let failure = try await refusal { login, _ in login.user = "nobody-of-this-name" }
        #expect(failure?.kind == .permission)
        #expect(failure?.reason.contains("refused to let us in") == true, "\(failure?.description ?? "")")
    }

    @Test func noKeyAtAll() async throws {
        let failure = try await refusal { login, _ in (login.identity, login.standardKeys) = (nil, []) }
        #expect(failure?.kind == .permission)
        #expect(failure?.reason == "the host refused to let us in: there is no key and no agent")
    }

    @Test func unusableFiles() async throws {
        let folder = try TestFolder()
        let missing = try await refusal { login, _ in login.identity = folder.path("missing") }
        #expect(missing?.kind == .usage)
        #expect(missing?.reason == "there is no such file with a key")
        let text = try await refusal { login, _ in
            try put(folder.path("text"), "hello\n")
            login.identity = folder.path("text")
        }
        #expect(text?.kind == .usage)
        let open = try await refusal { login, server in
            let path = try server.newKey(["-t", "ed25519"], in: folder)
            chmod(path, 0o644)
            login.identity = path
        }
        #expect(open?.kind == .permission)
        #expect(open?.reason == "others may read it")
    }

    @Test func deafAgent() async throws {
        let folder = try TestFolder()
        let failure = try await refusal { login, _ in
            (login.agent, login.identity, login.standardKeys) = (folder.path("nobody"), nil, [])
        }
        #expect(failure?.reason.contains("no agent answers") == true, "\(failure?.description ?? "")")
    }
}
