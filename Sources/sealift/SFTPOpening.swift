internal import Glibc
internal import SSHClient
internal import Storage
internal import StorageSFTP

/// How an SFTP location is reached (docs/backends/sftp.md): as its option `transport` says, else by the user's own `ssh` where
/// there is one.
struct SFTPOpening {
    private let address: SFTPAddress
    private let variables: [String: String]

    /// - Parameter variables: the environment.
    init(_ address: SFTPAddress, variables: [String: String]) {
        self.address = address
        self.variables = variables
    }

    /// - Parameters:
    ///   - isBatch: nobody is there to be asked.
    ///   - hashes: files may be hashed there.
    /// - Throws: `.usage`.
    func store(isBatch: Bool, hashes: Bool = false) throws(Failure) -> any Store {
        let transport = try transport(isBatch: isBatch)
        var hashing: SSHCommand?
        if hashes {
            guard case .command(let command) = transport else {
                throw Failure(
                    .usage, "cannot use --remote-hash", place: address.text, reason: "only ssh runs a program there, not libssh2",
                    advice: "Install the OpenSSH client, or leave --remote-hash out.")
            }
            hashing = SSHCommand(to: address, program: command.program, isBatch: isBatch, running: SFTPStore.hashingWords)
        }
        // A person may be asked something by ssh; the library asks nobody.
        var patience = SFTPPatience(connecting: 60)
        if case .command = transport, !isBatch { patience.connecting = nil }
        return SFTPStore(address, transport: transport, patience: patience, hashing: hashing)
    }

    func transport(isBatch: Bool) throws(Failure) -> SFTPTransport {
        let program = variables["SEALIFT_SSH"].flatMap { $0.isEmpty ? nil : $0 }
        switch address.transport ?? (program != nil || hasProgram("ssh") ? .ssh : .libssh2) {
        case .ssh: return .command(SSHCommand(to: address, program: program ?? "ssh", isBatch: isBatch))
        case .libssh2:
            guard var login = SSHLogin(user: address.user, host: address.host, port: address.port, variables: variables) else {
                throw Failure(
                    .usage, "cannot use the location", place: address.text,
                    reason: "it names no user, and neither LOGNAME nor USER does",
                    advice: "Write sftp://user@host/path.")
            }
            login.ignoresHostKey = address.ignoresHostKey
            login.identity = address.identity.map { path in
                path.hasPrefix("~/") ? (variables["HOME"] ?? "") + path.dropFirst(1) : path
            }
            return .library(login)
        }
    }

    private func hasProgram(_ name: String) -> Bool {
        // As posix_spawnp(3) looks for it.
        (variables["PATH"] ?? "/bin:/usr/bin").split(separator: ":", omittingEmptySubsequences: false).contains { folder in
            access(folder.isEmpty ? name : "\(folder)/\(name)", X_OK) == 0
        }
    }
}
