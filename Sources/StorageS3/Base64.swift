/// RFC 4648, section 4.
enum Base64 {
    private static let digits = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")

    static func text(_ bytes: some Collection<UInt8>) -> String {
        let bytes = Array(bytes)
        var text = ""
        for start in stride(from: 0, to: bytes.count, by: 3) {
            let group = Array(bytes[start..<min(start + 3, bytes.count)])
            let word = group.reduce(0) { $0 << 8 | Int($1) } << (8 * (3 - group.count))
            for place in 0..<4 { text.append(place <= group.count ? digits[word >> (18 - 6 * place) & 63] : "=") }
        }
        return text
    }

    /// The bytes of a text; nil when it is not just what ``text(_:)`` makes of them.
    static func bytes(_ encoded: String) -> [UInt8]? {
        var (bytes, word, bits): ([UInt8], Int, Int) = ([], 0, 0)
        for character in encoded.prefix(while: { $0 != "=" }) {
            guard let digit = digits.firstIndex(of: character) else { return nil }
            (word, bits) = (word << 6 | digit, bits + 6)
            guard bits >= 8 else { continue }
            bits -= 8
            bytes.append(UInt8(truncatingIfNeeded: word >> bits))
            word &= (1 << bits) - 1
        }
        return text(bytes) == encoded ? bytes : nil
    }
}
