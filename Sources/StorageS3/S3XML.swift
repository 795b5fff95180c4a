/// A document of an S3 server, parsed into a flat list of elements.
///
/// Only what such servers send is understood: elements, text, the five named entities and numeric ones, comments and processing instructions
/// (passed over), attributes (passed over). A document type, which all XML bombs need, is refused, and everything is bounded.
struct S3XML: Sendable {
    /// An element. Ranges are offsets in the document.
    struct Element: Sendable {
        var name: Range<Int>
        /// What stands between its tags where it has no children.
        var text: Range<Int>
        /// The index after its last descendant.
        var end: Int
    }

    struct Damage: Error, Equatable {
        var reason: String
    }

    /// A listing page of 1,000 keys has about 12,000 elements.
    static let elementsMax = 1 << 15
    /// S3's own documents go four deep.
    static let depthMax = 16
    static let nameByteCountMax = 128

    private let bytes: [UInt8]
    /// The root first, each followed by its descendants; never empty.
    let elements: [Element]

    init(parsing bytes: [UInt8]) throws(Damage) {
        self.bytes = bytes
        var parser = Parser(bytes)
        elements = try parser.parse()
    }

    /// Text as it stands between tags.
    static func escaped(_ text: String) -> String {
        text.reduce(into: "") { escaped, character in
            switch character {
            case "&": escaped += "&amp;"
            case "<": escaped += "&lt;"
            case ">": escaped += "&gt;"
            default: escaped.append(character)
            }
        }
    }

    /// The name of the root element; never a prefix.
    var rootName: String { String(decoding: bytes[elements[0].name], as: UTF8.self) }

    /// The indices of the children of an element that have a name.
    func children(of parent: Int = 0, named name: StaticString) -> [Int] {
        var found: [Int] = []
        var index = parent + 1
        while index < elements[parent].end {
            if isNamed(index, name) { found.append(index) }
            index = elements[index].end
        }
        return found
    }

    /// The text of the first child with a name; nil without one.
    func text(_ name: StaticString, of parent: Int = 0) -> String? {
        var index = parent + 1
        while index < elements[parent].end {
            if isNamed(index, name) { return text(of: index) }
            index = elements[index].end
        }
        return nil
    }

    /// The text of an element, entities resolved.
    func text(of index: Int) -> String {
        let range = elements[index].text
        // Sections and comments are the only markup in a text.
        if bytes[range].contains(UInt8(ascii: "<")) { return String(decoding: Self.unwrapped(bytes[range]), as: UTF8.self) }
        guard bytes[range].contains(UInt8(ascii: "&")) else { return String(decoding: bytes[range], as: UTF8.self) }
        return String(decoding: Self.resolved(bytes[range]), as: UTF8.self)
    }

    private func isNamed(_ index: Int, _ name: StaticString) -> Bool {
        let range = elements[index].name
        guard range.count == name.utf8CodeUnitCount else { return false }
        return bytes[range].elementsEqual(UnsafeBufferPointer(start: name.utf8Start, count: name.utf8CodeUnitCount))
    }

    static let sectionBegin: StaticString = "<![CDATA["
    static let sectionEnd: StaticString = "]]>"

    /// A text with sections, whose content stands for itself (moto wraps its messages so), and comments, which say nothing.
    private static func unwrapped(_ raw: ArraySlice<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        var rest = raw
        while let start = rest.firstIndex(of: UInt8(ascii: "<")) {
            result += resolved(rest[..<start])
            rest = rest[start...]
            let isSection = rest.starts(with: sectionBegin.description.utf8)
            let end = Array((isSection ? sectionEnd : "-->").description.utf8)
            let content = rest.dropFirst(isSection ? sectionBegin.utf8CodeUnitCount : 4)
            // The parser has seen that it ends.
            let stop = content.indices.first { content[$0...].starts(with: end) } ?? content.endIndex
            if isSection { result += content[..<stop] }
            rest = content[stop...].dropFirst(end.count)
        }
        return result + resolved(rest)
    }

    /// Entities that are none stay as they are: servers that forget to escape an ampersand exist.
    private static func resolved(_ raw: ArraySlice<UInt8>) -> [UInt8] {
        var result: [UInt8] = []
        var rest = raw
        while let byte = rest.popFirst() {
            // The longest is &#1114111;
            guard byte == UInt8(ascii: "&"),
                let length = rest.prefix(9).firstIndex(of: UInt8(ascii: ";")).map({ $0 - rest.startIndex }),
                let scalar = entity(rest.prefix(length))
            else {
                result.append(byte)
                continue
            }
            result += Array(String(Character(scalar)).utf8)
            rest = rest.dropFirst(length + 1)
        }
        return result
    }

    private static func entity(_ name: ArraySlice<UInt8>) -> Unicode.Scalar? {
        switch String(decoding: name, as: UTF8.self) {
        case "amp": return "&"
        case "lt": return "<"
        case "gt": return ">"
        case "quot": return "\""
        case "apos": return "'"
        case let text where text.hasPrefix("#x"): return UInt32(text.dropFirst(2), radix: 16).flatMap { Unicode.Scalar($0) }
        case let text where text.hasPrefix("#"): return UInt32(text.dropFirst()).flatMap { Unicode.Scalar($0) }
        default: return nil
        }
    }
}

/// One pass over the bytes with a stack of open elements.
private struct Parser {
    private let bytes: [UInt8]
    private var position = 0
    private var elements: [S3XML.Element] = []
    /// Indices of the open elements.
    private var open: [Int] = []

    init(_ bytes: [UInt8]) {
        self.bytes = bytes
    }

    mutating func parse() throws(S3XML.Damage) -> [S3XML.Element] {
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { position = 3 }
        while position < bytes.count {
            guard bytes[position] == UInt8(ascii: "<") else {
                if open.isEmpty, !isSpace(bytes[position]) { throw S3XML.Damage(reason: "there is text outside its root") }
                position += 1
                continue
            }
            try markup()
        }
        guard open.isEmpty, !elements.isEmpty else { throw S3XML.Damage(reason: "it ends too early") }
        return elements
    }

    private mutating func markup() throws(S3XML.Damage) {
        switch peek(1) {
        case UInt8(ascii: "?"): try skip(past: "?>")
        case UInt8(ascii: "!"):
            if !open.isEmpty, bytes[position...].starts(with: S3XML.sectionBegin.description.utf8) {
                position += S3XML.sectionBegin.utf8CodeUnitCount
                return try skip(past: S3XML.sectionEnd)
            }
            guard bytes[position...].starts(with: "<!--".utf8) else {
                throw S3XML.Damage(reason: "it has a document type, or a section outside its root")
            }
            position += 4
            try skip(past: "-->")
        case UInt8(ascii: "/"): try endTag()
        default: try startTag()
        }
    }

    private mutating func startTag() throws(S3XML.Damage) {
        guard open.isEmpty ? elements.isEmpty : open.count < S3XML.depthMax else {
            throw S3XML.Damage(reason: open.isEmpty ? "it has two roots" : "it is nested deeper than \(S3XML.depthMax)")
        }
        guard elements.count < S3XML.elementsMax else {
            throw S3XML.Damage(reason: "it has more than \(S3XML.elementsMax) elements")
        }
        position += 1
        let name = try name()
        let isEmpty = try attributes()
        elements.append(S3XML.Element(name: name, text: position..<position, end: elements.count + 1))
        if !isEmpty { open.append(elements.count - 1) }
    }

    private mutating func endTag() throws(S3XML.Damage) {
        let textEnd = position
        position += 2
        let name = try name()
        guard let index = open.popLast(), bytes[name] == bytes[elements[index].name] else {
            throw S3XML.Damage(reason: "its tags do not match")
        }
        while position < bytes.count, isSpace(bytes[position]) { position += 1 }
        guard peek(0) == UInt8(ascii: ">") else { throw S3XML.Damage(reason: "a closing tag goes on") }
        position += 1
        let isLeaf = index == elements.count - 1
        elements[index].text = isLeaf ? elements[index].text.lowerBound..<textEnd : textEnd..<textEnd
        elements[index].end = elements.count
    }

    private mutating func name() throws(S3XML.Damage) -> Range<Int> {
        let start = position
        while position < bytes.count, isNameByte(bytes[position]) { position += 1 }
        guard start < position, position - start <= S3XML.nameByteCountMax else {
            throw S3XML.Damage(reason: "an element has no proper name")
        }
        return start..<position
    }

    /// Passes over attributes; whether the element is closed at once.
    private mutating func attributes() throws(S3XML.Damage) -> Bool {
        var quote: UInt8?
        while position < bytes.count {
            let byte = bytes[position]
            position += 1
            if let open = quote {
                if byte == open { quote = nil }
            } else if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "'") {
                quote = byte
            } else if byte == UInt8(ascii: ">") {
                return bytes[position - 2] == UInt8(ascii: "/")
            } else if byte == UInt8(ascii: "<") {
                break
            }
        }
        throw S3XML.Damage(reason: "a tag does not end")
    }

    private mutating func skip(past end: StaticString) throws(S3XML.Damage) {
        let mark = UnsafeBufferPointer(start: end.utf8Start, count: end.utf8CodeUnitCount)
        while position + mark.count <= bytes.count {
            if bytes[position..<position + mark.count].elementsEqual(mark) {
                position += mark.count
                return
            }
            position += 1
        }
        throw S3XML.Damage(reason: "a comment, a section or an instruction does not end")
    }

    private func peek(_ distance: Int) -> UInt8? { position + distance < bytes.count ? bytes[position + distance] : nil }

    private func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || (0x09...0x0D).contains(byte) }

    private func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: ":"):
            true
        default: false
        }
    }
}
