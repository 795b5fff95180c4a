/// Where a store is, as a person names it. Parsing looks at nothing but the text.
///
/// - A path, or `fs:///path`: a folder. A path whose first part contains a colon is written with `./` in front.
/// - `ptar:/path/file.ptar`: a single-file archive.
/// - `s3://endpoint:port/bucket/prefix`: a bucket, see ``S3Address``.
/// - `sftp://user@host:port/path`: a folder of an SFTP server, see ``SFTPAddress``.
/// - `@name`, `@name:sub`: a store of plakar's `stores.yml`, with another root.
///
/// Text behind `fs:` and `ptar:` is taken as it stands, as plakar does: `%20` is three characters.
public enum Location: Sendable, Equatable {
    /// An absolute path without empty and `.` parts; `..` is left to the system, which knows where links lead.
    case folder(path: String)
    /// Likewise.
    case ptar(path: String)
    /// `s3://…`
    case s3(S3Address)
    /// `sftp://…`
    case sftp(SFTPAddress)
    /// To be looked up. `sub` is not empty.
    case named(String, sub: String?)

    /// Linux refuses paths of 4,096 bytes and more, the closing zero included (`PATH_MAX`).
    public static let pathByteCountMax = 4095

    /// Schemes of plakar and of ours that other versions open; their names may be repeated in messages.
    private static let schemesElsewhere = ["http", "https", "sealift", "tape"]

    /// - Parameters:
    ///   - text: what the person wrote. It may hold credentials (`s3://key:secret@host`), so no message repeats it.
    ///   - workingDirectory: the absolute path that relative ones start from.
    /// - Throws: `.usage`.
    public init(parsing text: String, workingDirectory: String) throws(Failure) {
        try Self.check(text)
        if text.utf8.first == UInt8(ascii: "@") {
            self = try Self.named(text.dropFirst())
            return
        }
        switch Self.scheme(of: text) {
        case nil: self = .folder(path: try Self.absolute(text[...], workingDirectory))
        case "fs": self = .folder(path: try Self.absolute(try Self.rest(of: text), workingDirectory))
        case "ptar": self = .ptar(path: try Self.absolute(try Self.rest(of: text), workingDirectory))
        case "s3": self = .s3(try S3Address(parsing: text))
        case "sftp": self = .sftp(try SFTPAddress(parsing: text))
        case .some(let scheme): throw Self.unsupported(scheme: scheme)
        }
    }

    /// The scheme (RFC 3986, section 3.1) that a text begins with, in lower case; nil for a path or a name.
    public static func scheme(of text: String) -> String? {
        guard let colon = text.utf8.firstIndex(of: UInt8(ascii: ":")) else { return nil }
        let scheme = text[..<colon].lowercased()
        guard let first = scheme.utf8.first, (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(first) else { return nil }
        let isScheme = scheme.utf8.allSatisfy { byte in
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains(byte) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte)
                || "+-.".utf8.contains(byte)
        }
        return isScheme ? scheme : nil
    }

    /// Whether this version opens locations of a scheme.
    public static func isSupported(scheme: String?) -> Bool {
        scheme == nil || scheme == "fs" || scheme == "ptar" || scheme == "s3" || scheme == "sftp"
    }

    /// Whether a scheme is one of plakar's or ours, opened by this version or not.
    public static func isKnown(scheme: String) -> Bool { isSupported(scheme: scheme) || schemesElsewhere.contains(scheme) }

    /// The failure for a scheme that this version does not open. An unknown one is not repeated: it may be part of a secret.
    ///
    /// - Parameter place: `@name` when the location came from a configuration.
    public static func unsupported(scheme: String, place: String? = nil) -> Failure {
        let known = isKnown(scheme: scheme)
        return Failure(
            .usage, "cannot use the location", place: place,
            reason: known ? "this version cannot open \(scheme) locations" : "its scheme is not known",
            advice: known
                ? "Use a path, fs:///path, s3://…, sftp://…, ptar:/path/file.ptar or @name."
                : "Use a path, fs:///path, s3://…, sftp://…, ptar:/path/file.ptar or @name; write ./ in front of a path with a colon."
        )
    }

    /// The same store with another root: an absolute `sub` replaces the path, a relative one is joined to it and `..` is taken out by the
    /// text alone. This is plakar's own rule for `@name:sub`.
    public func replacingRoot(with sub: String) throws(Failure) -> Location {
        try Self.check(sub)
        func replaced(_ path: String) throws(Failure) -> String {
            if sub.utf8.first == UInt8(ascii: "/") { return try Self.absolute(sub[...], "/") }
            var parts: [Substring] = []
            for part in "\(path)/\(sub)".split(separator: "/") where part != "." {
                if part == ".." { _ = parts.popLast() } else { parts.append(part) }
            }
            return try Self.absolute("/\(parts.joined(separator: "/"))", "/")
        }
        return switch self {
        case .folder(let path): .folder(path: try replaced(path))
        case .ptar(let path): .ptar(path: try replaced(path))
        case .s3(let address): .s3(try address.replacingRoot(with: sub))
        case .sftp(let address): .sftp(try address.replacingRoot(with: sub))
        case .named(let name, _): .named(name, sub: sub)
        }
    }

    private static func check(_ text: String) throws(Failure) {
        if text.isEmpty { throw unusable("it is empty") }
        if text.utf8.contains(0) { throw unusable("it contains a NUL character") }
        // Arguments that are not UTF-8 arrive with replacement characters; the store would be looked for, or made, under another name.
        if text.unicodeScalars.contains("\u{fffd}") { throw unusable("it is not valid UTF-8") }
        if text.utf8.count > pathByteCountMax { throw unusable("it is longer than \(pathByteCountMax) bytes") }
    }

    private static func unusable(_ reason: String) -> Failure {
        Failure(
            .usage, "cannot use the location", reason: reason,
            advice: "Use a path, fs:///path, s3://…, sftp://…, ptar:/path/file.ptar or @name.")
    }

    private static func named(_ text: Substring) throws(Failure) -> Location {
        let name = text.prefix { $0 != ":" }
        guard !name.isEmpty else { throw unusable("there is no name behind the @") }
        let sub = text.dropFirst(name.count + 1)
        return .named(String(name), sub: sub.isEmpty ? nil : String(sub))
    }

    /// What follows the scheme of a local location: `//` may stand before an absolute path, but no host.
    private static func rest(of text: String) throws(Failure) -> Substring {
        var rest = text.drop { $0 != ":" }.dropFirst()
        if rest.hasPrefix("//") {
            rest = rest.dropFirst(2)
            guard rest.hasPrefix("/") else { throw unusable("a local location has no host: fs:///path") }
        }
        guard !rest.isEmpty else { throw unusable("there is no path behind its scheme") }
        return rest
    }

    private static func absolute(_ path: some StringProtocol, _ workingDirectory: String) throws(Failure) -> String {
        let whole = path.utf8.first == UInt8(ascii: "/") ? String(path) : "\(workingDirectory)/\(path)"
        let clean = "/" + whole.split(separator: "/").filter { $0 != "." }.joined(separator: "/")
        guard clean.utf8.count <= pathByteCountMax else { throw unusable("it is longer than \(pathByteCountMax) bytes") }
        return clean
    }
}

/// A location after all lookups: what is opened.
public struct ResolvedLocation: Sendable, Equatable {
    public enum Scheme: String, Sendable {
        case folder = "fs"
        case ptar
        case s3
        case sftp
    }

    public var scheme: Scheme
    /// Absolute; for `s3`, what stands behind `s3://`; for `sftp` the server's own.
    public var path: String
    /// For `sftp` only: the host and how to get there.
    public var sftp: SFTPAddress?
    /// As the person wrote it, for messages; holds no secret.
    public var printable: String
    /// Options of `stores.yml` that mean nothing for this scheme: their names, never their values.
    public var ignoredOptions: [String]

    public init(scheme: Scheme, path: String, printable: String, ignoredOptions: [String] = []) {
        self.scheme = scheme
        self.path = path
        self.printable = printable
        self.ignoredOptions = ignoredOptions
    }

    /// A location that needs no more looking up; nil for a name.
    ///
    /// - Parameter ignoredOptions: those that mean nothing for a local place.
    public init?(_ location: Location, printable: String, ignoredOptions: [String] = []) {
        switch location {
        case .folder(let path): self.init(scheme: .folder, path: path, printable: printable, ignoredOptions: ignoredOptions)
        case .ptar(let path): self.init(scheme: .ptar, path: path, printable: printable, ignoredOptions: ignoredOptions)
        case .s3(let address):
            self.init(scheme: .s3, path: ([address.first] + address.path).joined(separator: "/"), printable: printable)
        case .sftp(let address): self.init(address, printable: printable, ignoredOptions: ignoredOptions)
        case .named: return nil
        }
    }

    /// A place on an SFTP server.
    public init(_ address: SFTPAddress, printable: String, ignoredOptions: [String] = []) {
        self.init(scheme: .sftp, path: address.path, printable: printable, ignoredOptions: ignoredOptions)
        sftp = address
    }

    /// What to tell the person about ``ignoredOptions``; nil when there is nothing to tell.
    public var warning: String? {
        guard !ignoredOptions.isEmpty else { return nil }
        return
            "\(printable): ignoring options that mean nothing for \(scheme.rawValue) locations: \(ignoredOptions.joined(separator: ", "))"
    }
}
