public import Storage

/// How the user's own `ssh` is called. A value; runs nothing.
public struct SSHCommand: Sendable, Equatable {
    /// A path, or a name to be looked up in PATH.
    public var program: String
    /// Without the program itself.
    public var arguments: [String]
    /// Nobody is there to be asked, so the child gets a session of its own and no terminal.
    public var isBatch: Bool

    /// - Parameters:
    ///   - program: by default `ssh` of PATH.
    ///   - isBatch: whether there is no terminal to ask at.
    ///   - running: what the account's shell is given in place of SFTP; nothing that came from anywhere may be part of it.
    public init(to address: SFTPAddress, program: String = "ssh", isBatch: Bool, running words: StaticString? = nil) {
        self.program = program
        self.isBatch = isBatch
        // Nothing of this machine is lent to the host, and nothing of the configuration runs there instead of what is asked for.
        var options = [
            "ForwardAgent=no", "ForwardX11=no", "ClearAllForwardings=yes", "PermitLocalCommand=no", "RemoteCommand=none",
            "RequestTTY=no",
        ]
        if isBatch { options.append("BatchMode=yes") }
        if address.ignoresHostKey { options += ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null"] }
        arguments = options.flatMap { ["-o", $0] }
        if let user = address.user { arguments += ["-l", user] }
        if let port = address.port { arguments += ["-p", "\(port)"] }
        if let identity = address.identity { arguments += ["-i", identity] }
        if let words { arguments += ["--", address.host, "\(words)"] } else { arguments += ["-s", "--", address.host, "sftp"] }
    }

    /// The same where nobody is to be asked anything.
    var unattended: SSHCommand {
        guard !isBatch else { return self }
        var copy = self
        copy.isBatch = true
        copy.arguments = ["-o", "BatchMode=yes"] + arguments
        return copy
    }
}

/// What `ssh` meant when it ended before its time.
enum SSHEnding {
    /// - Parameters:
    ///   - status: the exit code, or 128 and the number of a signal.
    ///   - said: the last of what it wrote to standard error.
    static func failure(status: Int32, said: String, place: String) -> Failure {
        let line = lastLine(said)
        func made(_ kind: Failure.Kind, _ reason: String, _ advice: String, retryable: Bool = false) -> Failure {
            Failure(kind, "cannot reach", place: place, reason: reason, advice: advice, retryable: retryable)
        }
        if said.contains("REMOTE HOST IDENTIFICATION HAS CHANGED") || said.contains("Offending") && said.contains("key in") {
            return made(
                .permission, "the host's key is not the one on record; this may be another machine (ssh: \(line))",
                "Find out why it changed; then remove the old key with ssh-keygen -R and connect once with ssh.")
        }
        if said.contains("is marked as revoked") || said.contains("REVOKED HOST KEY") {
            return made(.permission, "the host's key is marked as revoked", "Do not connect; ask who runs the host.")
        }
        if said.contains("Host key verification failed") {
            return made(
                .permission, "the host's key is not known", "Connect once with ssh and compare the fingerprint with the host's.")
        }
        if said.contains("Permission denied") || said.contains("Too many authentication failures") {
            return made(
                .permission, "the host refused to let us in (ssh: \(line))",
                "Look whether ssh with the same user and key gets in.")
        }
        if said.contains("subsystem request failed") {
            return made(.unavailable, "the host offers no SFTP to this account", "Ask who runs the host to allow it.")
        }
        if said.contains("Could not resolve hostname") {
            return made(.unavailable, "the host's name is not known (ssh: \(line))", "Check the location.")
        }
        if status == 127 {
            return made(
                .unavailable, "there is no ssh program",
                "Install the OpenSSH client, name another in SEALIFT_SSH, or use transport=libssh2.")
        }
        let reason = line.isEmpty ? "ssh ended with code \(status)" : "ssh: \(line)"
        return made(.unavailable, reason, "Look whether ssh reaches the host.", retryable: true)
    }

    static func lastLine(_ text: String) -> String {
        text.split(whereSeparator: \.isNewline).last { !$0.allSatisfy(\.isWhitespace) }.map { String($0.prefix(300)) } ?? ""
    }
}
