internal import CCrypto

/// How a host is written in `known_hosts`.
enum HostName {
    static let standardPort = 22

    /// `host`, or `[host]:port` for another port than 22; lower case, as OpenSSH writes and looks up.
    static func onRecord(_ host: String, port: Int) -> [UInt8] {
        Array((port == standardPort ? host : "[\(host)]:\(port)").lowercased().utf8)
    }

    /// Whether a line's names are about a host: a hashed name, or patterns with `*` and `?` of which one matches and none with
    /// `!` does.
    static func matches(_ name: [UInt8], _ names: [UInt8]) -> Bool {
        if names.first == UInt8(ascii: "|") { return matchesHash(name, names) }
        var isMatched = false
        for part in names.split(separator: UInt8(ascii: ",")) {
            let isNegated = part.first == UInt8(ascii: "!")
            guard matchesPattern(name[...], isNegated ? part.dropFirst() : part) else { continue }
            if isNegated { return false }
            isMatched = true
        }
        return isMatched
    }

    /// A star is tried at each place once, going back only to the last one: the time is bounded by the product of both lengths.
    private static func matchesPattern(_ name: ArraySlice<UInt8>, _ pattern: ArraySlice<UInt8>) -> Bool {
        var (at, rest) = (name.startIndex, pattern.startIndex)
        var star: (at: Int, rest: Int)?
        while at < name.endIndex {
            if rest < pattern.endIndex, pattern[rest] == UInt8(ascii: "*") {
                rest += 1
                star = (at, rest)
            } else if rest < pattern.endIndex, pattern[rest] == UInt8(ascii: "?") || lower(pattern[rest]) == name[at] {
                (at, rest) = (at + 1, rest + 1)
            } else if let last = star {
                star = (last.at + 1, last.rest)
                (at, rest) = (last.at + 1, last.rest)
            } else {
                return false
            }
        }
        return pattern[rest...].allSatisfy { $0 == UInt8(ascii: "*") }
    }

    private static func lower(_ byte: UInt8) -> UInt8 { (0x41...0x5a).contains(byte) ? byte | 0x20 : byte }

    /// `|1|salt|HMAC-SHA1(salt, name)`, both in Base64.
    private static func matchesHash(_ name: [UInt8], _ text: [UInt8]) -> Bool {
        let parts = text.split(separator: UInt8(ascii: "|"), omittingEmptySubsequences: false)
        guard parts.count == 4, parts[1].elementsEqual("1".utf8), let salt = Base64.decode(parts[2]),
            let hash = Base64.decode(parts[3]), !hash.isEmpty
        else { return false }
        return authenticationCode(of: name, key: salt) == hash
    }

    /// HMAC-SHA1 (RFC 2104); nil for a key beyond a block, which no salt is.
    static func authenticationCode(of message: [UInt8], key: [UInt8]) -> [UInt8]? {
        let blockByteCount = 64
        guard key.count <= blockByteCount else { return nil }
        let block = key + [UInt8](repeating: 0, count: blockByteCount - key.count)
        guard let inner = sha1(block.map { $0 ^ 0x36 } + message) else { return nil }
        return sha1(block.map { $0 ^ 0x5c } + inner)
    }

    private static func sha1(_ bytes: [UInt8]) -> [UInt8]? {
        var digest = [UInt8](repeating: 0, count: 20)
        var count: UInt32 = 0
        guard EVP_Digest(bytes, bytes.count, &digest, &count, EVP_sha1(), nil) == 1, count == 20 else { return nil }
        return digest
    }
}
