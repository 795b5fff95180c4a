internal import Glibc
internal import StorageTesting
internal import Synchronization
internal import Testing

/// A folder for one test with a state folder and a home of its own, from which it calls the real command line.
final class Workplace: Sendable {
    let folder: TestFolder
    let variables: [String: String]
    private let calls = Mutex(0)

    /// Long enough for any call of these tests on a busy machine; what takes longer hangs.
    static let secondsMax = 120

    init(in parent: String? = nil) throws {
        folder = try TestFolder(in: parent)
        for name in ["home", "output"] { try folder.putFolder(name) }
        variables = [
            "PATH": Self.variable("PATH") ?? "/usr/bin:/bin:/usr/sbin:/sbin", "LANG": "C.UTF-8", "HOME": folder.path("home"),
            "SEALIFT_STATE": folder.path("state"), "TMPDIR": folder.path,
        ]
    }

    /// A path in the folder.
    func callAsFunction(_ name: String) -> String { folder.path(name) }

    static func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

    // MARK: - any program

    func start(_ words: [String], _ more: [String: String] = [:], in subfolder: String = "", seconds: Int = secondsMax) throws
        -> Child
    {
        let number = calls.withLock { calls in
            calls += 1
            return calls
        }
        return try Child(
            words, environment: variables.merging(more) { $1 }, folder: folder.path(subfolder),
            output: folder.path("output/\(number)"), seconds: seconds)
    }

    @discardableResult
    func run(
        _ words: [String], _ more: [String: String] = [:], in subfolder: String = "", expect code: Int32? = 0,
        seconds: Int = secondsMax, source: SourceLocation = #_sourceLocation
    ) async throws -> Ended {
        let ended = try await start(words, more, in: subfolder, seconds: seconds).ended()
        #expect(!ended.timedOut, "\(words) hung", sourceLocation: source)
        if let code {
            #expect(ended.code == code, "\(words): \(ended.err.suffix(2000))\(ended.out.suffix(300))", sourceLocation: source)
        }
        return ended
    }

    // MARK: - sealift

    func starting(_ words: String..., seconds: Int = secondsMax) throws -> Child {
        try start([Binary.path] + words, seconds: seconds)
    }

    @discardableResult
    func sealift(_ words: String..., expect code: Int32? = 0, source: SourceLocation = #_sourceLocation) async throws -> Ended {
        try await run([Binary.path] + words, expect: code, source: source)
    }

    /// A call that must fail so, and say why on standard error and nothing else.
    @discardableResult
    func fails(_ code: Int32, _ words: String..., source: SourceLocation = #_sourceLocation) async throws -> String {
        let ended = try await run([Binary.path] + words, expect: code, source: source)
        #expect(
            ended.err.hasPrefix("sealift: ") || ended.err.contains("\nsealift: "), "\(words) says nothing", sourceLocation: source
        )
        return ended.err
    }

    /// A call with `--json`: standard output is one object, and agrees with the process about the code.
    func json(
        _ words: String..., expect code: Int32? = 0, variables more: [String: String] = [:], in subfolder: String = "",
        source: SourceLocation = #_sourceLocation
    ) async throws -> JSONValue {
        let ended = try await run([Binary.path] + words + ["--json"], more, in: subfolder, expect: code, source: source)
        let value = try JSONValue(parsing: ended.out)
        #expect(value["exit_code"] == .number(Double(ended.code)), "\(words)", sourceLocation: source)
        #expect(value["ok"] == .boolean(ended.code == 0), "\(words)", sourceLocation: source)
        return value
    }
}

/// The program under test.
enum Binary {
    static let path = Workplace.variable("SEALIFT_BINARY") ?? ""
    static let isThere = !path.isEmpty && access(path, X_OK) == 0
    static let reason: Comment = "SEALIFT_BINARY names no built sealift (make test builds one)"
}

/// How much of the long loops runs.
enum Loops {
    static func count(fast: Int, part: Int, full: Int) -> Int {
        switch Workplace.variable("SEALIFT_TEST_LOOPS") {
        case "part": part
        case "full": full
        default: fast
        }
    }

    /// A seed of `SEALIFT_SEED`, else a new one; printed.
    static func seed(_ what: String) -> UInt64 {
        let seed = Workplace.variable("SEALIFT_SEED").flatMap { UInt64($0) } ?? SeededRandom.freshSeed()
        let line = Array("seed of \(what): SEALIFT_SEED=\(seed)\n".utf8)
        _ = write(STDERR_FILENO, line, line.count)
        return seed
    }
}
