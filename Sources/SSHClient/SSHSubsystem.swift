internal import CLinux
internal import Glibc
public import Storage
internal import Synchronization

/// A subsystem of an SSH server, such as `sftp`, as files of this process: what is written to `input` arrives there, what it says
/// is read from `output`, its complaints from `errors`. Used by one thread; a thread of its own carries the bytes.
public struct SSHSubsystem: ~Copyable {
    /// Ours to write to; -1 once it is closed. None of the files blocks.
    public private(set) var input: Int32
    public let output: Int32
    public let errors: Int32
    private let pump: SSHPump

    /// A pipe of this size holds 32 packets, so that neither side wakes up for each.
    private static let pipeByteCount: Int32 = 1 << 20

    /// Starts to connect; how that goes shows by what can be read, and by ``end``.
    ///
    /// - Throws: `.unavailable` when the system refuses files or a thread.
    public static func start(_ login: SSHLogin, subsystem: String) throws(Failure) -> SSHSubsystem {
        var ends: [Int32] = []
        func refused(_ call: String, _ code: Int32) -> Failure {
            for end in ends { close(end) }
            return Failure(
                .unavailable, "cannot reach", reason: "\(call) failed: \(String(cString: strerror(code)))", retryable: true)
        }
        for _ in 0..<3 {
            var pipe: [Int32] = [-1, -1]
            let code = clinux_pipe(&pipe)
            guard code == 0 else { throw refused("pipe2", -code) }
            ends += pipe
        }
        let stop = clinux_event()
        guard stop >= 0 else { throw refused("eventfd", -stop) }
        for end in ends { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
        for end in ends.prefix(4) { clinux_grow_pipe(end, pipeByteCount) }
        let pump = SSHPump(login, subsystem, input: ends[0], output: ends[3], errors: ends[5], stop: stop)
        let code = pump.start()
        guard code == 0 else {
            ends = [ends[1], ends[2], ends[4]]  // the others are the pump's
            throw refused("pthread_create", code)
        }
        return SSHSubsystem(input: ends[1], output: ends[2], errors: ends[4], pump: pump)
    }

    private init(input: Int32, output: Int32, errors: Int32, pump: SSHPump) {
        self.input = input
        self.output = output
        self.errors = errors
        self.pump = pump
    }

    deinit {
        pump.stop()
        if input >= 0 { close(input) }
        close(output)
        close(errors)
    }

    /// Tells the subsystem that nothing more comes.
    public mutating func closeInput() {
        guard input >= 0 else { return }
        close(input)
        input = -1
    }

    /// Ends the connection without waiting for the other side.
    public func stop() { pump.stop() }

    /// How it ended; nil as long as it has not.
    public var end: SSHEnd? { pump.end }
}

/// How a subsystem ended.
public enum SSHEnd: Sendable, Equatable {
    /// By itself, with its exit status.
    case exited(Int32)
    /// It was never reached, or the connection was lost. The place is not named.
    case failed(Failure)
}
