internal import CLinux
internal import Glibc
internal import SFTPProtocol
internal import Storage
internal import Synchronization

/// How long silence is borne, in seconds.
public struct SFTPPatience: Sendable, Equatable {
    /// From the start of `ssh` to the server's greeting; nil where a person may be asked something meanwhile.
    public var connecting: Double?
    /// While answers are due and not a byte moves.
    public var answering: Double
    /// The same while a sync is among them: a slow disk may take minutes to write what it has.
    public var syncing: Double

    public init(connecting: Double? = 60, answering: Double = 60, syncing: Double = 600) {
        self.connecting = connecting
        self.answering = answering
        self.syncing = syncing
    }
}

/// One conversation with a server through a child process, driven by one thread of its own.
///
/// Calls are sent in the order they are made, many at a time, bounded by a window in bytes. Any violation, any end of the child and too long a
/// silence end the connection: every call that is under way then fails with the same ``Failure``.
final class SFTPConnection: Sendable {
    private let driver: SFTPDriver
    /// No other connection of this process has it.
    let number: Int
    /// What the server can do.
    let server: SFTPServer
    /// How many bytes one read or write may be about: the draft's limit until the server has told its own.
    var readMax: Int { driver.readMax.load(ordering: .relaxed) }
    var writeMax: Int { driver.writeMax.load(ordering: .relaxed) }

    private init(_ driver: SFTPDriver, _ server: SFTPServer) {
        self.driver = driver
        self.server = server
        number = Self.numbers.wrappingAdd(1, ordering: .relaxed).newValue
    }

    deinit {
        driver.stop()
    }

    private static let numbers = Atomic<Int>(0)

    /// About how many bytes of requests and answers are queued or under way.
    var load: Int { driver.load.load(ordering: .relaxed) }

    /// Bytes of files that went over it so far.
    var moved: Int { driver.moved.load(ordering: .relaxed) }

    /// Ends it; whoever waits for an answer hears so.
    func close() { driver.stop() }

    /// Starts the program and waits for the server's greeting.
    ///
    /// - Throws: `.unavailable`, `.permission`, `CancellationError`.
    static func open(_ transport: SFTPTransport, place: String, patience: SFTPPatience) async throws -> SFTPConnection {
        let driver = SFTPDriver(place: place, patience: patience)
        try driver.start(transport)
        do {
            let server = try await driver.greeting()
            // Not waited for: it is known before anything that is asked for behind it.
            if server.offers(SFTPExtension.limits) { driver.submit(SFTPBatch([SFTPCall(.limits)])) }
            return SFTPConnection(driver, server)
        } catch {
            driver.stop()
            throw error
        }
    }

    /// Nil as long as calls can be made.
    var failure: Failure? { driver.ending }

    /// Makes calls and waits for all of their answers, in order. Data of reads is then in the calls' pieces.
    func send(_ calls: [SFTPCall]) async throws -> [SFTPReply] {
        guard !calls.isEmpty else { return [] }
        try Task.checkCancellation()
        let batch = SFTPBatch(calls)
        driver.submit(batch)
        return try await batch.wait()
    }

    /// Makes calls, and others that lean on them: at once where the server keeps to the order, else one after the other.
    func send(_ first: [SFTPCall], then second: [SFTPCall]) async throws -> ([SFTPReply], [SFTPReply]) {
        let replies = try await send(steps: [first, second])
        return (replies[0], replies[1])
    }

    /// The same for any number of steps.
    func send(steps: [[SFTPCall]]) async throws -> [[SFTPReply]] {
        var answers: [[SFTPReply]] = []
        guard server.keepsOrder else {
            for step in steps { answers.append(try await send(step)) }
            return answers
        }
        var rest = try await send(steps.flatMap { $0 })[...]
        for step in steps {
            answers.append(Array(rest.prefix(step.count)))
            rest = rest.dropFirst(step.count)
        }
        return answers
    }

    /// Makes a call whose answer matters to nobody.
    func forget(_ request: SFTPRequest) {
        driver.submit(SFTPBatch([SFTPCall(request)]))
    }

    func send(_ requests: SFTPRequest...) async throws -> [SFTPReply] {
        try await send(requests.map { SFTPCall($0) })
    }
}

/// The thread's side of a connection.
final class SFTPDriver: @unchecked Sendable {
    // @unchecked: what is not in `shared` is touched by the one thread only, or before it starts.
    struct Shared {
        /// Calls that wait for room in the window.
        var waiting: [(batch: SFTPBatch, next: Int)] = []
        var head = 0
        var server: SFTPServer?
        var greeting: CheckedContinuation<SFTPServer, any Error>?
        var ending: Failure?
        var isStopping = false
    }

    let shared = Mutex(Shared())
    /// Weights of calls that are not answered yet.
    let load = Atomic<Int>(0)
    /// Data of calls that are.
    let moved = Atomic<Int>(0)
    let readMax = Atomic<Int>(SFTPBounds.dataStandard)
    let writeMax = Atomic<Int>(SFTPBounds.dataStandard)
    let place: String
    let patience: SFTPPatience
    /// An eventfd that ends the thread's sleep.
    let wake: Int32

    init(place: String, patience: SFTPPatience) {
        self.place = place
        self.patience = patience
        wake = clinux_event()
    }

    deinit {
        if wake >= 0 { close(wake) }
    }

    var ending: Failure? { shared.withLock { $0.ending } }

    func submit(_ batch: SFTPBatch) {
        let ending = shared.withLock { shared in
            if shared.ending == nil {
                shared.waiting.append((batch, 0))
                load.wrappingAdd(batch.weight, ordering: .relaxed)
            }
            return shared.ending
        }
        if let ending { batch.fail(ending) } else { wakeUp() }
    }

    func stop() {
        shared.withLock { $0.isStopping = true }
        wakeUp()
    }

    func learn(_ limits: SFTPServerLimits) {
        // Zero means that the server sets no limit of its own; then the draft's is kept to.
        func bound(_ offered: UInt64) -> Int {
            offered > 0 ? max(1024, min(Int(clamping: offered), SFTPBounds.dataMax)) : SFTPBounds.dataStandard
        }
        readMax.store(bound(limits.read), ordering: .relaxed)
        writeMax.store(bound(limits.write), ordering: .relaxed)
    }

    func wakeUp() {
        var one: UInt64 = 1
        _ = write(wake, &one, 8)
    }

    func greeting() async throws -> SFTPServer {
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<SFTPServer, any Error>) in
                let outcome = shared.withLock { shared -> Result<SFTPServer, any Error>? in
                    if let failure = shared.ending { return .failure(failure) }
                    if let server = shared.server { return .success(server) }
                    shared.greeting = continuation
                    return nil
                }
                if let outcome { continuation.resume(with: outcome) }
            }
        } onCancel: {
            let waiter = shared.withLock { shared in
                defer { shared.greeting = nil }
                shared.isStopping = true
                return shared.greeting
            }
            wakeUp()
            waiter?.resume(throwing: CancellationError())
        }
    }

    func start(_ transport: SFTPTransport) throws(Failure) {
        guard wake >= 0 else { throw systemFailure("eventfd", -wake) }
        let argument = Unmanaged.passRetained(ThreadStart(driver: self, transport: transport)).toOpaque()
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, 512 << 10)  // as BlockingPool's threads: nothing here goes deep
        var thread = pthread_t()
        let code = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                let start = Unmanaged<ThreadStart>.fromOpaque(argument).takeRetainedValue()
                var loop = SFTPLoop(start.driver)
                loop.run(start.transport)
                return nil
            }, argument)
        guard code == 0 else {
            Unmanaged<ThreadStart>.fromOpaque(argument).release()
            throw systemFailure("pthread_create", code)
        }
    }

    func systemFailure(_ call: String, _ code: Int32) -> Failure {
        if call == "posix_spawnp", code == ENOENT { return SSHEnding.failure(status: 127, said: "", place: place) }
        return Failure(
            .unavailable, "cannot reach", place: place, reason: "\(call) failed: \(String(cString: strerror(code)))",
            retryable: true)
    }

    private final class ThreadStart {
        let driver: SFTPDriver
        let transport: SFTPTransport

        init(driver: SFTPDriver, transport: SFTPTransport) {
            self.driver = driver
            self.transport = transport
        }
    }
}
