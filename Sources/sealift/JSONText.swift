internal import Kloset
internal import Planning

/// A JSON value whose objects keep the order in which their members were named: output is meant to be read by people too.
indirect enum JSONText: Sendable, ExpressibleByDictionaryLiteral, ExpressibleByStringLiteral, ExpressibleByBooleanLiteral {
    case object([(String, JSONText)])
    case array([JSONText])
    case string(String)
    case integer(Int64)
    case number(Double)
    case boolean(Bool)
    case null

    init(dictionaryLiteral elements: (String, JSONText)...) { self = .object(elements) }
    init(stringLiteral value: String) { self = .string(value) }
    init(booleanLiteral value: Bool) { self = .boolean(value) }
    init(_ value: Int) { self = .integer(Int64(value)) }
    init(_ value: Int64) { self = .integer(value) }
    init(_ value: String?) { self = value.map { .string($0) } ?? .null }
    init(_ tally: Tally) {
        self = ["packfiles": .init(tally.packfiles), "states": .init(tally.states), "bytes": .init(tally.bytes)]
    }

    /// Compact text (RFC 8259).
    var text: String {
        switch self {
        case .object(let members): "{" + members.map { "\(Self.quoted($0.0)): \($0.1.text)" }.joined(separator: ", ") + "}"
        case .array(let elements): "[" + elements.map(\.text).joined(separator: ", ") + "]"
        case .string(let string): Self.quoted(string)
        case .integer(let integer): String(integer)
        case .number(let number): Self.rounded(number)
        case .boolean(let boolean): boolean ? "true" : "false"
        case .null: "null"
        }
    }

    /// Three decimals: a report's seconds need no more.
    private static func rounded(_ number: Double) -> String {
        guard number.isFinite else { return "null" }
        return String((number * 1000).rounded() / 1000)
    }

    static func quoted(_ string: String) -> String {
        var text = "\""
        for scalar in string.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\t": text += "\\t"
            case "\r": text += "\\r"
            case let control where control.value < 0x20 || control.value == 0x7f:
                let hex = String(control.value, radix: 16)
                text += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text + "\""
    }
}
