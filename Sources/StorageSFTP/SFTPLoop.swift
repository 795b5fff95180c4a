internal import Glibc
internal import SFTPProtocol
internal import SSHClient
internal import Storage
internal import Synchronization

/// What the thread of one connection does: send what fits into the window, take what comes, watch the clock. Blocks only in poll(2).
struct SFTPLoop: ~Copyable {
    /// Who waits for an answer.
    struct Ticket {
        var batch: SFTPBatch
        var index: Int
    }

    private let driver: SFTPDriver
    private var session = SFTPSession<Ticket>()
    private var decoder = PacketDecoder()
    private var outgoing = OutgoingBytes()
    private var window = SFTPWindow()
    private var said = LastWords()
    /// Syncs among the requests that are under way.
    private var syncs = 0
    private var lastMoved = ContinuousClock.now

    init(_ driver: SFTPDriver) {
        self.driver = driver
    }

    /// Runs until the connection has ended, whichever way, and the child is gone.
    mutating func run(_ transport: SFTPTransport) {
        // A write to a child that is gone is an error here, never a signal.
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        let outcome: Failure
        switch transport {
        case .command(let command):
            do throws(ChildProcess.Trouble) {
                var child = try ChildProcess.start(command)
                outcome = carryOut(&child)
            } catch { outcome = driver.systemFailure(error.call, error.code) }
        case .library(let login):
            do throws(Failure) {
                var channel = try SSHSubsystem.start(login, subsystem: "sftp")
                outcome = carryOut(&channel)
            } catch { outcome = error.at(driver.place) }
        }
        finish(outcome)
    }

    private mutating func carryOut(_ child: inout some ByteChannel & ~Copyable) -> Failure {
        outgoing.add(SFTPSession<Ticket>.greeting)
        let reason = converse(&child)
        return end(&child, reason)
    }

    /// Why a conversation is over.
    private enum Reason {
        case stopped
        case hungUp
        case violation(SFTPViolation)
        case silence(Double)
        case system(String, Int32)
    }

    private mutating func converse(_ child: inout some ByteChannel & ~Copyable) -> Reason {
        lastMoved = .now
        while true {
            if driver.shared.withLock({ $0.isStopping }) { return .stopped }
            fill()
            guard let wait = patienceLeft() else { return .silence(patience) }
            var watched = [
                pollfd(fd: driver.wake, events: Int16(POLLIN), revents: 0),
                pollfd(fd: child.output, events: Int16(POLLIN), revents: 0),
                pollfd(fd: said.isClosed ? -1 : child.errors, events: Int16(POLLIN), revents: 0),
                pollfd(fd: outgoing.isEmpty ? -1 : child.input, events: Int16(POLLOUT), revents: 0),
            ]
            guard poll(&watched, 4, wait) >= 0 || errno == EINTR else { return .system("poll", errno) }
            if watched[0].revents != 0 {
                var count: UInt64 = 0
                _ = read(driver.wake, &count, 8)
            }
            if watched[2].revents != 0 { said.take(from: child.errors) }
            if watched[1].revents != 0, let reason = receive(from: child.output) { return reason }
            if watched[3].revents != 0, let reason = transmit(to: child.input) { return reason }
        }
    }

    /// Moves calls from the queue into the session as long as the window has room.
    private mutating func fill() {
        guard session.server != nil else { return }
        driver.shared.withLock { shared in
            while shared.head < shared.waiting.count {
                let (batch, next) = shared.waiting[shared.head]
                guard next < batch.calls.count, !batch.isOver else {
                    // What is over before it was sent will not be answered.
                    let unsent = batch.calls[next...].reduce(0) { $0 + $1.weight }
                    driver.load.wrappingSubtract(unsent, ordering: .relaxed)
                    shared.head += 1
                    continue
                }
                let call = batch.calls[next]
                guard window.admits(call.weight) else { break }
                window.sent(call.weight)
                if case .fsync = call.request { syncs += 1 }
                if session.outstanding == 0 { lastMoved = .now }
                outgoing.add(session.send(call.request, Ticket(batch: batch, index: next)))
                if case .write = call.request, let piece = call.piece { outgoing.add(piece, call.range) }
                shared.waiting[shared.head].next += 1
            }
            if shared.head == shared.waiting.count {
                shared.waiting.removeAll(keepingCapacity: true)
                shared.head = 0
            } else if shared.head >= 64 {
                shared.waiting.removeFirst(shared.head)
                shared.head = 0
            }
        }
    }

    private var patience: Double {
        if session.server == nil { return driver.patience.connecting ?? 0 }
        return syncs > 0 ? driver.patience.syncing : driver.patience.answering
    }

    /// Milliseconds that may pass in silence, -1 for any number; nil when too many have.
    private func patienceLeft() -> Int32? {
        let isDue = session.server == nil ? driver.patience.connecting != nil : session.outstanding > 0
        guard isDue else { return -1 }
        let left = Duration.seconds(patience) - (ContinuousClock.now - lastMoved)
        guard left > .zero else { return nil }
        return Int32(clamping: left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000 + 1)
    }

    private mutating func receive(from output: Int32) -> Reason? {
        // A few reads at a time, so that a fast sender does not keep requests from going out.
        for _ in 0..<4 {
            var failed: Int32 = 0
            let count = decoder.receive { room in
                let count = read(output, room.baseAddress, room.count)
                if count < 0 { failed = errno }
                return max(0, count)
            }
            if failed == EAGAIN || failed == EINTR { return nil }
            if failed != 0 { return .system("read", failed) }
            if count == 0 { return .hungUp }
            lastMoved = .now
            do throws(SFTPViolation) {
                while try takePacket() {}
            } catch { return .violation(error) }
        }
        return nil
    }

    private mutating func takePacket() throws(SFTPViolation) -> Bool {
        var session = self.session
        self.session = SFTPSession()
        defer { self.session = session }
        let event = try decoder.next { (packet) throws(SFTPViolation) -> SFTPSession<Ticket>.Event in
            let event = try session.receive(packet)
            // Data leaves the packet before its memory is used again.
            if case .answer(let ticket, .data(let range)) = event {
                let call = ticket.batch.calls[ticket.index]
                if let piece = call.piece {
                    UnsafeMutableRawBufferPointer(rebasing: piece.memory[call.range])
                        .copyMemory(from: UnsafeRawBufferPointer(rebasing: packet[range]))
                }
            }
            return event
        }
        switch event {
        case nil: return false
        case .ready(let server): greet(server)
        case .answer(let ticket, let reply):
            let call = ticket.batch.calls[ticket.index]
            if case .fsync = call.request { syncs -= 1 }
            window.answered(call.weight)
            driver.load.wrappingSubtract(call.weight, ordering: .relaxed)
            driver.moved.wrappingAdd(call.range.count, ordering: .relaxed)
            if case .limits(let limits) = reply { driver.learn(limits) }
            ticket.batch.answer(ticket.index, reply)
        }
        return true
    }

    private func greet(_ server: SFTPServer) {
        let waiter = driver.shared.withLock { shared in
            defer { shared.greeting = nil }
            shared.server = server
            return shared.greeting
        }
        waiter?.resume(returning: server)
    }

    private mutating func transmit(to input: Int32) -> Reason? {
        switch outgoing.write(to: input) {
        case .some(EAGAIN), .some(EINTR): return nil
        // Why the child went away, it says on the other pipes.
        case .some(EPIPE):
            outgoing = OutgoingBytes()
            return nil
        case .some(let code): return .system("write", code)
        case nil:
            lastMoved = .now
            return nil
        }
    }

    // MARK: - the end

    /// Sees the child out and says why it is over.
    private mutating func end(_ child: inout some ByteChannel & ~Copyable, _ reason: Reason) -> Failure {
        child.closeInput()
        // A child that was not told to go may have hung up by itself and only needs a moment; one that is stuck gets none.
        var isForced = false
        if case .silence = reason { isForced = true }
        let status = reap(&child, isForced: isForced)
        said.take(from: child.errors)
        switch reason {
        case .stopped: return driver.closed
        case .hungUp: return child.failure(status: status, said: said.text, place: driver.place)
        case .system(let call, let code): return driver.systemFailure(call, code)
        case .silence(let seconds):
            return Failure(
                .unavailable, "cannot reach", place: driver.place, reason: "nothing came for \(Int(seconds)) seconds",
                advice: "Look whether ssh reaches the host.", retryable: true)
        case .violation(let violation):
            return Failure(
                .unavailable, "cannot understand", place: driver.place, reason: "the SFTP server \(violation.reason)",
                advice: violation.reason.contains("text")
                    ? "The account's shell prints something when it starts; it must be silent for SFTP."
                    : "Look what answers there.")
        }
    }

    /// Waits for the child: two seconds for it to go, then SIGTERM and two more, then SIGKILL.
    private func reap(_ child: inout some ByteChannel & ~Copyable, isForced: Bool) -> Int32 {
        let (step, patience) = (20, isForced ? 0 : 2000)
        var waited = 0
        while waited < 60_000 {
            if let status = child.ended() { return status }
            if waited == patience { child.signal(SIGTERM) }
            if waited == patience + 2000 { child.signal(SIGKILL) }
            usleep(UInt32(step * 1000))
            waited += step
        }
        return 128 + SIGKILL
    }

    /// Everybody who waits hears why.
    private mutating func finish(_ failure: Failure) {
        let (waiting, greeting) = driver.shared.withLock { shared in
            defer {
                shared.waiting = []
                shared.greeting = nil
            }
            shared.ending = failure
            return (shared.waiting, shared.greeting)
        }
        greeting?.resume(throwing: failure)
        for ticket in session.abandon() { ticket.batch.fail(failure) }
        for (batch, _) in waiting { batch.fail(failure) }
    }
}

extension SFTPDriver {
    /// What a call hears that comes after the connection was closed by us.
    var closed: Failure {
        Failure(.unavailable, "cannot reach", place: place, reason: "the connection was closed", retryable: true)
    }
}
