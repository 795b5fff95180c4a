public import Kloset
internal import SFTPProtocol
public import Storage

extension SFTPStore {
    public func publish(_ keys: [ResourceKey]) async throws -> [PublishOutcome] {
        guard !keys.isEmpty else { return [] }
        return try await run { [self] connection, attempt in
            let traits = try await triedTraits(on: connection)
            var staged = try await stagedFiles(on: connection)
            // Another run may have staged since this one looked.
            if keys.contains(where: { staged[$0] == nil }) { staged = try await stagedFiles(on: connection, again: true) }
            if let standing = state.withLock({ $0.unsynced.standing }) { return keys.map { .failed(standing.at(place, $0)) } }
            let wanted = keys.compactMap { key in staged[key].map { Publication(key: key, file: $0) } }
            try await finishMark(on: connection)
            try await finishTimes(of: wanted, on: connection)
            try await makeMissingBuckets(wanted, on: connection)
            let outcomes = try await give(wanted, by: traits, isRepeated: attempt > 0, on: connection)
            let byKey = Dictionary(zip(wanted.map(\.key), outcomes), uniquingKeysWith: { first, _ in first })
            return keys.map { byKey[$0] ?? .failed(failure(.readWrite, "cannot publish", $0, "nothing is staged for it")) }
        }
    }

    /// A staged file on its way to its final name.
    struct Publication: Sendable {
        var key: ResourceKey
        var file: StagedFile
    }

    /// Those of the wanted buckets that were not made or seen by this object.
    private func makeMissingBuckets(_ wanted: [Publication], on connection: SFTPConnection) async throws {
        let folders = Set(wanted.map(\.key.folderPath)).subtracting([""])
        let kinds = Set(folders.map { String($0.prefix { $0 != "/" }) })
        try await makeFolders(kinds.sorted() + folders.sorted(), mode: 0o755, on: connection)
    }

    /// Gives final names by the best means that the server has, and looks at what has the names then: a server that says OK to what it did not do
    /// is found out here.
    private func give(
        _ wanted: [Publication], by traits: SFTPTraits, isRepeated: Bool, on connection: SFTPConnection
    ) async throws -> [PublishOutcome] {
        let root = try await root(on: connection)
        let from = wanted.map { join(root, "\(Layout.uploads)/\($0.file.name)") }
        let to = wanted.map { join(root, $0.key.path) }
        var isFree = [Bool](repeating: true, count: wanted.count)
        if traits.capabilities.publication == .checkThenRename {
            isFree = try await connection.send(to.map { SFTPCall(.lstat(path: $0)) }).map(\.isMissing)
        }
        let links = traits.capabilities.publication == .linkThenUnlink
        var calls: [SFTPCall] = []
        for index in wanted.indices where isFree[index] {
            calls.append(
                SFTPCall(
                    links ? .hardlink(from: from[index], to: to[index]) : .rename(from: from[index], to: to[index])))
        }
        let looking = (to + from).map { SFTPCall(.lstat(path: $0)) }
        let folders = traits.syncsFolders ? Array(Set(wanted.map(\.key.folderPath))) : []
        // Opened on the way, so that they can be synced at once; of many names' folders it would be too many.
        let opening = folders.count <= Self.foldersKept ? folders : []
        var (replies, looks) = try await connection.send(
            calls, then: looking + opening.map { SFTPCall(.open(path: join(root, $0), flags: .read)) })
        keepOpen(opening, looks.suffix(opening.count).map(\.handle), on: connection)
        let missing = replies.indices.filter { replies[$0].isMissing }
        if !missing.isEmpty {
            // A bucket that was there may be gone since; it is made again, as the local store does.
            forgetFolders()
            try await makeMissingBuckets(wanted, on: connection)
            let (again, nowThere) = try await connection.send(missing.map { calls[$0] }, then: looking)
            for (index, reply) in zip(missing, again) { replies[index] = reply }
            looks = nowThere
        }
        var given = replies[...]
        var outcomes: [PublishOutcome] = []
        var leftovers: [String] = []
        for index in wanted.indices {
            let reply = isFree[index] ? given.popFirst() : nil
            let outcome = judge(
                wanted[index], reply, final: looks[index], staged: looks[wanted.count + index], isRepeated: isRepeated)
            outcomes.append(outcome)
            guard outcome == .published else { continue }
            leftovers += wanted[index].file.older + (links || isRepeated ? [wanted[index].file.name] : [])
            state.withLock { state in
                state.staged?[wanted[index].key] = nil
                state.unsynced.didPublish(wanted[index].key, over: connection.number)
            }
        }
        try await removeStaged(leftovers, on: connection)
        return outcomes
    }

    private func judge(
        _ one: Publication, _ reply: SFTPReply?, final: SFTPReply, staged: SFTPReply, isRepeated: Bool
    ) -> PublishOutcome {
        let size = one.file.size ?? staged.attributes?.size
        let isThere = final.attributes?.type == .regular && (size == nil || final.attributes?.size == size)
        if let reply, reply.isOK {
            if isThere { return .published }
            return .failed(
                failure(
                    .readWrite, "cannot publish", one.key, "the server said that it was renamed, and it is not there",
                    "Do not trust this server with the only copy"))
        }
        if final.attributes != nil {
            if staged.attributes != nil { return .taken }
            // The rename was carried out and its answer lost with the connection.
            if isRepeated, isThere { return .published }
        }
        if staged.isMissing { return .failed(failure(.readWrite, "cannot publish", one.key, "nothing is staged for it")) }
        guard case .status(let status)? = reply else { return .failed(unexpected("cannot publish", one.key)) }
        return .failed(failure(status, "cannot publish", one.key, writing: true))
    }

    public func exchange(_ key: ResourceKey) async throws {
        try await run(key) { [self] connection, attempt in
            let traits = try await triedTraits(on: connection)
            if let standing = state.withLock({ $0.unsynced.standing }) { throw standing }
            guard let file = try await stagedFile(for: key, on: connection) else {
                throw failure(.readWrite, "cannot replace", key, "nothing is staged for it")
            }
            let root = try await root(on: connection)
            let (from, to) = (join(root, "\(Layout.uploads)/\(file.name)"), join(root, key.path))
            let looks = try await connection.send(.lstat(path: from), .lstat(path: to))
            guard looks[0].attributes?.type == .regular else {
                // A lost answer: what is there now is what was staged.
                guard attempt > 0, looks[0].isMissing, looks[1].attributes?.size == file.size else {
                    throw failure(.readWrite, "cannot replace", key, "nothing is staged for it")
                }
                return try await settle(key, to, traits, on: connection)
            }
            try await syncFile(from, key, traits, on: connection)
            try await makeFolders([Layout.own, Layout.quarantine], mode: 0o700, on: connection)
            let publication = Publication(key: key, file: file)
            try await keepTimes(of: [publication], on: connection)
            try await makeMissingBuckets([publication], on: connection)
            if let found = looks[1].attributes {
                try await keep(to, key, found, traits, on: connection)
                try await replace(from, to, key, isRegular: found.type == .regular, traits, on: connection)
            } else {
                let reply = try await connection.send(.rename(from: from, to: to))[0]
                try check(reply, "cannot replace", key, writing: true)
            }
            let after = try await connection.send(.lstat(path: to), .lstat(path: from))
            guard after[0].attributes?.type == .regular, after[0].attributes?.size == looks[0].attributes?.size,
                after[1].isMissing
            else {
                throw failure(.readWrite, "cannot replace", key, "the server said that it was renamed, and it was not")
            }
            try await settle(key, to, traits, on: connection)
        }
    }

    /// Makes a replaced resource durable and forgets what was staged for it.
    private func settle(_ key: ResourceKey, _ path: [UInt8], _ traits: SFTPTraits, on connection: SFTPConnection) async throws {
        try await syncFile(path, key, traits, on: connection)
        try await syncFolders([key.folderPath, Layout.quarantine], traits, on: connection)
        let older = state.withLock { $0.staged?[key]?.older ?? [] }
        try await removeStaged(older, on: connection)
        state.withLock { $0.staged?[key] = nil }
    }

    /// Gives what lies under the final name a second name in quarantine, or a copy; what is no regular file moves there.
    private func keep(
        _ original: [UInt8], _ key: ResourceKey, _ found: SFTPAttributes, _ traits: SFTPTraits, on connection: SFTPConnection
    ) async throws {
        let kept = try await path("\(Layout.quarantine)/\(freshName(key.stem))", on: connection)
        let reply: SFTPReply
        if found.type != .regular || traits.capabilities.exchange == .moveThenRename {
            reply = try await connection.send(.rename(from: original, to: kept))[0]
        } else if traits.capabilities.exchange == .linkThenReplace {
            reply = try await connection.send(.hardlink(from: original, to: kept))[0]
        } else {
            return try await copy(original, to: kept, key, traits, on: connection)
        }
        try check(reply, "cannot keep the damaged original of", key, writing: true)
        try await syncFolders([Layout.quarantine], traits, on: connection)
    }

    private func replace(
        _ from: [UInt8], _ to: [UInt8], _ key: ResourceKey, isRegular: Bool, _ traits: SFTPTraits, on connection: SFTPConnection
    ) async throws {
        // What was moved away left a free name, for which the plain rename is made.
        let moved = !isRegular || traits.capabilities.exchange == .moveThenRename
        let request: SFTPRequest =
            moved || !traits.posixRename ? .rename(from: from, to: to) : .posixRename(from: from, to: to)
        try check(try await connection.send(request)[0], "cannot replace", key, writing: true)
    }

    private func copy(
        _ from: [UInt8], to: [UInt8], _ key: ResourceKey, _ traits: SFTPTraits, on connection: SFTPConnection
    ) async throws {
        let what = "cannot keep the damaged original of"
        let opened = try await connection.send(
            .open(path: from, flags: .read), .open(path: to, flags: [.write, .create, .exclusive]))
        for reply in opened { try check(reply, what, key, writing: true) }
        guard let source = opened[0].handle, let target = opened[1].handle else { throw unexpected(what, key) }
        let piece = Piece()
        var offset: Int64 = 0
        while true {
            switch try await connection.readFully(source, at: offset, into: piece, 0..<piece.memory.count) {
            case .failure(let refused): throw failure(refused.status, what, key)
            case .success(0):
                if traits.syncsFiles { try check(try await connection.send(.fsync(target))[0], what, key, writing: true) }
                _ = try await connection.send(.close(source), .close(target))
                return
            case .success(let count):
                let replies = try await connection.send(connection.writes(target, at: offset, from: piece, 0..<count))
                for reply in replies { try check(reply, what, key, writing: true) }
                offset += Int64(count)
            }
        }
    }
}
