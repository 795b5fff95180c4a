public import Kloset
internal import SFTPProtocol
public import Storage

extension SFTPStore {
    public func list(_ kind: ResourceKind, bucket: UInt8) async throws -> BucketListing {
        try await run { [self] connection, _ in
            guard kind != .config else { return try await listConfig(on: connection) }
            var listing = BucketListing()
            var untyped: [ResourceID] = []
            var found: [(id: ResourceID, size: Int64?)] = []
            let isThere = try await visitNames(in: Layout.bucket(kind, bucket), on: connection) { name in
                guard let id = name.name.withUnsafeBytes({ ResourceID(hex: $0) }), id.firstByte == bucket else {
                    if !Layout.isTemporary(name.name) { listing.foreign += 1 }
                    return true
                }
                found.append((id, name.attributes.type == .regular ? name.attributes.size : nil))
                switch name.attributes.type {
                case .regular: break
                case .unknown: untyped.append(id)
                case .folder, .symlink, .other: listing.irregular.insert(id)
                }
                return true
            }
            listing.isAbsent = !isThere
            for (id, look) in zip(untyped, try await attributes(of: untyped.map { ResourceKey(kind, $0) }, on: connection)) {
                if case .irregular = look { listing.irregular.insert(id) }
            }
            found.sort { $0.id < $1.id }
            // A server may name the same thing twice; the contract does not.
            for index in found.indices.dropFirst().reversed() where found[index].id == found[index - 1].id {
                found.remove(at: index)
            }
            listing.ids = found.map(\.id)
            let sizes = found.compactMap(\.size)
            if sizes.count == found.count { listing.sizes = sizes }
            return listing
        }
    }

    private func listConfig(on connection: SFTPConnection) async throws -> BucketListing {
        switch try await attributes(of: [.config], on: connection)[0] {
        case .absent: BucketListing()
        case .regular: BucketListing(ids: [.zero])
        case .irregular: BucketListing(ids: [.zero], irregular: [.zero])
        }
    }

    public func extras() async throws -> StoreExtras {
        try await run { [self] connection, _ in
            var extras = StoreExtras()
            _ = try await visitNames(in: "", on: connection) { name in
                let text = String(decoding: name.name, as: UTF8.self)
                if !Layout.rootNames.contains(text), text != "lost+found", !Layout.isTemporary(name.name) { extras.foreign += 1 }
                return true
            }
            for kind in [ResourceKind.packfile, .state] {
                extras.foreign += try await count(in: kind.folder, on: connection) { name in
                    let isBucket = name.name.count == 2 && name.name.allSatisfy(\.isHexDigit)
                    let type = name.attributes.type
                    return isBucket && (type == .folder || type == .unknown) ? 0 : 1
                }
            }
            var locks = 0
            extras.foreign += try await count(in: "locks", on: connection) { name in
                let isLock = name.name.withUnsafeBytes { ResourceID(hex: $0) } != nil
                locks += isLock ? 1 : 0
                return isLock ? 0 : 1
            }
            extras.locks = locks
            return extras
        }
    }

    /// Adds up what `weigh` says of each name in a folder; something that is no folder in its place counts as one.
    private func count(in folder: String, on connection: SFTPConnection, _ weigh: (SFTPName) -> Int) async throws -> Int {
        var sum = 0
        do {
            _ = try await visitNames(in: folder, on: connection) { name in
                if !Layout.isTemporary(name.name) { sum += weigh(name) }
                return true
            }
        } catch let failure as Failure where failure.kind == .damage {
            return 1
        }
        return sum
    }

    public func attributes(of keys: [ResourceKey]) async throws -> [ResourceAttributes] {
        try await run { [self] connection, _ in try await attributes(of: keys, on: connection) }
    }

    func attributes(of keys: [ResourceKey], on connection: SFTPConnection) async throws -> [ResourceAttributes] {
        guard !keys.isEmpty else { return [] }
        let root = try await root(on: connection)
        let replies = try await connection.send(keys.map { SFTPCall(.lstat(path: join(root, $0.path))) })
        let times = try await knownTimes(of: keys, on: connection)
        return try zip(keys, replies).map { key, reply in
            if reply.isMissing { return .absent }
            try check(reply, "cannot look at", key)
            guard let found = reply.attributes else { throw unexpected("cannot look at", key) }
            guard found.type == .regular, let size = found.size else { return .irregular(found.type.word) }
            return .regular(size: size, modified: times[key] ?? Timestamp(seconds: Int64(found.modified ?? 0)))
        }
    }
}
