/// Where a store lies on an S3 server: what stands behind `s3://`.
public struct S3Address: Sendable, Equatable {
    /// The first part: an endpoint, perhaps with a port, or a bucket. Which of the two is not for the text alone to say, unless it has a port.
    public var first: String
    /// What follows, without empty parts.
    public var path: [String]

    public init(first: String, path: [String]) {
        self.first = first
        self.path = path
    }

    /// As it is written.
    public var text: String { "s3://\(([first] + path).joined(separator: "/"))" }
}

extension S3Address {
    /// Parses a location. No message repeats any of it: credentials may have been put there.
    ///
    /// - Throws: `.usage`.
    init(parsing text: String) throws(Failure) {
        let rest = text.drop { $0 != ":" }.dropFirst()
        guard rest.hasPrefix("//") else { throw Self.unusable("there is no // behind s3:") }
        let parts = rest.dropFirst(2).split(separator: "/", omittingEmptySubsequences: false)
        let first = parts.first ?? ""
        guard !first.contains("@") else {
            throw Self.unusable("credentials have no place in it", "Put them into stores.yml or the environment.")
        }
        guard !first.isEmpty, first.utf8.allSatisfy({ Self.isHostByte($0) }) else {
            throw Self.unusable("no endpoint or bucket stands behind s3://")
        }
        self.init(first: String(first), path: try Self.path(parts.dropFirst()))
    }

    /// The same with another path, see ``Location/replacingRoot(with:)``.
    func replacingRoot(with sub: String) throws(Failure) -> S3Address {
        var parts: [Substring] = sub.hasPrefix("/") ? [] : path.map { $0[...] }
        for part in sub.split(separator: "/") {
            if part == ".." { _ = parts.popLast() } else if part != "." { parts.append(part) }
        }
        return S3Address(first: first, path: try Self.path(parts[...]))
    }

    private static func path(_ parts: ArraySlice<Substring>) throws(Failure) -> [String] {
        let path = parts.filter { !$0.isEmpty }.map { String($0) }
        guard !path.contains("."), !path.contains("..") else { throw unusable("a part of it is . or ..") }
        guard path.allSatisfy({ $0.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f } }) else {
            throw unusable("it holds a control character")
        }
        return path
    }

    /// Letters, digits, `-`, `.`, `_` of names, and `:`, `[`, `]` of ports and of version 6 addresses.
    private static func isHostByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "-._:[]".utf8.contains(byte)
        }
    }

    private static func unusable(_ reason: String, _ advice: String = "Write s3://endpoint:port/bucket/prefix.") -> Failure {
        Failure(.usage, "cannot use the location", reason: reason, advice: advice)
    }
}
