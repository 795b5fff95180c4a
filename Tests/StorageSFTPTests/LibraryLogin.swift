import Glibc
import SSHClient
import StorageTesting
import Testing

extension TestServer {
    /// With the test's own record of hosts and its own key; nothing of the user's.
    var login: SSHLogin {
        guard var login = SSHLogin(user: user, host: "127.0.0.1", port: port, variables: [:]) else {
            preconditionFailure("the user is given")
        }
        login.identity = identity
        login.knownHosts = [knownHosts]
        return login
    }

    /// A new key of the given kind that opens the account.
    func newKey(_ kind: [String], passphrase: String = "", in folder: TestFolder) throws -> String {
        let path = folder.path("key")
        try run(["ssh-keygen", "-q"] + kind + ["-N", passphrase, "-f", path])
        try authorize("\(path).pub")
        return path
    }

    /// Processes that the server started, and theirs: the sessions.
    func sessions() throws -> [pid_t] {
        var children: [pid_t: [pid_t]] = [:]
        guard let folder = opendir("/proc") else { throw TestFolder.Trouble(what: "/proc", code: errno) }
        defer { closedir(folder) }
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            guard let number = pid_t(name), let text = try? contents("/proc/\(name)/stat") else { continue }
            // Its name stands in parentheses and may hold anything; state and parent follow.
            let words = text.split(separator: ")").last?.split(separator: " ") ?? []
            if words.count > 1, words[0] != "Z", let parent = pid_t(words[1]) { children[parent, default: []].append(number) }
        }
        var (found, next) = ([pid_t](), [process])
        while let parent = next.popLast() {
            found += children[parent] ?? []
            next += children[parent] ?? []
        }
        return found
    }
}

/// An agent of the test's own.
final class TestAgent {
    let socket: String
    private let process: pid_t
    private let folder: TestFolder

    init() throws {
        folder = try TestFolder()
        socket = folder.path("agent")
        process = try spawn(["setpriv", "--pdeathsig", "KILL", "ssh-agent", "-D", "-a", socket])
        for _ in 0..<500 where access(socket, F_OK) != 0 { usleep(20_000) }
    }

    deinit {
        kill(process, SIGKILL)  // a test's threads may have SIGTERM blocked, and their children with them
        var status: Int32 = 0
        waitpid(process, &status, 0)
    }

    /// Gives it a key, with the passphrase as `ssh-add` asks for it.
    func add(_ path: String, passphrase: String) throws {
        let script = folder.path("ask")
        try put(script, "#!/bin/sh\necho '\(passphrase)'\n")
        chmod(script, 0o700)
        try run(
            "env", "SSH_AUTH_SOCK=\(socket)", "SSH_ASKPASS=\(script)", "SSH_ASKPASS_REQUIRE=force", "DISPLAY=:", "ssh-add", "-q",
            path)
    }
}

/// A port that is listened on, where nobody ever says a word.
final class SilentListener: Sendable {
    let port: Int
    private let socket: Int32

    init() throws {
        socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | O_CLOEXEC, 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let descriptor = socket
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, size) == 0 && listen(descriptor, 10) == 0 && getsockname(descriptor, $0, &size) == 0
            }
        }
        guard bound else { throw TestFolder.Trouble(what: "bind", code: errno) }
        port = Int(UInt16(bigEndian: address.sin_port))
    }

    deinit { close(socket) }

    /// Takes one connection and hangs up.
    func hangUp() { close(accept(socket, nil, nil)) }
}
