internal import Kloset
internal import SFTPProtocol
public import Storage
internal import Synchronization

/// A store in a folder of an SFTP server, in plakar's own layout.
///
/// Small documents, uploads and quarantine live in `.sealift/`. Every staged file has a name that was never used before, so that requests of
/// a connection that was given up, which a server may still carry out, touch nothing of a later one's. Below the location nothing is
/// opened that is no regular file by its own attributes.
///
/// There is no lock over SFTP. Two writers are kept apart by names that are never replaced and by the second look at a target's states.
public final class SFTPStore: Store {
    public let place: String
    let address: SFTPAddress
    let link: SFTPLink
    let state = Mutex(SFTPState())
    /// Hashes there; nil unless that was asked for.
    let hashing: RemoteHashing?
    /// For chunks that are read before they are asked for: enough for each file that may be open, so that none waits for another's.
    let pieces = PiecePool(capacity: OpenReads.countMax * (OpenRead.aheadMax + 1))
    /// Part of every name that this object gives to files of its own.
    let nonce: String

    /// Two cores encrypt twice what one does, and twice OpenSSH's 2 MiB under way fill 1 Gbit/s at 20 ms. More than this is a matter of the
    /// server's cores and of what it bears: storage boxes allow five for all that run at the same time.
    public static let connectionsStandard = 2

    /// - Parameters:
    ///   - address: nothing is looked at or made yet.
    ///   - place: how messages name it; by default the address.
    ///   - transport: what carries the bytes.
    ///   - hashing: runs ``hashingWords`` at the other end, so that ``attestedDigests(of:)`` has something to say; nil for nothing.
    public init(
        _ address: SFTPAddress, place: String? = nil, transport: SFTPTransport, patience: SFTPPatience = SFTPPatience(),
        hashing: SSHCommand? = nil
    ) {
        self.address = address
        self.place = place ?? address.text
        self.hashing = hashing.map { [place = self.place] in RemoteHashing($0, place: place) }
        link = SFTPLink(
            transport, place: self.place, patience: patience, connectionsMax: address.connectionsMax ?? Self.connectionsStandard)
        var generator = SystemRandomNumberGenerator()
        nonce = hexText(withUnsafeBytes(of: generator.next()) { Array($0) })
    }

    /// What an account's shell is given to hash files: it reads their names, each with a NUL behind it.
    public static let hashingWords = RemoteHashing.words

    /// What was found out when the folder was prepared for writing; before, what the server's greeting promises.
    public var capabilities: StoreCapabilities {
        state.withLock { ($0.traits ?? SFTPTraits(announcedBy: $0.server)).capabilities }
    }
}

extension SFTPStore {
    /// - Parameter command: how `ssh` is called.
    public convenience init(
        _ address: SFTPAddress, place: String? = nil, command: SSHCommand, patience: SFTPPatience = SFTPPatience()
    ) {
        self.init(address, place: place, transport: .command(command), patience: patience)
    }
}

/// What an ``SFTPStore`` remembers.
struct SFTPState {
    var server = SFTPServer()
    /// The location's path as the server takes it, once it was found.
    var root: String?
    /// What was tried.
    var traits: SFTPTraits?
    /// What lies in `.sealift/uploads`, once it was listed.
    var staged: [ResourceKey: StagedFile]?
    var unsynced = UnsyncedNames()
    var openFolders: [OpenFolder] = []
    /// Folders below the root that were made or found by this object, and whether all of a store's are among them.
    var folders: Set<String> = []
    /// Those that were made by this object, and so were empty then.
    var made: Set<String> = []
    var isPrepared = false
    /// What is done beside the run, and waited for before anything leans on it.
    var beside = BesideTheRun()
    var room = KnownRoom()
    var times = KnownTimes()
    var reading = OpenReads()
    private var counter = 0

    /// A number that no other name of this object has.
    mutating func nextNumber() -> Int {
        counter += 1
        return counter
    }
}

/// A folder that names were just given in.
struct OpenFolder: Sendable {
    var name: String
    var handle: SFTPHandle
    var connection: SFTPConnection
}

/// What is staged for one key.
struct StagedFile: Sendable {
    /// The name in `.sealift/uploads`.
    var name: String
    /// Bytes, when this object wrote it.
    var size: Int64?
    /// The source's time, when this object wrote it.
    var modified: Timestamp?
    /// Whether this object synced it.
    var isSynced = false
    /// Names that earlier runs left for the same key.
    var older: [String] = []
}

extension SFTPStore {
    /// Runs work on a live connection, again if that connection is lost meanwhile.
    func run<Value: Sendable>(
        _ key: ResourceKey? = nil, _ body: @Sendable (SFTPConnection, Int) async throws -> Value
    ) async throws -> Value {
        do {
            return try await link.perform { connection, attempt in
                self.state.withLock { $0.server = connection.server }
                return try await body(connection, attempt)
            }
        } catch let failure as Failure {
            throw failure.at(place, key)
        }
    }

    /// The location's path. `~user` is asked of the server once; everything else it understands as it stands.
    func root(on connection: SFTPConnection) async throws -> String {
        if let root = state.withLock({ $0.root }) { return root }
        var root = address.path
        if root.hasPrefix("~") {
            guard connection.server.offers(SFTPExtension.expandPath) else {
                throw failure(.usage, "cannot use the location", nil, "this server does not know ~user", "Write the path itself.")
            }
            let reply = try await connection.send(.expandPath(root.bytes))[0]
            try check(reply, "cannot find the home folder")
            guard case .names(let names) = reply, let name = names.first, let text = String(validating: name.name, as: UTF8.self)
            else { throw unexpected("cannot find the home folder") }
            root = text
        }
        return state.withLock { state in
            state.root = root
            return root
        }
    }

    /// The path of something below the location.
    func path(_ name: String, on connection: SFTPConnection) async throws -> [UInt8] {
        join(try await root(on: connection), name)
    }

    func join(_ root: String, _ name: String) -> [UInt8] {
        name.isEmpty ? root.bytes : root == "/" ? "/\(name)".bytes : "\(root)/\(name)".bytes
    }

    /// A name for a file of ours that nothing has or ever had.
    func freshName(_ stem: String) -> String {
        "\(stem).\(nonce)-\(state.withLock { $0.nextNumber() })"
    }
}
