internal import CLinux
internal import Glibc

/// A child with pipes to its standard input, output and error. Used by one thread; reaped when it is dropped.
struct ChildProcess: ~Copyable {
    private let process: pid_t
    /// Ours to write to; -1 once it is closed.
    private(set) var input: Int32
    let output: Int32
    let errors: Int32
    private var status: Int32?

    /// A call that the system refused.
    struct Trouble: Error {
        var call: String
        var code: Int32
    }

    /// A pipe of this size holds four of the longest packets, so that neither side wakes up for each.
    private static let pipeByteCount: Int32 = 1 << 20

    /// Starts a program. Our ends of the pipes do not block.
    static func start(_ command: SSHCommand) throws(Trouble) -> ChildProcess {
        let input = try pipe()
        defer { close(input.read) }
        let output: (read: Int32, write: Int32)
        do throws(Trouble) { output = try pipe() } catch {
            close(input.write)
            throw error
        }
        defer { close(output.write) }
        let errors: (read: Int32, write: Int32)
        do throws(Trouble) { errors = try pipe() } catch {
            close(input.write)
            close(output.read)
            throw error
        }
        defer { close(errors.write) }
        let (process, code) = spawn(command, input.read, output.write, errors.write)
        guard code == 0 else {
            for end in [input.write, output.read, errors.read] { close(end) }
            throw Trouble(call: "posix_spawnp", code: code)
        }
        for end in [input.write, output.read, errors.read] { _ = fcntl(end, F_SETFL, O_NONBLOCK) }
        for end in [input.write, output.read] { clinux_grow_pipe(end, pipeByteCount) }
        return ChildProcess(process: process, input: input.write, output: output.read, errors: errors.read)
    }

    private init(process: pid_t, input: Int32, output: Int32, errors: Int32) {
        self.process = process
        self.input = input
        self.output = output
        self.errors = errors
    }

    deinit {
        if input >= 0 { close(input) }
        close(output)
        close(errors)
        guard status == nil else { return }
        kill(process, SIGKILL)
        var ignored: Int32 = 0
        while waitpid(process, &ignored, 0) < 0, errno == EINTR {}
    }

    /// Tells the child that nothing more comes.
    mutating func closeInput() {
        guard input >= 0 else { return }
        close(input)
        input = -1
    }

    func signal(_ number: Int32) {
        // A reaped child's number may belong to somebody else.
        if status == nil { kill(process, number) }
    }

    /// How the child ended, as a shell counts: its code, or 128 and the number of the signal; nil while it runs.
    mutating func ended() -> Int32? {
        if let status { return status }
        var raw: Int32 = 0
        let found = waitpid(process, &raw, WNOHANG)
        guard found != 0, !(found < 0 && errno == EINTR) else { return nil }
        let signal = raw & 0x7f
        status = found < 0 ? 0 : signal == 0 ? (raw >> 8) & 0xff : 128 + signal
        return status
    }

    private static func pipe() throws(Trouble) -> (read: Int32, write: Int32) {
        var ends: [Int32] = [-1, -1]
        let code = clinux_pipe(&ends)
        guard code == 0 else { throw Trouble(call: "pipe2", code: -code) }
        return (ends[0], ends[1])
    }

    private static func spawn(_ command: SSHCommand, _ input: Int32, _ output: Int32, _ errors: Int32) -> (pid_t, Int32) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for (own, number) in [(input, Int32(0)), (output, 1), (errors, 2)] {
            posix_spawn_file_actions_adddup2(&actions, own, number)
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // We may ignore signals; the child must not, or nothing but SIGKILL would end it. Only Ctrl-C is kept from it, as sftp(1) does:
        // the terminal sends it to both, and the connection is needed to stop in good order.
        var all = sigset_t()
        sigfillset(&all)
        posix_spawnattr_setsigdefault(&attributes, &all)
        var blocked = sigset_t()
        sigemptyset(&blocked)
        sigaddset(&blocked, SIGINT)
        posix_spawnattr_setsigmask(&attributes, &blocked)
        var flags = Int16(POSIX_SPAWN_SETSIGDEF) | Int16(POSIX_SPAWN_SETSIGMASK)
        if command.isBatch { flags |= 0x80 }  // POSIX_SPAWN_SETSID: without a terminal nothing can be asked
        posix_spawnattr_setflags(&attributes, flags)

        var words: [UnsafeMutablePointer<CChar>?] = ([command.program] + command.arguments).map { strdup($0) }
        words.append(nil)
        defer { for word in words { free(word) } }
        var process: pid_t = 0
        let code = posix_spawnp(&process, command.program, &actions, &attributes, words, clinux_environment())
        return (process, code)
    }
}
