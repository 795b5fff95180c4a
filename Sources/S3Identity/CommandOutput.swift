internal import CLinux
internal import Glibc
internal import S3Signing
internal import Storage

/// Runs a command of the configuration for what it prints.
enum CommandOutput {
    /// For a password manager that asks a server or a person's finger.
    static let secondsMax = 60

    /// What `/bin/sh -c command` prints, up to its end with code 0. It reads nothing, and its errors go to ours. Blocks.
    static func read(_ command: String, byteCountMax: Int, secondsMax: Int = secondsMax) throws(Failure) -> Secret {
        var ends: [Int32] = [-1, -1]
        let piped = clinux_pipe(&ends)
        guard piped == 0 else { throw failed(String(cString: strerror(-piped))) }
        defer { close(ends[0]) }
        let (child, code) = start(command, output: ends[1])
        close(ends[1])
        guard code == 0 else { throw failed(String(cString: strerror(code))) }
        precondition(child > 1, "a child has a number of its own; 0 would be our own group")
        let content = collect(ends[0], byteCountMax: byteCountMax + 1, secondsMax: secondsMax)
        // All of its process group, also when it is done: what it left running has no business with us.
        kill(-child, SIGKILL)
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0 && errno == EINTR {}
        guard let content else { throw failed("it took longer than \(secondsMax) seconds") }
        guard content.byteCount <= byteCountMax else { throw failed("it prints more than \(byteCountMax) bytes") }
        guard status == 0 else { throw failed(status & 0x7f == 0 ? "it ended with code \(status >> 8 & 0xff)" : "it was killed") }
        return content
    }

    private static func start(_ command: String, output: Int32) -> (child: pid_t, code: Int32) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETPGROUP))
        var child: pid_t = 0
        var words: [UnsafeMutablePointer<CChar>?] = ["/bin/sh", "-c", command].map { (word: String) in strdup(word) } + [nil]
        defer { for word in words { free(word) } }
        let code = posix_spawn(&child, "/bin/sh", &actions, &attributes, &words, clinux_environment())
        return (child, code)
    }

    /// What arrives up to the end; nil when the time is up.
    private static func collect(_ descriptor: Int32, byteCountMax: Int, secondsMax: Int) -> Secret? {
        let deadline = ContinuousClock.now + .seconds(secondsMax)
        var bytes = [UInt8](repeating: 0, count: byteCountMax)
        defer { for index in bytes.indices { bytes[index] = 0 } }
        var count = 0
        while count < byteCountMax {
            var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            let left = deadline - .now
            guard left > .zero else { return nil }
            guard poll(&watched, 1, Int32(left.components.seconds * 1000 + 999)) > 0 else { continue }
            let got = bytes.withUnsafeMutableBytes {
                Glibc.read(descriptor, $0.baseAddress.map { $0 + count }, byteCountMax - count)
            }
            if got < 0 && errno == EINTR { continue }
            guard got > 0 else { break }
            count += got
        }
        return Secret(bytes[..<count])
    }

    private static func failed(_ reason: String) -> Failure {
        Failure(.configuration, "cannot run secret_access_key_command", reason: reason, advice: "Try it in a shell.")
    }
}
