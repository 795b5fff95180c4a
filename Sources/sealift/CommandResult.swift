internal import Planning
internal import Replication
internal import Storage

/// What a verb has to say, in both forms; printed in one place.
struct CommandResult: Sendable {
    var exitCode: ExitCode
    /// The verb's own members of the one object that `--json` prints; what every object has is added there, and so is what was already streamed.
    var json: [(String, JSONText)]
    /// Lines for people, on standard output.
    var summary: [String]
    /// What went wrong, on standard error.
    var complaints: [Notice] = []
    /// What deserves a look although nothing went wrong, on standard error.
    var warnings: [Notice] = []
    /// What was copied, over all targets, for the record of runs.
    var copied = Tally()
}

/// Something to be said on standard error: a sentence, and below it what it is about where that is several things.
struct Notice: Sendable, Equatable {
    var text: String
    var details: [String] = []
    /// Where, if it says so.
    var place: String?

    /// Enough to recognise what happened, few enough to read.
    static let detailsMax = 10

    init(_ text: String) { self.text = text }

    /// - Parameters:
    ///   - listed: the first of them, in words.
    ///   - count: how many there are.
    ///   - inJSON: how many of them `--json` lists at most.
    init(_ text: String, listing listed: some Sequence<String>, of count: Int, inJSON: Int = .max) {
        self.text = text
        details = Self.lines(listed, of: count, inJSON: inJSON)
    }

    /// The first of them, and how many more there are.
    static func lines(_ listed: some Sequence<String>, of count: Int, inJSON: Int = .max) -> [String] {
        let first = Array(listed.prefix(Self.detailsMax))
        guard count > first.count else { return first }
        return first + ["and \(count - first.count) more; --json lists \(count > inJSON ? "the first \(inJSON)" : "all")"]
    }

    init(_ failure: Failure) {
        self.init(failure.description)
        place = failure.place
    }

    /// A failure with what it is about, unless it names that itself.
    init(_ failure: Failure, failed: [FailedResource], of count: Int, inJSON: Int = .max) {
        if count == 1, failed.first?.key == failure.resource {
            self.init(failure)
        } else {
            self.init(failure.description, listing: failed.lazy.map(\.line), of: count, inJSON: inJSON)
            place = failure.place
        }
    }
}

extension FailedResource {
    /// `packfile 05d9… at the source: it cannot be read`
    var line: String { "\(key)\(side.map { " at the \($0.rawValue)" } ?? ""): \(reason)" }
}

/// `1 packfile`, `2 packfiles`
func counted(_ number: Int, _ noun: String) -> String { "\(number) \(noun)\(number == 1 ? "" : "s")" }

/// Bytes as people read them: `663 B`, `3.5 MiB`.
func byteText(_ bytes: Int64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB", "PiB"]
    guard bytes >= 1024 else { return "\(bytes) B" }
    var value = Double(bytes) / 1024
    var unit = 0
    while value >= 1023.95, unit < units.count - 1 {
        value /= 1024
        unit += 1
    }
    let tenths = Int((value * 10).rounded())
    return "\(tenths / 10).\(tenths % 10) \(units[unit])"
}
