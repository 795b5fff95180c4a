internal import FoundationEssentials

/// Any JSON, to look at its shape.
enum JSONValue: Decodable, Equatable, Sendable {
    case object([String: JSONValue])
    case array([JSONValue])
    case string(String)
    case number(Double)
    case boolean(Bool)
    case null

    init(parsing text: String) throws {
        self = try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8))
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .boolean(value)
        } else if let value = try? container.decode(Double.self) {
            self = .number(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    /// A member of an object.
    subscript(_ name: String) -> JSONValue? {
        if case .object(let members) = self { members[name] } else { nil }
    }

    /// An element of an array.
    subscript(_ index: Int) -> JSONValue? {
        elements.indices.contains(index) ? elements[index] : nil
    }

    var elements: [JSONValue] { if case .array(let elements) = self { elements } else { [] } }
    var text: String? { if case .string(let text) = self { text } else { nil } }
    var number: Double? { if case .number(let number) = self { number } else { nil } }

    /// The members' names, or nothing for anything but an object.
    var names: Set<String> { if case .object(let members) = self { Set(members.keys) } else { [] } }

    /// The one target of a report.
    var target: JSONValue? { self["targets"]?[0] }

    /// `[packfiles, states]` of a tally.
    var counts: [Int] { ["packfiles", "states"].compactMap { self[$0]?.number.map { Int($0) } } }
}
