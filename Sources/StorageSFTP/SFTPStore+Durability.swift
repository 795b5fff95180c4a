public import Kloset
internal import SFTPProtocol
internal import Storage

/// Names that were given and that no sync has covered yet.
///
/// A server's kernel reports a failed write-out once, so a failed sync stands for the life of the store object.
struct UnsyncedNames {
    /// With the number of the connection that each was given over.
    private(set) var keys: [ResourceKey: Int] = [:]
    private(set) var standing: Failure?
    /// Whether `.sealift/unsynced` says that names may not be durable.
    var isMarked = false
    /// Whether what earlier runs left was looked after.
    var hasCaughtUp = false

    mutating func didPublish(_ key: ResourceKey, over connection: Int) { keys[key] = connection }

    mutating func didSync(_ synced: some Sequence<ResourceKey>) {
        for key in synced { keys[key] = nil }
    }

    mutating func didFail(_ failure: Failure) { standing = standing ?? failure }
}

extension SFTPStore {
    public func makeDurable() async throws {
        try await run { [self] connection, _ in
            try refuseAfterFailure()
            let traits = try await triedTraits(on: connection)
            guard traits.syncsFiles else { return }
            try await attempt {
                try await catchUp(traits, on: connection)
                let (keys, staged) = state.withLock { state in
                    (Array(state.unsynced.keys.keys), (state.staged ?? [:]).filter { !$0.value.isSynced })
                }
                try await syncStaged(staged, traits, on: connection)
                try await syncNames(of: keys, traits, on: connection)
            }
        }
    }

    public func makeDurable(namesOf keys: [ResourceKey]) async throws {
        guard !keys.isEmpty else { return }
        try await run { [self] connection, _ in
            try refuseAfterFailure()
            let traits = try await triedTraits(on: connection)
            guard traits.syncsFiles else { return }
            try await attempt { try await syncNames(of: keys, traits, on: connection) }
        }
    }

    private func refuseAfterFailure() throws {
        if let failure = state.withLock({ $0.unsynced.standing }) { throw failure }
    }

    /// Runs a sync; if it fails, nothing that was unsynced may be believed. A lost connection is no failed sync: it is asked for again.
    private func attempt(_ sync: () async throws -> Void) async throws {
        do { try await sync() } catch var failure as Failure where failure.kind != .unavailable {
            failure.retryable = false  // a second try could succeed over lost bytes
            state.withLock { $0.unsynced.didFail(failure) }
            throw failure
        }
    }

    /// Makes final names durable: by their folders where the server syncs those, else by each file, opened again under its new name. On
    /// ext4, xfs and btrfs syncing a file carries a rename of it.
    private func syncNames(
        of keys: [ResourceKey], _ traits: SFTPTraits, on connection: SFTPConnection
    ) async throws {
        guard !keys.isEmpty else { return }
        let published = state.withLock { $0.unsynced.keys }
        if traits.syncsFolders {
            try await syncFolders(Set(keys.map(\.folderPath)).sorted(), traits, on: connection)
            try await proveNames(of: keys.filter { published[$0] != nil }, given: published, on: connection)
        } else {
            let root = try await root(on: connection)
            for start in stride(from: 0, to: keys.count, by: Self.filesAtOnce) {
                let part = Array(keys[start..<min(start + Self.filesAtOnce, keys.count)])
                let missing = try await syncFiles(part.map { join(root, $0.path) }, on: connection)
                // Gone although we named it: the server lost it. Others may ask about what is not there.
                if let lost = missing.map({ part[$0] }).first(where: { published[$0] != nil }) {
                    throw failure(.readWrite, "cannot make durable", lost, "what was published is gone")
                }
            }
        }
        state.withLock { $0.unsynced.didSync(keys) }
    }

    /// Names that were given over another connection, which is lost by now, may have gone with a restart of the server before its folders were
    /// synced over this one: those are looked for.
    private func proveNames(
        of keys: [ResourceKey], given: [ResourceKey: Int], on connection: SFTPConnection
    ) async throws {
        let others = Set(keys.compactMap { given[$0] }).subtracting([connection.number])
        guard !others.isEmpty else { return }
        let lost = others.subtracting(await link.answering(others))
        let doubtful = keys.filter { key in given[key].map { lost.contains($0) } == true }
        let root = try await root(on: connection)
        let looks = try await connection.send(doubtful.map { SFTPCall(.lstat(path: join(root, $0.path))) })
        if let index = looks.firstIndex(where: { $0.isMissing }) {
            throw failure(.readWrite, "cannot make durable", doubtful[index], "what was published is gone")
        }
    }

    private func syncStaged(
        _ staged: [ResourceKey: StagedFile], _ traits: SFTPTraits, on connection: SFTPConnection
    ) async throws {
        guard !staged.isEmpty else { return }
        let root = try await root(on: connection)
        let all = Array(staged)
        for start in stride(from: 0, to: all.count, by: Self.filesAtOnce) {
            let part = all[start..<min(start + Self.filesAtOnce, all.count)]
            _ = try await syncFiles(part.map { join(root, "\(Layout.uploads)/\($0.value.name)") }, on: connection)
            state.withLock { state in
                // What is being uploaded still changes.
                for (key, file) in part where state.staged?[key]?.name == file.name && file.size == nil {
                    state.staged?[key]?.isSynced = true
                }
            }
        }
    }

    /// Syncs files by their names; those that are not there any more are told by their index.
    private func syncFiles(_ paths: [[UInt8]], on connection: SFTPConnection) async throws -> [Int] {
        let opened = try await connection.send(paths.map { SFTPCall(.open(path: $0, flags: .read)) })
        let handles = opened.compactMap(\.handle)
        defer { for handle in handles { connection.forget(.close(handle)) } }
        for reply in try await connection.send(handles.map { SFTPCall(.fsync($0)) }) {
            try check(reply, "cannot make durable", writing: true)
        }
        var missing: [Int] = []
        for (index, reply) in opened.enumerated() where reply.handle == nil {
            if !reply.isMissing { try check(reply, "cannot make durable", writing: true) }
            missing.append(index)
        }
        return missing
    }

    func syncFile(_ path: [UInt8], _ key: ResourceKey, _ traits: SFTPTraits, on connection: SFTPConnection) async throws {
        guard traits.syncsFiles else { return }
        if !(try await syncFiles([path], on: connection)).isEmpty {
            throw failure(.readWrite, "cannot make durable", key, "it is gone")
        }
    }

    /// Syncs folders where the server does that; elsewhere it does nothing.
    func syncFolders(_ names: [String], _ traits: SFTPTraits, on connection: SFTPConnection) async throws {
        guard traits.syncsFolders, !names.isEmpty else { return }
        let root = try await root(on: connection)
        let open = takeOpen(names, on: connection)
        let rest = names.filter { open[$0] == nil }
        if !rest.isEmpty { _ = try await syncFiles(rest.map { join(root, $0) }, on: connection) }
        defer { for handle in open.values { connection.forget(.close(handle)) } }
        for reply in try await connection.send(open.values.map { SFTPCall(.fsync($0)) }) {
            try check(reply, "cannot make durable", writing: true)
        }
    }

    /// Folders that a publish leaves open for the sync that follows it: a state has one, a batch of large resources few.
    static let foldersKept = 8

    /// Keeps folders open that names were just given in, for the sync that follows.
    func keepOpen(_ names: [String], _ handles: [SFTPHandle?], on connection: SFTPConnection) {
        let old = state.withLock { state -> [OpenFolder] in
            var old: [OpenFolder] = []
            for (name, handle) in zip(names, handles) {
                guard let handle else { continue }
                state.openFolders.append(OpenFolder(name: name, handle: handle, connection: connection))
            }
            while state.openFolders.count > Self.foldersKept { old.append(state.openFolders.removeFirst()) }
            return old
        }
        for folder in old { folder.connection.forget(.close(folder.handle)) }
    }

    /// Those of the folders that are open on this connection; they are the caller's to close.
    private func takeOpen(_ names: [String], on connection: SFTPConnection) -> [String: SFTPHandle] {
        let wanted = Set(names)
        let (mine, old) = state.withLock { state in
            let taken = state.openFolders.filter { wanted.contains($0.name) }
            state.openFolders.removeAll { wanted.contains($0.name) }
            return (taken.filter { $0.connection === connection }, taken.filter { $0.connection !== connection })
        }
        for folder in old { folder.connection.forget(.close(folder.handle)) }
        var open: [String: SFTPHandle] = [:]
        for folder in mine {
            if let twice = open.updateValue(folder.handle, forKey: folder.name) { connection.forget(.close(twice)) }
        }
        return open
    }

    // MARK: - what earlier runs left

    /// Begins to note it while there are bytes to be moved: the first name is given behind them.
    func beginMark() {
        state.withLock { state in
            guard !state.unsynced.isMarked, state.beside.marking == nil else { return }
            state.beside.marking = Task { [self] in
                try await run { [self] connection, _ in try await markUnsynced(on: connection) }
            }
        }
    }

    /// It is noted when this returns.
    func finishMark(on connection: SFTPConnection) async throws {
        if let marking = state.withLock({ $0.beside.marking }) { _ = try? await marking.value }
        try await markUnsynced(on: connection)
    }

    /// Notes at the place that names are being given which no sync has covered. As long as the note is there, whoever writes next syncs
    /// everything first.
    private func markUnsynced(on connection: SFTPConnection) async throws {
        guard let traits = state.withLock({ $0.traits }), traits.syncsFiles else { return }
        guard !state.withLock({ $0.unsynced.isMarked }) else { return }
        try await catchUp(traits, on: connection)
        try await write(Layout.unsynced, Array("names given by \(nonce)\n".utf8), mayReplace: true, on: connection)
        state.withLock { $0.unsynced.isMarked = true }
    }

    /// Takes the note away when everything is covered.
    func unmarkUnsynced(on connection: SFTPConnection) async throws {
        let isDone = state.withLock { $0.unsynced.isMarked && $0.unsynced.keys.isEmpty && $0.unsynced.standing == nil }
        guard isDone else { return }
        _ = try await connection.send(.remove(path: try await path(Layout.unsynced, on: connection)))
        state.withLock { state in
            state.unsynced.isMarked = false
            state.beside.marking = nil
        }
    }

    /// Once for each store object: syncs what an earlier run gave names to and did not come to sync.
    private func catchUp(_ traits: SFTPTraits, on connection: SFTPConnection) async throws {
        guard !state.withLock({ $0.unsynced.hasCaughtUp }) else { return }
        _ = try await stagedFiles(on: connection)
        let note = try await path(Layout.unsynced, on: connection)
        if try await connection.send(.lstat(path: note))[0].attributes != nil {
            for kind in [ResourceKind.packfile, .state] {
                for bucket in UInt8.min...UInt8.max {
                    try await syncEverything(in: Layout.bucket(kind, bucket), on: connection)
                }
            }
            try await syncFolders(Layout.ownFolders + Layout.storeFolders + [""], traits, on: connection)
        }
        state.withLock { $0.unsynced.hasCaughtUp = true }
    }

    private func syncEverything(in folder: String, on connection: SFTPConnection) async throws {
        var names: [[UInt8]] = []
        _ = try await visitNames(in: folder, on: connection) { name in
            if name.attributes.type == .regular { names.append(name.name) }
            return true
        }
        guard !names.isEmpty else { return }
        let prefix = try await path(folder, on: connection) + [UInt8(ascii: "/")]
        for start in stride(from: 0, to: names.count, by: Self.filesAtOnce) {
            let part = names[start..<min(start + Self.filesAtOnce, names.count)]
            _ = try await syncFiles(part.map { prefix + $0 }, on: connection)
        }
        if state.withLock({ $0.traits?.syncsFolders }) == true {
            _ = try await syncFiles([Array(prefix.dropLast())], on: connection)
        }
    }
}
