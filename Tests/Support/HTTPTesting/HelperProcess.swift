internal import CLinux
internal import Glibc
internal import Synchronization

/// A program that a test needs beside it, killed when nobody holds it any more.
public final class HelperProcess: Sendable {
    public struct CannotStart: Error {
        public var words: [String]
        public var reason: String
    }

    private let pid: pid_t
    private let output: Int32
    private let isReaped = Mutex(false)

    /// - Parameter words: the program, looked up on `PATH`, and its arguments. Its output and errors are read by ``readLine(where:)``.
    public init(_ words: [String], folder: String = "/") throws {
        var pipes: [Int32] = [0, 0]
        guard clinux_pipe(&pipes) == 0 else { throw CannotStart(words: words, reason: "pipe") }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, pipes[1], 1)
        posix_spawn_file_actions_adddup2(&actions, pipes[1], 2)
        // What other threads have open at the moment would stay open as long as this one runs.
        posix_spawn_file_actions_addclosefrom_np(&actions, 3)
        posix_spawn_file_actions_addchdir_np(&actions, folder)
        var child: pid_t = 0
        var vector: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for word in vector { free(word) } }
        let code = posix_spawnp(&child, words[0], &actions, nil, &vector, clinux_environment())
        close(pipes[1])
        (pid, output) = (child, pipes[0])
        guard code == 0 else {
            isReaped.withLock { $0 = true }
            throw CannotStart(words: words, reason: String(cString: strerror(code)))
        }
    }

    deinit {
        isReaped.withLock { isReaped in
            guard !isReaped else { return }
            kill(pid, SIGKILL)
            waitpid(pid, nil, 0)
        }
        close(output)
    }

    /// Reads the output up to a line that fits, which must come. Blocks.
    public func readLine(where fits: (String) -> Bool) throws -> String {
        var (line, all): ([UInt8], String) = ([], "")
        var byte: UInt8 = 0
        while read(output, &byte, 1) == 1 {
            if byte != 10 {
                line.append(byte)
                continue
            }
            let text = String(decoding: line, as: UTF8.self)
            if fits(text) { return text }
            all += text + "\n"
            line = []
        }
        throw CannotStart(words: [], reason: "it ended; it said: \(all)")
    }

    /// Waits for the end, whose code must be 0. Blocks.
    public func succeed() throws {
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while case let count = read(output, &buffer, buffer.count), count > 0 { text += buffer[..<count] }
        var status: Int32 = 0
        isReaped.withLock { isReaped in
            waitpid(pid, &status, 0)
            isReaped = true
        }
        guard status == 0 else { throw CannotStart(words: [], reason: String(decoding: text, as: UTF8.self)) }
    }

    /// Runs a program to its end, which must be a success. Blocks.
    public static func run(_ words: [String], folder: String = "/") throws {
        do { try HelperProcess(words, folder: folder).succeed() } catch let trouble as CannotStart {
            throw CannotStart(words: words, reason: trouble.reason)
        }
    }
}
