internal import HTTPClient
internal import Kloset
internal import Storage
internal import Synchronization

/// A large resource on its way: collected part by part in memory, each part hashed, signed and sent as a whole when it is complete. What
/// fits into one part stays in memory until it is published.
final class S3Upload: Upload {
    private let store: S3Store
    private let key: ResourceKey
    private let size: Int64
    private let modified: Timestamp
    private let uploadID: String?
    /// Parts that an earlier run left; believed only when their ETag is the MD5 of the bytes that belong there.
    private let held: [Int: S3HeldPart]
    /// The server computes and keeps checksums of its parts.
    private let hasChecksums: Bool

    private struct State {
        /// Chunks of parts that are not complete yet, by part.
        var open: [Int: [Int: PieceSlice]] = [:]
        var sent: [Int: Sent] = [:]
        var whole: HTTPBody?
        var hasEnded = false
    }

    /// A part that is at the server.
    private struct Sent {
        var sum: [UInt8]
        var tag: String
        var digest: Digest
        /// The server has named the right checksum.
        var isAttested: Bool
    }

    private let state = Mutex(State())

    private static let chunksPerPart = Int(S3Store.partByteCount) / ChunkLayout.chunkByteCount

    init(store: S3Store, key: ResourceKey, size: Int64, modified: Timestamp, multipart: S3Begun?) {
        self.store = store
        self.key = key
        self.size = size
        self.modified = modified
        uploadID = multipart?.id
        held = multipart?.held ?? [:]
        hasChecksums = multipart?.hasChecksums ?? false
    }

    private var partCount: Int { Int((size + S3Store.partByteCount - 1) / S3Store.partByteCount) }

    private func partSize(_ number: Int) -> Int64 { min(S3Store.partByteCount, size - Int64(number) * S3Store.partByteCount) }

    /// Nothing can be read back. Parts that are there are not sent again, see ``S3HeldPart``.
    func heldChunks() async throws -> [ChunkHash] { [] }

    func write(chunk index: Int, from piece: Piece, count: Int) async throws {
        guard (0..<ChunkLayout.count(size: size)).contains(index), ChunkLayout.range(index, size: size).count == count else {
            throw store.failure(.usage, "cannot write", key, "there is no chunk \(index) of \(count) bytes")
        }
        try checkOpen()
        let kept = piece.kept(count)
        let part = index / Self.chunksPerPart
        let wanted = Int((partSize(part) + Int64(ChunkLayout.chunkByteCount) - 1) / Int64(ChunkLayout.chunkByteCount))
        let body: HTTPBody? = state.withLock { state in
            state.open[part, default: [:]][index % Self.chunksPerPart] = PieceSlice(kept, 0..<count)
            guard let chunks = state.open[part], chunks.count == wanted else { return nil }
            state.open[part] = nil
            return .pieces((0..<wanted).compactMap { chunks[$0] })
        }
        guard let body else { return }
        guard let uploadID else { return state.withLock { $0.whole = body } }
        try await send(part, body, uploadID)
    }

    private func send(_ number: Int, _ body: HTTPBody, _ uploadID: String) async throws {
        let sum = MD5.digest(of: body)
        let query: [(name: String, value: String?)] = [("partNumber", "\(number + 1)"), ("uploadId", uploadID)]
        var call = S3Call(.put, store.objectKey(key)).asking(query).sending(body)
            .with("Content-MD5", Base64.text(sum))
        let checksum = S3Checksum.text(call.payload)
        if let there = held[number], there.size == partSize(number), there.isSame(sum, checksum) {
            let sent = Sent(sum: sum, tag: there.tag, digest: call.payload, isAttested: there.checksum == checksum)
            return state.withLock { $0.sent[number] = sent }
        }
        if hasChecksums { call = call.with(S3Checksum.header, checksum) }
        let answer = try await store.send(call, "cannot write", key)
        guard answer.isSuccess else { throw store.failure(answer, "cannot write", .writing, key) }
        guard let tag = answer.entityTag, tag.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f && !"<>&\"".utf8.contains($0) }) else {
            throw store.failure(.readWrite, "cannot write", key, "the server took a part without naming it")
        }
        let sent = Sent(
            sum: sum, tag: tag, digest: call.payload, isAttested: try store.isAttested(answer, checksum, key) && hasChecksums)
        state.withLock { $0.sent[number] = sent }
    }

    func finish() async throws {
        try checkOpen()
        let content: S3Staged.Content? = state.withLock { state in
            if uploadID == nil, let whole = state.whole { return .body(whole) }
            guard let uploadID, state.sent.count == partCount else { return nil }
            let parts = (0..<partCount).compactMap { state.sent[$0] }
            return .parts(
                S3Multipart(
                    uploadID: uploadID, parts: parts.map(\.sum), tags: parts.map(\.tag),
                    checksums: hasChecksums ? parts.map(\.digest) : nil, isAttested: parts.allSatisfy(\.isAttested)))
        }
        guard let content else { throw store.failure(.usage, "cannot write", key, "chunks of it are missing") }
        end()
        store.hold(key, S3Staged(content: content, size: size, modified: modified))
    }

    func abandon() async {
        end()
    }

    private func end() {
        state.withLock { $0 = State(hasEnded: true) }
    }

    private func checkOpen() throws {
        guard !state.withLock({ $0.hasEnded }) else {
            throw store.failure(.usage, "cannot write", key, "the upload was finished or abandoned before")
        }
    }
}
