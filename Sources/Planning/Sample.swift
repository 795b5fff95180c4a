/// How much of what was written is read back before states become visible.
public enum VerificationDepth: String, Sendable, CaseIterable {
    case none, sample, all
}

/// Which resources of a run are read back: a random selection of a size that is known beforehand, chosen while they stream past
/// (selection sampling: Knuth, The Art of Computer Programming 2, 3.4.2, algorithm S).
public struct SampleSelection: Sendable {
    private var remaining: Int
    private var wanted: Int
    /// Of what has not streamed past yet.
    private var remainingBytes: Int64
    /// What is still to be chosen at least; the selection goes on until one of the two is reached.
    private var missing: (count: Int, bytes: Int64)

    /// One in a hundred, but at least this many …
    public static let resourceCountMin = 16
    /// … or as many as hold this many bytes, whichever is less: enough to notice a target that loses everything, cheap for huge resources.
    public static let byteCountMin: Int64 = 64 << 20

    /// - Parameters:
    ///   - count: how many resources will stream past.
    ///   - bytes: how many bytes they have in all.
    public init(count: Int, bytes: Int64, depth: VerificationDepth) {
        (remaining, remainingBytes) = (count, bytes)
        missing = (0, 0)
        switch depth {
        case .none: wanted = 0
        case .all: wanted = count
        case .sample:
            let mean = max(1, bytes / Int64(max(1, count)))
            let byBytes = Int((Self.byteCountMin + mean - 1) / mean)
            wanted = min(count, max((count + 99) / 100, min(Self.resourceCountMin, byBytes)))
            missing = (Self.resourceCountMin, Self.byteCountMin)
        }
    }

    /// About how many will be chosen.
    public var expectedCount: Int { wanted }

    /// Whether the next resource, of `size` bytes, is one of the selection.
    public mutating func next(size: Int64, using generator: inout some RandomNumberGenerator) -> Bool {
        guard remaining > 0 else { return wanted > 0 }
        let isShort = missing.count > 0 && missing.bytes > 0
        if wanted == 0, isShort { wanted = 1 }
        // Without this one, what is left would not be enough.
        let isNeeded = isShort && missing.count >= remaining && missing.bytes > remainingBytes - size
        let chosen = isNeeded || wanted > 0 && Int.random(in: 0..<remaining, using: &generator) < wanted
        remaining -= 1
        remainingBytes -= size
        guard chosen else { return false }
        wanted = max(0, wanted - 1)
        missing = (missing.count - 1, missing.bytes - size)
        return true
    }
}
