internal import SFTPProtocol
internal import Storage
internal import Synchronization

/// One request with the memory that its data comes from or goes to.
struct SFTPCall: Sendable {
    var request: SFTPRequest
    /// For `write` the data, for `read` room for it.
    var piece: Piece?
    var range: Range<Int> = 0..<0

    init(_ request: SFTPRequest) {
        self.request = request
    }

    static func write(_ handle: SFTPHandle, at offset: Int64, from piece: Piece, _ range: Range<Int>) -> SFTPCall {
        var call = SFTPCall(.write(handle, offset: UInt64(offset), count: UInt32(range.count)))
        (call.piece, call.range) = (piece, range)
        return call
    }

    static func read(_ handle: SFTPHandle, at offset: Int64, into piece: Piece, _ range: Range<Int>) -> SFTPCall {
        var call = SFTPCall(.read(handle, offset: UInt64(offset), count: UInt32(range.count)))
        (call.piece, call.range) = (piece, range)
        return call
    }

    /// What it takes of the window: its data, and about what request and answer need beside it.
    var weight: Int {
        // A hundred names with their long forms take 24 KiB, but of each folder's answers only the first few have any.
        if case .readdir = request { return 12 << 10 }
        return 256 + range.count
    }
}

/// Calls that are made together and waited for together.
final class SFTPBatch: Sendable {
    private struct State {
        var replies: [SFTPReply?]
        var left: Int
        var outcome: Result<[SFTPReply], any Error>?
        var continuation: CheckedContinuation<[SFTPReply], any Error>?
    }

    let calls: [SFTPCall]
    /// Of all calls together.
    let weight: Int
    private let state: Mutex<State>

    init(_ calls: [SFTPCall]) {
        self.calls = calls
        weight = calls.reduce(0) { $0 + $1.weight }
        state = Mutex(State(replies: Array(repeating: nil, count: calls.count), left: calls.count))
    }

    /// Whether nobody waits any more: what was not sent yet need not be.
    var isOver: Bool { state.withLock { $0.outcome != nil } }

    func answer(_ index: Int, _ reply: SFTPReply) {
        finish { state in
            guard state.replies[index] == nil else { return nil }
            state.replies[index] = reply
            state.left -= 1
            return state.left == 0 ? .success(state.replies.compactMap { $0 }) : nil
        }
    }

    func fail(_ error: any Error) {
        finish { _ in .failure(error) }
    }

    /// The answers, in the order of the calls.
    ///
    /// - Throws: what ended the connection, or `CancellationError` at once: answers that still come are then dropped.
    func wait() async throws -> [SFTPReply] {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<[SFTPReply], any Error>) in
                let outcome = state.withLock { state in
                    if state.outcome == nil { state.continuation = continuation }
                    return state.outcome
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } onCancel: {
            fail(CancellationError())
        }
    }

    // The formatter takes `sending` and the type for one word.
    // swift-format-ignore
    private func finish(_ change: (inout sending State) -> Result<[SFTPReply], any Error>?) {
        let waiter = state.withLock { state -> (CheckedContinuation<[SFTPReply], any Error>, Result<[SFTPReply], any Error>)? in
            guard state.outcome == nil, let outcome = change(&state) else { return nil }
            state.outcome = outcome
            defer { state.continuation = nil }
            return state.continuation.map { ($0, outcome) }
        }
        if let (continuation, outcome) = waiter { continuation.resume(with: outcome) }
    }
}
