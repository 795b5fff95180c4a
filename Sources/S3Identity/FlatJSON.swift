internal import S3Signing

/// One JSON object whose values are strings, numbers and words (RFC 8259); only the strings are kept. Values stay secrets.
struct FlatJSON {
    /// Fields at most; the metadata service sends seven.
    static let fieldCountMax = 64

    private let bytes: [UInt8]
    private var index = 0

    /// Nil for anything else: arrays and objects inside, a name twice, text behind the object, escapes that stand for no character.
    static func parse(_ bytes: [UInt8]) -> [String: Secret]? {
        var parser = FlatJSON(bytes: bytes)
        guard let fields = parser.object() else { return nil }
        parser.skipSpace()
        return parser.index == bytes.count ? fields : nil
    }

    private init(bytes: [UInt8]) {
        self.bytes = bytes
    }

    private mutating func object() -> [String: Secret]? {
        guard take(UInt8(ascii: "{")) else { return nil }
        if take(UInt8(ascii: "}")) { return [:] }
        var fields: [String: Secret] = [:]
        var names: Set<String> = []
        while names.count < Self.fieldCountMax {
            guard let name = string().map({ String(decoding: $0, as: UTF8.self) }), take(UInt8(ascii: ":")),
                names.insert(name).inserted
            else {
                return nil
            }
            skipSpace()
            if index < bytes.count, bytes[index] == UInt8(ascii: "\"") {
                guard let value = string() else { return nil }
                fields[name] = Secret(value)
            } else {
                guard skipWord() else { return nil }
            }
            if take(UInt8(ascii: "}")) { return fields }
            guard take(UInt8(ascii: ",")) else { return nil }
        }
        return nil
    }

    private mutating func skipSpace() {
        while index < bytes.count, [32, 9, 10, 13].contains(bytes[index]) { index += 1 }
    }

    /// The byte, with space before it.
    private mutating func take(_ byte: UInt8) -> Bool {
        skipSpace()
        guard index < bytes.count, bytes[index] == byte else { return false }
        index += 1
        return true
    }

    /// A number, `true`, `false` or `null`, whose value nobody wants.
    private mutating func skipWord() -> Bool {
        let start = index
        while index < bytes.count, "+-.0123456789Eaeflnrstu".utf8.contains(bytes[index]) { index += 1 }
        return index > start
    }

    private mutating func string() -> [UInt8]? {
        guard take(UInt8(ascii: "\"")) else { return nil }
        var result: [UInt8] = []
        while index < bytes.count {
            let byte = bytes[index]
            index += 1
            switch byte {
            case UInt8(ascii: "\""): return result
            case UInt8(ascii: "\\"):
                guard let scalar = escape() else { return nil }
                result.append(contentsOf: String(Character(scalar)).utf8)
            case 0..<0x20: return nil
            default: result.append(byte)
            }
        }
        return nil
    }

    private mutating func escape() -> Unicode.Scalar? {
        guard index < bytes.count else { return nil }
        let byte = bytes[index]
        index += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): return Unicode.Scalar(byte)
        case UInt8(ascii: "b"): return "\u{8}"
        case UInt8(ascii: "f"): return "\u{c}"
        case UInt8(ascii: "n"): return "\n"
        case UInt8(ascii: "r"): return "\r"
        case UInt8(ascii: "t"): return "\t"
        case UInt8(ascii: "u"):
            guard index + 4 <= bytes.count,
                bytes[index..<index + 4].allSatisfy({ $0 != UInt8(ascii: "+") && $0 != UInt8(ascii: "-") }),
                let value = UInt32(String(decoding: bytes[index..<index + 4], as: UTF8.self), radix: 16)
            else { return nil }
            index += 4
            return Unicode.Scalar(value)  // nil for halves of a pair: no credential holds such a character
        default: return nil
        }
    }
}
