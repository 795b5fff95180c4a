/// Where an SFTP location leads, as a value: whose `ssh` settings apply is left to `ssh` itself, so a host may be an alias.
public struct SFTPAddress: Sendable, Equatable {
    /// Nil leaves the choice to `ssh`.
    public var user: String?
    /// A name, an alias of `~/.ssh/config`, or an address; an IPv6 address without its brackets.
    public var host: String
    /// 1 to 65535; nil leaves the choice to `ssh`.
    public var port: Int?
    /// The server's own path: absolute, or relative to the folder that the account begins in. `~user/…` is that user's home.
    public var path: String
    /// A file with a private key.
    public var identity: String?
    /// plakar's `insecure_ignore_host_key`: whoever answers is believed to be the host.
    public var ignoresHostKey = false
    /// Nil leaves the choice to whoever connects.
    public var transport: Transport?

    /// What carries the bytes.
    public enum Transport: String, Sendable, CaseIterable {
        /// The user's own `ssh` as a child.
        case ssh
        /// The library, in this process.
        case libssh2
    }
    /// How many connections there may be, 1 to ``connectionsLimit``; nil leaves the choice to the store.
    public var connectionsMax: Int?

    /// OpenSSH lets ten log in at the same time (MaxStartups).
    public static let connectionsLimit = 10

    public init(user: String? = nil, host: String, port: Int? = nil, path: String) {
        self.user = user
        self.host = host
        self.port = port
        self.path = path
    }

    /// The address as a location, without options.
    public var text: String {
        var text = "sftp://"
        if let user { text += "\(user)@" }
        text += host.contains(":") ? "[\(host)]" : host
        if let port { text += ":\(port)" }
        return text + (path.hasPrefix("/") ? path : path == "." ? "/~" : path.hasPrefix("~") ? "/\(path)" : "/~/\(path)")
    }
}

extension SFTPAddress {
    /// Parses `sftp://[user@]host[:port]/path` (kloset-format 4). `%20` is one character, as plakar has it.
    ///
    /// `/~` and `/~/path` are relative to the folder that the account begins in, `/~user/path` to that user's home; everything else is absolute.
    /// - Throws: `.usage`; the text is not repeated, it may hold a password.
    public init(parsing text: String) throws(Failure) {
        guard let colon = text.firstIndex(of: ":"), text[colon...].hasPrefix("://") else {
            throw Self.unusable("it is not of the form sftp://host/path")
        }
        let rest = text[colon...].dropFirst(3)
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        try self.init(authority: rest[..<slash])
        let path = rest[slash...]
        guard !path.contains("?"), !path.contains("#") else {
            throw Self.unusable("its path holds a question mark or a number sign", "Write them as %3F and %23.")
        }
        self.path = try Self.serverPath(try Self.decoded(path))
    }

    private init(authority: Substring) throws(Failure) {
        var host = authority
        var user: String?
        if let at = authority.lastIndex(of: "@") {
            let name = try Self.decoded(authority[..<at])
            guard !authority[..<at].contains(":") else {
                throw Self.unusable("passwords have no place in a location", "Use a key or an agent, as for ssh.")
            }
            user = name
            host = authority[authority.index(after: at)...]
        }
        var port: Substring?
        if host.hasPrefix("["), let end = host.firstIndex(of: "]") {
            let behind = host[host.index(after: end)...]
            guard behind.isEmpty || behind.hasPrefix(":") else {
                throw Self.unusable("something stands behind the host's bracket")
            }
            port = behind.isEmpty ? nil : behind.dropFirst()
            host = host[host.index(after: host.startIndex)..<end]
        } else if let colon = host.firstIndex(of: ":") {
            port = host[host.index(after: colon)...]
            host = host[..<colon]
        }
        self.init(host: String(host), path: "/")
        try setHost(String(host))
        if let user { try setUser(user) }
        if let port, !port.isEmpty { try setPort(String(port)) }
    }

    /// Takes over one of plakar's options (`username`, `port`, `root`, `identity`, `insecure_ignore_host_key`), or one of our own
    /// (`transport`, `connections`).
    ///
    /// What the location itself says comes first, except for `root`, which replaces its path.
    /// - Returns: false for an option that is not known.
    /// - Throws: `.usage`.
    public mutating func apply(option name: String, _ value: String) throws(Failure) -> Bool {
        switch name {
        case "username": if user == nil, !value.isEmpty { try setUser(value) }
        case "port": if port == nil, !value.isEmpty { try setPort(value) }
        case "root": if !value.isEmpty { path = try Self.clean(value) }
        case "identity":
            guard !value.hasPrefix("-"), Self.isOneLine(value) else { throw Self.unusable("its identity is no path of a file") }
            identity = value.isEmpty ? nil : value
        case "connections": if !value.isEmpty { connectionsMax = try Self.connections(value) }
        case "insecure_ignore_host_key":
            switch value.lowercased() {
            case "true", "1", "yes", "on": ignoresHostKey = true
            case "", "false", "0", "no", "off": ignoresHostKey = false
            default: throw Self.unusable("insecure_ignore_host_key is true or false")
            }
        case "transport":
            guard value.isEmpty || Transport(rawValue: value) != nil else {
                throw Self.unusable("its transport is not known", "Use transport=ssh or transport=libssh2.")
            }
            transport = Transport(rawValue: value)
        default: return false
        }
        return true
    }

    /// The same address with another root: plakar's rule for `@name:sub`.
    func replacingRoot(with sub: String) throws(Failure) -> SFTPAddress {
        var copy = self
        guard !sub.hasPrefix("/") else {
            copy.path = try Self.clean(sub)
            return copy
        }
        var parts: [Substring] = []
        let isAbsolute = path.hasPrefix("/")
        for part in "\(path)/\(sub)".split(separator: "/") where part != "." {
            if part == "..", !parts.isEmpty { parts.removeLast() } else if part != ".." { parts.append(part) }
        }
        copy.path = try Self.clean((isAbsolute ? "/" : "") + parts.joined(separator: "/"))
        return copy
    }

    private mutating func setHost(_ text: String) throws(Failure) {
        // ssh takes a host that begins with a hyphen for an option, and expands host and user in commands of its configuration.
        let isPlain = text.utf8.allSatisfy { byte in
            Self.isWordByte(byte) || byte == UInt8(ascii: ":") || byte == UInt8(ascii: "%")
        }
        guard !text.isEmpty else { throw Self.unusable("there is no host") }
        guard !text.hasPrefix("-") else { throw Self.unusable("its host begins with a hyphen") }
        guard isPlain, text.utf8.count <= 255 else { throw Self.unusable("its host holds a character that no host has") }
        host = text
    }

    private mutating func setUser(_ text: String) throws(Failure) {
        guard !text.isEmpty else { throw Self.unusable("the user before the @ is empty") }
        guard !text.hasPrefix("-") else { throw Self.unusable("its user begins with a hyphen") }
        let isPlain = text.utf8.allSatisfy { Self.isWordByte($0) || "@+=,".utf8.contains($0) || $0 >= 0x80 }
        guard isPlain, text.utf8.count <= 255 else { throw Self.unusable("its user holds a character that no user has") }
        user = text
    }

    private mutating func setPort(_ text: String) throws(Failure) {
        guard let number = Int(text), (1...65535).contains(number), text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) else {
            throw Self.unusable("its port is no number from 1 to 65535")
        }
        port = number
    }

    private static func connections(_ text: String) throws(Failure) -> Int {
        guard let number = Int(text), (1...connectionsLimit).contains(number),
            text.utf8.allSatisfy({ (0x30...0x39).contains($0) })
        else { throw unusable("its connections are no number from 1 to \(connectionsLimit)") }
        return number
    }

    private static func isWordByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: ".-_".utf8.contains(byte)
        }
    }

    private static func isOneLine(_ text: String) -> Bool { text.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f } }

    /// From the path of a location to the server's own.
    private static func serverPath(_ path: String) throws(Failure) -> String {
        if path == "/~" || path == "/~/" { return "." }
        if path.hasPrefix("/~/") { return try clean(String(path.dropFirst(3))) }
        if path.hasPrefix("/~") { return try clean(String(path.dropFirst(1))) }
        return try clean(path.isEmpty ? "/" : path)
    }

    /// Without empty and `.` parts; `..` is left to the server, which knows where links lead.
    private static func clean(_ path: String) throws(Failure) -> String {
        guard !path.utf8.contains(0) else { throw unusable("its path contains a NUL character") }
        guard path.utf8.count <= Location.pathByteCountMax else {
            throw unusable("its path is longer than \(Location.pathByteCountMax) bytes")
        }
        let parts = path.split(separator: "/").filter { $0 != "." }.joined(separator: "/")
        if path.hasPrefix("/") { return "/" + parts }
        return parts.isEmpty ? "." : parts
    }

    /// Percent-decoding (RFC 3986, section 2.1).
    private static func decoded(_ text: Substring) throws(Failure) -> String {
        var bytes: [UInt8] = []
        var rest = text.utf8[...]
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.popFirst().flatMap({ Character(UnicodeScalar($0)).hexDigitValue }),
                let low = rest.popFirst().flatMap({ Character(UnicodeScalar($0)).hexDigitValue })
            else { throw unusable("a percent sign is not followed by two hexadecimal digits", "Write a percent sign as %25.") }
            bytes.append(UInt8(high << 4 | low))
        }
        guard let decoded = String(validating: bytes, as: UTF8.self) else { throw unusable("it is not valid UTF-8") }
        return decoded
    }

    private static func unusable(_ reason: String, _ advice: String = "") -> Failure {
        Failure(
            .usage, "cannot use the location", reason: reason, advice: advice.isEmpty ? "Use sftp://user@host:port/path." : advice
        )
    }
}
