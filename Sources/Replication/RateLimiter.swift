/// A bound on bytes a second, shared by all readers of a run.
actor RateLimiter {
    private let bytesPerSecond: Int64
    private var nextFree: ContinuousClock.Instant

    init(bytesPerSecond: Int64) {
        precondition(bytesPerSecond > 0, "a rate of nothing would never end")
        self.bytesPerSecond = bytesPerSecond
        nextFree = .now
    }

    /// Waits until `bytes` more may be read. Each caller reserves its time slot first, so that the rate holds for all together.
    func take(_ bytes: Int) async throws {
        let start = max(nextFree, .now)
        nextFree = start + .seconds(1) * Double(bytes) / Double(bytesPerSecond)
        if start > .now { try await Task.sleep(until: start, clock: .continuous) }
    }
}
