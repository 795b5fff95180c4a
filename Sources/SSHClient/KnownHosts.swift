/// Lines of OpenSSH's `known_hosts` (sshd(8), "SSH_KNOWN_HOSTS FILE FORMAT"). A value; reads no file.
struct KnownHosts: Sendable {
    enum Mark: Sendable, Equatable {
        case plain
        case revoked
        case authority
    }

    struct Entry: Sendable, Equatable {
        var mark: Mark
        /// Patterns parted by commas, or one hashed name.
        var names: [UInt8]
        /// The key as it travels (RFC 4253, section 6.6).
        var key: [UInt8]
        /// The type that the key itself names.
        var type: String
    }

    /// What the lines say of a key.
    enum Verdict: Sendable, Equatable {
        case known
        /// No line has the host with a key of this type.
        /// - otherTypes: those of its keys that are there.
        /// - hasAuthority: whether a line trusts certificates for it.
        case unknown(otherTypes: [String], hasAuthority: Bool)
        /// The host has another key of the same type.
        case changed
        case revoked
    }

    private(set) var entries: [Entry] = []

    /// Longer lines are passed over: the longest keys have some thousand bytes.
    private static let lineByteCountMax = 64 << 10

    /// Adds a file's lines. What is no line of the format is passed over, as OpenSSH does.
    mutating func add(_ text: some Collection<UInt8>) {
        for line in text.split(separator: UInt8(ascii: "\n")) where line.count <= Self.lineByteCountMax {
            if let entry = Self.entry(Array(line)) { entries.append(entry) }
        }
    }

    private static func entry(_ line: [UInt8]) -> Entry? {
        var words = line.split { $0 == 0x20 || $0 == 0x09 || $0 == 0x0d }[...]
        guard let first = words.first, first.first != UInt8(ascii: "#") else { return nil }
        var mark = Mark.plain
        if first.first == UInt8(ascii: "@") {
            switch String(decoding: first, as: UTF8.self) {
            case "@revoked": mark = .revoked
            case "@cert-authority": mark = .authority
            default: return nil
            }
            words = words.dropFirst()
        }
        guard words.count >= 3, let names = words.popFirst(), let word = words.popFirst(), let text = words.popFirst(),
            let key = Base64.decode(text), let type = KeyBlob.type(of: key), type.utf8.elementsEqual(word)
        else { return nil }
        return Entry(mark: mark, names: Array(names), key: key, type: type)
    }

    // MARK: - questions

    /// - Parameters:
    ///   - host: as the person wrote it.
    ///   - port: 1 to 65535.
    func verdict(host: String, port: Int, key: [UInt8]) -> Verdict {
        let verdict = verdict(name: HostName.onRecord(host, port: port), key: key)
        guard port != HostName.standardPort, verdict != .known, verdict != .revoked else { return verdict }
        // As OpenSSH does: a host that is known without a port is known at each, and a key that is revoked for it too.
        let plain = self.verdict(name: HostName.onRecord(host, port: HostName.standardPort), key: key)
        if plain == .revoked { return .revoked }
        if case .unknown = verdict, plain == .known { return .known }
        return verdict
    }

    private func verdict(name: [UInt8], key: [UInt8]) -> Verdict {
        let type = KeyBlob.type(of: key)
        let matching = entries.filter { HostName.matches(name, $0.names) }
        if matching.contains(where: { $0.mark == .revoked && $0.key == key }) { return .revoked }
        let plain = matching.filter { $0.mark == .plain }
        if plain.contains(where: { $0.key == key }) { return .known }
        if plain.contains(where: { $0.type == type }) { return .changed }
        return .unknown(otherTypes: plain.map(\.type), hasAuthority: matching.contains { $0.mark == .authority })
    }

    /// Types of the host's keys that are there, each once, in the order of the lines.
    func types(host: String, port: Int) -> [String] {
        var found: [String] = []
        for name in Set([port, HostName.standardPort]).sorted(by: >).map({ HostName.onRecord(host, port: $0) }) {
            let keys = entries.filter { $0.mark == .plain && HostName.matches(name, $0.names) }
            for key in keys where !found.contains(key.type) { found.append(key.type) }
            if !found.isEmpty { break }
        }
        return found
    }
}
