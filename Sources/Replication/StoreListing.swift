public import Kloset
internal import Planning
internal import Reconciliation
public import Storage

/// All resources of one kind at one place at one time, sorted, on disk.
struct KindListing: Sendable {
    var spool: InventorySpool
    var names: Digest
    var foreign: Int
    /// Ids taken by something that is no regular file; a few, for messages.
    var irregular: [ResourceKey]
    /// Folders that could not be listed, where that was to be passed over.
    var unlisted: [UnlistedFolder] = []
    var kind = ResourceKind.packfile
    var census = FolderCensus()

    var count: Int { spool.count }

    /// Folders that are not there although clients make them: see ``FolderCensus/lost``.
    var lostFolders: [UnlistedFolder] { UnlistedFolder.joined(census.lost.map { UnlistedFolder(kind: kind, bucket: $0) }) }
}

/// A folder of resources that could not be listed: nobody knows what is in it.
public struct UnlistedFolder: Sendable, Equatable {
    public var kind: ResourceKind
    /// The first byte of the ids in it; nil when it is so with all 256.
    public var bucket: UInt8?
    /// Why not; nil for one that is not there.
    public var failure: Failure?

    /// We may not look into it: that says nothing of what is there.
    public var isForbidden: Bool { failure?.kind == .permission }
    /// Relative to the store.
    public var path: String { bucket.map { "\(kind.folder)/\(hexText([$0]))" } ?? kind.folder }
    /// What is wrong, as a phrase without the path.
    public var reason: String { failure?.reason ?? "the folder is not there" }

    func reason(ending: String) -> String { "its folder \(path) is not there\(ending)" }

    /// One for all where it is so with all.
    static func joined(_ folders: [UnlistedFolder]) -> [UnlistedFolder] {
        guard folders.count == 256, let first = folders.first else { return folders }
        return [UnlistedFolder(kind: first.kind, bucket: nil, failure: first.failure)]
    }

    func contains(_ key: ResourceKey) -> Bool { key.kind == kind && (bucket == nil || bucket == key.id.firstByte) }
}

enum StoreListing {
    /// What a place holds where nothing is yet.
    static func empty(in environment: RunEnvironment) async throws -> KindListing {
        let spool = try await environment.makeSpool()
        try spool.seal()
        return KindListing(spool: spool, names: NamesDigest().finalize(), foreign: 0, irregular: [])
    }

    /// Lists one kind of a store in ascending order, several buckets at a time.
    ///
    /// - Parameter passingOver: whether folders that cannot be listed are noted instead of thrown.
    static func list(
        _ kind: ResourceKind, of store: any StoreReader, in environment: RunEnvironment, passingOver: Bool = false
    ) async throws -> KindListing {
        let spool = try await environment.makeSpool()
        var names = NamesDigest()
        var foreign = 0
        var irregular: [ResourceKey] = []
        var unlisted: [UnlistedFolder] = []
        var census = FolderCensus()
        try await withThrowingTaskGroup(of: (Int, Result<BucketListing, Failure>).self) { group in
            var waiting: [Int: Result<BucketListing, Failure>] = [:]
            var started = 0
            func start() {
                guard started < 256 else { return }
                let bucket = started
                started += 1
                group.addTask { (bucket, try await list(kind, UInt8(bucket), of: store, passingOver: passingOver)) }
            }
            for _ in 0..<store.capabilities.bucketsInFlight { start() }
            for bucket in 0..<256 {
                while waiting[bucket] == nil {
                    guard let (number, listing) = try await group.next() else { throw CancellationError() }
                    waiting[number] = listing
                }
                let listing: BucketListing
                switch waiting.removeValue(forKey: bucket) {
                case .success(let found)?: listing = found
                case .failure(let failure)?:
                    unlisted.append(UnlistedFolder(kind: kind, bucket: UInt8(bucket), failure: failure))
                    listing = BucketListing()
                case nil: continue
                }
                start()
                if listing.isAbsent { census.absent.append(UInt8(bucket)) } else if listing.ids.isEmpty { census.empty += 1 }
                census.resources += listing.ids.count
                foreign += listing.foreign
                let hasSizes = listing.sizes.count == listing.ids.count
                for (index, id) in listing.ids.enumerated() {
                    let key = ResourceKey(kind, id)
                    let isIrregular = !listing.irregular.isEmpty && listing.irregular.contains(id)
                    if isIrregular, irregular.count < Refusal.idsMax { irregular.append(key) }
                    names.add(key)
                    try spool.append(
                        ListedResource(key: key, size: hasSizes ? listing.sizes[index] : nil, isIrregular: isIrregular))
                }
            }
        }
        try spool.seal()
        return KindListing(
            spool: spool, names: names.finalize(), foreign: foreign, irregular: irregular,
            unlisted: UnlistedFolder.joined(unlisted), kind: kind, census: census)
    }

    private static func list(
        _ kind: ResourceKind, _ bucket: UInt8, of store: any StoreReader, passingOver: Bool
    ) async throws -> Result<BucketListing, Failure> {
        do {
            return .success(try await store.list(kind, bucket: bucket))
        } catch let failure as Failure where passingOver && [.damage, .permission, .readWrite].contains(failure.kind) {
            return .failure(failure)
        }
    }
}

extension StoreReader {
    /// Bytes of listed resources together; asks only for what the listing did not tell.
    func byteCount(of listed: [ListedResource]) async throws -> Int64 {
        var sum = listed.reduce(0) { $0 + ($1.size ?? 0) }
        let rest = listed.filter { $0.size == nil }.map(\.key)
        guard !rest.isEmpty else { return sum }
        for case .regular(let size, _) in try await attributes(of: rest) { sum += size }
        return sum
    }
}

/// The source at one moment: everything that its visible states may name is in it.
struct SourceCut: Sendable {
    var states: KindListing
    var packfiles: KindListing

    /// States, then packfiles: ascending by key.
    func cursor() -> ChainedCursor { ChainedCursor(states.spool.cursor(), packfiles.spool.cursor()) }

    /// Folders that could not be listed, where that was to be passed over.
    var unlisted: [UnlistedFolder] { states.unlisted + packfiles.unlisted }

    var names: Digest { InventoryNames.joined(states.names, packfiles.names) }

    /// How often a source may change under our hands before the run gives up for now. A backup or a maintenance commits a state every few
    /// seconds at most, a listing takes less: four repetitions fail only against a source that never rests.
    private static let attemptsMax = 5

    /// Cuts the source: states, packfiles, states again. Anything new in the second list means that a maintenance may have dropped a
    /// packfile between the lists, so the cut is made again (kloset-format 2).
    ///
    /// - Throws: `.tryAgain` when the source keeps changing.
    static func make(
        of store: any StoreReader, in environment: RunEnvironment, passingOver: Bool = false
    ) async throws -> SourceCut {
        for _ in 0..<attemptsMax {
            let before = try await StoreListing.list(.state, of: store, in: environment, passingOver: passingOver)
            let packfiles = try await StoreListing.list(.packfile, of: store, in: environment, passingOver: passingOver)
            let after = try await StoreListing.list(.state, of: store, in: environment, passingOver: passingOver)
            if before.names == after.names { return SourceCut(states: after, packfiles: packfiles) }
        }
        throw Failure(
            .tryAgain, "cannot get a consistent view of", place: store.place,
            reason: "its states changed during each of \(attemptsMax) listings",
            advice: "Run again when fewer clients are writing.",
            retryable: true)
    }
}

/// Two cursors one behind the other; all keys of the first are below those of the second.
struct ChainedCursor: SortedCursor, Sendable {
    private var first: InventorySpool.Cursor
    private var second: InventorySpool.Cursor
    private var isSecond = false

    init(_ first: InventorySpool.Cursor, _ second: InventorySpool.Cursor) {
        self.first = first
        self.second = second
    }

    mutating func next() throws -> ListedResource? {
        if !isSecond {
            if let element = try first.next() { return element }
            isSecond = true
        }
        return try second.next()
    }
}
