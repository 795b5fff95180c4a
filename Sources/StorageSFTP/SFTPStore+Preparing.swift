internal import Kloset
internal import SFTPProtocol
public import Storage

extension SFTPStore {
    /// Whoever may write there may read.
    public func readAccess() async throws -> ReadAccess { .allowed }

    public func prepare() async throws {
        guard !state.withLock({ $0.isPrepared }) else { return }
        try await run { [self] connection, _ in
            try await makeOwn(on: connection)
            try await makeFolders(Layout.storeFolders, mode: 0o755, on: connection)
            for kind in [ResourceKind.packfile, .state] {
                // In a folder that was there already most of them are, too: five answers name them all.
                if !state.withLock({ $0.made.contains(kind.folder) }) { try await noteFolders(in: kind.folder, on: connection) }
            }
            let buckets = [ResourceKind.packfile, .state].flatMap { kind in
                (UInt8.min...UInt8.max).map { Layout.bucket(kind, $0) }
            }
            try await makeFolders(buckets, mode: 0o755, on: connection)
            _ = try await triedTraits(on: connection)
            state.withLock { $0.isPrepared = true }
        }
    }

    /// The location and our own folders in it: one round trip wherever the folder around it is there.
    func makeOwn(on connection: SFTPConnection) async throws {
        let root = try await root(on: connection)
        guard !state.withLock({ $0.folders.isSuperset(of: Layout.ownFolders) }) else { return }
        let paths = Layout.ownFolders.map { join(root, $0) }
        let (made, found) = try await connection.send(
            [SFTPCall(.mkdir(path: root.bytes, SFTPAttributes(permissions: 0o755)))]
                + paths.map { SFTPCall(.mkdir(path: $0, SFTPAttributes(permissions: 0o700))) },
            then: [SFTPCall(.stat(path: root.bytes))] + paths.map { SFTPCall(.lstat(path: $0)) })
        if found.allSatisfy({ $0.attributes?.type == .folder }) {
            let new = zip(Layout.ownFolders, made.dropFirst()).filter { $0.1.isOK }.map(\.0)
            return state.withLock { state in
                state.folders.formUnion(Layout.ownFolders)
                state.made.formUnion(new)
            }
        }
        // Step by step, so that it can be said what is wrong.
        try await makeRoot(on: connection)
        try await makeFolders(Layout.ownFolders, mode: 0o700, on: connection)
    }

    /// Notes which folders are there in one.
    private func noteFolders(in folder: String, on connection: SFTPConnection) async throws {
        var names: [String] = []
        _ = try await visitNames(in: folder, on: connection) { name in
            if name.attributes.type == .folder { names.append("\(folder)/\(String(decoding: name.name, as: UTF8.self))") }
            return names.count < 256
        }
        state.withLock { [names] in $0.folders.formUnion(names) }
    }

    /// The location with all that is missing above it, modes as plakar's SFTP backend has them.
    func makeRoot(on connection: SFTPConnection) async throws {
        let root = try await root(on: connection)
        var missing: [String] = []
        var existing = root
        while true {
            let reply = try await connection.send(.stat(path: existing.bytes))[0]
            if let type = reply.attributes?.type {
                guard type == .folder || type == .unknown else { throw inTheWay(existing) }
                break
            }
            guard reply.isMissing, let cut = existing.lastIndex(of: "/") ?? (missing.isEmpty ? existing.startIndex : nil) else {
                try check(reply, "cannot make the folder", writing: true)
                break
            }
            missing.append(existing)
            let parent = String(existing[..<cut])
            if parent.isEmpty { if root.hasPrefix("/") { existing = "/" } else { break } } else { existing = parent }
        }
        for path in missing.reversed() {
            let attributes = SFTPAttributes(permissions: 0o755)
            let reply = try await connection.send(.mkdir(path: path.bytes, attributes))[0]
            if reply.isOK { continue }
            // Another one may have been faster.
            let now = try await connection.send(.stat(path: path.bytes))[0]
            guard now.attributes?.type == .folder else {
                try check(reply, "cannot make the folder", writing: true)
                throw inTheWay(path)
            }
        }
    }

    private func inTheWay(_ path: String) -> Failure {
        failure(
            .cannotWrite, "cannot make the folder", nil,
            "something that is no folder is in the way: \(Self.printable(path.bytes))", "Choose another path")
    }

    /// Makes folders below the location, outer ones first; what is there already must be a folder by its own attributes.
    func makeFolders(_ names: [String], mode: UInt32, on connection: SFTPConnection) async throws {
        let known = state.withLock { $0.folders }
        let wanted = names.filter { !known.contains($0) }
        guard !wanted.isEmpty else { return }
        let root = try await root(on: connection)
        let paths = wanted.map { join(root, $0) }
        // Made without looking; where that was refused, looked at: a server says no more than Failure to making what exists, as to much else.
        let made = try await connection.send(paths.map { SFTPCall(.mkdir(path: $0, SFTPAttributes(permissions: mode))) })
        let refused = wanted.indices.filter { !made[$0].isOK }
        let found = try await connection.send(refused.map { SFTPCall(.lstat(path: paths[$0])) })
        for (index, reply) in zip(refused, found) {
            if let type = reply.attributes?.type {
                guard type == .folder || type == .unknown else { throw inTheWay(wanted[index]) }
                continue
            }
            do throws(Failure) {
                try check(made[index], "cannot make \(wanted[index])", writing: true)
            } catch { throw await explained(error, on: connection) }
        }
        let new = wanted.indices.filter { made[$0].isOK }.map { wanted[$0] }
        state.withLock { state in
            state.folders.formUnion(wanted)
            state.made.formUnion(new)
        }
    }

    /// Something is not where it was seen before: the next look is a real one.
    func forgetFolders() {
        state.withLock { state in
            state.folders = []
            state.made = []
            state.isPrepared = false
        }
    }

    /// What the server does, tried once with files of ours in `.sealift/uploads`.
    func triedTraits(on connection: SFTPConnection) async throws -> SFTPTraits {
        if let known = state.withLock({ $0.traits }) { return known }
        try await makeFolders([Layout.own, Layout.uploads], mode: 0o700, on: connection)
        let folder = try await path(Layout.uploads, on: connection)
        let names = ["a", "b", "c"].map { "\(Layout.uploads)/\(freshName("probe-\($0)"))" }
        var paths: [[UInt8]] = []
        for name in names { paths.append(try await path(name, on: connection)) }
        do {
            let traits = try await tryOut(paths, folder, on: connection)
            for path in paths { connection.forget(.remove(path: path)) }
            return state.withLock { state in
                let known = state.traits ?? traits
                state.traits = known
                return known
            }
        } catch {
            _ = try? await connection.send(paths.map { SFTPCall(.remove(path: $0)) })
            guard let failure = error as? Failure else { throw error }
            throw await explained(failure, on: connection)
        }
    }

    private func tryOut(
        _ paths: [[UInt8]], _ folder: [UInt8], on connection: SFTPConnection
    ) async throws -> SFTPTraits {
        var traits = SFTPTraits(announcedBy: connection.server)
        let what = "cannot write to .sealift/uploads"
        let opened = try await connection.send(
            paths.prefix(2).map { SFTPCall(.open(path: $0, flags: [.write, .create, .exclusive])) }
                + (traits.syncsFiles ? [SFTPCall(.open(path: folder, flags: .read))] : []))
        for reply in opened.prefix(2) { try check(reply, what, writing: true) }
        let handles = opened.compactMap(\.handle)
        guard let first = opened[0].handle, opened[1].handle != nil else { throw unexpected(what) }
        // The first file, and the folder where the server opens those.
        let synced = traits.syncsFiles ? [first] + opened.dropFirst(2).compactMap(\.handle) : []
        let link = SFTPCall(.hardlink(from: paths[1], to: paths[2]))
        let steps = try await connection.send(steps: [
            synced.map { SFTPCall(.fsync($0)) }, handles.map { SFTPCall(.close($0)) },
            [SFTPCall(.rename(from: paths[0], to: paths[1]))], paths.prefix(2).map { SFTPCall(.lstat(path: $0)) },
            traits.links ? [link] : [], traits.links ? [link] : [],
        ])
        traits.syncsFiles = steps[0].first?.isOK == true
        traits.syncsFolders = traits.syncsFiles && steps[0].count > 1 && steps[0][1].isOK
        for reply in steps[1].prefix(2) { try check(reply, what, writing: true) }
        let (renamed, after) = (steps[2][0], steps[3])
        traits.renameRefuses = !renamed.isOK && after[0].attributes != nil && after[1].attributes != nil
        traits.renameReplaces = renamed.isOK && after[0].isMissing && after[1].attributes != nil
        traits.links = traits.links && steps[4][0].isOK && !steps[5][0].isOK
        return traits
    }
}
