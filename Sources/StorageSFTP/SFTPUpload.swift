internal import Hashing
public import Kloset
internal import SFTPProtocol
public import Storage
internal import Synchronization

/// A large resource on its way into `.sealift/uploads`, over as many connections as the link has.
///
/// A handle lives as long as its connection, and what was written over a connection is synced over the same one: its answer also says that the
/// server was not restarted in between. Where a connection is lost, what was written over it since the last sync is read back and
/// compared by hash before anything is added.
final class SFTPUpload: Upload {
    private struct State {
        /// The file as it was opened on each connection.
        var opened: [OpenUpload] = []
        var isOver = false
    }

    /// The file on one connection.
    private struct OpenUpload {
        var handle: SFTPHandle
        var connection: SFTPConnection
        /// Chunks that were acknowledged on it and not synced yet.
        var unsynced: [Int: ChunkHash] = [:]
    }

    private let store: SFTPStore
    private let key: ResourceKey
    private let size: Int64
    private let modified: Timestamp
    private let name: String
    /// Whether an earlier run left something under the name.
    private let isContinued: Bool
    private let state = Mutex(State())

    init(store: SFTPStore, key: ResourceKey, size: Int64, modified: Timestamp, name: String, isContinued: Bool) {
        self.store = store
        self.key = key
        self.size = size
        self.modified = modified
        self.name = name
        self.isContinued = isContinued
    }

    deinit {
        for left in state.withLock({ $0.opened }) { Task { _ = try? await left.connection.send(.close(left.handle)) } }
    }

    func heldChunks() async throws -> [ChunkHash] {
        guard isContinued else { return [] }
        let whole = try await store.run(key) { [self] connection, _ in
            let handle = try await file(on: connection)
            let replies = try await connection.send(.fstat(handle))
            try store.check(replies[0], "cannot read what was staged for", key)
            let held = min(replies[0].attributes?.size ?? 0, size)
            return (0..<ChunkLayout.count(size: size)).prefix { ChunkLayout.range($0, size: size).upperBound <= held }.count
        }
        var hashes: [ChunkHash] = []
        while hashes.count < whole {
            let chunks = hashes.count..<min(hashes.count + Self.chunksAtOnce, whole)
            let read = try await self.hashes(of: chunks)
            for chunk in chunks {
                guard let hash = read[chunk] else { return hashes }
                hashes.append(hash)
            }
        }
        return hashes
    }

    /// Chunks that are read back at the same time: as many as fill a long link.
    private static let chunksAtOnce = 4

    /// The hashes of those chunks that are there whole.
    private func hashes(of chunks: Range<Int>) async throws -> [Int: ChunkHash] {
        try await withThrowingTaskGroup(of: (Int, ChunkHash?).self) { group in
            for chunk in chunks {
                group.addTask { [self] in
                    try await store.run(key) { [self] connection, _ in
                        (chunk, try await hash(of: chunk, try await file(on: connection), Piece(), on: connection))
                    }
                }
            }
            var read: [Int: ChunkHash] = [:]
            for try await (chunk, hash) in group { read[chunk] = hash }
            return read
        }
    }

    /// The hash of what the place holds as a chunk; nil when it is not there whole.
    private func hash(
        of index: Int, _ handle: SFTPHandle, _ piece: Piece, on connection: SFTPConnection
    ) async throws -> ChunkHash? {
        let range = ChunkLayout.range(index, size: size)
        switch try await connection.readFully(handle, at: range.lowerBound, into: piece, 0..<range.count) {
        case .success(range.count): return ChunkHash(of: piece.bytes(0..<range.count))
        case .success: return nil
        case .failure(let refused): throw store.failure(refused.status, "cannot read what was staged for", key)
        }
    }

    /// After this many chunks a sync is asked for: as much has to be read back at most when a connection is lost.
    private static let chunksPerSync = 64

    func write(chunk: Int, from piece: Piece, count: Int) async throws {
        guard (0..<ChunkLayout.count(size: size)).contains(chunk), ChunkLayout.range(chunk, size: size).count == count else {
            throw store.failure(.usage, "cannot write", key, "there is no chunk \(chunk) of \(count) bytes")
        }
        try await store.run(key) { [self] connection, _ in
            let handle = try await file(on: connection)
            let start = ChunkLayout.range(chunk, size: size).lowerBound
            let replies = try await connection.send(connection.writes(handle, at: start, from: piece, 0..<count))
            for reply in replies { try await checkWritten(reply, on: connection) }
            let hash = ChunkHash(of: piece.bytes(0..<count))
            let file = state.withLock { state -> OpenUpload? in
                guard let index = state.opened.firstIndex(where: { $0.connection === connection }) else { return nil }
                state.opened[index].unsynced[chunk] = hash
                return state.opened[index]
            }
            // Lost meanwhile, and what it held proved without this chunk: it is written again.
            guard let file else { throw connection.failure ?? store.unexpected("cannot write", key) }
            if file.unsynced.count >= Self.chunksPerSync { try await sync(file) }
        }
    }

    private func checkWritten(_ reply: SFTPReply, on connection: SFTPConnection) async throws {
        do throws(Failure) { try store.check(reply, "cannot write", key, writing: true) } catch {
            throw await store.explained(error, on: connection)
        }
    }

    /// Syncs what was written over one connection, over that connection.
    private func sync(_ file: OpenUpload) async throws {
        if store.state.withLock({ $0.traits?.syncsFiles }) == true {
            try await checkWritten(try await file.connection.send(.fsync(file.handle))[0], on: file.connection)
        }
        state.withLock { state in
            guard let index = state.opened.firstIndex(where: { $0.connection === file.connection }) else { return }
            for (chunk, hash) in file.unsynced where state.opened[index].unsynced[chunk] == hash {
                state.opened[index].unsynced[chunk] = nil
            }
        }
    }

    func finish() async throws {
        try await store.run(key) { [self] connection, _ in
            let handle = try await file(on: connection)
            let time = SFTPAttributes(modified: modified.sftpSeconds)
            let traits = try await store.triedTraits(on: connection)
            // Length first: to some servers it is a change of its own. A file of this run has no bytes but those that were written.
            if isContinued, try await connection.send(.fstat(handle))[0].attributes?.size != size {
                let cut = try await connection.send(.fsetstat(handle, SFTPAttributes(size: size)))[0]
                try await checkWritten(cut, on: connection)
            }
            try await syncOthers(than: connection)
            let timed = SFTPCall(.fsetstat(handle, time))
            let replies = try await connection.send(traits.syncsFiles ? [timed, SFTPCall(.fsync(handle))] : [timed])
            // A server that cannot set times still holds the bytes.
            if traits.syncsFiles { try await checkWritten(replies[1], on: connection) }
            let opened = state.withLock { state in
                defer { state.opened = [] }
                state.isOver = true
                return state.opened
            }
            store.state.withLock { state in
                let older = (state.staged?[key]?.older ?? []).filter { $0 != name }
                state.staged?[key] = StagedFile(
                    name: name, size: size, modified: modified, isSynced: traits.syncsFiles, older: older)
            }
            // Everything is synced where that can be had; what closing says adds nothing.
            for file in opened { file.connection.forget(.close(file.handle)) }
        }
    }

    /// Syncs what was written over other connections; what one of them lost with its end is proved over this one.
    private func syncOthers(than connection: SFTPConnection) async throws {
        let others = state.withLock { $0.opened.filter { $0.connection !== connection && !$0.unsynced.isEmpty } }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for other in others {
                group.addTask {
                    do { try await self.sync(other) } catch {
                        guard other.connection.failure != nil else { throw error }
                    }
                }
            }
            try await group.waitForAll()
        }
        // What is lost now is proved.
        _ = try await file(on: connection)
    }

    func abandon() async {
        let left = state.withLock { state in
            defer { state.opened = [] }
            state.isOver = true
            return state.opened
        }
        for file in left { file.connection.forget(.close(file.handle)) }
    }

    /// The open file on this connection. What was written over connections that are lost by now is proved first.
    private func file(on connection: SFTPConnection) async throws -> SFTPHandle {
        let (open, lost, isOver) = state.withLock { state in
            (
                state.opened.first { $0.connection === connection }, state.opened.filter { $0.connection.failure != nil },
                state.isOver
            )
        }
        guard !isOver else {
            throw store.failure(.usage, "cannot write", key, "the upload was finished or abandoned before")
        }
        if let open, lost.isEmpty { return open.handle }
        let handle: SFTPHandle
        if let open { handle = open.handle } else { handle = try await self.open(on: connection) }
        for file in lost {
            try await prove(file.unsynced, handle, on: connection)
            state.withLock { state in state.opened.removeAll { $0.connection === file.connection } }
        }
        return handle
    }

    private func open(on connection: SFTPConnection) async throws -> SFTPHandle {
        let path = try await store.path("\(Layout.uploads)/\(name)", on: connection)
        // A new file's name was never anybody else's, so on a second connection it may be there or not.
        let flags: OpenFlags = isContinued ? [.read, .write] : [.read, .write, .create]
        let reply = try await connection.send(.open(path: path, flags: flags))[0]
        do throws(Failure) { try store.check(reply, "cannot write", key, writing: true) } catch {
            throw await store.explained(error, on: connection)
        }
        guard let handle = reply.handle else { throw store.unexpected("cannot write", key) }
        let other = state.withLock { state -> SFTPHandle? in
            // Several chunks are written at a time, and one of them may have been faster to open it.
            if let open = state.opened.first(where: { $0.connection === connection }) { return open.handle }
            state.opened.append(OpenUpload(handle: handle, connection: connection))
            return nil
        }
        guard let other else { return handle }
        connection.forget(.close(handle))
        return other
    }

    /// Makes sure that what was acknowledged on a lost connection is still there, and syncs it.
    private func prove(_ chunks: [Int: ChunkHash], _ handle: SFTPHandle, on connection: SFTPConnection) async throws {
        guard !chunks.isEmpty else { return }
        if store.state.withLock({ $0.traits?.syncsFiles }) == true {
            try await checkWritten(try await connection.send(.fsync(handle))[0], on: connection)
        }
        let piece = Piece()
        for (index, wanted) in chunks {
            guard try await hash(of: index, handle, piece, on: connection) == wanted else {
                throw store.failure(
                    .readWrite, "cannot write", key, "the server lost what it had acknowledged",
                    "Run again; what is whole is kept")
            }
        }
    }
}

extension SFTPStore {
    public func upload(_ key: ResourceKey, size: Int64, modified: Timestamp) async throws -> any Upload {
        guard size > 0 else { throw failure(.usage, "cannot write", key, "an upload has at least one byte") }
        return try await run(key) { [self] connection, _ in
            _ = try await triedTraits(on: connection)
            beginMark()
            let left = try await stagedFiles(on: connection)[key]
            if let left, try await isOurs(left, key, on: connection) {
                return SFTPUpload(store: self, key: key, size: size, modified: modified, name: left.name, isContinued: true)
            }
            if let left { try await removeStaged(left.older + [left.name], on: connection) }
            try await takeRoom(for: size, key, on: connection)
            let name = freshName(key.stem)
            state.withLock { $0.staged?[key] = StagedFile(name: name) }
            return SFTPUpload(store: self, key: key, size: size, modified: modified, name: name, isContinued: false)
        }
    }

    /// Whether what an earlier run left is a file with that one name. A second one may be the published resource, when a publish by link was
    /// cut before its unlink, so anything under the final name makes it suspect.
    private func isOurs(_ left: StagedFile, _ key: ResourceKey, on connection: SFTPConnection) async throws -> Bool {
        let root = try await root(on: connection)
        let replies = try await connection.send(
            .lstat(path: join(root, "\(Layout.uploads)/\(left.name)")), .lstat(path: join(root, key.path)))
        return replies[0].attributes?.type == .regular && replies[1].isMissing
    }
}
