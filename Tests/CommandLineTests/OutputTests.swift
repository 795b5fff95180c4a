import Glibc
import Kloset
import Planning
import Storage
import Testing

@testable import Replication
@testable import sealift

/// A folder that is gone when the test is.
private final class Scratch: Sendable {
    let path: String

    init() throws {
        var template = Array("/tmp/sealift-output.XXXXXX".utf8CString)
        // The text is read while its array is there.
        let made = template.withUnsafeMutableBufferPointer { buffer in
            buffer.baseAddress.flatMap { mkdtemp($0) }.map { String(cString: $0) }
        }
        path = try #require(made)
    }

    deinit {
        for name in names { unlink("\(path)/\(name)") }
        rmdir(path)
    }

    var names: [String] {
        guard let folder = opendir(path) else { return [] }
        defer { closedir(folder) }
        var names: [String] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name != ".", name != ".." { names.append(name) }
        }
        return names.sorted()
    }

    func put(_ name: String, _ text: String) throws {
        let file = try #require(fopen("\(path)/\(name)", "w"))
        fputs(text, file)
        fclose(file)
    }

    func text(_ name: String) throws -> String {
        let file = try #require(fopen("\(path)/\(name)", "r"))
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 1 << 20)
        bytes.removeLast(bytes.count - fread(&bytes, 1, bytes.count, file))
        return String(decoding: bytes, as: UTF8.self)
    }
}

/// What a writer wrote.
private func written(_ form: ResultWriter.Form, _ body: (ResultWriter) throws -> Void) throws -> String {
    let scratch = try Scratch()
    let descriptor = open("\(scratch.path)/out", O_WRONLY | O_CREAT, 0o600)
    try body(ResultWriter(form, to: descriptor))
    close(descriptor)
    return try scratch.text("out")
}

@Suite struct ResultWriterTests {
    @Test func wholeObject() throws {
        #expect(try written(.json) { _ = $0.finish([("a", "x"), ("b", [:])]) } == "{\"a\": \"x\", \"b\": {}}\n")
        #expect(try written(.json) { _ = $0.finish() } == "{}\n")
    }

    @Test func inPieces() throws {
        let text = try written(.json) { output in
            output.member("command", "points")
            output.open(.array, "points")
            output.open(.object)
            output.member("command", "inner")
            output.open(.array, "empty")
            output.close()
            output.open(.array, "resources")
            output.element("one")
            output.element("two")
            output.line("for people only")
            _ = output.finish([("command", "again"), ("ok", true)])
        }
        #expect(
            text == """
                {"command": "points", "points": [{"command": "inner", "empty": [], "resources": ["one", "two"]}], "ok": true}

                """)
    }

    @Test func forPeopleAndForNobody() throws {
        let body: (ResultWriter) -> Void = { output in
            output.member("a", "b")
            output.open(.array, "c")
            output.element("d")
            output.line("line")
            _ = output.finish([("ok", true)])
        }
        #expect(try written(.text, body) == "line\n")
        #expect(try written(.nothing, body) == "")
    }

    @Test func whatCannotBeWrittenIsTold() throws {
        let full = open("/dev/full", O_WRONLY)
        defer { close(full) }
        #expect(ResultWriter(.json, to: full).finish() == ENOSPC)
        let long = ResultWriter(.text, to: full)
        for _ in 0..<10 { long.line(String(repeating: "x", count: 30_000)) }
        #expect(long.finish() == ENOSPC)
        #expect(ResultWriter(.text, to: full).finish() == nil, "nothing to write is not lost")
    }

    @Test func aReaderThatHasGoneIsNoFailure() {
        signal(SIGPIPE, SIG_IGN)
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        close(ends[0])
        defer { close(ends[1]) }
        #expect(ResultWriter(.json, to: ends[1]).finish() == nil)
    }
}

@Suite struct PlanFileTests {
    private static let plan = PlanDocument.beginning + "…}\n"

    private func write(_ path: String, _ text: String = plan) throws {
        try PlanFile(path: path).write { output in try output(text) }
    }

    private func kindOfFailure(_ path: String) -> Failure.Kind? {
        do {
            try write(path)
            return nil
        } catch { return (error as? Failure)?.kind }
    }

    @Test func newReplacedAndEmpty() throws {
        let scratch = try Scratch()
        try scratch.put("empty", "")
        try scratch.put("plan.tmp", "mine")
        for name in ["plan", "plan", "empty"] { try write("\(scratch.path)/\(name)") }
        try write("\(scratch.path)/plan", Self.plan + "more")
        #expect(try scratch.text("plan") == Self.plan + "more")
        #expect(try scratch.text("empty") == Self.plan)
        #expect(try scratch.text("plan.tmp") == "mine", "a name of the user's own")
        #expect(scratch.names == ["empty", "plan", "plan.tmp"])
    }

    @Test func whatIsNoPlanKeepsItsName() throws {
        let scratch = try Scratch()
        try scratch.put("text", "mine")
        try scratch.put("target", Self.plan)
        mkfifo("\(scratch.path)/fifo", 0o600)
        symlink("\(scratch.path)/nowhere", "\(scratch.path)/dangling")
        symlink("\(scratch.path)/target", "\(scratch.path)/link")
        var names = ["text", "fifo", "dangling", "link", ""]
        // A device of our own: like /dev/full, which a mistake must not cost this machine.
        if mknod("\(scratch.path)/device", S_IFCHR | 0o600, 1 << 8 | 7) == 0 { names.append("device") }
        let before = scratch.names
        for name in names {
            #expect(kindOfFailure("\(scratch.path)/\(name)") == .cannotWrite, "\(name)")
        }
        #expect(scratch.names == before)
        #expect(try scratch.text("text") == "mine")
        for (name, type) in [("fifo", S_IFIFO), ("dangling", S_IFLNK), ("link", S_IFLNK), ("device", S_IFCHR)]
        where names.contains(name) {
            var status = stat()
            #expect(lstat("\(scratch.path)/\(name)", &status) == 0 && status.st_mode & S_IFMT == type, "\(name)")
        }
    }

    @Test func nothingIsLeftOfAPlanThatFails() throws {
        let scratch = try Scratch()
        #expect(throws: CancellationError.self) {
            try PlanFile(path: "\(scratch.path)/plan").write { output in
                try output(String(repeating: "x", count: 1 << 20))
                throw CancellationError()
            }
        }
        #expect(scratch.names.isEmpty)
        #expect(kindOfFailure("\(scratch.path)/none/plan") == .usage)
    }
}

@Suite struct ProgressTests {
    private let start = ContinuousClock.now

    private func line(_ phase: String, _ bytes: Int64, of total: Int64 = 0) -> Progress.Line {
        Progress.Line(place: "/mnt/offsite/of-some-length/store", phase: phase, bytesDone: bytes, bytesTotal: total)
    }

    @Test func aPhaseIsMeasuredFromItsOwnBeginning() {
        var pace = ProgressPace()
        pace.observe([], at: start)
        pace.observe([line("copying", 100)], at: start + .seconds(1))
        #expect(pace.rate(0, at: start + .seconds(1)) == 100)
        pace.observe([line("copying", 1000)], at: start + .seconds(5))
        #expect(pace.rate(0, at: start + .seconds(5)) == 200)
        pace.observe([line("reading back", 1000)], at: start + .seconds(100))
        #expect(pace.rate(0, at: start + .seconds(100)) == nil)
        pace.observe([line("reading back", 1500)], at: start + .seconds(110))
        #expect(pace.rate(0, at: start + .seconds(110)) == 50)
    }

    @Test func aLineFitsTheTerminal() {
        let line = line("copying", 123_456_789_012, of: 987_654_321_098)
        #expect(
            ProgressDisplay.text(line, rate: 325_000_000)
                == "copying /mnt/offsite/of-some-length/store  0 of 0 resources  115.0 GiB of 919.8 GiB  12%  309.9 MiB/s  ETA 44:19"
        )
        #expect(
            ProgressDisplay.text(line, rate: 325_000_000, columns: 79)
                == "copying …of-some-length/store  0/0  115.0 GiB/919.8 GiB  309.9 MiB/s  ETA 44:19")
        for columns in 0..<150 { #expect(ProgressDisplay.text(line, rate: 1, columns: columns).count <= columns) }
        #expect(ProgressDisplay.text(line, rate: nil).hasSuffix("12%"))
    }
}

@Suite struct ReportTests {
    private let key = ResourceKey(.packfile, ResourceID([UInt8](repeating: 7, count: 32)) ?? .zero)

    @Test func aFailedTargetPromisesNothing() {
        var report = TargetReport(place: "/t")
        #expect(SyncCommand.summary(of: report) == "/t: nothing to copy; 0 resources already there")
        report.failure = Failure(.refused, "refusing", reason: "so")
        #expect(SyncCommand.summary(of: report) == nil)
        report.copied = Tally(packfiles: 2, states: 0, bytes: 2048)
        #expect(SyncCommand.summary(of: report) == "/t: failed after copying 2 packfiles, 0 states, 2.0 KiB")
    }

    @Test func whatWasLeftOutWithLeaveIsNoFailure() {
        var report = TargetReport(place: "/t")
        report.failure = Failure(.incomplete, "left out", resource: key, place: "/t", reason: "so")
        report.add(failed: FailedResource(key: key, reason: "so", retryable: false, side: .source))
        report.copied = Tally(packfiles: 1, states: 2, bytes: 1024)
        report.restored = 1
        report.recoveryPoint = "p"
        #expect(
            SyncCommand.summary(of: report)
                == "/t: copied 1 packfile, 2 states, 1.0 KiB; 0 resources already there; 1 resource left out; "
                + "1 had been lost there and was copied again; recovery point p (incomplete)")
    }

    @Test func aTargetThatEndsLikeNoOtherMakesItOne() throws {
        let repository = try #require(RepositoryID(bytes: [UInt8](repeating: 1, count: 16)))
        func code(_ kinds: [Failure.Kind?]) -> ExitCode {
            let targets = kinds.map { kind in
                var target = TargetReport(place: "/t")
                target.failure = kind.map { Failure($0, "failed", reason: "so") }
                return target
            }
            return SyncReport(source: "/s", repository: repository, targets: targets, bytesRead: 0).exitCode
        }
        #expect(code([nil, nil]) == .done)
        #expect(code([.refused, .refused]) == .refused)
        #expect(code([.readWrite, nil]) == .incomplete)
        #expect(code([nil, .refused]) == .incomplete)
        #expect(code([.damage, .refused]) == .incomplete)
    }

    @Test func aNoticeNamesUpToTenAndSaysHowManyMore() {
        let failed = (0..<25).map { FailedResource(key: key, reason: "reason \($0)", retryable: false, side: .source) }
        let failure = Failure(.damage, "cannot copy 25 resources of", place: "/s", reason: "so")
        let notice = Notice(failure, failed: failed, of: 25)
        #expect(notice.details.count == 11)
        #expect(notice.details.first == "\(key) at the source: reason 0")
        #expect(notice.details.last == "and 15 more; --json lists all")
        #expect(
            Notice(failure, failed: failed, of: 2500, inJSON: 1000).details.last == "and 2490 more; --json lists the first 1000")
        let single = Failure(.damage, "cannot copy", resource: key, place: "/s", reason: "so")
        #expect(Notice(single, failed: [failed[0]], of: 1).details == [], "it names the resource itself")
    }

    @Test func aMessageIsOneLine() {
        #expect(Output.harmless("/a\nsealift: b\t\u{1B}[31m") == "/a\u{FFFD}sealift: b\u{FFFD}\u{FFFD}[31m")
        #expect(Failure(.damage, "cannot read", place: "/a", reason: "so").description == "cannot read /a: so.")
        #expect(
            Failure(.damage, "cannot read", place: "/a", reason: "so", advice: "Heal it with: sealift repair /a --from /b")
                .description
                == "cannot read /a: so. Heal it with: sealift repair /a --from /b")
    }

    @Test func whatAFailureIsAboutIsListedOnce() {
        var report = TargetReport(place: "/t")
        report.failure = Failure(.readWrite, "cannot write", resource: key, reason: "disk full", retryable: true)
        let entry = "{\"kind\": \"packfile\", \"id\": \"\(key.id.hex)\", \"reason\": \"disk full\", \"retryable\": true}"
        #expect(report.json.text.contains("\"failed\": [\(entry)]"))
        report.failed = [FailedResource(key: key, reason: "disk full", retryable: true)]
        #expect(report.json.text.contains("\"failed\": [\(entry)]"))
        report.failed = []
        report.failure = Failure(.refused, "refusing", reason: "several")
        report.failure?.resources = [.config, key]
        #expect(report.json.text.contains("\"id\": \"CONFIG\", \"reason\": \"several\""))
    }

    @Test func kindsAreSnakeCase() {
        let names = Failure.Kind.allCases.map(\.jsonName)
        #expect(
            names == [
                "usage", "refused", "damage", "no_store", "unavailable", "cannot_write", "read_write", "try_again", "permission",
                "configuration", "incomplete", "interrupted",
            ])
    }
}
