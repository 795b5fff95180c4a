public import Kloset
internal import SFTPProtocol
public import Storage

extension SFTPStore {
    public func readWhole(_ keys: [ResourceKey], from view: ResourceView, into piece: Piece) async throws -> [WholeRead] {
        guard !keys.isEmpty else { return [] }
        return try await run { [self] connection, _ in
            // Files of 4 KiB fill a piece with 256; looking at more than may fit would be for nothing.
            let asked = Array(keys.prefix(Self.filesAtOnce))
            let paths = try await paths(of: asked, view, on: connection)
            let (reads, parts) = try await fitting(asked, paths, into: piece, on: connection)
            return try await readParts(reads, parts, asked, into: piece, on: connection)
        }
    }

    /// A resource whose bytes are to be read.
    private struct Part {
        var index: Int
        var path: [UInt8]
        var range: Range<Int>
    }

    /// Decides from sizes how far the piece reaches, and what is known without reading.
    private func fitting(
        _ keys: [ResourceKey], _ paths: [[UInt8]?], into piece: Piece, on connection: SFTPConnection
    ) async throws -> ([WholeRead], [Part]) {
        let looks = try await connection.send(paths.compactMap { $0 }.map { SFTPCall(.lstat(path: $0)) })
        let times = try await knownTimes(of: keys, on: connection)
        var rest = looks[...]
        var (reads, parts, used) = ([WholeRead](), [Part](), 0)
        for (index, key) in keys.enumerated() {
            guard let path = paths[index], let look = rest.popFirst(), !look.isMissing else {
                reads.append(.vanished)
                continue
            }
            guard let found = look.attributes else {
                guard case .status(let status) = look else { throw unexpected("cannot read", key) }
                reads.append(.failed(failure(status, "cannot read", key)))
                continue
            }
            guard found.type == .regular, let size = found.size else {
                reads.append(.failed(irregular(found.type, key)))
                continue
            }
            guard size <= Int64(piece.memory.count) else {
                reads.append(.tooLarge(size: size))
                continue
            }
            let range = used..<used + Int(size)
            guard range.upperBound <= piece.memory.count else { break }
            used = range.upperBound
            reads.append(.bytes(range: range, modified: times[key] ?? Timestamp(seconds: Int64(found.modified ?? 0))))
            parts.append(Part(index: index, path: path, range: range))
        }
        return (reads, parts)
    }

    /// Two round trips: open all; then read and close all.
    private func readParts(
        _ reads: [WholeRead], _ parts: [Part], _ keys: [ResourceKey], into piece: Piece, on connection: SFTPConnection
    ) async throws -> [WholeRead] {
        var reads = reads
        let opened = try await connection.send(parts.map { SFTPCall(.open(path: $0.path, flags: .read)) })
        var calls: [SFTPCall] = []
        var owners: [(part: Part, count: Int)] = []
        for (part, reply) in zip(parts, opened) {
            guard let handle = reply.handle else {
                reads[part.index] = refused(reply, keys[part.index])
                continue
            }
            // Nothing is read of an empty file, and what fits into one answer needs one request.
            for start in stride(from: part.range.lowerBound, to: part.range.upperBound, by: connection.readMax) {
                let range = start..<min(start + connection.readMax, part.range.upperBound)
                calls.append(.read(handle, at: Int64(start - part.range.lowerBound), into: piece, range))
                owners.append((part, range.count))
            }
        }
        let replies = try await connection.send(calls)
        for ((part, count), reply) in zip(owners, replies) {
            switch reply {
            case .data(let got) where got.count == count: break
            case .data, .status(SFTPStatus(code: .endOfFile)):
                // Shorter than it was a moment ago, or a server that answers in parts: asked again, one by one.
                reads[part.index] = try await readAgain(part, keys[part.index], reads[part.index], into: piece, on: connection)
            default: reads[part.index] = refused(reply, keys[part.index])
            }
        }
        _ = try await connection.send(opened.compactMap(\.handle).map { SFTPCall(.close($0)) })
        return reads
    }

    private func readAgain(
        _ part: Part, _ key: ResourceKey, _ read: WholeRead, into piece: Piece, on connection: SFTPConnection
    ) async throws -> WholeRead {
        guard case .bytes = read else { return read }
        let opened = try await connection.send(.open(path: part.path, flags: .read))[0]
        guard let handle = opened.handle else { return refused(opened, key) }
        let outcome = try await connection.readFully(handle, at: 0, into: piece, part.range)
        _ = try await connection.send(.close(handle))
        switch outcome {
        case .success(part.range.count): return read
        case .success: return .failed(failure(.readWrite, "cannot read", key, "it became shorter while it was read"))
        case .failure(let refused): return .failed(failure(refused.status, "cannot read", key))
        }
    }

    private func refused(_ reply: SFTPReply, _ key: ResourceKey) -> WholeRead {
        if reply.isMissing { return .vanished }
        guard case .status(let status) = reply else { return .failed(unexpected("cannot read", key)) }
        return .failed(failure(status, "cannot read", key))
    }

    private func irregular(_ type: SFTPFileType, _ key: ResourceKey) -> Failure {
        failure(.damage, "cannot read", key, "its name is taken by \(type.word)", "Look at what lies there")
    }

    /// Where the bytes of a view are; nil for what is not staged.
    private func paths(of keys: [ResourceKey], _ view: ResourceView, on connection: SFTPConnection) async throws -> [[UInt8]?] {
        let root = try await root(on: connection)
        guard view == .stagedOnMedium else { return keys.map { join(root, $0.path) } }
        let staged = try await stagedFiles(on: connection)
        return keys.map { key in staged[key].map { join(root, "\(Layout.uploads)/\($0.name)") } }
    }

    public func read(
        _ key: ResourceKey, from view: ResourceView, at offset: Int64, count: Int, into piece: Piece
    ) async throws -> Int {
        guard offset >= 0, count >= 0, count <= piece.memory.count else {
            throw failure(.usage, "cannot read", key, "the range \(offset)+\(count) does not fit a piece")
        }
        let path = try await run(key) { [self] connection, _ in
            guard let path = try await paths(of: [key], view, on: connection)[0] else { throw Vanished(key) }
            return path
        }
        let (kept, ahead) = state.withLock { state in
            (offset > 0 ? state.reading.take(path, at: offset) : nil, state.reading.ahead)
        }
        var file = kept ?? OpenRead(OpenFile(path, key))
        file.expect(offset + Int64(count))
        // Only whoever reads whole chunks is likely to come for the next.
        let isStream = count == ChunkLayout.chunkByteCount
        do {
            let got: Int
            if isStream, kept == nil {
                got = try await readFirst(&file, at: offset, into: piece, ahead)
            } else {
                got = try await file.read(at: offset, into: piece, count: count, by: readChunk)
            }
            guard got == count, isStream, !file.isOver else {
                file.cancel()
                return got
            }
            try await file.lookAhead(ahead, in: pieces, by: readChunk)
            state.withLock { [file] in $0.reading.keep(file) }?.cancel()
            return got
        } catch {
            file.cancel()
            throw error
        }
    }

    /// Opens a file and reads its first chunk, together with those behind it.
    private func readFirst(_ file: inout OpenRead, at offset: Int64, into piece: Piece, _ ahead: Int) async throws -> Int {
        let opened = file.file
        _ = try await run(opened.key) { [self] connection, _ in try await handle(of: opened, on: connection) }
        let first = Task { try await readChunk(opened, at: offset, into: piece, count: ChunkLayout.chunkByteCount) }
        return try await withTaskCancellationHandler {
            try await file.lookAhead(ahead, in: pieces, by: readChunk)
            return try await first.value
        } onCancel: {
            first.cancel()
        }
    }

    /// Reads of an open file over whichever connection has the least to do.
    @Sendable private func readChunk(_ file: OpenFile, at offset: Int64, into piece: Piece, count: Int) async throws -> Int {
        try await run(file.key) { [self] connection, _ in
            let handle = try await handle(of: file, on: connection)
            switch try await connection.readFully(handle, at: offset, into: piece, 0..<count) {
            case .success(let got): return got
            case .failure(let refused): throw failure(refused.status, "cannot read", file.key)
            }
        }
    }

    private func handle(of file: OpenFile, on connection: SFTPConnection) async throws -> SFTPHandle {
        if let known = file.handle(on: connection) { return known }
        let (handle, size) = try await open(file.path, file.key, on: connection)
        file.add(handle, size: size, on: connection)
        return handle
    }

    /// Opens a file for reading if it is a regular one; its handle and its size.
    private func open(
        _ path: [UInt8], _ key: ResourceKey, on connection: SFTPConnection
    ) async throws -> (SFTPHandle, Int64?) {
        let look = try await connection.send(.lstat(path: path))[0]
        if look.isMissing { throw Vanished(key) }
        try check(look, "cannot read", key)
        // Never opened before it is known what it is: opening a pipe would hold up the server.
        guard let type = look.attributes?.type, type == .regular else { throw irregular(look.attributes?.type ?? .unknown, key) }
        let reply = try await connection.send(.open(path: path, flags: .read))[0]
        if reply.isMissing { throw Vanished(key) }
        try check(reply, "cannot read", key)
        guard let handle = reply.handle else { throw unexpected("cannot read", key) }
        return (handle, look.attributes?.size)
    }
}
