import Glibc
import SSHClient
import Storage
import StorageSFTP
import Testing

@testable import sealift

/// Which transport carries an SFTP location, and with what.
@Suite struct SFTPOpeningTests {
    private func transport(
        _ variables: [String: String], _ change: (inout SFTPAddress) -> Void = { _ in }
    ) throws -> SFTPTransport {
        var address = SFTPAddress(user: "u", host: "h", port: 2222, path: "/p")
        change(&address)
        return try SFTPOpening(address, variables: variables).transport(isBatch: true)
    }

    private func program(_ transport: SFTPTransport) -> String? {
        if case .command(let command) = transport { command.program } else { nil }
    }

    private func login(_ transport: SFTPTransport) -> SSHLogin? {
        if case .library(let login) = transport { login } else { nil }
    }

    /// Where every folder of PATH lacks a program of this name, and where one has it: `env` stands for `ssh`.
    @Test func theUsersOwnIfThereIsOne() throws {
        var template = Array("/tmp/sealift-ssh-XXXXXX".utf8CString)
        let folder = try #require(mkdtemp(&template).map { String(cString: $0) })
        defer { rmdir(folder) }
        #expect(login(try transport(["PATH": "/nonexistent:\(folder)"])) != nil)
        #expect(symlink("/usr/bin/env", "\(folder)/ssh") == 0)
        defer { unlink("\(folder)/ssh") }
        #expect(program(try transport(["PATH": "/nonexistent:\(folder)"])) == "ssh")
        #expect(program(try transport(["PATH": "/nonexistent", "SEALIFT_SSH": "/x/ssh"])) == "/x/ssh")
        #expect(login(try transport(["PATH": "/nonexistent", "SEALIFT_SSH": ""])) != nil)
    }

    @Test func theOptionOverrides() throws {
        #expect(program(try transport(["PATH": "/nonexistent"]) { $0.transport = .ssh }) == "ssh")
        #expect(login(try transport(["SEALIFT_SSH": "/x/ssh"]) { $0.transport = .libssh2 }) != nil)
    }

    @Test func whatTheLibraryIsTold() throws {
        let variables = ["HOME": "/home/eva", "LOGNAME": "eva", "SSH_AUTH_SOCK": "/run/agent"]
        let plain = try #require(login(try transport(variables) { $0.transport = .libssh2 }))
        #expect(plain == SSHLogin(user: "u", host: "h", port: 2222, variables: variables))
        let changed = try transport(variables) { address in
            (address.transport, address.user, address.port) = (.libssh2, nil, nil)
            (address.identity, address.ignoresHostKey) = ("~/keys/replica", true)
        }
        let other = try #require(login(changed))
        #expect(other.user == "eva")
        #expect(other.port == 22)
        #expect(other.identity == "/home/eva/keys/replica")
        #expect(other.ignoresHostKey)
    }

    @Test func unknownTransport() throws {
        var address = SFTPAddress(host: "h", path: "/p")
        #expect(try address.apply(option: "transport", "libssh2"))
        #expect(address.transport == .libssh2)
        #expect(try address.apply(option: "transport", ""))
        #expect(address.transport == nil)
        for word in ["telnet", "LIBSSH2", "ssh "] {
            do throws(Failure) {
                _ = try address.apply(option: "transport", word)
                Issue.record("\(word) was taken")
            } catch {
                #expect(error.kind == .usage)
                #expect(error.advice == "Use transport=ssh or transport=libssh2.")
            }
        }
    }
}
