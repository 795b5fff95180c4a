internal import Kloset
internal import Storage
internal import Synchronization

/// A small resource that was read, looked at and hashed.
struct ProvenSmall: Sendable {
    var resource: SmallResource
    var proof: ResourceProof
}

/// A resource that nobody reads, and what it is known to be.
struct ServerCopy: Sendable {
    var resource: ListedResource
    var proof: ResourceProof
}

/// What travels from a reader to the targets. Each unit keeps at most one piece of memory alive.
enum CopyUnit: Sendable {
    /// Small resources that share a piece.
    case small([ProvenSmall])
    /// One chunk of a large resource.
    case chunk(of: ListedResource, index: Int, piece: Piece, count: Int, hash: ChunkHash)
    /// All chunks of a large resource were sent; this is what they add up to.
    case complete(ListedResource, ResourceProof)
    /// What the target's own server can copy, without anybody reading it.
    case copies([ServerCopy])
    /// A large resource will not be completed: its source is damaged.
    case abandoned(ResourceKey)
}

/// Hands what was read once to every target, each at its own speed and with a bounded queue.
///
/// Readers go at the pace of the fastest target: when one runs dry while another is full, the full one is passed over and told to fetch the
/// resource later from elsewhere. So a slow or failed target delays none of the others, and memory stays bounded.
final class FanOut: Sendable {
    private struct Lane {
        var queue: [CopyUnit] = []
        var taken = 0
        var isClosed = false
        var isWaiting: Bool { queue.isEmpty && taken == 0 }
        var receivers: [Waiter] = []
    }

    private struct Waiter: Sendable {
        var number: UInt64
        var continuation: CheckedContinuation<Void, Never>
    }

    private struct State {
        var lanes: [Lane]
        var isFinished = false
        var readers: [Waiter] = []
        var nextNumber: UInt64 = 0
    }

    private let state: Mutex<State>
    /// Units that a target may have queued or in hand.
    private let unitsPerLaneMax: Int

    init(lanes: Int, unitsPerLaneMax: Int) {
        state = Mutex(State(lanes: Array(repeating: Lane(), count: lanes)))
        self.unitsPerLaneMax = unitsPerLaneMax
    }

    /// Queues the unit for each of `lanes` that keeps up, waiting while all that are left are full.
    ///
    /// - Returns: the lanes that were passed over because they are full while another one has nothing to do. Closed lanes are in neither.
    func offer(_ unit: CopyUnit, to lanes: [Int]) async throws -> [Int] {
        while true {
            try Task.checkCancellation()
            if let passedOver = offerNow(unit, to: lanes) { return passedOver }
            await waitForRoom(in: lanes)
        }
    }

    private func offerNow(_ unit: CopyUnit, to lanes: [Int]) -> [Int]? {
        var wake: [Waiter] = []
        let passedOver: [Int]? = state.withLock { state in
            let open = lanes.filter { !state.lanes[$0].isClosed }
            let full = open.filter { state.lanes[$0].taken + state.lanes[$0].queue.count >= unitsPerLaneMax }
            let someoneIsIdle = open.contains { state.lanes[$0].isWaiting }
            guard full.isEmpty || someoneIsIdle else { return nil }
            for lane in open where !full.contains(lane) {
                state.lanes[lane].queue.append(unit)
                if !state.lanes[lane].receivers.isEmpty { wake.append(state.lanes[lane].receivers.removeFirst()) }
            }
            return full
        }
        for waiter in wake { waiter.continuation.resume() }
        return passedOver
    }

    /// The next unit for a lane, or nil when there will be no more. Each must be followed by ``done(_:)``.
    func next(_ lane: Int) async throws -> CopyUnit? {
        while true {
            try Task.checkCancellation()
            let (unit, ended): (CopyUnit?, Bool) = state.withLock { state in
                if state.lanes[lane].isClosed { return (nil, true) }
                guard !state.lanes[lane].queue.isEmpty else { return (nil, state.isFinished) }
                state.lanes[lane].taken += 1
                return (state.lanes[lane].queue.removeFirst(), false)
            }
            if let unit { return unit }
            if ended { return nil }
            wakeReaders()
            await suspend { state, waiter in
                guard state.lanes[lane].queue.isEmpty, !state.lanes[lane].isClosed, !state.isFinished else { return false }
                state.lanes[lane].receivers.append(waiter)
                return true
            }
        }
    }

    /// A unit has been dealt with; its memory is free again.
    func done(_ lane: Int) {
        state.withLock { $0.lanes[lane].taken -= 1 }
        wakeReaders()
    }

    /// The lane takes nothing more: it failed.
    func close(_ lane: Int) {
        let waiting = state.withLock { state in
            state.lanes[lane].isClosed = true
            state.lanes[lane].queue = []
            defer { state.lanes[lane].receivers = [] }
            return state.lanes[lane].receivers
        }
        for waiter in waiting { waiter.continuation.resume() }
        wakeReaders()
    }

    /// Whether all lanes are closed: nobody is left to read for.
    var isAbandoned: Bool { state.withLock { $0.lanes.allSatisfy(\.isClosed) } }

    /// Nothing more will be offered.
    func finish() {
        let waiting = state.withLock { state in
            state.isFinished = true
            var all: [Waiter] = []
            for lane in state.lanes.indices {
                all += state.lanes[lane].receivers
                state.lanes[lane].receivers = []
            }
            return all
        }
        for waiter in waiting { waiter.continuation.resume() }
    }

    private func waitForRoom(in lanes: [Int]) async {
        await suspend { [unitsPerLaneMax] state, waiter in
            let open = lanes.filter { !state.lanes[$0].isClosed }
            let full = open.contains { state.lanes[$0].taken + state.lanes[$0].queue.count >= unitsPerLaneMax }
            guard full, !open.contains(where: { state.lanes[$0].isWaiting }) else { return false }
            state.readers.append(waiter)
            return true
        }
    }

    private func wakeReaders() {
        let waiting = state.withLock { state in
            defer { state.readers = [] }
            return state.readers
        }
        for waiter in waiting { waiter.continuation.resume() }
    }

    /// Suspends if `park` stored the waiter; wakes on cancellation too, the caller looks again.
    private func suspend(_ park: @escaping @Sendable (inout State, Waiter) -> Bool) async {
        let number = state.withLock { state in
            state.nextNumber += 1
            return state.nextNumber
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let parked = state.withLock { state in
                    Task.isCancelled ? false : park(&state, Waiter(number: number, continuation: continuation))
                }
                if !parked { continuation.resume() }
            }
        } onCancel: {
            let waiter = state.withLock { state -> Waiter? in
                if let index = state.readers.firstIndex(where: { $0.number == number }) { return state.readers.remove(at: index) }
                for lane in state.lanes.indices {
                    if let index = state.lanes[lane].receivers.firstIndex(where: { $0.number == number }) {
                        return state.lanes[lane].receivers.remove(at: index)
                    }
                }
                return nil
            }
            waiter?.continuation.resume()
        }
    }
}
