/// Text of any content as one word of printable ASCII: what is not harmless is written as `%XX` of its UTF-8 bytes (RFC 3986,
/// section 2.1).
///
/// `-` by itself stands for empty text; a text that is just a hyphen becomes `%2D`.
enum PercentText {
    static func encode(_ text: String) -> String {
        if text.isEmpty { return "-" }
        if text == "-" { return "%2D" }
        var word: [UInt8] = []
        for byte in text.utf8 {
            if isHarmless(byte) {
                word.append(byte)
            } else {
                word += [UInt8(ascii: "%"), digits[Int(byte >> 4)], digits[Int(byte & 15)]]
            }
        }
        return String(decoding: word, as: UTF8.self)
    }

    /// The reverse; nil for anything that ``encode(_:)`` would not have written.
    static func decode(_ word: UnsafeRawBufferPointer) -> String? {
        if word.count == 1, word[0] == UInt8(ascii: "-") { return "" }
        var bytes: [UInt8] = []
        var index = 0
        while index < word.count {
            let byte = word[index]
            if byte == UInt8(ascii: "%") {
                guard index + 2 < word.count, let high = digits.firstIndex(of: word[index + 1]),
                    let low = digits.firstIndex(of: word[index + 2])
                else { return nil }
                bytes.append(UInt8(high << 4 | low))
                index += 3
            } else {
                guard isHarmless(byte) else { return nil }
                bytes.append(byte)
                index += 1
            }
        }
        // Written again it must be the same: no escape that was not needed, no broken UTF-8.
        guard let text = String(validating: bytes, as: UTF8.self), encode(text).utf8.elementsEqual(word) else { return nil }
        return text
    }

    /// Decodes words that are separated by single spaces; no text at all is an empty list.
    static func decodeList(_ words: String) -> [String]? {
        var decoded: [String] = []
        for word in words.split(separator: " ", omittingEmptySubsequences: false) where !words.isEmpty {
            guard let text = Array(word.utf8).withUnsafeBytes(decode) else { return nil }
            decoded.append(text)
        }
        return decoded
    }

    private static let digits = Array("0123456789ABCDEF".utf8)

    /// RFC 3986's unreserved characters, and a few that are common in locations and mean nothing in a ledger.
    private static func isHarmless(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        case UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"), UInt8(ascii: "/"), UInt8(ascii: ":"),
            UInt8(ascii: "@"):
            true
        default: false
        }
    }
}
