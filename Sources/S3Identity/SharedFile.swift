internal import Glibc
internal import S3Signing
internal import Storage

/// One of the shared AWS files: sections in brackets, `name = value` lines, lines with `#` or `;` in front. Indented lines belong to a setting
/// above (`s3 =`) that is of no use here. Everything is bytes until somebody asks for one section, and values stay secrets.
struct SharedFile {
    /// Bytes; a profile takes about 200.
    static let byteCountMax = 1 << 20

    private let content: Secret
    private let path: String

    init(_ content: Secret, path: String) {
        self.content = content
        self.path = path
    }

    /// Nil when there is no such file.
    static func read(_ path: String) throws(Failure) -> SharedFile? {
        guard let content = try SecretFile.read(path, byteCountMax: byteCountMax) else { return nil }
        return SharedFile(content, path: path)
    }

    /// The settings of a section, names in lower case; the last of two with one name counts. Nil when there is no such section.
    func settings(section wanted: String) throws(Failure) -> [String: Secret]? {
        let (result, badLine) = content.withBytes { Self.parse($0, wanted) }
        if let badLine {
            throw Failure(
                .configuration, "cannot use", place: "\(path), line \(badLine)",
                reason: "it is neither a section, a setting nor a comment", advice: "Correct the line.")
        }
        return result
    }

    private static func parse(_ bytes: UnsafeRawBufferPointer, _ wanted: String) -> ([String: Secret]?, badLine: Int?) {
        var result: [String: Secret]?
        var isInside = false
        for (index, line) in bytes.split(separator: 10, omittingEmptySubsequences: false).enumerated() {
            guard let first = line.first, !isSpace(first) else { continue }
            let text = trimmed(line)
            if text.isEmpty || first == UInt8(ascii: "#") || first == UInt8(ascii: ";") { continue }
            if first == UInt8(ascii: "[") {
                guard let end = text.firstIndex(of: UInt8(ascii: "]")) else { return (nil, index + 1) }
                isInside = sectionName(text[text.index(after: text.startIndex)..<end]) == wanted
                if isInside, result == nil { result = [:] }
                continue
            }
            guard let equals = text.firstIndex(of: UInt8(ascii: "=")), equals > text.startIndex else { return (nil, index + 1) }
            guard isInside else { continue }
            let value = trimmed(text[text.index(after: equals)...])
            let name = String(decoding: trimmed(text[..<equals]), as: UTF8.self).lowercased()
            // A name without a value begins a group of indented lines.
            if !value.isEmpty { result?[name] = Secret(value) }
        }
        return (result, nil)
    }

    /// `[profile  name]` is written with one space.
    private static func sectionName(_ text: Slice<UnsafeRawBufferPointer>) -> String {
        text.split { isSpace($0) }.map { String(decoding: $0, as: UTF8.self) }.joined(separator: " ")
    }

    private static func isSpace(_ byte: UInt8) -> Bool { byte == 32 || byte == 9 || byte == 13 }

    private static func trimmed(_ text: Slice<UnsafeRawBufferPointer>) -> Slice<UnsafeRawBufferPointer> {
        let start = text.drop { isSpace($0) }
        guard let last = start.lastIndex(where: { !isSpace($0) }) else { return start[start.endIndex...] }
        return start[...last]
    }
}
