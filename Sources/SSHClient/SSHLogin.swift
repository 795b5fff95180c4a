internal import Glibc

/// Where to log in, as whom and with what. A value; looks at nothing.
public struct SSHLogin: Sendable, Equatable {
    public var user: String
    /// A name or an address; aliases of `~/.ssh/config` mean nothing here.
    public var host: String
    /// 1 to 65535.
    public var port: Int
    /// The one key to be used: a file with it, or with its public half when an agent has the other. Nil for all of the agent's
    /// keys and ``SSHLogin/standardKeys``.
    public var identity: String?
    /// Whoever answers is believed to be the host.
    public var ignoresHostKey = false
    /// Files of OpenSSH's `known_hosts` format; those that are not there count as empty.
    public var knownHosts: [String]
    /// Files with keys that are tried when ``identity`` is nil.
    public var standardKeys: [String]
    /// The socket of an agent (draft-ietf-sshm-ssh-agent).
    public var agent: String?

    /// - Parameters:
    ///   - variables: the environment: `HOME`, `SSH_AUTH_SOCK`, and `LOGNAME` or `USER` for who we are when `user` is nil.
    /// - Returns: nil when nothing says who we are.
    public init?(user: String?, host: String, port: Int?, variables: [String: String]) {
        func value(_ name: String) -> String? { variables[name].flatMap { $0.isEmpty ? nil : $0 } }
        guard let user = user ?? value("LOGNAME") ?? value("USER") ?? (geteuid() == 0 ? "root" : nil) else { return nil }
        self.user = user
        self.host = host
        self.port = port ?? HostName.standardPort
        let home = value("HOME").map { "\($0)/.ssh" }
        knownHosts =
            (home.map { ["\($0)/known_hosts", "\($0)/known_hosts2"] } ?? [])
            + ["/etc/ssh/ssh_known_hosts", "/etc/ssh/ssh_known_hosts2"]
        // RSA last: before libssh2 1.11 it is refused nearly everywhere, and each refusal counts.
        standardKeys = home.map { home in ["id_ed25519", "id_ecdsa", "id_rsa"].map { "\(home)/\($0)" } } ?? []
        agent = value("SSH_AUTH_SOCK")
    }
}
