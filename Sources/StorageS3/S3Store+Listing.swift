public import Kloset
public import Storage
internal import Synchronization

/// How finely a kind is listed: all of it at once, by the first digit of the buckets' names, or bucket by bucket.
enum S3ListingDepth: Int, Sendable {
    case whole, sixteenths, buckets
}

/// What a listing of several buckets gave.
enum S3Slice: Sendable {
    case complete([UInt8: BucketListing])
    /// It has too many keys to be listed so; how to go on.
    case tooLarge(S3ListingDepth)
}

extension S3Store {
    public func list(_ kind: ResourceKind, bucket: UInt8) async throws -> BucketListing {
        if kind == .config {
            let isThere = try await head(objectKey(.config), "cannot list the store", .config) != nil
            return BucketListing(ids: isThere ? [.zero] : [])
        }
        return try await listings.serve(kind, bucket: bucket, of: self)
    }

    /// A sixteenth takes its pages one after the other: with as many as this at most, all sixteen are done in the time and with a quarter of
    /// the requests of 256 buckets, which never take less than a request each.
    private static let pagesPerSixteenthMax = 4

    /// Everything of a kind, when it fits into one page.
    fileprivate func listWhole(_ kind: ResourceKind) async throws -> S3Slice {
        var slice = S3Slice.complete([:])
        try await list("\(kind.folder)/") { page in
            if page.token == nil { slice = .complete(sorted(page, kind)) } else { slice = .tooLarge(depth(after: page, kind)) }
            return false
        }
        return slice
    }

    /// Ids are digests, so the first page's share of the buckets tells how many pages there are.
    private func depth(after page: S3ListPage, _ kind: ResourceKind) -> S3ListingDepth {
        let last = page.objects.last.flatMap { bucketAndName(name(of: $0.key), kind)?.bucket }
        guard let last else { return .buckets }
        let pages = 256 / (Int(last) + 1)
        return pages <= 16 * Self.pagesPerSixteenthMax / 2 ? .sixteenths : .buckets
    }

    /// The sixteen buckets whose names begin with a digit, when they fit into a few pages.
    fileprivate func listSixteenth(_ kind: ResourceKind, digit: UInt8) async throws -> S3Slice {
        var buckets: [UInt8: BucketListing] = [:]
        var pagesLeft = Self.pagesPerSixteenthMax
        var isComplete = false
        try await list("\(kind.folder)/\(String(digit, radix: 16))") { page in
            buckets.merge(sorted(page, kind)) { before, more in
                BucketListing(
                    ids: before.ids + more.ids, sizes: before.sizes + more.sizes, foreign: before.foreign + more.foreign)
            }
            isComplete = page.token == nil
            pagesLeft -= 1
            return pagesLeft > 0
        }
        return isComplete ? .complete(buckets) : .tooLarge(.buckets)
    }

    private func sorted(_ page: S3ListPage, _ kind: ResourceKind) -> [UInt8: BucketListing] {
        var buckets: [UInt8: BucketListing] = [:]
        for object in page.objects { add(name(of: object.key), object.size, kind, to: &buckets) }
        return buckets
    }

    /// One bucket by itself.
    fileprivate func listBucket(_ kind: ResourceKind, _ bucket: UInt8) async throws -> BucketListing {
        var buckets: [UInt8: BucketListing] = [:]
        try await list("\(kind.folder)/\(hexText([bucket]))/") { page in
            for object in page.objects { add(name(of: object.key), object.size, kind, to: &buckets) }
            let count = buckets[bucket].map { $0.ids.count + $0.foreign } ?? 0
            guard count <= StoreLimits.namesPerBucketMax else {
                throw failure(
                    .readWrite, "cannot list the store", nil,
                    "\(kind.folder)/\(hexText([bucket])) holds more than \(StoreLimits.namesPerBucketMax) names",
                    "No store has so many; look at what lies there.")
            }
            return true
        }
        return buckets[bucket] ?? BucketListing()
    }

    /// Sorts a key below `packfiles/` or `states/` into its bucket. What lies in none is counted by ``extras()``.
    private func add(_ name: Substring, _ size: Int64, _ kind: ResourceKind, to buckets: inout [UInt8: BucketListing]) {
        guard let (bucket, name) = bucketAndName(name, kind) else { return }
        if let id = ResourceID(hex: String(name)), id.firstByte == bucket {
            buckets[bucket, default: BucketListing()].ids.append(id)
            buckets[bucket, default: BucketListing()].sizes.append(size <= Self.objectByteCountMax ? size : -1)
        } else if !name.isEmpty, !Self.isTemporary(name) {
            // An empty name is the mark that some tools leave for a folder.
            buckets[bucket, default: BucketListing()].foreign += 1
        }
    }

    /// 64 TiB, more than any server takes: sums of what a listing claims must never overflow. Spools keep −1 as “nobody knows”, so that such
    /// an object is asked by itself.
    private static let objectByteCountMax: Int64 = 1 << 46

    private func bucketAndName(_ name: Substring, _ kind: ResourceKind) -> (bucket: UInt8, name: Substring)? {
        let parts = name.dropFirst(kind.folder.count + 1).split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let bucket = Self.bucket(parts[0]) else { return nil }
        return (bucket, parts[1])
    }

    private static func bucket(_ text: Substring) -> UInt8? {
        guard text.utf8.count == 2, text.utf8.allSatisfy({ (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }) else {
            return nil
        }
        return UInt8(text, radix: 16)
    }

    /// Clients' own temporary files.
    private static func isTemporary(_ name: Substring) -> Bool { name.hasPrefix("tmp.") || name.hasSuffix(".tmp") }

    public func extras() async throws -> StoreExtras {
        var extras = StoreExtras()
        let known: Set<Substring> = ["CONFIG", "CONFIG.frozen", "packfiles", "states", "locks", ".sealift"]
        for name in try await names(in: "") where !known.contains(name.text) && !Self.isTemporary(name.text) {
            extras.foreign += 1
        }
        for kind in [ResourceKind.packfile, .state] {
            for name in try await names(in: "\(kind.folder)/") where !Self.isTemporary(name.text) {
                if !name.isFolder || Self.bucket(name.text) == nil { extras.foreign += 1 }
            }
        }
        for name in try await names(in: "locks/") where !Self.isTemporary(name.text) {
            if !name.isFolder, ResourceID(hex: String(name.text)) != nil { extras.locks += 1 } else { extras.foreign += 1 }
        }
        return extras
    }

    struct Name: Sendable {
        var text: Substring
        var isFolder: Bool
    }

    /// What lies directly in a folder; folders without their `/`. More than a million names are refused.
    func names(in folder: String, atMost most: Int = StoreLimits.namesPerBucketMax, keysMax: Int = keysPerPageMax) async throws
        -> [Name]
    {
        var names: [Name] = []
        let start = settings.key(folder).utf8.count
        func rest(_ key: String) -> Substring { Substring(key.utf8.dropFirst(start)) }
        try await list(folder, delimiter: "/", keysMax: keysMax) { page in
            names += page.objects.map { Name(text: rest($0.key), isFolder: false) }
            names += page.prefixes.map { Name(text: rest($0).dropLast(), isFolder: true) }
            return names.count < most
        }
        return names.filter { !$0.text.isEmpty }
    }
}

/// Lists small kinds as a whole, larger ones by sixteenths and the largest bucket by bucket, whichever takes fewer calls.
actor S3Listings {
    private struct SliceName: Hashable {
        var kind: ResourceKind
        /// The first digit of its buckets; nil for all of them.
        var digit: UInt8?
    }

    private struct Served {
        var buckets: [UInt8: BucketListing]
        /// What was asked for already: who asks again wants to know what is there now.
        var served: Set<UInt8> = []
    }

    private var depths: [ResourceKind: S3ListingDepth] = [:]
    private var known: [SliceName: Served] = [:]
    private var underway: [SliceName: Task<S3Slice, any Error>] = [:]

    /// Something was published: what was listed before tells nothing about now.
    func forget() {
        known = [:]
        underway = [:]
    }

    func serve(_ kind: ResourceKind, bucket: UInt8, of store: S3Store) async throws -> BucketListing {
        while true {
            let depth = depths[kind] ?? .whole
            if depth == .buckets { return try await store.listBucket(kind, bucket) }
            let name = SliceName(kind: kind, digit: depth == .whole ? nil : bucket >> 4)
            if var slice = known[name], slice.served.insert(bucket).inserted {
                known[name] = slice
                return slice.buckets[bucket] ?? BucketListing()
            }
            if underway[name] == nil {
                known[name] = nil
                underway[name] = Task {
                    guard let digit = name.digit else { return try await store.listWhole(kind) }
                    return try await store.listSixteenth(kind, digit: digit)
                }
            }
            // Who came first lists for all; a failure of that call is everybody's.
            guard let task = underway[name] else { continue }
            let result = await task.result
            guard underway[name] == task else {
                _ = try result.get()
                continue
            }
            underway[name] = nil
            switch try result.get() {
            case .complete(let buckets): known[name] = Served(buckets: buckets)
            case .tooLarge(let next): if next.rawValue > (depths[kind] ?? .whole).rawValue { depths[kind] = next }
            }
        }
    }
}
