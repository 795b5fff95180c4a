internal import CCrypto

/// Base64 (RFC 4648, section 4) with or without its padding; nothing else between.
enum Base64 {
    static func decode(_ text: some Collection<UInt8>) -> [UInt8]? {
        let characters = text.prefix { $0 != UInt8(ascii: "=") }
        let padding = text.dropFirst(characters.count)
        guard padding.count <= 2, padding.allSatisfy({ $0 == UInt8(ascii: "=") }), characters.count % 4 != 1 else { return nil }
        var decoded = Bytes(characters.makeIterator())
        var bytes: [UInt8] = []
        bytes.reserveCapacity(characters.count / 4 * 3 + 3)
        while let byte = decoded.next() { bytes.append(byte) }
        return bytes.count == characters.count * 3 / 4 ? bytes : nil
    }

    static func encode(_ bytes: [UInt8]) -> String {
        let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".unicodeScalars)
        var text = ""
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = bytes[start..<min(start + 3, bytes.count)]
            let bits = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
            for place in 0..<4 {
                text.unicodeScalars.append(place <= group.count ? alphabet[bits >> (18 - 6 * place) & 63] : "=")
            }
        }
        return text
    }

    /// Decodes as much as is asked for; ends at the first character that does not belong.
    struct Bytes<Text: IteratorProtocol<UInt8>>: IteratorProtocol {
        private var text: Text
        private var bits: UInt32 = 0
        private var held: UInt32 = 0

        init(_ text: Text) { self.text = text }

        mutating func next() -> UInt8? {
            while held < 8 {
                guard let value = text.next().flatMap(Base64.value) else { return nil }
                bits = bits << 6 | UInt32(value)
                held += 6
            }
            held -= 8
            return UInt8(truncatingIfNeeded: bits >> held)
        }

        /// A field of SSH's wire format.
        mutating func number() -> Int? {
            var number = 0
            for _ in 0..<4 {
                guard let byte = next() else { return nil }
                number = number << 8 | Int(byte)
            }
            return number
        }

        /// A field of SSH's wire format. No key has more than some thousand bytes.
        mutating func string() -> [UInt8]? {
            guard let count = number(), count <= 16 << 10 else { return nil }
            var bytes: [UInt8] = []
            while bytes.count < count {
                guard let byte = next() else { return nil }
                bytes.append(byte)
            }
            return bytes
        }
    }

    private static func value(of character: UInt8) -> UInt8? {
        switch character {
        case 0x41...0x5a: character - 0x41
        case 0x61...0x7a: character - 0x61 + 26
        case 0x30...0x39: character - 0x30 + 52
        case UInt8(ascii: "+"): 62
        case UInt8(ascii: "/"): 63
        default: nil
        }
    }
}

/// A public key as it travels (RFC 4253, section 6.6).
enum KeyBlob {
    /// SHA-256 in Base64 without padding, as `ssh-keygen -l` shows it.
    static func fingerprint(of key: [UInt8]) -> String {
        var digest = [UInt8](repeating: 0, count: 32)
        var count: UInt32 = 0
        guard EVP_Digest(key, key.count, &digest, &count, EVP_sha256(), nil) == 1 else { return "" }
        return String(Base64.encode(digest).prefix { $0 != "=" })
    }

    /// The name that it begins with: a 32-bit length, then as many bytes (RFC 4251, section 5). Nil when it is no key.
    static func type(of key: [UInt8]) -> String? {
        guard key.count >= 4 else { return nil }
        let count = key.prefix(4).reduce(0) { $0 << 8 | Int($1) }
        let name = key.dropFirst(4).prefix(count)
        guard (1...64).contains(count), name.count == count, name.allSatisfy({ (0x21...0x7e).contains($0) }) else { return nil }
        return String(decoding: name, as: UTF8.self)
    }
}
