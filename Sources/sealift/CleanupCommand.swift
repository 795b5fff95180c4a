internal import Kloset
internal import Replication
internal import Storage

/// `sealift cleanup LOCATION --uploads-older-than AGE`
struct CleanupCommand {
    let context: RunContext
    let store: any Store
    let seconds: Int64
    let isRehearsal: Bool

    func run() async throws -> CommandResult {
        let report = try await CleanupRun(of: store, environment: context.environment)
            .run(uploadsOlderThan: seconds, isRehearsal: isRehearsal)
        let done = isRehearsal ? "would abort" : "aborted"
        var summary = "\(report.location): \(done) \(counted(report.aborted.count, "unfinished upload"))"
        summary += report.kept.isEmpty ? "" : "; \(report.kept.count) kept"
        if report.aborted.isEmpty, report.kept.isEmpty { summary = "\(report.location): nothing to do" }
        return CommandResult(
            exitCode: .done,
            json: [
                ("location", .string(report.location)), ("dry_run", .boolean(isRehearsal)),
                ("aborted", .array(report.aborted.map(\.json))), ("kept", .array(report.kept.map(\.json))),
            ],
            summary: [summary] + report.aborted.map { "  \(done) \($0.line)" })
    }
}

extension UnfinishedUpload {
    var json: JSONText {
        ["name": .string(name), "id": .string(id), "begun": .init(begun?.isoText), "continued": .boolean(isOurs)]
    }

    var line: String {
        "\(printable(name)), begun \(begun?.isoText ?? "at an unknown time")" + (isOurs ? ", continued by the next sync" : "")
    }
}
