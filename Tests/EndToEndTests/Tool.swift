internal import Glibc
internal import Storage

/// How a child process ended.
struct Ended: Sendable {
    /// 0 to 255, or 128 + the number of the signal that ended it.
    var code: Int32
    var out: String
    var err: String
    /// It was still there when its time was up, and was killed.
    var timedOut = false
    /// The most memory that it was seen with, in KiB.
    var peakKiB = 0
}

/// A child process in a process group of its own. Its output goes to files, so nobody has to drain pipes.
final class Child: Sendable {
    let pid: pid_t
    private let deadline: ContinuousClock.Instant
    private let output: String

    struct CannotStart: Error {
        var words: [String]
        var code: Int32
    }

    /// All waiting for children happens here. Suites run their tests one by one, so there are two or three children a suite at most.
    static let waiting = BlockingPool(threadsMax: 32)

    /// - Parameters:
    ///   - words: the program's path, and its arguments.
    ///   - output: its output goes to `output.out` and `output.err`.
    ///   - seconds: it is killed after so long; generous, for the machine may be busy: only a hang takes so long.
    init(_ words: [String], environment: [String: String], folder: String, output: String, seconds: Int) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output + ".out", O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, output + ".err", O_WRONLY | O_CREAT | O_TRUNC, 0o600)
        posix_spawn_file_actions_addchdir_np(&actions, folder)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        var child: pid_t = 0
        let code = Self.withVector(words) { arguments in
            Self.withVector(environment.map { "\($0)=\($1)" }) { variables in
                posix_spawnp(&child, words[0], &actions, &attributes, arguments, variables)
            }
        }
        guard code == 0 else { throw CannotStart(words: words, code: code) }
        (pid, self.output, deadline) = (child, output, .now + .seconds(seconds))
    }

    func signal(_ number: Int32) {
        kill(-pid, number)
    }

    /// Waits for the end; once only.
    func ended() async throws -> Ended {
        try await Self.waiting.run { [self] in wait() }
    }

    private func wait() -> Ended {
        var (status, timedOut, pause): (Int32, Bool, UInt32) = (0, false, 500)
        var peakKiB = 0
        while true {
            let found = waitpid(pid, &status, WNOHANG)
            if found == pid || (found < 0 && errno != EINTR) { break }
            if ContinuousClock.now > deadline, !timedOut {
                timedOut = true
                signal(SIGKILL)
            }
            peakKiB = max(peakKiB, self.peakKiB)
            usleep(pause)
            pause = min(pause * 2, 10_000)
        }
        let number = status & 0x7f
        return Ended(
            code: number == 0 ? status >> 8 & 0xff : 128 + number, out: Self.text(output + ".out"),
            err: Self.text(output + ".err"),
            timedOut: timedOut, peakKiB: peakKiB)
    }

    /// As the process itself has it: what wait4 tells counts what its parent had, too.
    private var peakKiB: Int {
        let line = Self.text("/proc/\(pid)/status").split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        return line?.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0
    }

    /// Whether the process stands still: all its threads were stopped, as SIGSTOP does sooner or later, or it has ended and nobody has waited for
    /// it yet.
    var isStill: Bool {
        threadStates.allSatisfy { $0 == "T" || $0 == "Z" || $0 == "X" }
    }

    private var threadStates: [Substring] {
        guard let folder = opendir("/proc/\(pid)/task") else { return [] }
        defer { closedir(folder) }
        var states: [Substring] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            // "id (name) state …"; the name may hold anything, so from the last parenthesis on. A thread may be gone meanwhile.
            let state = Self.text("/proc/\(pid)/task/\(name)/stat").split(separator: ")").last?.split(separator: " ").first
            if let state { states.append(state) }
        }
        return states
    }

    private static func text(_ path: String) -> String {
        guard let file = fopen(path, "r") else { return "" }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let count = fread(&buffer, 1, buffer.count, file)
            guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
            bytes += buffer[..<count]
        }
    }

    private static func withVector<Result>(
        _ words: [String], _ body: (UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>) -> Result
    ) -> Result {
        var vector: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for word in vector { free(word) } }
        return vector.withUnsafeMutableBufferPointer { buffer in
            guard let base = buffer.baseAddress else { preconditionFailure("the vector has at least its end") }
            return body(base)
        }
    }
}
