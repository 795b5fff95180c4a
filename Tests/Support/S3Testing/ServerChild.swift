internal import CLinux
internal import Glibc
internal import Storage

/// A child that lives as long as this process: it reads a pipe that nobody else has.
final class ServerChild: Sendable {
    private let input: Int32
    private let output: Int32

    private init(input: Int32, output: Int32) {
        (self.input, self.output) = (input, output)
    }

    /// Whether all these programs are on PATH.
    static func canCall(_ programs: String...) -> Bool {
        programs.allSatisfy { program in
            (getenv("PATH").map { String(cString: $0) } ?? "").split(separator: ":").contains {
                access("\($0)/\(program)", X_OK) == 0
            }
        }
    }

    /// Starts one of the scripts of `Tests/Support/servers` and waits until it answers.
    static func launch(_ script: String, _ port: Int, folder: String) async throws -> ServerChild {
        let path = "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/") + "/servers/\(script)"
        let child = try ServerChild.start([path, folder, "\(port)"])
        guard try await BlockingPool(threadsMax: 1).run({ child.waits(for: "ready") }) else {
            throw Gateway.CannotStart(description: "\(script) did not start; its logs were in \(folder)")
        }
        return child
    }

    static func start(_ words: [String]) throws -> ServerChild {
        var (input, output): ([Int32], [Int32]) = ([0, 0], [0, 0])
        // Closed in children from the start: a sibling that another thread starts meanwhile would hold the end whose closing is to tell this
        // one to stop.
        guard clinux_pipe(&input) == 0, clinux_pipe(&output) == 0 else { throw Gateway.CannotStart(description: "no pipe") }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, input[0], 0)
        posix_spawn_file_actions_adddup2(&actions, output[1], 1)
        // What other threads have open at the moment would stay open as long as this one runs.
        posix_spawn_file_actions_addclosefrom_np(&actions, 3)
        var child: pid_t = 0
        var vector: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        let code = posix_spawn(&child, words[0], &actions, nil, &vector, clinux_environment())
        for word in vector { free(word) }
        posix_spawn_file_actions_destroy(&actions)
        close(input[0])
        close(output[1])
        guard code == 0 else { throw Gateway.CannotStart(description: "cannot start \(words[0]): \(code)") }
        return ServerChild(input: input[1], output: output[0])
    }

    /// Says a line. Returns the answer, nil when it is gone. Blocks.
    func answer(to command: String) -> String? {
        let line = Array("\(command)\n".utf8)
        return write(input, line, line.count) == line.count ? nextLine() : nil
    }

    /// Reads lines until one is `word`, or none come any more. Blocks.
    func waits(for word: String) -> Bool {
        while let line = nextLine() {
            if line == word { return true }
        }
        return false
    }

    private func nextLine() -> String? {
        var line: [UInt8] = []
        var byte: UInt8 = 0
        while read(output, &byte, 1) == 1 {
            if byte == UInt8(ascii: "\n") { return String(decoding: line, as: UTF8.self) }
            line.append(byte)
        }
        return nil
    }
}
