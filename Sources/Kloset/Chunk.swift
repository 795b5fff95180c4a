/// XXH3-128 of one chunk of a resource's ciphertext. It only locates differences; the resource's ``Digest`` proves.
public struct ChunkHash: Sendable, Hashable {
    public var high: UInt64
    public var low: UInt64

    public init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }
}

/// How a resource is cut into chunks: fixed pieces of 1 MiB, the last one shorter.
public enum ChunkLayout {
    /// 1 MiB: large enough that a hash list is 1/65536 of the data, small enough that a flaky link repeats little.
    public static let chunkByteCount = 1 << 20

    /// How many chunks a resource of `size` bytes has. Zero for an empty one.
    public static func count(size: Int64) -> Int {
        Int((size + Int64(chunkByteCount) - 1) / Int64(chunkByteCount))
    }

    /// The bytes of chunk `index` of a resource of `size` bytes.
    public static func range(_ index: Int, size: Int64) -> Range<Int64> {
        let start = Int64(index) * Int64(chunkByteCount)
        precondition(index >= 0 && start < size, "no such chunk")
        return start..<min(start + Int64(chunkByteCount), size)
    }
}

/// What is known of a resource's bytes once they have passed through our hands.
public struct ResourceProof: Sendable, Hashable {
    /// Bytes.
    public var size: Int64
    /// SHA-256 of all bytes.
    public var digest: Digest
    /// One hash for each chunk; empty for resources of one chunk or less, where the digest is as good.
    public var chunks: [ChunkHash]

    public init(size: Int64, digest: Digest, chunks: [ChunkHash]) {
        self.size = size
        self.digest = digest
        self.chunks = chunks
    }
}
