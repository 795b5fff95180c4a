public import Kloset

/// The reading half of the storage contract: code that only looks at a store gets this and cannot write.
///
/// Every method may be called concurrently. Errors are ``Failure`` with place and resource filled in, or `CancellationError`.
/// Each promise below is a rule of the conformance suite.
public protocol StoreReader: Sendable {
    /// Where this is, as a person wrote it, without secrets.
    var place: String { get }

    /// What this kind of place can and cannot promise.
    var capabilities: StoreCapabilities { get }

    /// Where this is in terms that two names of the same place share.
    func footprint() async throws -> Footprint

    /// This place for a server that can copy from it; nil where there is no such server, or it is not to be asked. Only looks.
    func copyOrigin() async throws -> CopyOrigin?

    /// Whether these can be read at once. Only looks; costs nothing where no listing has shown anything cold.
    func warmth(of keys: [ResourceKey]) async throws -> [Warmth]

    /// Asks for cold resources to be brought back. What is under way or ready already is no error. The place knows what it was asked for: nobody
    /// else has to remember.
    func recall(_ keys: [ResourceKey], _ recall: Recall) async throws

    /// Whether anything is there at all.
    ///
    /// - Throws: `.unavailable`, `.permission`; `.cannotWrite` where something that cannot hold a store is in the way (a file).
    func presence() async throws -> Presence

    /// The resources of one kind whose id begins with `bucket`, ascending by id, each once.
    ///
    /// Names that are no resource are not listed but counted as foreign: upper case, wrong bucket, odd names. Temporary files of clients
    /// (`tmp.*`, `*.tmp`) and locks are neither. A missing bucket is an empty one, and says so where there are folders. For `.config` the bucket is ignored.
    /// - Throws: `.readWrite` when there are more than ``StoreLimits/namesPerBucketMax`` names.
    func list(_ kind: ResourceKind, bucket: UInt8) async throws -> BucketListing

    /// What lies in the store beside buckets: locks, and names that belong to no store. `.sealift/` is ours and is not counted.
    func extras() async throws -> StoreExtras

    /// Size and time of each resource, in the order asked. Many at once cost little more than one.
    func attributes(of keys: [ResourceKey]) async throws -> [ResourceAttributes]

    /// Reads as many of the resources as fit into `piece`, whole, from the first on, one behind the other.
    ///
    /// - Returns: an outcome for a prefix of `keys`, never empty unless `keys` is. The first resource is `.tooLarge` when it exceeds a
    ///   whole piece.
    func readWhole(_ keys: [ResourceKey], from view: ResourceView, into piece: Piece) async throws -> [WholeRead]

    /// Reads `count` bytes at `offset` into the start of `piece`; fewer only at the resource's end.
    ///
    /// - Throws: `.damage` when the name is taken by something that is no regular file, ``Vanished`` when there is nothing.
    func read(_ key: ResourceKey, from view: ResourceView, at offset: Int64, count: Int, into piece: Piece) async throws -> Int

    /// One of our own small documents below `.sealift/`, or nil if there is none.
    ///
    /// - Parameters:
    ///   - name: a relative name of safe words: `replica`, `ledger/00000001.zst`.
    ///   - byteCountMax: a longer document is an error, never read.
    func document(_ name: String, byteCountMax: Int) async throws -> [UInt8]?

    /// The names of our documents in a folder of `.sealift/`, ascending; empty when there is no such folder.
    func documents(in folder: String) async throws -> [String]

    /// When a resource was last modified, by the last ``read(_:from:at:count:into:)`` of its beginning where that tells, else by asking.
    ///
    /// - Throws: ``Vanished`` when there is nothing.
    func modified(of key: ResourceKey) async throws -> Timestamp

    /// Requests that were sent so far, where they are counted; nil elsewhere.
    var requestCounts: RequestCounts? { get }

    /// What is known of the place beside what lies there. Only looks.
    func standing() async throws -> PlaceStanding

    /// The SHA-256 of each resource, as far as the place has computed it itself from what it stores; that is its word, no proof. Nil where it
    /// has none.
    func attestedDigests(of keys: [ResourceKey]) async throws -> [Digest?]

    /// All that has had the name of a resource, newest first: the first is what everybody sees. Nil where the place keeps nothing of that, or does
    /// not tell these credentials.
    func versions(of key: ResourceKey) async throws -> [ResourceVersion]?

    /// Like ``read(_:from:at:count:into:)``, of one version.
    func read(_ key: ResourceKey, version: ResourceVersion, at offset: Int64, count: Int, into piece: Piece) async throws -> Int
}

/// Places that are nobody's machine but ours.
extension StoreReader {
    public func copyOrigin() async throws -> CopyOrigin? { nil }

    public func warmth(of keys: [ResourceKey]) async throws -> [Warmth] { keys.map { _ in .ready } }

    public func recall(_ keys: [ResourceKey], _ recall: Recall) async throws {}

    public func modified(of key: ResourceKey) async throws -> Timestamp {
        guard case .regular(_, let modified) = try await attributes(of: [key])[0] else { throw Vanished(key) }
        return modified
    }

    public var requestCounts: RequestCounts? { nil }

    public func standing() async throws -> PlaceStanding { PlaceStanding() }

    public func attestedDigests(of keys: [ResourceKey]) async throws -> [Digest?] { keys.map { _ in nil } }

    public func versions(of key: ResourceKey) async throws -> [ResourceVersion]? { nil }

    public func read(
        _ key: ResourceKey, version: ResourceVersion, at offset: Int64, count: Int, into piece: Piece
    ) async throws -> Int {
        throw Vanished(key)
    }
}

/// Thrown when a resource that was listed is no longer there: the source may have been maintained meanwhile.
public struct Vanished: Error, Sendable, Equatable {
    public var key: ResourceKey

    public init(_ key: ResourceKey) {
        self.key = key
    }
}

/// Which bytes to read.
public enum ResourceView: Sendable {
    /// The resource under its final name.
    case published
    /// The same, from the medium instead of a cache, as far as the kernel or the server lets us.
    case publishedOnMedium
    /// What was staged for it and is not published yet, from the medium where possible. Only where ``StoreCapabilities/showsStaged``; elsewhere
    /// nothing is found.
    case stagedOnMedium
}

/// Bounds of a listing.
public enum StoreLimits {
    /// More names in one bucket than this is an attack or a mistake: 256 buckets of a million make 256 million resources, far above the
    /// largest store that plakar could open.
    public static let namesPerBucketMax = 1_000_000
    /// CONFIG is about a kilobyte; a megabyte leaves room for what later versions may add.
    public static let configByteCountMax = 1 << 20
}

/// Whether anything is at a place.
public enum Presence: Sendable, Equatable {
    /// Nothing has that name yet.
    case absent
    /// It is there and empty.
    case empty
    /// It is there and holds something; a few of the names, for messages.
    case occupied(names: [String])
}

/// One bucket's resources.
public struct BucketListing: Sendable {
    /// Ascending.
    public var ids: [ResourceID]
    /// Bytes of each, in the order of ``ids``, where the listing tells; else empty.
    public var sizes: [Int64]
    /// Listed ids that are taken by something that is no regular file; a subset of `ids`.
    public var irregular: Set<ResourceID>
    /// Names that are no resource of this bucket.
    public var foreign: Int
    /// The place has folders, and there is none for this bucket.
    public var isAbsent: Bool

    public init(
        ids: [ResourceID] = [], sizes: [Int64] = [], irregular: Set<ResourceID> = [], foreign: Int = 0, isAbsent: Bool = false
    ) {
        self.ids = ids
        self.sizes = sizes
        self.irregular = irregular
        self.foreign = foreign
        self.isAbsent = isAbsent
    }
}

/// What lies in a store beside its buckets' content.
public struct StoreExtras: Sendable, Equatable {
    public var locks: Int
    public var foreign: Int

    public init(locks: Int = 0, foreign: Int = 0) {
        self.locks = locks
        self.foreign = foreign
    }
}

/// What is known of a resource without reading it.
public enum ResourceAttributes: Sendable, Equatable {
    /// A regular file of `size` bytes, last modified at `modified`.
    case regular(size: Int64, modified: Timestamp)
    /// Something else has the name; what, for messages.
    case irregular(String)
    /// Nothing has the name.
    case absent
}

/// The outcome of reading one small resource.
public enum WholeRead: Sendable {
    /// Its bytes are at `range` of the piece.
    case bytes(range: Range<Int>, modified: Timestamp)
    /// It does not fit into one piece.
    case tooLarge(size: Int64)
    /// It is no longer there.
    case vanished
    /// It could not be read.
    case failed(Failure)
}
