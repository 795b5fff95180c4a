internal import CCurl
internal import Glibc
internal import Storage
internal import Synchronization

/// The thread of a transport and what it shares with callers.
///
/// Everything but the inbox belongs to the thread. Callers put transfers in and wake it; it resumes their continuations.
final class CurlEngine: @unchecked Sendable {
    // @unchecked: `active`, `waiting` and `spare` are touched by the one thread only, `multi` by others only under the inbox's lock.
    private enum Command {
        case start(CurlTransfer)
        case cancel(CurlTransfer)
    }

    private struct Inbox {
        var commands: [Command] = []
        var isClosed = false
        /// The multi handle is gone: nothing may wake it any more.
        var isOver = false
    }

    private let inbox = Mutex(Inbox())
    private let multi: UnsafeMutableRawPointer
    private let options: CurlOptions
    private let connectionsMax: Int

    private var active: [ObjectIdentifier: CurlTransfer] = [:]
    /// First come, first served; those before `waitingHead` have left.
    private var waiting: [CurlTransfer?] = []
    private var waitingHead = 0
    /// Handles without a transfer: making one anew costs more than a small request's own work.
    private var spare: [UnsafeMutableRawPointer] = []
    private var nextLook = ContinuousClock.now

    /// Once for the process, as libcurl wants it.
    private static let isReady = {
        NameLookup.avoidPlugins()
        return curl_global_init(Int(CURL_GLOBAL_DEFAULT)) == CURLE_OK
    }()

    init(trust: TLSTrust, connectionsMax: Int) throws(HTTPError) {
        guard Self.isReady, let multi = curl_multi_init() else { throw .notSent("libcurl cannot be started") }
        self.multi = multi
        self.connectionsMax = connectionsMax
        options = CurlOptions(trust: trust)
        _ = ccurl_multi_set_long(multi, CURLMOPT_MAXCONNECTS, connectionsMax)
    }

    func submit(_ transfer: CurlTransfer) { tell(.start(transfer)) }

    func cancel(_ transfer: CurlTransfer) {
        transfer.isCancelled.store(true, ordering: .relaxed)
        tell(.cancel(transfer))
    }

    func close() {
        inbox.withLock { inbox in
            inbox.isClosed = true
            wake(inbox)
        }
    }

    private func tell(_ command: Command) {
        inbox.withLock { inbox in
            inbox.commands.append(command)
            wake(inbox)
        }
    }

    private func wake(_ inbox: borrowing Inbox) {
        if !inbox.isOver { curl_multi_wakeup(multi) }
    }

    func startThread() throws(HTTPError) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        // 1 MiB: TLS handshakes stay far below; the default of 8 MiB would only inflate address space.
        pthread_attr_setstacksize(&attributes, 1 << 20)
        // Signals are for other threads. A new thread, and the resolver's that libcurl starts from it, inherits what its maker blocks.
        var all = sigset_t()
        var before = sigset_t()
        sigfillset(&all)
        pthread_sigmask(SIG_SETMASK, &all, &before)
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(self)
        let code = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                Unmanaged<CurlEngine>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, argument.toOpaque())
        pthread_sigmask(SIG_SETMASK, &before, nil)
        pthread_attr_destroy(&attributes)
        guard code == 0 else {
            argument.release()
            curl_multi_cleanup(multi)
            throw .notSent("the system refused to start a thread (\(code))")
        }
    }

    // MARK: - on the thread

    private func run() {
        while true {
            let isClosed = obey()
            startWaiting()
            var running: Int32 = 0
            let code = curl_multi_perform(multi, &running)
            if code != CURLM_OK { failAll(String(cString: curl_multi_strerror(code))) }
            if finishDone() { continue }
            if isClosed, active.isEmpty, waitingHead == waiting.count, endIfIdle() { return }
            lookForStalls()
            // Once a second while there is something to watch; libcurl comes back sooner by itself for time-outs of its own.
            curl_multi_poll(multi, nil, 0, active.isEmpty ? 60_000 : 1000, nil)
        }
    }

    /// Takes in what callers sent. Returns whether the transport is gone.
    private func obey() -> Bool {
        let (commands, isClosed) = inbox.withLock { inbox in
            let commands = inbox.commands
            inbox.commands.removeAll(keepingCapacity: commands.count <= 64)
            return (commands, inbox.isClosed)
        }
        for command in commands {
            switch command {
            case .start(let transfer): waiting.append(transfer)
            case .cancel(let transfer):
                // One that waits is met by `startWaiting`; one that is over needs nothing.
                if active[ObjectIdentifier(transfer)] != nil {
                    remove(transfer)
                    transfer.finish(.failure(CancellationError()))
                }
            }
        }
        return isClosed
    }

    private func startWaiting() {
        while waitingHead < waiting.count,
            active.count < connectionsMax || waiting[waitingHead]?.isCancelled.load(ordering: .relaxed) == true
        {
            let next = waiting[waitingHead]
            waiting[waitingHead] = nil
            waitingHead += 1
            if let next { start(next) }
        }
        // Half of the array is done with: move the rest down, which costs one step for each transfer.
        if waitingHead * 2 >= waiting.count {
            waiting.removeFirst(waitingHead)
            waitingHead = 0
        }
    }

    private func start(_ transfer: CurlTransfer) {
        if transfer.isCancelled.load(ordering: .relaxed) {
            transfer.finish(.failure(CancellationError()))
            return
        }
        guard let easy = spare.popLast() ?? curl_easy_init() else {
            transfer.finish(.failure(HTTPError.notSent("no memory for a request")))
            return
        }
        transfer.easy = easy
        let isSet = transfer.prepare(easy, options)
        guard isSet, curl_multi_add_handle(multi, easy) == CURLM_OK else {
            remove(transfer)
            transfer.finish(.failure(HTTPError.notSent("libcurl does not take the request")))
            return
        }
        active[ObjectIdentifier(transfer)] = transfer
    }

    /// Returns whether any transfer ended: then there is room for others.
    private func finishDone() -> Bool {
        var any = false
        var code = CURLE_OK
        while let easy = ccurl_next_done(multi, &code) {
            any = true
            guard let context = ccurl_private(easy) else { continue }
            let transfer = Unmanaged<CurlTransfer>.fromOpaque(context).takeUnretainedValue()
            let outcome = transfer.outcome(code)
            remove(transfer, isSound: code == CURLE_OK)
            transfer.finish(outcome)
        }
        return any
    }

    private func lookForStalls() {
        let now = ContinuousClock.now
        guard now >= nextLook else { return }
        nextLook = now + .milliseconds(500)
        for transfer in Array(active.values) {
            guard let deadline = transfer.deadline, deadline <= now else { continue }
            remove(transfer)
            transfer.finish(.failure(transfer.stallFailure))
        }
    }

    /// From here on nothing of libcurl points at the transfer.
    private func remove(_ transfer: CurlTransfer, isSound: Bool = false) {
        active[ObjectIdentifier(transfer)] = nil
        guard let easy = transfer.easy else { return }
        curl_multi_remove_handle(multi, easy)
        transfer.easy = nil
        // A handle that failed may still want to rewind a body at its next start: curl_easy_reset leaves that wish.
        if isSound, spare.count < connectionsMax {
            curl_easy_reset(easy)
            spare.append(easy)
        } else {
            curl_easy_cleanup(easy)
        }
    }

    private func failAll(_ reason: String) {
        for transfer in Array(active.values) {
            remove(transfer)
            transfer.finish(.failure(HTTPError.unclear(reason)))
        }
    }

    private func endIfIdle() -> Bool {
        let isOver = inbox.withLock { inbox in
            inbox.isOver = inbox.commands.isEmpty
            return inbox.isOver
        }
        guard isOver else { return false }
        for easy in spare { curl_easy_cleanup(easy) }
        spare = []
        curl_multi_cleanup(multi)
        return true
    }
}
