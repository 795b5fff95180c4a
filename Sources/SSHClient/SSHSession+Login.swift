internal import CSSH2
internal import Storage

/// What was tried to get in, for the message when nothing helped. Names files and types, never what is in a key.
private struct Attempts {
    var notes: [String] = []
    /// Keys that the host was asked about.
    var refused = 0
    var wantsPassphrase = false
    var wantsSHA2 = false

    mutating func refuse(_ what: String, type: String?) {
        refused += 1
        let lacksSHA2 = cssh2_has_rsa_sha2() == 0
        let isOld = lacksSHA2 && type == "ssh-rsa"
        if isOld || lacksSHA2 && type == nil { wantsSHA2 = true }
        notes.append(what + (isOld ? " (signed with SHA-1, for this libssh2 is older than 1.11)" : ""))
    }

    var failure: Failure {
        let reason = notes.isEmpty ? "there is no key and no agent" : notes.joined(separator: "; ")
        var advice = "Look whether ssh with the same user and key gets in."
        if wantsSHA2 { advice = "Use transport=ssh, or a key of another type than RSA." }
        if wantsPassphrase { advice = "Add the key to an agent with ssh-add, or use transport=ssh, which can ask." }
        return Failure(.permission, "cannot reach", reason: "the host refused to let us in: \(reason)", advice: advice)
    }
}

extension SSHSession {
    /// Logs in with the agent's keys, then with files; with the one key alone when ``SSHLogin/identity`` names it.
    ///
    /// - Throws: `.permission`, `.unavailable`, `.usage`.
    func logIn(_ login: SSHLogin) throws(Failure) {
        guard try mayUseKeys(login) else { return }
        var attempts = Attempts()
        let failure: Failure
        do throws(Failure) {
            if try logIn(login, &attempts) { return }
            failure = attempts.failure
        } catch { failure = error }
        guard attempts.refused > 0, socket.isClosedByPeer else { throw failure }
        // A host hangs up after some wrong keys, six with OpenSSH.
        throw Failure(
            .permission, "cannot reach", reason: "the host hung up after keys that it refused",
            advice: "Name the right one with the option identity.")
    }

    private func logIn(_ login: SSHLogin, _ attempts: inout Attempts) throws(Failure) -> Bool {
        // The public half tells which of the agent's keys is meant: a host bears few wrong ones.
        let wanted = try login.identity.map { (path) throws(Failure) in try publicKey(of: path) }
        if try logInByAgent(login, only: wanted ?? nil, &attempts) { return true }
        for path in login.identity.map({ [$0] }) ?? login.standardKeys
        where try logInByFile(login, path, isNamed: login.identity != nil, &attempts) { return true }
        return false
    }

    /// - Returns: false when the host wants nothing at all.
    private func mayUseKeys(_ login: SSHLogin) throws(Failure) -> Bool {
        let handle = handle
        let methods = try make {
            libssh2_userauth_list(handle, login.user, UInt32(login.user.utf8.count)).map { String(cString: $0) }
        }
        guard let methods else {
            if libssh2_userauth_authenticated(handle) != 0 { return false }
            throw lost()
        }
        guard methods.split(separator: ",").contains("publickey") else {
            throw Failure(
                .permission, "cannot reach", reason: "the host lets nobody in by key, only by \(Self.printable(methods))",
                advice: "Use transport=ssh at a terminal, or have keys allowed there.")
        }
        return true
    }

    /// Keys in PEM or OpenSSH's form; RSA with 16,384 bits has 13 KB.
    private static let keyByteCountMax = 64 << 10

    /// The public half of a named key, from its file or the one beside it; nil where neither tells.
    private func publicKey(of path: String) throws(Failure) -> [UInt8]? {
        let kind = try SmallFile.read(path, byteCountMax: Self.keyByteCountMax) { KeyFile($0) }
        switch kind {
        case .open(let key?), .locked(let key?), .publicOnly(let key): return key
        case .unknown:
            throw Failure(
                .usage, "cannot use", place: path, reason: "it is no key that libssh2 can read", advice: "Use transport=ssh.")
        default: return try SmallFile.read("\(path).pub", byteCountMax: Self.keyByteCountMax) { KeyFile.publicLine($0) } ?? nil
        }
    }

    // MARK: - the agent

    private func logInByAgent(_ login: SSHLogin, only wanted: [UInt8]?, _ attempts: inout Attempts) throws(Failure) -> Bool {
        guard let path = login.agent, let agent = libssh2_agent_init(handle) else { return false }
        defer { libssh2_agent_free(agent) }
        libssh2_agent_set_identity_path(agent, path)
        guard libssh2_agent_connect(agent) == 0 else {
            attempts.notes.append("no agent answers at SSH_AUTH_SOCK")
            return false
        }
        defer { libssh2_agent_disconnect(agent) }
        guard libssh2_agent_list_identities(agent) == 0 else {
            attempts.notes.append("the agent tells no keys")
            return false
        }
        var key: UnsafeMutablePointer<libssh2_agent_publickey>?
        while true {
            let last = key
            guard libssh2_agent_get_identity(agent, &key, last) == 0, let key else { return false }
            let blob = Array(UnsafeBufferPointer(start: key.pointee.blob, count: key.pointee.blob_len))
            if let wanted, wanted != blob { continue }
            let code = try step { libssh2_agent_userauth(agent, login.user, key) }
            let type = KeyBlob.type(of: blob)
            if try isIn(code, "the agent's key (\(type ?? "unknown"))", type, &attempts) { return true }
        }
    }

    // MARK: - files

    private func logInByFile(
        _ login: SSHLogin, _ path: String, isNamed: Bool, _ attempts: inout Attempts
    ) throws(Failure) -> Bool {
        let use = try SmallFile.read(path, byteCountMax: Self.keyByteCountMax, isSecret: true) { bytes -> FileUse in
            switch KeyFile(bytes) {
            case .open(let key): FileUse { () throws(Failure) in try present(bytes, key.flatMap(KeyBlob.type), login) }
            case .locked: .locked
            case .publicOnly: .useless("is the public half, and no agent has the other")
            case .unknown: .useless("is no key that libssh2 can read")
            }
        }
        switch use {
        case .presented(let code, let type): return try isIn(code, path, type, &attempts)
        case .failed(let failure): throw failure
        case .locked:
            attempts.wantsPassphrase = true
            attempts.notes.append("\(path) has a passphrase, and no agent has the key")
        case .useless(let why): attempts.notes.append("\(path) \(why)")
        case nil:
            guard !isNamed else { throw Failure(.usage, "cannot use", place: path, reason: "there is no such file with a key") }
        }
        return false
    }

    /// What became of a file with a key.
    private enum FileUse {
        case presented(code: Int32, type: String?)
        case failed(Failure)
        case locked
        case useless(String)

        init(_ present: () throws(Failure) -> FileUse) {
            do throws(Failure) { self = try present() } catch { self = .failed(error) }
        }
    }

    private func present(_ bytes: UnsafeRawBufferPointer, _ type: String?, _ login: SSHLogin) throws(Failure) -> FileUse {
        let handle = handle
        let code = try step {
            libssh2_userauth_publickey_frommemory(
                handle, login.user, login.user.utf8.count, nil, 0, bytes.bindMemory(to: CChar.self).baseAddress, bytes.count, nil)
        }
        return .presented(code: code, type: type)
    }

    /// What a try came to.
    private func isIn(_ code: Int32, _ what: String, _ type: String?, _ attempts: inout Attempts) throws(Failure) -> Bool {
        if code == 0 { return true }
        if Self.isLost(code) { throw lost() }
        switch code {
        case LIBSSH2_ERROR_AUTHENTICATION_FAILED, LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED: attempts.refuse(what, type: type)
        default:
            attempts.refuse("\(what) (libssh2: \(words))", type: type)
        }
        return false
    }

    /// Words of somebody else's, safe on a terminal.
    static func printable(_ text: String) -> String {
        String(text.unicodeScalars.filter { (0x20...0x7e).contains($0.value) }.prefix(200).map(Character.init))
    }
}
