internal import Synchronization

/// A clock that goes as fast as those who sleep on it let it: it moves on to where the next one wakes up.
public final class VirtualClock: Sendable {
    private struct State {
        var now = ContinuousClock.now
        var wakeUps: [Int: ContinuousClock.Instant] = [:]
        var next = 0
    }

    private let state = Mutex(State())

    public init() {}

    public var now: ContinuousClock.Instant { state.withLock { $0.now } }

    public func advance(_ duration: Duration) { state.withLock { $0.now += duration } }

    public func sleep(_ duration: Duration) async throws {
        let number = state.withLock { state in
            state.next += 1
            state.wakeUps[state.next] = state.now + duration
            return state.next
        }
        defer { _ = state.withLock { $0.wakeUps.removeValue(forKey: number) } }
        repeat {
            // Others first: one who is about to sleep may wake up earlier.
            await Task.yield()
            try Task.checkCancellation()
        } while !state.withLock { state in
            guard let mine = state.wakeUps[number] else { return true }
            if state.wakeUps.values.allSatisfy({ mine <= $0 }) { state.now = max(state.now, mine) }
            return state.now >= mine
        }
    }
}
