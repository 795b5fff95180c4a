internal import Glibc
internal import S3Signing
public import Storage

extension StoresFile {
    /// Parses the content of the file, then overwrites `bytes` with zeros, also when it throws.
    ///
    /// - Parameters:
    ///   - bytes: the whole file.
    ///   - path: where it came from, for messages.
    /// - Throws: `.configuration`, naming file and line, quoting no value.
    public init(parsing bytes: UnsafeMutableRawBufferPointer, path: String) throws(Failure) {
        defer { if let start = bytes.baseAddress { explicit_bzero(start, bytes.count) } }
        var parser = StoresParser(UnsafeRawBufferPointer(bytes), path: path)
        self.init(path: path, entries: try parser.stores(), exists: true)
    }
}

/// Follows the one shape that `stores.yml` can have. Anything else ends the parse where it stands, so its depth is bounded by the shape.
private struct StoresParser: ~Copyable {
    /// Options of plakar's integrations (kloset-format 4), and our own for S3 and SFTP. None means anything for a local store.
    private static let knownOptions: Set<String> = [
        "access_key", "secret_access_key", "use_tls", "tls_insecure_no_verify", "storage_class", "virtual_host", "endpoint",
        "port",
        "root", "sse_customer_key", "region", "profile", "session_token",
        "secret_access_key_file", "secret_access_key_env", "secret_access_key_command", "username", "identity",
        "insecure_ignore_host_key", "transport", "auth_token", "tls_no_verify", "connections",
    ]
    /// The longest name or key: that of a file name.
    private static let keyByteCountMax = 255
    /// The longest value. Keys and certificates in PEM stay below.
    private static let valueByteCountMax = 64 << 10

    private var events: YAMLEvents
    private let path: String

    init(_ bytes: UnsafeRawBufferPointer, path: String) {
        events = YAMLEvents(bytes)
        self.path = path
    }

    mutating func stores() throws(Failure) -> [String: StoresFile.Entry] {
        _ = try next()  // the stream's start
        guard try next() == .documentStart else { return [:] }
        guard try next() == .mappingStart else { throw failure("a map with version and stores should stand here") }
        var found: [String: StoresFile.Entry] = [:]
        var version: String?
        var seen: Set<String> = []
        while let key = try key(in: "file", &seen) {
            switch key {
            case "version":
                version = try value("the version")
                guard version == "v1.0.0" else { throw failure("this is a version of the file that is not known, v1.0.0 is") }
            case "default": _ = try value("the default")
            case "stores": found = try entries()
            default: throw failure("this setting is not known: \(Self.shown(key))")
            }
        }
        if version == nil { throw failure("the file names no version") }
        guard try next() == .documentEnd, try next() == .streamEnd else { throw failure("the file holds more than one document") }
        return found
    }

    private mutating func entries() throws(Failure) -> [String: StoresFile.Entry] {
        guard try enterMap("a map of stores") else { return [:] }
        var found: [String: StoresFile.Entry] = [:]
        var seen: Set<String> = []
        while let name = try key(in: "map of stores", &seen) {
            guard !name.isEmpty else { throw failure("a store has no name") }
            found[name] = try entry()
        }
        return found
    }

    private mutating func entry() throws(Failure) -> StoresFile.Entry {
        var entry = StoresFile.Entry(line: events.line)
        var values: [String: Secret] = [:]
        guard try enterMap("a map of options") else { return entry }
        var seen: Set<String> = []
        while let option = try key(in: "store", &seen) {
            let line = events.line
            if option == "location" {
                entry.location = Self.kept(try value("the location"))
                continue
            }
            try passValue()
            if option.lowercased().contains("passphrase") { continue }
            if Self.knownOptions.contains(option) {
                entry.options.append(option)
                values[option] = events.scalarSecret
            } else if entry.unknownOption == nil {
                entry.unknownOption = (Self.shown(option), line)
            }
        }
        // Those of a local store mean nothing, and are let go of.
        switch entry.location {
        case .s3: entry.values = StoreOptions(values)
        case .local(let text) where Location.scheme(of: text) == "sftp": entry.values = StoreOptions(values)
        default: break
        }
        return entry
    }

    /// What is kept of a location: all of one that can be opened, the scheme of any other. plakar writes `raw:` before values that it must not expand.
    private static func kept(_ value: String) -> StoresFile.NamedLocation? {
        let text = plain(value)
        if text.isEmpty { return nil }
        let scheme = Location.scheme(of: text)
        if let scheme, !Location.isSupported(scheme: scheme) {
            return .elsewhere(scheme: Location.isKnown(scheme: scheme) ? scheme : "")
        }
        if scheme == "s3" {
            do throws(Failure) {
                if case .s3(let address) = try Location(parsing: text, workingDirectory: "/") { return .s3(address) }
            } catch {
                return .unusable(error)
            }
        }
        return .local(text)
    }

    private static func plain(_ value: String) -> String { value.hasPrefix("raw:") ? String(value.dropFirst(4)) : value }

    /// A key as a message may show it: a word, or nothing of it.
    private static func shown(_ key: String) -> String {
        let isWord =
            !key.isEmpty && key.utf8.count <= 64
            && key.unicodeScalars.allSatisfy {
                $0.isASCII && ($0.properties.isAlphabetic || ("0"..."9").contains($0) || "_.-".unicodeScalars.contains($0))
            }
        return isWord ? key : "(a name that is no word)"
    }

    // MARK: The pieces of the shape

    /// Steps into a map; false when there is nothing in its place.
    private mutating func enterMap(_ what: String) throws(Failure) -> Bool {
        switch try next() {
        case .mappingStart: return true
        case .scalar where events.scalarByteCount <= 4 && events.scalarText.isEmpty: return false
        default: throw failure("\(what) should stand here")
        }
    }

    /// The next key of a map, or nil at its end.
    private mutating func key(in what: String, _ seen: inout Set<String>) throws(Failure) -> String? {
        switch try next() {
        case .mappingEnd: return nil
        case .scalar: break
        default: throw failure("a key should stand here")
        }
        guard events.scalarByteCount <= Self.keyByteCountMax else {
            throw failure("a key is longer than \(Self.keyByteCountMax) bytes")
        }
        let key = events.scalarText
        guard key.unicodeScalars.allSatisfy({ $0.value >= 0x20 && !(0x7f...0x9f).contains($0.value) }) else {
            throw failure("a key holds a control character")
        }
        guard seen.insert(key).inserted else { throw failure("the same key stands twice in one \(what)") }
        return key
    }

    private mutating func value(_ what: String) throws(Failure) -> String {
        try passValue()
        return events.scalarText
    }

    /// Moves to a value without looking at it.
    private mutating func passValue() throws(Failure) {
        guard try next() == .scalar else { throw failure("a single value should stand here") }
        guard events.scalarByteCount <= Self.valueByteCountMax else {
            throw failure("a value is longer than \(Self.valueByteCountMax) bytes")
        }
    }

    private mutating func next() throws(Failure) -> YAMLEvents.Kind {
        let kind: YAMLEvents.Kind
        do throws(YAMLEvents.Fault) {
            kind = try events.next()
        } catch {
            throw failure(error.reason, line: error.line)
        }
        if kind == .alias || events.isMarked { throw failure("anchors, aliases and tags have no place here") }
        return kind
    }

    private func failure(_ reason: String, line: Int? = nil) -> Failure {
        Failure(
            .configuration, "cannot use", place: "\(path), line \(line ?? events.line)", reason: reason,
            advice: "Correct the file; plakar reads it too.")
    }
}
