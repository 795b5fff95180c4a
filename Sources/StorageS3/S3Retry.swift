internal import Synchronization

/// How often and how late a call is sent again. Full jitter: the wait is anything between nothing and the bound, so that many clients that
/// were refused together do not come back together.
struct S3Retry: Sendable {
    /// Eight attempts wait 6 s on average, 13 s at most: what is busy for a moment is less busy then. ``S3Breaker`` waits for what is out.
    var attemptsMax = 8
    /// The bound of the first wait; doubles with each attempt.
    var base = Duration.milliseconds(100)
    /// The bound of any wait.
    var most = Duration.seconds(8)
    var sleep: @Sendable (Duration) async throws -> Void = { try await Task.sleep(for: $0) }
    var now: @Sendable () -> ContinuousClock.Instant = { .now }

    /// The wait before attempt `number` (the first repetition is 1).
    func wait(before number: Int) -> Duration {
        let bound = min(most, base * (1 << min(number - 1, 20)))
        return bound * Double.random(in: 0...1)
    }
}

/// What all calls to one endpoint share: a budget of repetitions, which successes refill. A server that refuses everything is left alone
/// soon, instead of being asked eight times for each of ten thousand objects. What fails while the endpoint is out, and what the
/// server pushes back, costs nothing here: ``S3Breaker`` and ``S3Throttle`` answer that.
final class S3RetryBudget: Sendable {
    /// A hundred repetitions in a row without a success is an outage.
    private static let most = 100.0
    /// Ten successes pay for one repetition: a server that refuses less than one call in ten is never given up.
    private static let gain = 0.1

    private let left = Mutex(S3RetryBudget.most)

    /// Takes one repetition; false when there is none left.
    func take() -> Bool {
        left.withLock { left in
            guard left >= 1 else { return false }
            left -= 1
            return true
        }
    }

    func succeeded() {
        left.withLock { $0 = min(Self.most, $0 + Self.gain) }
    }
}
