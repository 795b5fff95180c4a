internal import Glibc
internal import Storage
internal import Synchronization

/// The thread of one connection. It ends when the subsystem has, when its connection is lost, or when it is told to.
final class SSHPump: Sendable {
    private let login: SSHLogin
    private let subsystem: String
    /// Read from, written to, written to; closed when the thread ends.
    let input: Int32
    let output: Int32
    let errors: Int32
    private let stopEvent: Int32
    private let state = Mutex<SSHEnd?>(nil)

    init(_ login: SSHLogin, _ subsystem: String, input: Int32, output: Int32, errors: Int32, stop: Int32) {
        self.login = login
        self.subsystem = subsystem
        self.input = input
        self.output = output
        self.errors = errors
        stopEvent = stop
    }

    deinit { close(stopEvent) }

    private func closeFiles() {
        for file in [input, output, errors] { close(file) }
    }

    var end: SSHEnd? { state.withLock { $0 } }

    /// A thread that waits where it cannot be reached, in a look-up of a name or for an agent, is left to end by itself.
    func stop() {
        state.withLock { if $0 == nil { $0 = .failed(SSHSession.stopped) } }
        var one: UInt64 = 1
        _ = write(stopEvent, &one, 8)
    }

    /// Starts the thread, which keeps this object alive.
    ///
    /// - Returns: 0 or the error's number.
    func start() -> Int32 {
        let argument = Unmanaged.passRetained(self).toOpaque()
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        pthread_attr_setstacksize(&attributes, 1 << 20)  // the C library's look-up of names takes some hundred KB
        var thread = pthread_t()
        let code = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                Unmanaged<SSHPump>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, argument)
        if code != 0 {
            Unmanaged<SSHPump>.fromOpaque(argument).release()
            closeFiles()
        }
        return code
    }

    private func run() {
        // A write to a pipe that nobody reads is an error here, never a signal.
        var signals = sigset_t()
        sigemptyset(&signals)
        sigaddset(&signals, SIGPIPE)
        pthread_sigmask(SIG_BLOCK, &signals, nil)
        let end: SSHEnd
        do throws(Failure) {
            let record = login.ignoresHostKey ? KnownHosts() : try KnownHosts.read(login.knownHosts)
            let session = try SSHSession.open(login, record: record, stop: stopEvent)
            try session.checkHost(login, record)
            try session.logIn(login)
            end = .exited(try SSHChannel.open(subsystem, on: session).carry(self))
        } catch { end = .failed(error) }
        state.withLock { if $0 == nil { $0 = end } }
        closeFiles()  // only now, so that whoever sees them end finds out why
    }
}
