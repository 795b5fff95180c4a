internal import Kloset
internal import Planning
internal import Replication
internal import Storage

/// `sealift repair LOCATION --from LOCATION`
struct RepairCommand {
    let context: RunContext
    let store: any Store
    let donor: any StoreReader

    func run() async throws -> CommandResult {
        let report = try await RepairRun(of: store, from: donor, environment: context.environment).run()
        let isMarkBroken = report.markDamage != nil && !report.isMarkRestored
        let code: ExitCode = report.failed.isEmpty && report.folders.isEmpty && !isMarkBroken ? .done : .damage
        var summary = "\(report.location): \(counted(report.checked, "resource")) read, \(report.repaired.count) repaired"
        if !report.repaired.isEmpty { summary += " with \(byteText(report.bytesFromDonor)) from \(report.donor)" }
        if report.ledgerDamage != nil { summary += "; its ledger was written anew" }
        if report.isMarkRestored { summary += "; its mark was written anew" }
        if !report.failed.isEmpty { summary += ", \(report.failed.count) not" }
        return CommandResult(
            exitCode: code,
            json: [
                ("source", .string(report.donor)), ("location", .string(report.location)), ("checked", .init(report.checked)),
                ("repaired", .array(report.repaired.map(\.json))), ("failed", .array(report.failed.map(\.json))),
                ("unlisted", .array(report.folders.map(\.json))),
                ("ledger_damage", .init(report.ledgerDamage)), ("mark_damage", .init(report.markDamage?.reason)),
                ("mark_restored", .boolean(report.isMarkRestored)), ("bytes_read", .init(report.bytesFromDonor)),
            ],
            summary: [summary]
                + Notice.lines(report.repaired.lazy.map { "repaired \($0)" }, of: report.repaired.count).map { "  \($0)" },
            complaints: (report.failed.isEmpty ? [] : [complaint(report)])
                + report.folders.map { Notice($0.asFailure(at: report.location)) }
                + (isMarkBroken ? [report.markDamage].compactMap { $0.map { Notice($0) } } : []), copied: copied(report))
    }

    private func complaint(_ report: RepairReport) -> Notice {
        let advice = "Nothing of that was touched. Name another donor."
        let first = report.failed[0]
        let failure =
            report.failed.count == 1
            ? Failure(
                .damage, "cannot repair", resource: first.key, place: report.location, reason: first.reason, advice: advice)
            : Failure(
                .damage, "cannot repair \(report.failed.count) resources at", place: report.location,
                reason: "each for a reason of its own", advice: advice)
        return Notice(failure, failed: report.failed, of: report.failed.count)
    }

    private func copied(_ report: RepairReport) -> Tally {
        var tally = Tally()
        for key in report.repaired { tally.add(key.kind, bytes: 0) }
        tally.bytes = report.bytesFromDonor
        return tally
    }
}
