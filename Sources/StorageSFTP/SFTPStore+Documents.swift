internal import Kloset
internal import SFTPProtocol
internal import Storage

extension SFTPStore {
    public func document(_ name: String, byteCountMax: Int) async throws -> [UInt8]? {
        let path = try documentPath(name, writing: false)
        return try await run { [self] connection, _ in try await read(path, byteCountMax, on: connection) }
    }

    /// A small file below the location; nil when there is none.
    func read(_ name: String, _ byteCountMax: Int, on connection: SFTPConnection) async throws -> [UInt8]? {
        let path = try await path(name, on: connection)
        let what = "cannot read \(name)"
        let found = try await connection.send(.lstat(path: path))[0]
        if found.isMissing { return nil }
        try check(found, what)
        guard let attributes = found.attributes, attributes.type == .regular, let size = attributes.size else {
            throw failure(
                .damage, what, nil, "its name is taken by \(found.attributes?.type.word ?? "something odd")",
                "Look at what lies there")
        }
        guard size <= Int64(byteCountMax) else {
            throw failure(.damage, what, nil, "it is \(size) bytes long, at most \(byteCountMax) were expected")
        }
        let opened = try await connection.send(.open(path: path, flags: .read))[0]
        if opened.isMissing { return nil }
        try check(opened, what)
        guard let handle = opened.handle else { throw unexpected(what) }
        let piece = Piece()
        var bytes: [UInt8] = []
        while bytes.count < Int(size) {
            let wanted = min(piece.memory.count, Int(size) - bytes.count)
            switch try await connection.readFully(handle, at: Int64(bytes.count), into: piece, 0..<wanted) {
            case .failure(let refused): throw failure(refused.status, what)
            case .success(let count):
                bytes += piece.bytes(0..<count)
                if count < wanted {
                    connection.forget(.close(handle))
                    return bytes
                }
            }
        }
        connection.forget(.close(handle))
        return bytes
    }

    public func documents(in folder: String) async throws -> [String] {
        let path = try documentPath(folder, writing: false)
        return try await run { [self] connection, _ in
            var names: [String] = []
            _ = try await visitNames(in: path, on: connection) { name in
                let type = name.attributes.type
                if type == .regular || type == .unknown, let text = String(validating: name.name, as: UTF8.self), text.isSafeWord
                {
                    names.append(text)
                }
                return true
            }
            return names.sorted()
        }
    }

    public func replaceDocument(_ name: String, with bytes: [UInt8]) async throws {
        let path = try documentPath(name, writing: true)
        try await run { [self] connection, _ in try await write(path, bytes, mayReplace: true, on: connection) }
    }

    public func createDocument(_ name: String, with bytes: [UInt8]) async throws {
        let path = try documentPath(name, writing: true)
        try await run { [self] connection, attempt in
            do throws(Failure) {
                try await write(path, bytes, mayReplace: false, on: connection)
            } catch {
                // The answer to an earlier try may have been lost with its connection.
                guard attempt > 0, error.kind == .refused, let there = try? await read(path, bytes.count, on: connection),
                    there == bytes
                else { throw error }
            }
        }
    }

    /// Writes a small file under a name of the moment, syncs it, gives it its name, and makes that durable: three round trips.
    ///
    /// - Parameter isLasting: false for what nobody needs after a power loss; then nothing is synced.
    func write(
        _ name: String, _ bytes: [UInt8], mayReplace: Bool, isLasting: Bool = true, on connection: SFTPConnection
    ) async throws(Failure) {
        do {
            var traits = try await triedTraits(on: connection)
            if !isLasting { (traits.syncsFiles, traits.syncsFolders) = (false, false) }
            let cut = name.lastIndex(of: "/") ?? name.startIndex
            let folder = String(name[..<cut])
            if !folder.isEmpty { try await makeFolders(Self.chain(folder), mode: 0o700, on: connection) }
            let temporary = "\(Layout.uploads)/\(freshName("document"))"
            do {
                let handle = try await put(bytes, temporary, name, folder, traits, on: connection)
                defer { if let handle { connection.forget(.close(handle)) } }
                try await give(temporary, name, mayReplace: mayReplace, syncing: handle, traits, on: connection)
            } catch {
                forgetFolders()
                if connection.failure == nil {
                    _ = try? await connection.send(.remove(path: try await path(temporary, on: connection)))
                }
                throw error
            }
            if !traits.syncsFolders { try await syncFile(try await path(name, on: connection), .config, traits, on: connection) }
        } catch let failure as Failure {
            throw failure.kind == .readWrite ? await explained(failure, on: connection) : failure
        } catch {
            throw Failure(.interrupted, "cannot write \(name)", place: place, reason: "the run was stopped")
        }
    }

    /// `a`, `a/b`, `a/b/c`: a folder with those around it, outermost first.
    private static func chain(_ folder: String) -> [String] {
        let parts = folder.split(separator: "/")
        return parts.indices.map { parts[...$0].joined(separator: "/") }
    }

    /// Writes the bytes; the folder that the name will be in is opened on the way, where it can be synced.
    private func put(
        _ bytes: [UInt8], _ temporary: String, _ name: String, _ folder: String, _ traits: SFTPTraits,
        on connection: SFTPConnection
    ) async throws -> SFTPHandle? {
        let what = "cannot write \(name)"
        var opening = [SFTPCall(.open(path: try await path(temporary, on: connection), flags: [.write, .create, .exclusive]))]
        if traits.syncsFolders { opening.append(SFTPCall(.open(path: try await path(folder, on: connection), flags: .read))) }
        let opened = try await connection.send(opening)
        do throws(Failure) {
            for reply in opened { try check(reply, what, writing: true) }
            guard opened.allSatisfy({ $0.handle != nil }) else { throw unexpected(what) }
        } catch {
            for handle in opened.compactMap(\.handle) { connection.forget(.close(handle)) }
            throw error
        }
        guard let handle = opened[0].handle else { throw unexpected(what) }
        var calls: [SFTPCall] = []
        for start in stride(from: 0, to: bytes.count, by: ChunkLayout.chunkByteCount) {
            let piece = Piece()
            let part = bytes[start..<min(start + ChunkLayout.chunkByteCount, bytes.count)]
            piece.memory.copyBytes(from: part)
            calls += connection.writes(handle, at: Int64(start), from: piece, 0..<part.count)
        }
        if traits.syncsFiles { calls.append(SFTPCall(.fsync(handle))) }
        calls.append(SFTPCall(.close(handle)))
        do {
            for reply in try await connection.send(calls) { try check(reply, what, writing: true) }
        } catch {
            if opened.count > 1, let handle = opened[1].handle { connection.forget(.close(handle)) }
            throw error
        }
        return opened.count > 1 ? opened[1].handle : nil
    }

    private func give(
        _ temporary: String, _ name: String, mayReplace: Bool, syncing folder: SFTPHandle?, _ traits: SFTPTraits,
        on connection: SFTPConnection
    ) async throws {
        let what = "cannot write \(name)"
        let (from, to) = (try await path(temporary, on: connection), try await path(name, on: connection))
        guard !mayReplace else {
            // Such a server has no step that replaces: for a moment there is none under the name.
            if !traits.posixRename, !traits.renameReplaces { _ = try await connection.send(.remove(path: to)) }
            let request: SFTPRequest = traits.posixRename ? .posixRename(from: from, to: to) : .rename(from: from, to: to)
            return try check(try await sendSyncing(request, folder, on: connection), what, writing: true)
        }
        let reply: SFTPReply
        switch traits.capabilities.publication {
        case .atomic: reply = try await sendSyncing(.rename(from: from, to: to), folder, on: connection)
        case .linkThenUnlink:
            reply = try await sendSyncing(.hardlink(from: from, to: to), folder, on: connection)
            if reply.isOK { connection.forget(.remove(path: from)) }
        case .checkThenRename, .conditional, .untried, .checkThenWrite:
            guard try await connection.send(.lstat(path: to))[0].isMissing else { throw taken(what) }
            reply = try await sendSyncing(.rename(from: from, to: to), folder, on: connection)
        }
        if !reply.isOK, try await connection.send(.lstat(path: to))[0].attributes != nil { throw taken(what) }
        try check(reply, what, writing: true)
    }

    /// Gives a name, and makes it durable in its folder; what became of the name is returned.
    private func sendSyncing(
        _ request: SFTPRequest, _ folder: SFTPHandle?, on connection: SFTPConnection
    ) async throws -> SFTPReply {
        let (given, synced) = try await connection.send(
            [SFTPCall(request)], then: folder.map { [SFTPCall(.fsync($0))] } ?? [])
        if given[0].isOK, let synced = synced.first { try check(synced, "cannot make durable", writing: true) }
        return given[0]
    }

    private func taken(_ what: String) -> Failure { failure(.refused, what, nil, "it exists already") }

    public func quarantineDocument(_ name: String) async throws {
        let document = try documentPath(name, writing: true)
        try await run { [self] connection, _ in
            let from = try await path(document, on: connection)
            if try await connection.send(.lstat(path: from))[0].isMissing { return }
            let traits = try await triedTraits(on: connection)
            try await makeFolders([Layout.own, Layout.quarantine], mode: 0o700, on: connection)
            let kept = "\(Layout.quarantine)/\(freshName(name.split(separator: "/").joined(separator: "-")))"
            let reply = try await connection.send(.rename(from: from, to: try await path(kept, on: connection)))[0]
            if reply.isMissing { return }
            try check(reply, "cannot move \(document) aside", writing: true)
            let cut = document.lastIndex(of: "/") ?? document.startIndex
            try await syncFolders([Layout.quarantine, String(document[..<cut])], traits, on: connection)
        }
    }

    /// Where a document lies, relative to the root; a name that could mean anything else is refused.
    private func documentPath(_ name: String, writing: Bool) throws -> String {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        // What is ours for other purposes is no place for documents.
        let reserved = writing && ["uploads", "quarantine", "holder", "unsynced", "times"].contains(parts.first)
        guard name.utf8.count <= 200, parts.count <= 4, parts.allSatisfy(\.isSafeWord), !reserved else {
            throw failure(.usage, "cannot use a document", nil, "\(Self.printable(name.bytes)) is no name for one")
        }
        return "\(Layout.own)/\(name)"
    }
}
