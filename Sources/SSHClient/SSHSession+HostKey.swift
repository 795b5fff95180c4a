internal import Storage

extension SSHSession {
    /// Makes sure that who answered is the host on record.
    ///
    /// - Throws: `.permission`.
    func checkHost(_ login: SSHLogin, _ record: KnownHosts) throws(Failure) {
        guard !login.ignoresHostKey else { return }
        let key = hostKey
        let type = KeyBlob.type(of: key) ?? "unknown"
        func refused(_ reason: String, _ advice: String) -> Failure {
            Failure(.permission, "cannot reach", reason: reason, advice: advice)
        }
        // The line is what ssh would write down; it is not our place to believe it.
        let line =
            String(decoding: HostName.onRecord(login.host, port: login.port), as: UTF8.self) + " \(type) \(Base64.encode(key))"
        let fingerprint = "\(type), SHA256:\(KeyBlob.fingerprint(of: key))"
        let compare =
            "Compare the fingerprint with the host's own; if it is the same, connect once with ssh or put this line into "
            + "~/.ssh/known_hosts: \(line)"
        switch record.verdict(host: login.host, port: login.port, key: key) {
        case .known: return
        case .revoked: throw refused("the host's key is marked as revoked", "Do not connect; ask who runs the host.")
        case .changed:
            throw refused(
                "the host's key is not the one on record; this may be another machine (\(fingerprint))",
                "Find out why it changed; then remove the old key with ssh-keygen -R and connect once with ssh.")
        case .unknown(let others, _) where !others.isEmpty:
            throw refused(
                "the host's key is not known (\(fingerprint); on record are \(others.joined(separator: ", ")))", compare)
        case .unknown(_, hasAuthority: true):
            throw refused(
                "the host's key is not known; a certificate of an authority on record cannot be checked by libssh2",
                "Use transport=ssh.")
        case .unknown: throw refused("the host's key is not known (\(fingerprint))", compare)
        }
    }
}

extension KnownHosts {
    /// Files of this format, those that are not there counted as empty. Blocks.
    ///
    /// - Throws: `.permission`, `.readWrite`: what cannot be read may revoke a key.
    static func read(_ paths: [String]) throws(Failure) -> KnownHosts {
        var record = KnownHosts()
        for path in paths {
            try SmallFile.read(path, byteCountMax: byteCountMax) { record.add($0) }
        }
        return record
    }

    /// Some hundred thousand hosts.
    private static let byteCountMax = 64 << 20
}
