internal import Glibc
public import Kloset
public import Storage

extension LocalStore {
    public func list(_ kind: ResourceKind, bucket: UInt8) async throws -> BucketListing {
        try await run("cannot list the store") { [self] in
            guard kind != .config else { return try listConfig() }
            let path = Layout.bucketPath(kind, bucket)
            guard let folder = try folderIfPresent(path) else { return BucketListing(isAbsent: true) }
            var names = BucketNames(bucket)
            try files.list(folder.descriptor) { name, type in names.add(name, type) }
            guard !names.overflowed else {
                throw failure(
                    .readWrite, "cannot list \(path)", nil, "it holds more than \(StoreLimits.namesPerBucketMax) names",
                    "No store has so many; look at what lies there")
            }
            for id in names.untyped where try !isRegular(id, in: folder) { names.listing.irregular.insert(id) }
            names.listing.ids.sort()
            return names.listing
        }
    }

    private func listConfig() throws -> BucketListing {
        guard let status = try root().statusIfPresent("CONFIG") else { return BucketListing() }
        return BucketListing(ids: [.zero], irregular: status.type == .regular ? [] : [.zero])
    }

    private func isRegular(_ id: ResourceID, in folder: OpenFolder) throws -> Bool {
        // What is gone meanwhile is for the reader to notice.
        try folder.statusIfPresent(id.hex).map { $0.type == .regular } ?? true
    }

    public func extras() async throws -> StoreExtras {
        try await run("cannot list the store") { [self] in
            var extras = StoreExtras()
            guard let root = try rootIfPresent() else { return extras }
            try count(in: root.folder(".")) { name, _ in
                if !Layout.rootNames.contains(String(decoding: name, as: UTF8.self)), !name.elementsEqual("lost+found".utf8) {
                    extras.foreign += 1
                }
            }
            for kind in [ResourceKind.packfile, .state] {
                try countOrObstacle(kind.folder, &extras.foreign) { name, type in
                    name.count == 2 && name.allSatisfy(\.isHexDigit) && (type == .folder || type == .unknown) ? 0 : 1
                }
            }
            var locks = 0
            try countOrObstacle("locks", &extras.foreign) { name, _ in
                let isLock = ResourceID(hex: name) != nil
                locks += isLock ? 1 : 0
                return isLock ? 0 : 1
            }
            extras.locks = locks
            return extras
        }
    }

    /// Adds up what `body` says of each name in a folder; something that is no folder in its place counts as one.
    private func countOrObstacle(
        _ path: String, _ sum: inout Int, _ body: (UnsafeRawBufferPointer, FileType) -> Int
    ) throws {
        do {
            guard let folder = try folderIfPresent(path) else { return }
            try count(in: folder) { name, type in sum += body(name, type) }
        } catch let error as SystemError where error.code == ENOTDIR || error.code == ELOOP {
            sum += 1
        }
    }

    /// Visits the names in a folder that are no client's temporary files, as many as a bucket may have.
    private func count(in folder: OpenFolder, _ body: (UnsafeRawBufferPointer, FileType) -> Void) throws(SystemError) {
        var seen = 0
        try files.list(folder.descriptor) { name, type in
            if !Layout.isTemporary(name) { body(name, type) }
            seen += 1
            return seen < StoreLimits.namesPerBucketMax
        }
    }

    /// A folder below the location; nil when nothing has its name.
    func folderIfPresent(_ path: String) throws -> OpenFolder? {
        try root().folderIfPresent(path)
    }
}

/// The names of one bucket, sorted into what they are while they are read.
private struct BucketNames {
    var listing = BucketListing()
    /// Ids whose type the file system did not say.
    var untyped: [ResourceID] = []
    private(set) var overflowed = false
    private var count = 0
    private let bucket: UInt8

    init(_ bucket: UInt8) {
        self.bucket = bucket
    }

    /// Takes in one name; false when there are too many.
    mutating func add(_ name: UnsafeRawBufferPointer, _ type: FileType) -> Bool {
        count += 1
        overflowed = count > StoreLimits.namesPerBucketMax
        guard !overflowed else { return false }
        guard let id = ResourceID(hex: name), id.firstByte == bucket else {
            if !Layout.isTemporary(name) { listing.foreign += 1 }
            return true
        }
        listing.ids.append(id)
        switch type {
        case .regular: break
        case .unknown: untyped.append(id)
        case .folder, .symlink, .other: listing.irregular.insert(id)
        }
        return true
    }
}

extension UInt8 {
    /// A lower-case hexadecimal digit.
    fileprivate var isHexDigit: Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(self)
    }
}
