internal import HTTPClient
internal import Synchronization

/// Whether the endpoint is there at all.
///
/// After ``failuresMax`` failures of whatever calls without a success between them it is out: calls wait, and one at a time asks again. When
/// ``patience`` has brought no answer it is given up: what waits fails, and so does at once what comes later, but for one call every
/// ``rest``. A server that starts again costs a pause, and one that is gone ends a run soon, with one reason.
final class S3Breaker: Sendable {
    /// More than the attempts of one call, which alone therefore never stops the others: a single object may be what the server fails on.
    static let failuresMax = 10
    /// What a failure counts that took as long as ``patience``: two that stood still in a row are enough.
    static let failuresOfStall = 5
    /// From the first failure on. Twice what a gateway takes to start again.
    static let patience = Duration.seconds(20)
    /// How long an endpoint that was given up is left alone.
    static let rest = Duration.seconds(5)
    /// Between two questions to an endpoint that is out; doubles up to ``pauseMost``.
    static let pauseFirst = Duration.milliseconds(100)
    static let pauseMost = Duration.seconds(2)
    /// How often a call that waits looks whether it may go: nobody notices less, and 64 that wait cost nothing so.
    static let look = Duration.milliseconds(50)

    /// The endpoint was given up.
    struct GivenUp: Error, Equatable {
        var reason: String
    }

    private struct State {
        /// Since the last success.
        var failures = 0
        var first = ContinuousClock.now
        var reason = ""
        var isAsking = false
        var nextQuestion = ContinuousClock.now
        var pause = S3Breaker.pauseFirst
        var isGivenUp = false

        var isOut: Bool { failures >= S3Breaker.failuresMax }
    }

    private enum Entry {
        case go(asks: Bool)
        case wait
        case givenUp(String)
    }

    private let state = Mutex(State())
    private let retry: S3Retry

    init(_ retry: S3Retry) {
        self.retry = retry
    }

    /// While it is, its pauses and its patience bound what a call waits, not the call's attempts.
    var isOut: Bool { state.withLock { $0.isOut } }

    /// Sends when the endpoint is there, or when it is this call's turn to ask.
    ///
    /// - Throws: ``GivenUp``, and what the body throws.
    func run(_ body: () async throws -> HTTPResponse) async throws -> HTTPResponse {
        let asks = try await enter()
        let start = retry.now()
        do {
            let response = try await body()
            let isFailure = response.status >= 500 || response.status == 429
            ended(asks, since: start, isFailure ? "the server answered \(response.status)" : nil)
            return response
        } catch let error as HTTPError {
            switch error {
            case .notSent(let reason), .unclear(let reason): ended(asks, since: start, reason)
            case .tls, .tooLong: cancelled(asks)
            }
            throw error
        } catch {
            cancelled(asks)
            throw error
        }
    }

    private func enter() async throws -> Bool {
        while true {
            switch state.withLock({ Self.entry(&$0, retry.now()) }) {
            case .go(let asks): return asks
            case .wait: try await retry.sleep(Self.look)
            case .givenUp(let reason):
                throw GivenUp(
                    reason: "no call has succeeded for \(Self.patience.components.seconds) seconds; the last: \(reason)")
            }
        }
    }

    private static func entry(_ state: inout State, _ now: ContinuousClock.Instant) -> Entry {
        guard state.isOut else { return .go(asks: false) }
        if !state.isGivenUp, now - state.first >= patience {
            state.isGivenUp = true
            state.nextQuestion = now + rest
        }
        if !state.isAsking, now >= state.nextQuestion {
            state.isAsking = true
            return .go(asks: true)
        }
        return state.isGivenUp ? .givenUp(state.reason) : .wait
    }

    private func ended(_ asked: Bool, since start: ContinuousClock.Instant, _ failure: String?) {
        state.withLock { state in
            if asked { state.isAsking = false }
            guard let failure else {
                // Whoever still asks is one of many now.
                (state.failures, state.isGivenUp, state.pause) = (0, false, Self.pauseFirst)
                return
            }
            let now = retry.now()
            let wasOut = state.isOut
            if state.failures == 0 { state.first = now }
            state.failures += now - start >= Self.patience ? Self.failuresOfStall : 1
            state.reason = failure
            if state.isGivenUp {
                if asked { state.nextQuestion = now + Self.rest }
            } else if asked || state.isOut && !wasOut {
                // Half of it by chance, so that many machines do not ask together.
                state.nextQuestion = now + state.pause * Double.random(in: 0.5...1)
                state.pause = min(Self.pauseMost, state.pause * 2)
            }
        }
    }

    private func cancelled(_ asked: Bool) {
        if asked { state.withLock { $0.isAsking = false } }
    }
}
