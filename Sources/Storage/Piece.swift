internal import Kloset
internal import Synchronization

/// One megabyte of memory that travels from a read to the writes it feeds, then returns to its pool.
///
/// Written by one reader, then shared by several writers that only read: whoever fills a piece finishes before handing it on.
public final class Piece: @unchecked Sendable {
    // @unchecked: the memory is filled by the one task that acquired the piece and only read after it was passed on.
    public let memory: UnsafeMutableRawBufferPointer
    private let pool: PiecePool?
    /// Somebody keeps it.
    private let isKept = Atomic<Bool>(false)

    fileprivate init(memory: UnsafeMutableRawBufferPointer, pool: PiecePool) {
        self.memory = memory
        self.pool = pool
    }

    /// A piece outside any pool, for the rare caller that needs just one.
    public init() {
        memory = .allocate(byteCount: ChunkLayout.chunkByteCount, alignment: Piece.alignment)
        pool = nil
    }

    /// The same bytes for somebody who keeps pieces until he has several: the piece itself, or where too many of its pool are kept already a copy outside of
    /// the pool, so that there are always some to go on with.
    ///
    /// - Parameter count: bytes that matter, from the start.
    public func kept(_ count: Int) -> Piece {
        if isKept.load(ordering: .relaxed) { return self }
        if let pool, pool.mayKeepOneMore() {
            if isKept.exchange(true, ordering: .relaxed) { pool.keepOneLess() }
            return self
        }
        let copy = Piece()
        copy.memory.copyMemory(from: bytes(0..<count))
        return copy
    }

    deinit {
        if let pool {
            if isKept.load(ordering: .relaxed) { pool.keepOneLess() }
            pool.put(PiecePool.Slab(memory: memory))
        } else {
            memory.deallocate()
        }
    }

    /// The bytes at `range`.
    public func bytes(_ range: Range<Int>) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: memory[range])
    }

    /// A page: what direct reads from a device ask for.
    fileprivate static let alignment = 4096
}

/// All memory that a run may have in flight, in pieces of one chunk (1 MiB). Waiting for a piece is the back-pressure of every transfer.
public final class PiecePool: Sendable {
    /// Memory that nobody uses at the moment.
    fileprivate struct Slab: @unchecked Sendable {  // @unchecked: it has one owner at a time, the pool or one piece
        var memory: UnsafeMutableRawBufferPointer
    }

    private struct Waiter {
        var number: UInt64
        var continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var idle: [Slab] = []
        var reserved = 0
        /// Of these those that somebody keeps.
        var kept = 0
        var waiters: [Waiter] = []
        var nextNumber: UInt64 = 0
        var cancelled: Set<UInt64> = []
    }

    private let state = Mutex(State())

    /// The number of pieces at most, each of 1 MiB.
    public let capacity: Int

    public init(capacity: Int) {
        precondition(capacity > 0, "a pool without pieces would never lend one")
        self.capacity = capacity
    }

    deinit {
        state.withLock { state in
            for slab in state.idle { slab.memory.deallocate() }
        }
    }

    /// Lends a piece, waiting until one is free. First come, first served.
    ///
    /// - Throws: `CancellationError` when the task is cancelled while it waits.
    public func acquire() async throws -> Piece {
        try Task.checkCancellation()
        let number = state.withLock { state in
            state.nextNumber += 1
            return state.nextNumber
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Void, any Error>) in
                let outcome: Result<Void, any Error>? = state.withLock { state in
                    if state.cancelled.remove(number) != nil { return .failure(CancellationError()) }
                    if state.reserved < capacity {
                        state.reserved += 1
                        return .success(())
                    }
                    state.waiters.append(Waiter(number: number, continuation: continuation))
                    return nil
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } onCancel: {
            let waiter = state.withLock { state -> Waiter? in
                guard let index = state.waiters.firstIndex(where: { $0.number == number }) else {
                    state.cancelled.insert(number)
                    return nil
                }
                return state.waiters.remove(at: index)
            }
            waiter?.continuation.resume(throwing: CancellationError())
        }
        return state.withLock { state in
            state.cancelled.remove(number)
            let slab =
                state.idle.popLast()
                ?? Slab(memory: .allocate(byteCount: ChunkLayout.chunkByteCount, alignment: Piece.alignment))
            return Piece(memory: slab.memory, pool: self)
        }
    }

    /// A quarter of the pieces is never kept: enough for readers and writers to go on with.
    fileprivate func mayKeepOneMore() -> Bool {
        state.withLock { state in
            guard state.kept < capacity - max(capacity / 4, 1) else { return false }
            state.kept += 1
            return true
        }
    }

    fileprivate func keepOneLess() { state.withLock { $0.kept -= 1 } }

    /// Lends a piece for what is not needed yet, if more than `reserve` would be left and nobody waits.
    public func acquireIfIdle(leaving reserve: Int) -> Piece? {
        state.withLock { state in
            guard state.waiters.isEmpty, state.reserved + reserve < capacity else { return nil }
            state.reserved += 1
            let slab =
                state.idle.popLast()
                ?? Slab(memory: .allocate(byteCount: ChunkLayout.chunkByteCount, alignment: Piece.alignment))
            return Piece(memory: slab.memory, pool: self)
        }
    }

    fileprivate func put(_ slab: Slab) {
        let waiter = state.withLock { state -> Waiter? in
            state.idle.append(slab)
            if !state.waiters.isEmpty { return state.waiters.removeFirst() }
            state.reserved -= 1
            return nil
        }
        waiter?.continuation.resume()
    }
}
