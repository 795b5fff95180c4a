internal import Glibc

/// Threads of our own for calls that wait for a disk, so that the shared pool, which is as wide as the machine has cores, never does.
///
/// Threads start when there is work and none is idle, up to `threadsMax`, and live as long as the pool. Work is run first come, first served.
public final class BlockingPool: @unchecked Sendable {
    // @unchecked: all mutable state is in `Queue`, touched only while its mutex is held.
    private final class Queue: @unchecked Sendable {
        // @unchecked: everything but the two C objects is touched only while the mutex is held; those are made for several threads.
        var mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
        var condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
        var work: [@Sendable () -> Void] = []
        var head = 0
        var idle = 0
        var threads = 0
        var closed = false

        init() {
            pthread_mutex_init(mutex, nil)
            pthread_cond_init(condition, nil)
        }

        deinit {
            pthread_cond_destroy(condition)
            pthread_mutex_destroy(mutex)
            condition.deallocate()
            mutex.deallocate()
        }

        private static let nothing: @Sendable () -> Void = {}

        /// The next piece of work, or nil when the pool is closed and everything is done.
        func next() -> (@Sendable () -> Void)? {
            pthread_mutex_lock(mutex)
            defer { pthread_mutex_unlock(mutex) }
            while head == work.count {
                if closed { return nil }
                work.removeAll(keepingCapacity: true)
                head = 0
                idle += 1
                pthread_cond_wait(condition, mutex)
                idle -= 1
            }
            let next = work[head]
            work[head] = Self.nothing  // lets go of what it holds, pieces above all: a busy queue may not be empty for hours
            head += 1
            // Half of the array is done with: move the rest down, which costs one step for each piece of work.
            if head >= 64, head * 2 >= work.count {
                work.removeFirst(head)
                head = 0
            }
            return next
        }
    }

    private let queue = Queue()
    private let threadsMax: Int

    /// - Parameter threadsMax: at least 1.
    public init(threadsMax: Int) {
        precondition(threadsMax > 0, "a pool without threads would never run anything")
        self.threadsMax = threadsMax
    }

    deinit {
        pthread_mutex_lock(queue.mutex)
        queue.closed = true
        pthread_cond_broadcast(queue.condition)
        pthread_mutex_unlock(queue.mutex)
    }

    /// Runs `work` on one of the pool's threads and returns what it returns.
    ///
    /// A call that is under way cannot be cancelled; keep each one short. A task that is cancelled before its turn throws `CancellationError`.
    public func run<Value: Sendable>(_ work: @escaping @Sendable () throws -> Value) async throws -> Value {
        try Task.checkCancellation()
        return try await withCheckedThrowingContinuation { continuation in
            submit { continuation.resume(with: Result { try work() }) }
        }
    }

    private func submit(_ work: @escaping @Sendable () -> Void) {
        pthread_mutex_lock(queue.mutex)
        queue.work.append(work)
        let waiting = queue.work.count - queue.head
        let start = waiting > queue.idle && queue.threads < threadsMax
        if start { queue.threads += 1 }
        pthread_cond_signal(queue.condition)
        pthread_mutex_unlock(queue.mutex)
        if start { startThread() }
    }

    private func startThread() {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        // 512 KiB: the deepest of our blocking calls (SQLite) stays far below; the default of 8 MiB would only inflate address space.
        pthread_attr_setstacksize(&attributes, 512 << 10)
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(queue).toOpaque()
        let code = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                let queue = Unmanaged<Queue>.fromOpaque(argument).takeRetainedValue()
                while let work = queue.next() { work() }
                return nil
            }, argument)
        pthread_attr_destroy(&attributes)
        precondition(code == 0, "the system refused to start a thread (\(code))")
    }
}
