internal import CXXHash
public import Kloset

/// Takes a resource's bytes chunk by chunk and gives its ``ResourceProof``: one pass for the proof and for the chunk list.
public struct ResourceHasher: ~Copyable {
    private let whole = SHA256()
    private var chunks: [ChunkHash] = []
    private var size: Int64 = 0

    public init() {}

    /// Takes in the next chunk: 1 MiB, or less for the last one.
    ///
    /// - Returns: the chunk's hash.
    @discardableResult
    public mutating func update(chunk: UnsafeRawBufferPointer) -> ChunkHash {
        precondition(size % Int64(ChunkLayout.chunkByteCount) == 0, "a short chunk can only be the last")
        precondition(chunk.count <= ChunkLayout.chunkByteCount, "a chunk is at most 1 MiB")
        whole.update(chunk)
        let hash = ChunkHash(of: chunk)
        chunks.append(hash)
        size += Int64(chunk.count)
        return hash
    }

    /// What is now known of the resource.
    public consuming func finalize() -> ResourceProof {
        let list = chunks.count > 1 ? chunks : []
        return ResourceProof(size: size, digest: whole.finalize(), chunks: list)
    }
}

extension ResourceProof {
    /// The proof of a resource of at most one chunk that is at hand as a whole.
    public init(ofSmall bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count <= ChunkLayout.chunkByteCount, "larger than one chunk")
        self.init(size: Int64(bytes.count), digest: SHA256.digest(of: bytes), chunks: [])
    }
}

extension ChunkHash {
    /// XXH3-128 with seed 0 (xxHash 0.8 specification).
    public init(of bytes: UnsafeRawBufferPointer) {
        let hash = XXH3_128bits(bytes.baseAddress, bytes.count)
        self.init(high: hash.high64, low: hash.low64)
    }
}
