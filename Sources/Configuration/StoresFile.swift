public import Storage

/// plakar's `stores.yml`: named stores with their locations (kloset-format 4).
///
/// Of every store the location and the names of its options are kept, and of one on a server the values of those that say how to get there, as
/// secrets. Passphrases are passed over while the file is parsed: they never become a string, and the memory that they were read into is
/// overwritten. Of a location that this version cannot open (it may hold credentials) only the scheme is kept.
public struct StoresFile: Sendable, Equatable {
    /// The largest file that is read. A store takes about 300 bytes.
    public static let byteCountMax = 1 << 20

    /// One named store.
    struct Entry: Sendable, Equatable {
        /// The first line of its options.
        var line: Int
        var location: NamedLocation?
        /// Options that plakar knows, beside the location and passphrases, in the file's order.
        var options: [String] = []
        /// Their values, where the place is a server.
        var values = StoreOptions()
        /// The first option that nobody knows, and its line.
        var unknownOption: (name: String, line: Int)?

        static func == (left: Entry, right: Entry) -> Bool {
            left.line == right.line && left.location == right.location && left.options == right.options
                && left.values == right.values
                && left.unknownOption?.name == right.unknownOption?.name
        }
    }

    /// A store's location as far as it is kept.
    enum NamedLocation: Sendable, Equatable {
        case local(String)
        case s3(S3Address)
        /// Why it is none.
        case unusable(Failure)
        case elsewhere(scheme: String)
    }

    /// Where the file is, for messages.
    public let path: String
    let entries: [String: Entry]
    /// Whether there is such a file.
    let exists: Bool

    init(path: String, entries: [String: Entry], exists: Bool) {
        self.path = path
        self.entries = entries
        self.exists = exists
    }

    /// The stores of a place without a `stores.yml`: none.
    public init(absentAt path: String) {
        self.init(path: path, entries: [:], exists: false)
    }

    /// The known names, ascending.
    public var names: [String] { entries.keys.sorted() }

    /// Where plakar keeps the file: `$XDG_CONFIG_HOME/plakar`, else `$HOME/.config/plakar`; nil when neither variable holds an absolute path.
    ///
    /// - Parameters:
    ///   - configurationHome: the value of `XDG_CONFIG_HOME`.
    ///   - home: the value of `HOME`.
    public static func defaultPath(configurationHome: String?, home: String?) -> String? {
        if let folder = configurationHome, folder.hasPrefix("/") { return "\(folder)/plakar/stores.yml" }
        if let folder = home, folder.hasPrefix("/") { return "\(folder)/.config/plakar/stores.yml" }
        return nil
    }

    /// Looks a name up.
    ///
    /// - Parameters:
    ///   - name: without the `@`.
    ///   - sub: another root, see ``Location/replacingRoot(with:)``.
    ///   - workingDirectory: where a relative location of the file starts.
    /// - Throws: `.configuration`; `.usage` for a location that this version cannot open or a `sub` that is none.
    public func resolve(_ name: String, sub: String?, workingDirectory: String) throws(Failure) -> ResolvedLocation {
        try locate(name, sub: sub, workingDirectory: workingDirectory).location
    }

    /// The options of the store that has just this location; nil when none or several have.
    func options(of address: S3Address) -> StoreOptions? {
        let found = entries.values.filter { $0.location == .s3(address) && $0.unknownOption == nil }
        return found.count == 1 ? found[0].values : nil
    }

    /// The same with its options.
    public func locate(_ name: String, sub: String?, workingDirectory: String) throws(Failure) -> LocatedStore {
        let printable = sub.map { "@\(name):\($0)" } ?? "@\(name)"
        guard let entry = entries[name] else { throw unknown(name) }
        switch entry.location {
        case nil:
            throw failure(entry.line, "the store \(name) has no location", "Add a line “location: …” to it.")
        case .elsewhere(let scheme):
            throw Location.unsupported(scheme: scheme, place: printable)
        case .unusable(let failure):
            throw self.failure(entry.line, "the location of the store \(name) cannot be used: \(failure.reason)", failure.advice)
        case .s3(let address):
            try refuseUnknownOption(of: entry, name)
            return try located(.s3(address), name, sub, printable, entry)
        case .local(let text):
            try refuseUnknownOption(of: entry, name)
            return try located(try parsed(text, name, entry, workingDirectory), name, sub, printable, entry)
        }
    }

    private func refuseUnknownOption(of entry: Entry, _ name: String) throws(Failure) {
        guard let option = entry.unknownOption else { return }
        throw failure(option.line, "the store \(name) has an option that is not known: \(option.name)", "Remove or correct it.")
    }

    private func located(
        _ location: Location, _ name: String, _ sub: String?, _ printable: String, _ entry: Entry
    ) throws(Failure) -> LocatedStore {
        var (location, options, ignored) = (location, entry.values, entry.options)
        if case .sftp(var address) = location {
            ignored = try apply(entry, name, to: &address)
            location = .sftp(address)
        }
        if let sub {
            location = try location.replacingRoot(with: sub)
            options["root"] = nil
        }
        guard let resolved = ResolvedLocation(location, printable: printable, ignoredOptions: ignored) else {
            throw failure(entry.line, "the location of the store \(name) is another name", "Write the location itself.")
        }
        return LocatedStore(location: resolved, options: options, isNamed: true)
    }

    /// Takes the options of an SFTP store over.
    ///
    /// - Returns: the names of those that mean nothing there.
    private func apply(_ entry: Entry, _ name: String, to address: inout SFTPAddress) throws(Failure) -> [String] {
        var ignored: [String] = []
        for option in entry.options {
            do throws(Failure) {
                let isOurs = try address.apply(option: option, entry.values.text(option) ?? "")
                if !isOurs { ignored.append(option) }
            } catch {
                throw failure(entry.line, "the store \(name) cannot be used: \(error.reason)", error.advice)
            }
        }
        return ignored
    }

    private func parsed(
        _ text: String, _ name: String, _ entry: Entry, _ workingDirectory: String
    ) throws(Failure) -> Location {
        do throws(Failure) {
            return try Location(parsing: text, workingDirectory: workingDirectory)
        } catch {
            throw failure(entry.line, "the location of the store \(name) cannot be used: \(error.reason)", error.advice)
        }
    }

    private func unknown(_ name: String) -> Failure {
        let known = names.isEmpty ? "it names no stores" : "it knows \(names.map { "@\($0)" }.joined(separator: ", "))"
        return Failure(
            .configuration, "cannot find the store", place: "@\(name)",
            reason: exists ? "\(path) has no such name; \(known)" : "there is no file \(path)",
            advice: "Write the location itself, or add the store with plakar.")
    }

    private func failure(_ line: Int, _ reason: String, _ advice: String) -> Failure {
        Failure(.configuration, "cannot use", place: "\(path), line \(line)", reason: reason, advice: advice)
    }
}
