internal import Synchronization

/// How many calls are under way at a time: half when the server pushes back, one more after each round of successes, and slowly so near to
/// where it pushed back last, so that a server with a limit is seldom asked in vain.
final class S3Throttle: Sendable {
    private struct State {
        var limit: Double
        /// The limit when the server pushed back last.
        var ceiling = Double.infinity
        /// Calls that had begun before that: what is said of them is no news.
        var old = 0
        var running = 0
        var waiters: [(UInt64, CheckedContinuation<Void, any Error>)] = []
        var next: UInt64 = 0
        var cancelled: Set<UInt64> = []
    }

    /// A gateway on two cores is busy with 16; 64 hide 20 ms of delay at 3,000 calls a second.
    static let initial = 16.0
    static let most = 64.0
    /// Of the last ceiling; from there on a step takes so many rounds.
    private static let (near, roundsNear) = (0.75, 20.0)

    private let state = Mutex(State(limit: S3Throttle.initial))

    /// Runs a call when its turn has come.
    func run<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
        try await enter()
        defer { leave() }
        return try await body()
    }

    func succeeded() {
        state.withLock { state in
            let near = Self.near * state.ceiling
            let step = 1 / state.limit
            state.limit = min(
                Self.most, state.limit < near ? min(near, state.limit + step) : state.limit + step / Self.roundsNear)
        }
    }

    func wasPushedBack() {
        state.withLock { state in
            guard state.old == 0 else { return }
            (state.ceiling, state.old) = (state.limit, state.running)
            state.limit = max(1, state.limit / 2)
        }
    }

    private func enter() async throws {
        let number = state.withLock { state in
            state.next += 1
            return state.next
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let outcome: Result<Void, any Error>? = state.withLock { state in
                    if state.cancelled.remove(number) != nil { return .failure(CancellationError()) }
                    if state.running < Int(state.limit) {
                        state.running += 1
                        return .success(())
                    }
                    state.waiters.append((number, continuation))
                    return nil
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } onCancel: {
            let waiter = state.withLock { state -> CheckedContinuation<Void, any Error>? in
                guard let index = state.waiters.firstIndex(where: { $0.0 == number }) else {
                    state.cancelled.insert(number)
                    return nil
                }
                return state.waiters.remove(at: index).1
            }
            waiter?.resume(throwing: CancellationError())
        }
        _ = state.withLock { $0.cancelled.remove(number) }
    }

    private func leave() {
        let next = state.withLock { state -> [CheckedContinuation<Void, any Error>] in
            state.running -= 1
            state.old = max(0, state.old - 1)
            var next: [CheckedContinuation<Void, any Error>] = []
            while state.running < Int(state.limit), !state.waiters.isEmpty {
                next.append(state.waiters.removeFirst().1)
                state.running += 1
            }
            return next
        }
        for waiter in next { waiter.resume() }
    }
}

/// Does the same for many things, so many at a time, and puts what comes out in order.
func inParallel<Item: Sendable, Value: Sendable>(
    _ items: [Item], atMost limit: Int, _ body: @escaping @Sendable (Item) async throws -> Value
) async throws -> [Value] {
    if items.count == 1, let item = items.first { return [try await body(item)] }
    return try await withThrowingTaskGroup(of: (Int, Value).self) { group in
        var results = [Value?](repeating: nil, count: items.count)
        var next = 0
        func start() {
            guard next < items.count else { return }
            let (index, item) = (next, items[next])
            group.addTask { (index, try await body(item)) }
            next += 1
        }
        for _ in 0..<limit { start() }
        while let (index, value) = try await group.next() {
            results[index] = value
            start()
        }
        return results.compactMap { $0 }
    }
}
