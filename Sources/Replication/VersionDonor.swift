internal import Catalog
internal import Hashing
internal import Kloset
internal import Storage

/// A place as its own donor: of each resource the newest version that has the recorded digest. Nothing is believed for being old or locked.
struct VersionDonor: StoreReader {
    private let base: any Store
    private let environment: RunEnvironment
    private let repository: RepositoryID?
    private let chosen = Locked<[ResourceKey: ResourceVersion?]>([:])

    /// Nil for a place that keeps no versions. What tells it to be a replica comes back first.
    ///
    /// - Throws: `.noStore` when no version of CONFIG is there.
    static func open(_ store: any Store, in environment: RunEnvironment) async throws -> VersionDonor? {
        guard let versions = try await store.versions(of: .config) else { return nil }
        guard versions.contains(where: { !$0.isRemoval }) else {
            throw Failure(
                .noStore, "no store", place: store.place, reason: "no version of CONFIG is there", advice: "Check the location.")
        }
        _ = try await store.recoverDocuments()
        let marker = try await ReplicaMark.look(at: store).marker
        let place = store.place
        let known = try await environment.catalog.read { db in try db.replicas(at: place).last?.repository }
        return VersionDonor(base: store, environment: environment, repository: marker?.repository ?? known)
    }

    private init(base: any Store, environment: RunEnvironment, repository: RepositoryID?) {
        (self.base, self.environment, self.repository) = (base, environment, repository)
    }

    var place: String { "\(base.place) (its versions)" }
    var capabilities: StoreCapabilities { base.capabilities }

    func footprint() async throws -> Footprint {
        let footprint = try await base.footprint()
        return Footprint(realm: "versions in \(footprint.realm)", steps: footprint.steps)
    }

    func presence() async throws -> Presence { .occupied(names: [ResourceKey.config.path]) }
    func list(_ kind: ResourceKind, bucket: UInt8) async throws -> BucketListing { try await base.list(kind, bucket: bucket) }
    func extras() async throws -> StoreExtras { try await base.extras() }
    func documents(in folder: String) async throws -> [String] { try await base.documents(in: folder) }

    func document(_ name: String, byteCountMax: Int) async throws -> [UInt8]? {
        try await base.document(name, byteCountMax: byteCountMax)
    }

    func attributes(of keys: [ResourceKey]) async throws -> [ResourceAttributes] {
        var all: [ResourceAttributes] = []
        for key in keys {
            let version = try await version(of: key)
            all.append(
                version.flatMap { found in found.size.map { .regular(size: $0, modified: found.made ?? Timestamp(seconds: 0)) } }
                    ?? .absent)
        }
        return all
    }

    func readWhole(_ keys: [ResourceKey], from view: ResourceView, into piece: Piece) async throws -> [WholeRead] {
        // One at a time: repair takes what came and asks for the rest.
        guard let key = keys.first else { return [] }
        guard let version = try await version(of: key), let size = version.size else { return [.vanished] }
        guard size <= Int64(piece.memory.count) else { return [.tooLarge(size: size)] }
        let count = try await base.read(key, version: version, at: 0, count: Int(size), into: piece)
        return [.bytes(range: 0..<count, modified: version.made ?? Timestamp(seconds: 0))]
    }

    func read(
        _ key: ResourceKey, from view: ResourceView, at offset: Int64, count: Int, into piece: Piece
    ) async throws -> Int {
        guard let version = try await version(of: key) else { throw Vanished(key) }
        return try await base.read(key, version: version, at: offset, count: count, into: piece)
    }

    // MARK: - the choice

    private func version(of key: ResourceKey) async throws -> ResourceVersion? {
        if let known = chosen.with({ $0[key] }) { return known }
        let repository = repository
        let recorded = try await environment.catalog.read { db in try repository.flatMap { try db.proof(of: key, in: $0) } }
        let versions = try await base.versions(of: key) ?? []
        let piece = Piece()
        // A ledger that is still to be read may tell of CONFIG: what is chosen without it is chosen again.
        guard let recorded, let digest = recorded.digest else {
            return key == .config ? try await understandable(versions, piece) : nil
        }
        var found: ResourceVersion?
        for version in versions where version.size == recorded.size {
            guard try await self.digest(of: key, version, recorded.size, piece) == digest else { continue }
            found = version
            break
        }
        chosen.with { [found] in $0[key] = .some(found) }
        return found
    }

    private func digest(of key: ResourceKey, _ version: ResourceVersion, _ size: Int64, _ piece: Piece) async throws -> Digest? {
        var hasher = ResourceHasher()
        for index in 0..<ChunkLayout.count(size: size) {
            let range = ChunkLayout.range(index, size: size)
            do {
                let count = try await base.read(key, version: version, at: range.lowerBound, count: range.count, into: piece)
                guard count == range.count else { return nil }
            } catch is Vanished {
                return nil
            } catch let failure as Failure where failure.kind == .readWrite || failure.kind == .damage {
                return nil
            }
            hasher.update(chunk: piece.bytes(0..<range.count))
        }
        return hasher.finalize().digest
    }

    /// The newest CONFIG that is one.
    private func understandable(_ versions: [ResourceVersion], _ piece: Piece) async throws -> ResourceVersion? {
        for version in versions {
            guard let size = version.size, size <= Int64(StoreLimits.configByteCountMax) else { continue }
            let count = try await base.read(.config, version: version, at: 0, count: Int(size), into: piece)
            if count == Int(size), (try? StoreConfiguration(parsing: piece.bytes(0..<count))) != nil { return version }
        }
        return nil
    }
}
