/// Whether a transfer still moves. libcurl's own limit averages over several seconds and counts what lies in the socket's buffer.
struct StallWatch {
    private let limit: Duration
    /// Fewer than these within the limit is a stall.
    private let byteCountMin: Int
    private var start = ContinuousClock.now
    private var byteCount = 0

    init(limit: Duration) {
        self.limit = limit
        byteCountMin = Int(max(1, min(limit.components.seconds, 1 << 20))) * CurlTransport.byteRateMin
    }

    /// When it has stalled unless enough moves until then.
    var deadline: ContinuousClock.Instant { start + limit }

    mutating func restart() {
        start = .now
        byteCount = 0
    }

    mutating func saw(byteCount moved: Int) {
        byteCount += moved
        if byteCount >= byteCountMin { restart() }
    }
}
