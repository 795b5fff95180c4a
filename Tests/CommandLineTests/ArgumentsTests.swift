import Glibc
import Planning
import Replication
import Storage
import Testing

@testable import sealift

private func parse(_ line: String) -> Result<Command, UsageError> {
    Command.parse(line.split(separator: " ").map(String.init))
}

private func sync(_ line: String) throws -> SyncCall {
    guard case .sync(let call) = try parse("sync \(line)").get() else { throw UsageError("no sync") }
    return call
}

private func reason(_ words: [String]) -> String? {
    if case .failure(let error) = Command.parse(words) { error.reason } else { nil }
}

private func reason(_ line: String) -> String? { reason(line.split(separator: " ").map(String.init)) }

@Suite struct ArgumentsTests {
    @Test func syncWithEverything() throws {
        let line =
            "--verify=all A --name tonight B --relist C --allow-incomplete --new-replica --limit 1.5M --jobs 4 --dry-run --json --quiet"
        let call = try sync(line)
        #expect(call.source == "A" && call.targets == ["B", "C"])
        #expect(call.options.verify == .all && call.options.name == "tonight")
        #expect(call.options.relist && call.options.allowIncomplete && call.options.newReplica)
        #expect(call.byteRateMax == 1_572_864 && call.jobs == 4)
        #expect(call.isDryRun && call.json && call.quiet)
    }

    @Test func syncWithNothing() throws {
        let call = try sync("A B")
        #expect(call.options.verify == .sample && call.options.name == nil)
        #expect(!call.options.relist && !call.options.allowIncomplete && !call.options.newReplica)
        #expect(call.byteRateMax == nil && call.jobs == nil)
        #expect(!call.isDryRun && !call.json && !call.quiet)
    }

    @Test func theOtherVerbs() throws {
        #expect(
            try described("plan A B -o p.json --json")
                == "plan(source: \"A\", target: \"B\", lock: nil, output: Optional(\"p.json\"), json: true)")
        #expect(
            try described("plan A B -op.json")
                == "plan(source: \"A\", target: \"B\", lock: nil, output: Optional(\"p.json\"), json: false)")
        #expect(
            try described("plan A B --output=p")
                == "plan(source: \"A\", target: \"B\", lock: nil, output: Optional(\"p\"), json: false)")
        #expect(try described("apply p.json") == "apply(plan: \"p.json\", json: false)")
        #expect(try described("inspect --json ptar:/a") == "inspect(location: \"ptar:/a\", json: true)")
        #expect(
            try described("verify A --against B")
                == "verify(location: \"A\", against: Optional(\"B\"), belief: sealift.Belief.none, json: false)")
        #expect(try described("repair A --from B") == "repair(location: \"A\", donor: \"B\", json: false)")
        #expect(try described("points") == "points(sealift.PointsQuery.list(location: nil), json: false)")
        #expect(
            try described("points ./show --json")
                == "points(sealift.PointsQuery.list(location: Optional(\"./show\")), json: true)")
        #expect(try described("points show 7f") == "points(sealift.PointsQuery.show(id: \"7f\"), json: false)")
        #expect(try described("points diff 7f 8a --json").hasPrefix("points(sealift.PointsQuery.difference"))
        #expect(try described("completions zsh") == "completions(sealift.Shell.zsh)")
        #expect(try described("version") == "version")
        #expect(try described("--version") == "version")
    }

    private func described(_ line: String) throws -> String { "\(try parse(line).get())" }

    @Test func helpIsFoundEverywhere() throws {
        for (line, topic) in [
            ("--help", HelpTopic.overview), ("-h", .overview), ("help", .overview), ("help exit-codes", .exitCodes),
            ("help sync", .verb(.sync)),
            ("sync --help", .verb(.sync)), ("sync A -h", .verb(.sync)), ("points show --help", .verb(.pointsShow)),
            ("help points diff", .verb(.pointsDiff)),
        ] {
            guard case .help(let found) = try parse(line).get() else {
                Issue.record("\(line) is no call for help")
                continue
            }
            #expect(found == topic, "\(line)")
        }
    }

    @Test func twoDashesEndTheOptions() throws {
        let call = try Command.parse(["sync", "--json", "--", "--from", "-h"]).get()
        guard case .sync(let sync) = call else { return #expect(Bool(false)) }
        #expect(sync.source == "--from" && sync.targets == ["-h"] && sync.json)
    }

    private static let bad: [(line: String, reason: String)] = [
        ("", "a verb is missing"), ("--json sync A B", "behind a verb"), ("snyc A B", "did you mean “sync”?"),
        ("xyzzy", "no verb “xyzzy”"),
        ("sync A", "wants SOURCE TARGET [TARGET …]"), ("inspect", "wants LOCATION"), ("inspect A B", "there is more"),
        ("version now", "wants nothing"), ("sync A B --jsno", "did you mean “--json”?"),
        ("sync A B --xyzzy=hunter2", "no option --xyzzy"),
        ("sync A B --json=1", "takes no value"), ("sync A B --verify some", "one of none, sample, all"),
        ("sync A B --verify", "wants a value"),
        ("sync A B --verify all --verify none", "twice"), ("sync A B --name --json", "--name=--…"),
        ("sync A B -x", "no option -x"),
        ("sync A B --jobs 0", "1 to 64"), ("sync A B --jobs 65", "1 to 64"), ("sync A B --jobs +3", "1 to 64"),
        ("sync A B --jobs x", "1 to 64"),
        ("sync A B --limit fast", "a rate like"), ("sync A B --limit 0", "a rate like"), ("sync A B --name=", "--name wants"),
        ("repair A", "wants --from LOCATION"), ("completions tcsh", "one of bash, zsh, fish"),
        ("help snyc", "did you mean “sync”?"),
        ("points show", "wants ID"), ("points diff A", "wants A B"),
    ]

    @Test func whatMakesNoSenseIsExplained() {
        for (line, expected) in Self.bad {
            let found = reason(line)
            #expect(found?.contains(expected) == true, "\(line): \(found ?? "accepted")")
            #expect(found?.contains("hunter2") != true)
        }
        #expect(reason(["sync", "A", "B", "--name", "a\u{1b}b"])?.contains("control") == true)
        #expect(reason(["sync", "A", "B", "--name", String(repeating: "x", count: 201)]) != nil)
        #expect(reason(["\u{1b}[2J"])?.contains("\u{1b}") == false)
        #expect(reason([String(repeating: "x", count: 100_000)]).map { $0.count < 300 } == true)
        #expect(reason(["points show", "A"])?.contains("no verb") == true)
    }

    @Test func aUsageErrorIsAFailureWithItsCode() {
        guard case .failure(let error) = parse("sync A") else { return #expect(Bool(false)) }
        #expect(ExitCode(error.failure.kind).rawValue == 64)
        #expect(error.description == "sync wants SOURCE TARGET [TARGET …]. See “sealift help sync”.")
    }

    @Test func randomWordsNeverTrap() {
        let seed = getenv("SEALIFT_SEED").flatMap { UInt64(String(cString: $0)) } ?? UInt64.random(in: 0...UInt64.max)
        let line = "randomWordsNeverTrap: SEALIFT_SEED=\(seed)\n"
        _ = line.withCString { write(STDERR_FILENO, $0, strlen($0)) }
        var state = seed
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407  // Knuth's MMIX
            return Int(state >> 33) % bound
        }
        var words = [
            "--", "-", "-o", "-of", "-o=", "--=", "--=x", "", "-h", "A", "B", "1", "all", "10M", "é", "-é", "--é=é", "\u{0}",
        ]
        for verb in Verb.allCases {
            words.append(contentsOf: verb.rawValue.split(separator: " ").map(String.init))
            for option in verb.shape.options {
                words.append(contentsOf: ["--\(option.name)", "--\(option.name)=", "--\(option.name)=1"])
            }
        }
        var accepted = 0
        for _ in 0..<20_000 {
            let line = (0..<random(7)).map { _ in words[random(words.count)] }
            if case .success = Command.parse(line) { accepted += 1 }
        }
        #expect(accepted > 100)
    }
}

@Suite struct ByteRateTests {
    @Test(
        arguments: [
            ("1", 1), ("512K", 512 << 10), ("10M", 10 << 20), ("1.5G", 3 << 29), ("2T", 2 << 40), ("10m", 10 << 20),
            ("10MiB/s", 10 << 20),
            ("10MB", 10 << 20), ("800 KiB/s", 800 << 10), ("64B/s", 64), ("7/s", 7), ("0.5K", 512),
        ] as [(String, Int64)])
    func isRead(text: String, bytes: Int64) {
        #expect(ByteRate(text)?.bytesPerSecond == bytes)
    }

    private static let bad = [
        "", "0", "0.0001", "-1", "+1", "1e3", "nan", "inf", "0x10", "1.2.3", ".5", "5.", "10Q", "10Mbit", "K", "1,5M", "٣",
        "10M/s/s",
        "9999999999999999T", "999999999999T",
    ]

    @Test(arguments: bad)
    func isRefused(text: String) {
        #expect(ByteRate(text) == nil)
    }
}
