import Glibc
import Storage
import StorageSFTP
import StorageTesting

/// A server on loopback that one test run shares: OpenSSH's with its own keys, a chroot and `internal-sftp`, started as root.
struct TestServer: Sendable {
    /// What the account sees as `prefix`, as this machine sees it.
    let folder: String
    let prefix: String
    /// Links are not shown by every server.
    var showsLinks = true
    let port: Int
    let identity: String
    let knownHosts: String
    let user: String
    /// The server's process.
    let process: pid_t

    func address(_ path: String) -> SFTPAddress {
        var address = SFTPAddress(user: user, host: "127.0.0.1", port: port, path: path)
        address.identity = identity
        return address
    }

    /// How it is called: with the test's own record of hosts, and nothing of the user's configuration.
    func command(_ path: String) -> SSHCommand {
        var command = SSHCommand(to: address(path), isBatch: true)
        command.arguments =
            ["-F", "/dev/null", "-o", "UserKnownHostsFile=\(knownHosts)", "-o", "IdentitiesOnly=yes"] + command.arguments
        return command
    }

    /// Why there is no server here; nil when there is one.
    static let missing: String? =
        if geteuid() != 0 { "sshd with a chroot needs root" } else if access(sshd, X_OK) != 0 {
            "openssh-server is not installed"
        } else if access("/usr/bin/ssh", X_OK) != 0 {
            "openssh-client is not installed"
        } else {
            nil
        }

    static let sshd = "/usr/sbin/sshd"

    /// Started at its first use; it ends with the test process.
    static let shared: TestServer? = missing == nil ? try? start() : nil

    private static let account = "sealift-sftp"

    /// - Parameters:
    ///   - name: that of a server beside the shared one, which its test ends.
    ///   - settings: lines for its configuration.
    static func start(beside name: String? = nil, settings: String = "") throws -> TestServer {
        // Every folder down to the chroot must be root's and nobody else's to write: not below /tmp.
        let base = "/srv/sealift-sftp-test"
        for path in ["/run/sshd", base, "\(base)/chroot"] { try run("mkdir", "-p", path) }
        sweep(base)
        if Account(account) == nil { try run("useradd", "-M", "-d", "/", "-s", "/usr/sbin/nologin", "-p", "*", account) }
        let ours = "\(base)/\(getpid())"
        let root = name.map { "\(ours)/\($0)" } ?? ours
        for path in [ours, root, "\(root)/etc", "\(root)/chroot", "\(root)/chroot/data"] {
            guard mkdir(path, 0o755) == 0 || errno == EEXIST else { throw TestFolder.Trouble(what: path, code: errno) }
        }
        try run("chown", account, "\(root)/chroot/data")
        // Three keys of the host, one on record: whoever asks for another type sees an unknown host.
        try run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "\(root)/etc/host")
        try run("ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", "\(root)/etc/host_ecdsa")
        try run("ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-f", "\(root)/etc/host_rsa")
        try run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "\(root)/etc/client")
        try run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "\(root)/etc/authority")
        try run("cp", "\(root)/etc/client.pub", "\(root)/etc/authorized")
        let port = try freePort()
        let configuration = """
            Port \(port)
            ListenAddress 127.0.0.1
            HostKey \(root)/etc/host
            HostKey \(root)/etc/host_ecdsa
            HostKey \(root)/etc/host_rsa
            PidFile \(root)/etc/sshd.pid
            AuthorizedKeysFile \(root)/etc/authorized
            TrustedUserCAKeys \(root)/etc/authority.pub
            StrictModes no
            UsePAM no
            PasswordAuthentication no
            KbdInteractiveAuthentication no
            PermitRootLogin no
            AllowUsers \(account)
            MaxStartups 200
            MaxSessions 50
            UseDNS no
            LogLevel VERBOSE
            Subsystem sftp internal-sftp
            \(settings)
            Match User \(account)
              ChrootDirectory \(root)/chroot
              ForceCommand internal-sftp

            """
        // From OpenSSH 9.8 on a source of many failed logins, as some tests are, is shut out for a while.
        try put("\(root)/etc/sshd_config", "PerSourcePenalties no\n" + configuration)
        do { try run(sshd, "-t", "-f", "\(root)/etc/sshd_config") } catch { try put("\(root)/etc/sshd_config", configuration) }
        let key = try contents("\(root)/etc/host.pub").split(separator: " ").prefix(2).joined(separator: " ")
        try put("\(root)/etc/known_hosts", "[127.0.0.1]:\(port) \(key)\n")
        let process = try spawn(dyingWithUs + [sshd, "-D", "-f", "\(root)/etc/sshd_config", "-E", "\(root)/etc/log"])
        // Its log tells: OpenSSH 9.8 and later punish whoever connects only to see whether somebody answers.
        for _ in 0..<500 where (try? contents("\(root)/etc/log"))?.contains("Server listening") != true { usleep(20_000) }
        atexit { TestServer.shared?.end() }
        return TestServer(
            folder: "\(root)/chroot/data", prefix: "/data", port: port, identity: "\(root)/etc/client",
            knownHosts: "\(root)/etc/known_hosts",
            user: account, process: process)
    }

    /// The folder with its keys.
    var keys: String { String(identity.dropLast("/client".count)) }

    /// Lets a key in. Added in one write, for other tests do the same.
    func authorize(_ publicKey: String) throws {
        let line = try contents(publicKey)
        guard let file = fopen("\(keys)/authorized", "a") else { throw TestFolder.Trouble(what: "authorized", code: errno) }
        defer { fclose(file) }
        fputs(line, file)
    }

    /// A second server beside this one, with the same keys and accounts; the caller ends it.
    func twin(_ options: String...) throws -> (process: pid_t, port: Int) {
        let port = try freePort()
        let log = "\(keys)/log-\(port)"
        let process = try spawn(
            Self.dyingWithUs + [Self.sshd, "-D", "-f", "\(keys)/sshd_config", "-E", log, "-p", "\(port)", "-o", "PidFile=none"]
                + options.flatMap { ["-o", $0] })
        for _ in 0..<500 where (try? contents(log))?.contains("Server listening") != true { usleep(20_000) }
        return (process, port)
    }

    /// The record of hosts with this server's key under other ports.
    func knownHosts(for ports: Int..., at path: String) throws -> String {
        let key = try contents("\(keys)/host.pub").split(separator: " ").prefix(2).joined(separator: " ")
        try put(path, ports.map { "[127.0.0.1]:\($0) \(key)\n" }.joined())
        return path
    }

    /// A server that outlived a test process that was killed would stay for ever.
    private static let dyingWithUs = ["setpriv", "--pdeathsig", "TERM"]

    // MARK: - rclone

    private static let rcloneProgram = "/usr/bin/rclone"
    static let rcloneMissing: String? =
        access(rcloneProgram, X_OK) != 0
        ? "rclone is not installed" : access("/usr/bin/ssh", X_OK) != 0 ? "openssh-client is not installed" : nil

    /// rclone's server on a folder of the test's own, started at its first use.
    static let rclone: TestServer? = rcloneMissing == nil ? try? startRclone() : nil
    private static let rcloneFolder = try? TestFolder()

    private static func startRclone() throws -> TestServer {
        guard let folder = rcloneFolder else { throw TestFolder.Trouble(what: "a folder for rclone", code: ENOENT) }
        for name in ["host", "client"] { try run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder.path(name)) }
        try folder.putFolder("served")
        let port = try freePort()
        let process = try spawn(
            dyingWithUs + [
                rcloneProgram, "serve", "sftp", "--addr", "127.0.0.1:\(port)", "--authorized-keys", folder.path("client.pub"),
                "--key",
                folder.path("host"), "--config", "/dev/null", "--cache-dir", folder.path("cache"), "--dir-cache-time", "0s",
                "--vfs-cache-mode", "writes", "--vfs-write-back", "0s", "--log-file", folder.path("log"), folder.path("served"),
            ])
        let key = try StorageSFTPTests.contents(folder.path("host.pub")).split(separator: " ").prefix(2).joined(separator: " ")
        try put(folder.path("known_hosts"), "[127.0.0.1]:\(port) \(key)\n")
        for _ in 0..<500 where !answers(port) { usleep(20_000) }
        atexit { TestServer.rclone?.end() }
        return TestServer(
            folder: folder.path("served"), prefix: "", showsLinks: false, port: port, identity: folder.path("client"),
            knownHosts: folder.path("known_hosts"), user: "anybody", process: process)
    }

    func end() {
        kill(process, SIGTERM)
    }

    /// What runs left whose process is gone.
    private static func sweep(_ base: String) {
        guard let folder = opendir(base) else { return }
        defer { closedir(folder) }
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            guard let number = pid_t(name), kill(number, 0) != 0 else { continue }
            if let text = try? contents("\(base)/\(name)/etc/sshd.pid"), let server = pid_t(text.filter(\.isNumber)),
                isOurs(server, name)
            {
                kill(server, SIGTERM)
            }
            try? run("rm", "-rf", "\(base)/\(name)")
        }
    }

    /// Whether a process is the server of that run, by its command line.
    private static func isOurs(_ process: pid_t, _ run: String) -> Bool {
        (try? contents("/proc/\(process)/cmdline"))?.contains("sealift-sftp-test/\(run)/") == true
    }
}

func contents(_ path: String) throws -> String {
    guard let file = fopen(path, "r") else { throw TestFolder.Trouble(what: path, code: errno) }
    defer { fclose(file) }
    var bytes = [UInt8](repeating: 0, count: 64 << 10)
    bytes.removeLast(bytes.count - fread(&bytes, 1, bytes.count, file))
    return String(decoding: bytes, as: UTF8.self)
}

func put(_ path: String, _ text: String) throws {
    guard let file = fopen(path, "w") else { throw TestFolder.Trouble(what: path, code: errno) }
    defer { fclose(file) }
    fputs(text, file)
}

/// A port of loopback that nobody listens on at the moment: below those that Linux gives to outgoing connections, which could take it before
/// its server does, and below those of the S3 gateways.
func freePort() throws -> Int {
    for _ in 0..<100 {
        let port = Int.random(in: 6000..<9900)
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(socket) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
        let isFree = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
        if isFree { return port }
    }
    throw TestFolder.Trouble(what: "bind", code: EADDRINUSE)
}

private func answers(_ port: Int) -> Bool {
    let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
    defer { close(socket) }
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_addr.s_addr = UInt32(0x7f00_0001).bigEndian
    address.sin_port = UInt16(port).bigEndian
    return withUnsafePointer(to: &address) { pointer in
        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
            connect(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
        }
    }
}

/// Starts a program with its output away.
@discardableResult
func spawn(_ words: [String]) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0)
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
    var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
    defer { for word in arguments { free(word) } }
    var environment: [UnsafeMutablePointer<CChar>?] = [strdup("PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"), nil]
    defer { free(environment[0]) }
    var process: pid_t = 0
    let code = posix_spawnp(&process, words[0], &actions, nil, &arguments, &environment)
    guard code == 0 else { throw TestFolder.Trouble(what: words[0], code: code) }
    return process
}

func run(_ words: String...) throws { try run(words) }

func run(_ words: [String]) throws {
    let process = try spawn(words)
    var status: Int32 = 0
    while waitpid(process, &status, 0) < 0, errno == EINTR {}
    guard status == 0 else { throw TestFolder.Trouble(what: words.joined(separator: " "), code: status) }
}
