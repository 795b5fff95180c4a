internal import Kloset

/// Names below a store's root.
enum S3Names {
    /// The source's modification time in nanoseconds since 1970, on every object that we write: `LastModified` has whole seconds and is that
    /// of the upload. Servers may capitalise it.
    static let modifiedHeader = "x-amz-meta-sealift-mtime"

    static let own = ".sealift"
    static let quarantine = ".sealift/quarantine"
    /// A document for each multipart upload that we began: what it takes to continue it, or to abort it.
    static let uploads = ".sealift/uploads"
    /// Asks whether the server honours conditions.
    static let probe = ".sealift/probe"
    /// What stands there where it does, and where it does not.
    static let honoured = "This server honours If-None-Match.\n"
    static let ignored = "This server does not honour If-None-Match.\n"

    /// How our documents and the quarantine name a resource.
    static func word(_ key: ResourceKey) -> String { key.kind == .config ? "config" : "\(key.kind.name)-\(key.id.hex)" }

    /// Parses ``word(_:)``.
    static func key(word: some StringProtocol) -> ResourceKey? {
        if word == "config" { return .config }
        let parts = word.split(separator: "-", maxSplits: 1)
        guard parts.count == 2, let kind = ResourceKind(name: parts[0]), kind != .config,
            let id = ResourceID(hex: String(parts[1]))
        else {
            return nil
        }
        return ResourceKey(kind, id)
    }

    /// Letters, digits, `.`, `_` and `-` of ASCII, not beginning with a dot.
    static func isSafeWord(_ text: some StringProtocol) -> Bool {
        guard let first = text.utf8.first, first != UInt8(ascii: ".") else { return false }
        return text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
    }
}

extension S3Names {
    /// A path as a header line has it: everything but unreserved characters and `/` as `%XX` (RFC 3986, section 2.3).
    static func percentEncoded(_ path: String) -> String {
        var text = ""
        for byte in path.utf8 {
            let scalar = Unicode.Scalar(byte)
            let isPlain =
                byte < 0x80 && (scalar.properties.isAlphabetic || (0x30...0x39).contains(byte) || "-._~/".utf8.contains(byte))
            if isPlain { text.unicodeScalars.append(scalar) } else { text += "%" + hexText([byte]).uppercased() }
        }
        return text
    }
}
