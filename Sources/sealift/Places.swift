internal import Catalog
internal import Configuration
internal import FoundationEssentials
internal import Glibc
internal import Storage
internal import StorageLocal

/// From the words of a person to places that can be opened: one branch for each kind of place.
struct Places: Sendable {
    let pool: BlockingPool
    private let options: LocationOptions
    private let catalog: StateCatalog
    private let resolver: LocationResolver

    init(pool: BlockingPool, options: LocationOptions, catalog: StateCatalog) {
        self.pool = pool
        self.catalog = catalog
        self.options = options
        resolver = Self.resolver()
    }

    /// What finds out where a word leads to, with the person's own `stores.yml`.
    static func resolver() -> LocationResolver {
        let variables = ProcessInfo.processInfo.environment
        return LocationResolver(
            workingDirectory: FileManager.default.currentDirectoryPath,
            storesPath: StoresFile.defaultPath(configurationHome: variables["XDG_CONFIG_HOME"], home: variables["HOME"]))
    }

    /// A location, with what is to be said about options that mean nothing there.
    func resolve(_ text: String, warnings: inout [String]) throws -> ResolvedLocation {
        try locate(text, warnings: &warnings).location
    }

    private func locate(_ text: String, warnings: inout [String]) throws -> LocatedStore {
        var found = try resolver.locate(text)
        if let warning = found.location.warning { warnings.append(warning) }
        found.options = options.over(found.options)
        return found
    }

    /// A store that can be read and written.
    ///
    /// - Parameter hashes: what lies there may be hashed there.
    /// - Throws: `.usage` for a single-file archive.
    func store(_ text: String, hashes: Bool = false, warnings: inout [String]) async throws -> any Store {
        let found = try locate(text, warnings: &warnings)
        guard !hashes || found.location.scheme == .sftp else {
            throw Failure(
                .usage, "cannot use --remote-hash", place: found.location.printable, reason: "it is no SFTP location",
                advice: found.location.scheme == .s3 ? "For a bucket there is --server-checksums." : "")
        }
        switch found.location.scheme {
        case .folder: return LocalStore(path: LocalStore.canonicalPath(found.location.path), pool: pool)
        case .s3: return try await S3Opening(found, variables: ProcessInfo.processInfo.environment).store(catalog: catalog)
        case .sftp:
            guard let address = found.location.sftp else { preconditionFailure("an sftp location has an address") }
            return try sftp(try options.over(address), hashes, warnings: &warnings)
        case .ptar:
            throw Failure(
                .usage, "cannot use", place: found.location.printable,
                reason: "a single-file archive cannot be unpacked into a store without the key",
                advice: "inspect and verify can look at it; to copy it as it is, cp will do.")
        }
    }

    /// A folder on an SFTP server: prompts at a terminal, none without.
    private func sftp(_ address: SFTPAddress, _ hashes: Bool, warnings: inout [String]) throws -> any Store {
        if address.ignoresHostKey {
            warnings.append(
                "\(address.text): INSECURE: insecure_ignore_host_key is set, so whoever answers is believed to be the host")
        }
        let isBatch = isatty(STDIN_FILENO) == 0 || isatty(STDERR_FILENO) == 0
        return try SFTPOpening(address, variables: ProcessInfo.processInfo.environment).store(
            isBatch: isBatch, hashes: hashes)
    }
}
