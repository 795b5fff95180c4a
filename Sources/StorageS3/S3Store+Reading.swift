internal import HTTPClient
public import Kloset
public import Storage
internal import Synchronization

extension S3Store {
    public func presence() async throws -> Presence {
        let names: [Name]
        do {
            // Enough for a message; what lies there is mostly buckets, and those end at the delimiter.
            names = try await self.names(in: "", atMost: 20, keysMax: 20)
        } catch let failure as Failure where failure.kind == .noStore {
            return .absent
        }
        return names.isEmpty ? .absent : .occupied(names: names.map { String($0.text) })
    }

    public func attributes(of keys: [ResourceKey]) async throws -> [ResourceAttributes] {
        try await inParallel(keys, atMost: Self.callsAtOnce) { [self] key in
            guard let answer = try await head(objectKey(key), "cannot look at", key) else { return .absent }
            guard let size = answer.objectByteCount else {
                throw failure(.readWrite, "cannot look at", key, "the server does not say how long it is")
            }
            return .regular(size: size, modified: answer.modified)
        }
    }

    /// As many as the throttle ever lets through.
    static let callsAtOnce = Int(S3Throttle.most)

    public func readWhole(_ keys: [ResourceKey], from view: ResourceView, into piece: Piece) async throws -> [WholeRead] {
        guard view != .stagedOnMedium else { return keys.map { _ in .vanished } }
        var reads: [WholeRead] = []
        var used = 0
        // A window at a time: nobody knows yet how much fits, and what does not is read again.
        for start in stride(from: 0, to: keys.count, by: Self.wholeReadsAtOnce) {
            let window = Array(keys[start..<min(start + Self.wholeReadsAtOnce, keys.count)])
            for found in try await inParallel(
                window, atMost: window.count, { [self] in try await whole($0, most: piece.memory.count) })
            {
                switch found {
                case .bytes(let bytes, let modified):
                    guard used + bytes.count <= piece.memory.count else { return reads }
                    let range = used..<used + bytes.count
                    UnsafeMutableRawBufferPointer(rebasing: piece.memory[range]).copyBytes(from: bytes)
                    used = range.upperBound
                    reads.append(.bytes(range: range, modified: modified))
                case .other(let read): reads.append(read)
                }
            }
            guard used < piece.memory.count else { return reads }
        }
        return reads
    }

    /// Bodies of that many resources are held beside the piece.
    private static let wholeReadsAtOnce = 16

    private enum Whole: Sendable {
        case bytes([UInt8], Timestamp)
        case other(WholeRead)
    }

    private func whole(_ key: ResourceKey, most: Int) async throws -> Whole {
        do {
            let call = S3Call(.get, objectKey(key)).into(.bytes(max: most + 1)).with("Range", "bytes=0-\(most)")
            let answer = try await send(call, "cannot read", key)
            switch answer.status {
            case 404: return .other(.vanished)
            // A range of nothing: the object is empty.
            case 416: return try await wholeEmpty(key)
            case 200, 206: break
            default: return .other(.failed(failure(answer, "cannot read", .reading, key)))
            }
            let bytes = answer.response.bytes
            let total = try contentRange(answer, key)?.total ?? Int64(bytes.count)
            guard total <= Int64(most) else { return .other(.tooLarge(size: total)) }
            guard Int64(bytes.count) == total else {
                return .other(
                    .failed(failure(.readWrite, "cannot read", key, "\(bytes.count) bytes came, \(total) were announced")))
            }
            return .bytes(bytes, answer.modified)
        } catch let failure as Failure where failure.resource == key && failure.kind != .unavailable {
            return .other(.failed(failure))
        }
    }

    private func wholeEmpty(_ key: ResourceKey) async throws -> Whole {
        guard let answer = try await head(objectKey(key), "cannot read", key) else { return .other(.vanished) }
        guard answer.objectByteCount == 0 else {
            return .other(
                .failed(failure(.readWrite, "cannot read", key, "the server answers its first byte with “no such range”")))
        }
        return .bytes([], answer.modified)
    }

    /// What the last read of its beginning told; a HEAD where nobody read.
    public func modified(of key: ResourceKey) async throws -> Timestamp {
        if let known = state.withLock({ $0.times.removeValue(forKey: key) }) { return known }
        guard let answer = try await head(objectKey(key), "cannot look at", key) else { throw Vanished(key) }
        return answer.modified
    }

    /// Large resources under way at a time are fewer.
    private static let timesMax = 256

    private func note(_ answer: S3Answer, of key: ResourceKey) {
        state.withLock { state in
            if state.times.count >= Self.timesMax { state.times = [:] }
            state.times[key] = answer.modified
        }
    }

    public var requestCounts: RequestCounts? { client.requestCounts }

    public func read(
        _ key: ResourceKey, from view: ResourceView, at offset: Int64, count: Int, into piece: Piece
    ) async throws -> Int {
        guard offset >= 0, count >= 0, count <= piece.memory.count else {
            throw failure(.usage, "cannot read", key, "the range does not fit a piece")
        }
        guard view != .stagedOnMedium else { throw Vanished(key) }
        guard count > 0 else {
            guard try await head(objectKey(key), "cannot read", key) != nil else { throw Vanished(key) }
            return 0
        }
        let call = S3Call(.get, objectKey(key)).into(.piece(piece, max: count)).with(
            "Range", "bytes=\(offset)-\(offset + Int64(count) - 1)")
        let answer = try await send(call, "cannot read", key)
        switch answer.status {
        case 404: throw Vanished(key)
        case 416: return 0
        case 206: break
        // The whole object, which is what was asked for when it is not longer.
        case 200 where offset == 0:
            note(answer, of: key)
            return answer.response.byteCount
        case 200: throw failure(.readWrite, "cannot read", key, "the server does not honour ranges")
        default: throw failure(answer, "cannot read", .reading, key)
        }
        guard let range = try contentRange(answer, key), range.first == offset,
            Int64(answer.response.byteCount) == min(Int64(count), range.total - offset)
        else {
            throw failure(.readWrite, "cannot read", key, "the server sent another range than was asked for")
        }
        if offset == 0 { note(answer, of: key) }
        return answer.response.byteCount
    }

    /// `Content-Range: bytes FIRST-LAST/TOTAL` (RFC 9110, section 14.4); nil without one.
    func contentRange(_ answer: S3Answer, _ key: ResourceKey) throws -> (first: Int64, total: Int64)? {
        guard answer.status == 206 else { return nil }
        guard let range = S3ContentRange(answer.response.headers["Content-Range"] ?? ""),
            range.byteCount == Int64(answer.response.byteCount)
        else {
            throw failure(.readWrite, "cannot read", key, "the server does not say which range it sent")
        }
        return (range.first, range.total)
    }
}
