import Glibc
import Storage
import StorageSFTP
import StorageTesting
import Testing

/// What the user's own ssh is told, and what is made of what it says.
@Suite struct SSHTests {
    @Test func command() {
        var address = SFTPAddress(user: "u", host: "h", port: 2222, path: "/p")
        address.identity = "/k"
        let command = SSHCommand(to: address, isBatch: true)
        #expect(command.program == "ssh")
        for option in ["ForwardAgent=no", "ForwardX11=no", "ClearAllForwardings=yes", "BatchMode=yes"] {
            let index = command.arguments.firstIndex(of: option)
            #expect(index.map { command.arguments[$0 - 1] } == "-o", "\(option)")
        }
        #expect(Array(command.arguments.suffix(10)) == ["-l", "u", "-p", "2222", "-i", "/k", "-s", "--", "h", "sftp"])
        #expect(!command.arguments.contains("StrictHostKeyChecking=no"))
        let prompting = SSHCommand(to: SFTPAddress(host: "h", path: "/"), isBatch: false)
        #expect(!prompting.arguments.contains("BatchMode=yes"))
        address.ignoresHostKey = true
        #expect(SSHCommand(to: address, isBatch: true).arguments.contains("StrictHostKeyChecking=no"))
    }

    private func failure(_ change: (inout SSHCommand, TestServer) throws -> Void) async throws -> Failure? {
        let server = try #require(TestServer.shared)
        var command = server.command("/data")
        try change(&command, server)
        let store = SFTPStore(server.address("/data"), command: command)
        return await failing { _ = try await store.presence() }
    }

    @Test(.withOpenSSH) func unknownHost() async throws {
        let failure = try await failure { command, _ in
            for index in command.arguments.indices where command.arguments[index].hasPrefix("UserKnownHostsFile=") {
                command.arguments[index] = "UserKnownHostsFile=/dev/null"
            }
        }
        #expect(failure?.kind == .permission)
        #expect(failure?.reason == "the host's key is not known")
    }

    @Test(.withOpenSSH, arguments: ["", "@revoked "]) func otherHostKey(_ mark: String) async throws {
        let folder = try TestFolder()
        let failure = try await failure { command, server in
            var key = try contents(server.knownHosts)
            if mark.isEmpty {
                // The same host with a key that is not its own.
                try run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder.path("other"))
                let other = try contents(folder.path("other.pub")).split(separator: " ").prefix(2).joined(separator: " ")
                key = "[127.0.0.1]:\(server.port) \(other)\n"
            }
            try put(folder.path("known"), mark + key)
            for index in command.arguments.indices where command.arguments[index].hasPrefix("UserKnownHostsFile=") {
                command.arguments[index] = "UserKnownHostsFile=\(folder.path("known"))"
            }
        }
        #expect(failure?.kind == .permission)
        let reason = failure?.reason ?? ""
        #expect(mark.isEmpty ? reason.contains("not the one on record") : reason.contains("revoked"), "\(reason)")
    }

    @Test(.withOpenSSH) func wrongKey() async throws {
        let folder = try TestFolder()
        try run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder.path("other"))
        let failure = try await failure { command, server in
            for index in command.arguments.indices where command.arguments[index] == server.identity {
                command.arguments[index] = folder.path("other")
            }
        }
        #expect(failure?.kind == .permission)
        #expect(failure?.reason.contains("refused to let us in") == true, "\(failure?.description ?? "")")
    }

    @Test(.withOpenSSH) func nobodyListens() async throws {
        let port = try freePort()
        let failure = try await failure { command, server in
            for index in command.arguments.indices where command.arguments[index] == "\(server.port)" {
                command.arguments[index] = "\(port)"
            }
        }
        #expect(failure?.kind == .unavailable)
        #expect(failure?.reason.contains("Connection refused") == true)
    }

    /// The child is gone when its store is.
    @Test(.withServer) func nothingIsLeftBehind() async throws {
        let place = try LocalServer()
        let note = place.outer.path("pid")
        var command = place.command
        (command.program, command.arguments) = ("/bin/sh", ["-c", "echo $$ > \(note); exec \(LocalServer.program)"])
        do {
            let store = SFTPStore(SFTPAddress(host: "localhost", path: place.outer.path), command: command)
            _ = try await store.presence()
        }
        let process = try #require(pid_t(contents(note).filter(\.isNumber)))
        for _ in 0..<500 where kill(process, 0) == 0 { try await Task.sleep(for: .milliseconds(20)) }
        #expect(kill(process, 0) != 0)
    }
}

@Suite struct SFTPAddressTests {
    private func parsed(_ text: String) throws -> SFTPAddress { try SFTPAddress(parsing: text) }

    @Test func forms() throws {
        #expect(try parsed("sftp://host/a/b") == SFTPAddress(host: "host", path: "/a/b"))
        #expect(try parsed("sftp://u@host:22/a//b/./c/") == SFTPAddress(user: "u", host: "host", port: 22, path: "/a/b/c"))
        #expect(try parsed("sftp://[::1]:22/a") == SFTPAddress(host: "::1", port: 22, path: "/a"))
        #expect(try parsed("sftp://host") == SFTPAddress(host: "host", path: "/"))
        #expect(try parsed("sftp://host/~") == SFTPAddress(host: "host", path: "."))
        #expect(try parsed("sftp://host/~/x") == SFTPAddress(host: "host", path: "x"))
        #expect(try parsed("sftp://host/~eva/x") == SFTPAddress(host: "host", path: "~eva/x"))
        #expect(try parsed("sftp://host/a%20b") == SFTPAddress(host: "host", path: "/a b"))
        for text in ["sftp://u@host:22/a", "sftp://host/~/x", "sftp://host/~", "sftp://host/~eva/x", "sftp://[::1]/a"] {
            #expect(try parsed(text).text == text)
        }
    }

    @Test(
        arguments: [
            "sftp:///path", "sftp://-oProxyCommand=x/p", "sftp://-l@host/p", "sftp://u:secret@host/p", "sftp://ho st/p",
            "sftp://host$(x)/p", "sftp://host:0/p", "sftp://host:65536/p", "sftp://host:x/p", "sftp://host/p?x",
            "sftp://host/%zz",
            "sftp://host/a%00b", "sftp://@host/p", "sftp://u`x`@host/p", "sftp:host", "sftp://[::1]x/p",
        ])
    func refused(_ text: String) {
        do {
            _ = try parsed(text)
            Issue.record("\(text) was taken")
        } catch let failure as Failure {
            #expect(failure.kind == .usage)
            #expect(!failure.description.contains("secret"))
        } catch { Issue.record(error) }
    }

    @Test func options() throws {
        var address = try parsed("sftp://host/a")
        for (name, value) in [
            ("username", "u"), ("port", "2022"), ("root", "backups/x"), ("identity", "/k"), ("insecure_ignore_host_key", "true"),
        ] {
            #expect(try address.apply(option: name, value))
        }
        var wanted = SFTPAddress(user: "u", host: "host", port: 2022, path: "backups/x")
        (wanted.identity, wanted.ignoresHostKey) = ("/k", true)
        #expect(address == wanted)
        #expect(try address.apply(option: "access_key", "x") == false)
        for (name, value) in [
            ("username", "-x"), ("port", "99999"), ("identity", "-oX=y"), ("insecure_ignore_host_key", "maybe"),
        ] {
            var other = try parsed("sftp://host/a")
            #expect(throws: Failure.self) { _ = try other.apply(option: name, value) }
        }
        #expect(try Location.sftp(parsed("sftp://host/a/b")).replacingRoot(with: "../c") == .sftp(parsed("sftp://host/a/c")))
        #expect(try Location.sftp(parsed("sftp://host/a/b")).replacingRoot(with: "/c") == .sftp(parsed("sftp://host/c")))
    }
}
