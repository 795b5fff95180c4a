/// What a file with a key is, as far as that can be told without its passphrase.
enum KeyFile: Sendable, Equatable {
    /// Can be used as it is. The public key where the file tells it.
    case open(publicKey: [UInt8]?)
    /// Wants a passphrase.
    case locked(publicKey: [UInt8]?)
    /// The public half alone: the private one may be in an agent.
    case publicOnly([UInt8])
    case unknown

    /// Looks at a file's bytes; copies nothing of the private part.
    init(_ bytes: UnsafeRawBufferPointer) {
        // The public half stands in one line; everything else has a first line with hyphens.
        guard let begin = Self.find("-----BEGIN ", in: bytes[...]) else {
            self = Self.publicLine(bytes).map { .publicOnly($0) } ?? .unknown
            return
        }
        let behind = bytes[begin...]
        func starts(_ word: String) -> Bool { Self.find("-----BEGIN \(word)-----", in: behind) == begin }
        if starts("OPENSSH PRIVATE KEY") {
            self = Self.openSSH(behind)
        } else if starts("ENCRYPTED PRIVATE KEY") || Self.find("Proc-Type: 4,ENCRYPTED", in: behind) != nil {
            self = .locked(publicKey: nil)
        } else if starts("PRIVATE KEY") || starts("RSA PRIVATE KEY") || starts("EC PRIVATE KEY") {
            self = .open(publicKey: nil)
        } else {
            self = .unknown
        }
    }

    /// OpenSSH's own form (PROTOCOL.key): magic, cipher, key derivation, number of keys, the public key. The private part behind
    /// is not decoded.
    private static func openSSH(_ bytes: Slice<UnsafeRawBufferPointer>) -> KeyFile {
        let text = bytes.drop { $0 != 0x0a }.lazy.filter { $0 != 0x0a && $0 != 0x0d }.prefix { $0 != UInt8(ascii: "-") }
        var decoded = Base64.Bytes(text.makeIterator())
        for byte in "openssh-key-v1\0".utf8 where decoded.next() != byte { return .unknown }
        guard let cipher = decoded.string(), decoded.string() != nil, decoded.string() != nil, decoded.number() == 1,
            let key = decoded.string(), KeyBlob.type(of: key) != nil
        else { return .unknown }
        return cipher.elementsEqual("none".utf8) ? .open(publicKey: key) : .locked(publicKey: key)
    }

    /// `type base64 comment`.
    static func publicLine(_ bytes: UnsafeRawBufferPointer) -> [UInt8]? {
        let words = bytes.prefix { $0 != 0x0a }.split { $0 == 0x20 || $0 == 0x09 || $0 == 0x0d }
        guard words.count >= 2, let key = Base64.decode(words[1]), let type = KeyBlob.type(of: key),
            type.utf8.elementsEqual(words[0])
        else { return nil }
        return key
    }

    private static func find(_ word: String, in bytes: Slice<UnsafeRawBufferPointer>) -> Int? {
        let word = Array(word.utf8)
        guard bytes.count >= word.count else { return nil }
        return (bytes.startIndex...bytes.endIndex - word.count).first { bytes[$0...].starts(with: word) }
    }
}
