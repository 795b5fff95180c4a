internal import Kloset
internal import Planning
internal import Replication
internal import Storage
internal import StorageLocal

/// `sealift sync SOURCE TARGET [TARGET …]`
struct SyncCommand {
    let context: RunContext
    let source: any StoreReader
    let targets: [any Store]
    let options: SyncOptions

    func run() async throws -> CommandResult {
        let report = try await SyncRun(
            from: source, to: targets, options: options, environment: context.environment.writing(to: targets)
        ).run()
        return Self.result(of: report, name: options.name)
    }

    /// The result that `sync` and `apply` share.
    ///
    /// - Parameter name: what a new recovery point was to be called.
    static func result(of report: SyncReport, name: String? = nil) -> CommandResult {
        var copied = Tally()
        for target in report.targets { copied += target.copied }
        return CommandResult(
            exitCode: report.exitCode,
            json: [
                ("source", .string(report.source)), ("repository_id", .string(report.repository.description)),
                ("targets", .array(report.targets.map(\.json))), ("bytes_read", .init(report.bytesRead)),
                ("bytes_written", .init(report.bytesWritten)), ("source_requests", .init(report.requests)),
            ],
            summary: report.targets.compactMap { summary(of: $0) },
            complaints: complaints(report),
            warnings: report.targets.flatMap { target in
                [warning(of: target), renunciation(target), name.flatMap { unused($0, of: target) }].compactMap { $0 }
            },
            copied: copied)
    }

    /// What is wrong with the source is said once, however many targets wait for it.
    private static func complaints(_ report: SyncReport) -> [Notice] {
        var said: [Notice] = []
        for notice in report.targets.compactMap({ complaint(of: $0) }) where !said.contains(notice) { said.append(notice) }
        return said
    }

    private static func complaint(of target: TargetReport) -> Notice? {
        target.failure.map {
            Notice($0, failed: target.failed, of: target.failedCount, inJSON: TargetReport.failedMax)
        }
    }

    /// A recovery point keeps the name that it was made with.
    private static func unused(_ name: String, of target: TargetReport) -> Notice? {
        guard let point = target.recoveryPoint, !target.madePoint else { return nil }
        return Notice(
            "\(target.place): nothing has changed since recovery point \(point), so no new one was made and the name “\(name)” is not used"
        )
    }

    private static func renunciation(_ target: TargetReport) -> Notice? {
        guard let first = target.renounced.first else { return nil }
        let points =
            target.renounced.count == 1 ? "recovery point \(first) names" : "\(target.renounced.count) recovery points name"
        return Notice(
            "\(target.place): the source lost what \(points); that was accepted (--allow-loss), and the source is not measured by it any more"
        )
    }

    private static func warning(of target: TargetReport) -> Notice? {
        let compare = "compare the root hash that `sealift points` prints with the one you noted"
        if target.knowledge == .replicaLedger {
            return Notice(
                "\(target.place): what is known of it comes from its own ledger (unauthenticated), which whoever can write there could "
                    + "have written: \(compare). sync with --verify all reads all and compares it with the source")
        }
        guard target.learned > 0 else { return nil }
        return Notice(
            "\(target.place): this machine did not know \(counted(Int(target.learned), "resource")) of it, and read its own ledger (unauthenticated); since then all that it names was read "
                + "and compared. What the source no longer has, and when points were made, only the ledger tells: \(compare)")
    }

    /// Nil for a target that failed before anything was done: standard error says why.
    static func summary(of target: TargetReport) -> String? {
        let copied = target.copied
        // What was left out with leave is no failure: the point is made.
        let isIncomplete = target.failure?.kind == .incomplete && target.recoveryPoint != nil
        if target.failure != nil, !isIncomplete {
            return copied.isEmpty ? nil : "\(target.place): failed after copying \(amount(copied))"
        }
        var text = "\(target.place): "
        if copied.isEmpty {
            text += "nothing to copy"
        } else {
            text += "copied \(amount(copied))"
            if !target.serverCopied.isEmpty { text += " (\(byteText(target.serverCopied.bytes)) of it by the server itself)" }
        }
        text += "; \(counted(target.alreadyThere.resources, "resource")) already there"
        if isIncomplete { text += "; \(counted(target.failedCount, "resource")) left out" }
        if target.restored > 0 {
            text += "; \(target.restored) had been lost there and \(target.restored == 1 ? "was" : "were") copied again"
        }
        if target.targetOnly.resources > 0 { text += "; \(target.targetOnly.resources) only there (kept)" }
        if target.verified.resources > 0 { text += "; \(target.verified.resources) read back" }
        if target.attested.resources > 0 { text += "; \(target.attested.resources) attested by the server" }
        if let reason = target.unverifiedReason { text += "; nothing read back: \(reason)" }
        if target.unproven > 0 { text += "; \(target.unproven) unproven (--verify all reads them)" }
        if let lock = target.lock { text += "; \(Self.text(of: lock, alreadyThere: target.alreadyThere.resources))" }
        if let point = target.recoveryPoint { text += "; recovery point \(point)\(isIncomplete ? " (incomplete)" : "")" }
        return text
    }

    private static func text(of lock: LockReport, alreadyThere: Int) -> String {
        var parts: [String] = []
        if let retention = lock.lock.retention, let until = lock.until {
            parts.append("locked until \(until.isoText) (\(retention.mode.rawValue))")
        }
        if lock.lock.isHeld { parts.append("held") }
        var text = "what was copied is \(parts.joined(separator: " and "))"
        if lock.extended > 0 {
            text += ", and so \(lock.extended == 1 ? "is" : "are") \(lock.extended) that had less"
        } else if alreadyThere > 0 {
            text += ", what was there keeps what it has (--relist extends it)"
        }
        return text
    }

    private static func amount(_ copied: Tally) -> String {
        "\(counted(copied.packfiles, "packfile")), \(counted(copied.states, "state")), \(byteText(copied.bytes))"
    }
}

extension Tally {
    fileprivate static func += (sum: inout Tally, more: Tally) {
        sum = Tally(packfiles: sum.packfiles + more.packfiles, states: sum.states + more.states, bytes: sum.bytes + more.bytes)
    }
}
