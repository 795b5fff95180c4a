internal import Kloset
internal import Replication
internal import Storage
internal import StorageLocal

/// `sealift verify LOCATION [--against LOCATION]`
struct VerifyCommand {
    let context: RunContext
    let store: any StoreReader
    let other: (any StoreReader)?
    let belief: Belief

    func run() async throws -> CommandResult {
        let report = try await VerifyRun(
            of: store, against: other, believesPlace: belief != .none, environment: context.environment
        ).run()
        let comparison = report.comparison
        return CommandResult(
            exitCode: Self.exitCode(of: report),
            json: [
                ("source", .string(report.location)), ("repository_id", .init(report.repository?.description)),
                ("ledger", .string(report.knowledge.rawValue)), ("checked", .init(report.checkedCount)),
                ("damaged", .array(report.damaged.map(\.json))), ("lost", .array(report.lost.map(\.json))),
                ("unreadable", .array(report.forbidden.first.map(\.json))), ("unlisted", .array(report.folders.map(\.json))),
                ("versions", .array(report.covered.map(\.json))),
                ("ledger_damage", .init(report.ledgerDamage)), ("mark_damage", .init(report.markDamage?.reason)),
                ("unknown", .init(report.unknown)),
                ("complete", .boolean(report.isComplete)), ("against", .init(comparison?.location)),
                ("against_damaged", .array(comparison?.damage.first.map(\.json) ?? [])),
                ("only_against", .array(comparison?.onlyThere.first.map(\.json) ?? [])),
                ("attested", ["resources": .init(report.attested.resources), "bytes": .init(report.attested.bytes)]),
                ("bytes_read", .init(report.bytesRead)),
            ],
            summary: [summary(of: report)], complaints: VerifyComplaints(report: report).all, warnings: warnings(report))
    }

    /// Damage and loss, whichever side they are on, outrank what may not be read.
    private static func exitCode(of report: VerifyReport) -> ExitCode {
        if !report.isGood || report.comparison?.damage.isEmpty == false { return .damage }
        return report.forbidden.isEmpty && report.folders.isEmpty ? .done : .permission
    }

    private func summary(of report: VerifyReport) -> String {
        let total = report.checkedCount + report.unknown
        var summary = "\(report.location): \(counted(total, "resource")) read, \(byteText(report.bytesRead))"
        summary += "; \(report.damagedCount) damaged, \(report.lostCount) lost"
        if belief != .none { summary += "; \(report.attested.resources) not read but attested by the server" }
        if !report.forbidden.isEmpty { summary += "; \(report.forbidden.count) could not be read" }
        if !report.folders.isEmpty { summary += "; \(counted(report.folders.count, "folder")) could not be listed" }
        if report.unknown > 0 { summary += "; \(report.unknown) without a digest to compare with" }
        if let other = report.comparison {
            if !other.damage.isEmpty { summary += "; \(other.damage.count) damaged at \(other.location)" }
            if !other.onlyThere.isEmpty { summary += "; \(other.onlyThere.count) only at \(other.location)" }
        }
        return summary
    }

    private func warnings(_ report: VerifyReport) -> [Notice] {
        var warnings: [String] = []
        if belief == .checksums, report.attested.isEmpty {
            warnings.append(
                "the server attests nothing that can be believed: a sync from this machine finds out whether it computes checksums"
            )
        }
        if let damage = report.ledgerDamage {
            warnings.append(
                "the ledger is damaged: \(damage). What is known without it was compared all the same. "
                    + "Write it anew with: sealift repair \(commandWord(report.location)) --from LOCATION")
        }
        if !report.covered.isEmpty {
            let removed = report.covered.count { $0.isRemoved }
            warnings.append(
                "the bucket keeps older versions of \(counted(report.covered.count, "resource")) of these: \(removed) lie below a delete marker, "
                    + "\(report.covered.count - removed) below a newer version. Bring back those with the recorded digest with: "
                    + "sealift repair \(commandWord(report.location)) --from \(commandWord(report.location))")
        }
        if report.unknown > 0 {
            warnings.append(
                "\(counted(report.unknown, "resource")) could be read, but nobody recorded a digest to compare with: "
                    + "sync with --verify all, or verify --against another copy")
        }
        if report.knowledge == .replicaLedger {
            warnings.append(
                "the digests come from the replica's own ledger: compare the root hash that `sealift points` prints with the one you noted"
            )
        }
        return warnings.map { Notice($0) } + [Self.onlyThere(report)].compactMap { $0 }
    }

    /// Nobody without the key knows what a packfile is needed for, so this is for a person to judge.
    private static func onlyThere(_ report: VerifyReport) -> Notice? {
        guard let other = report.comparison, !other.onlyThere.isEmpty else { return nil }
        guard !report.isSource else {
            return Notice(
                "\(other.location) has \(counted(other.onlyThere.count, "resource")) that \(report.location) lacks, and no recovery point says that they "
                    + "should be there: a client may have dropped packfiles, but never states. If it is a loss, go on from a new copy: sealift sync "
                    + "\(commandWord(other.location)) ELSEWHERE", listing: other.onlyThere.first.lazy.map(\.description),
                of: other.onlyThere.count,
                inJSON: inJSON)
        }
        var text = "\(other.location) has \(counted(other.onlyThere.count, "resource")) that \(report.location) lacks"
        if other.statesOnlyThere > 0 {
            text += ", \(counted(other.statesOnlyThere, "state")) among them: the copy is behind. "
        } else {
            text += " although it has all states: lost here, or part of a backup that is being written there. "
        }
        text += "A sync from there brings them"
        return Notice(text, listing: other.onlyThere.first.lazy.map(\.description), of: other.onlyThere.count, inJSON: inJSON)
    }

    fileprivate static let inJSON = LimitedList<ResourceKey>.listedMax
}

/// What is wrong, and what helps.
private struct VerifyComplaints {
    let report: VerifyReport

    var all: [Notice] {
        let (disputed, damaged) = (report.damage.first.filter(\.isDisputed), report.damage.first.filter { !$0.isDisputed })
        let lost = report.loss.first.map {
            DamagedResource(key: $0, reason: "it is not there, and a recovery point names it")
        }
        let (here, other) = (report.location, report.comparison)
        return [
            notice(
                damaged + lost, at: here, of: report.damage.count - disputed.count + report.loss.count,
                advice: heal(here, from: other?.location ?? "COPY")),
            notice(disputed, at: here, of: disputed.count, advice: Failure.disputeAdvice),
            other.flatMap {
                notice($0.damage.first, at: $0.location, of: $0.damage.count, advice: heal($0.location, from: here))
            },
            notice(
                report.forbidden.first, at: here, of: report.forbidden.count, .permission, "cannot read",
                advice: "That says nothing about the bytes. Run as a user who may read there."),
            report.markDamage.map { Notice($0) },
        ].compactMap { $0 } + report.folders.map { Notice($0.asFailure(at: here)) }
    }

    private func heal(_ place: String, from donor: String) -> String {
        "Heal it with: sealift repair \(commandWord(place)) --from \(commandWord(donor))"
    }

    private func notice(
        _ listed: [DamagedResource], at place: String, of count: Int, _ kind: Failure.Kind = .damage,
        _ what: String = "found damage in", advice: String
    ) -> Notice? {
        guard let first = listed.first else { return nil }
        if count == 1 {
            return Notice(Failure(kind, what, resource: first.key, place: place, reason: first.reason, advice: advice))
        }
        let failure = Failure(
            kind, "\(what) \(count) resources at", place: place, reason: "each for a reason of its own", advice: advice)
        return Notice(
            failure.description, listing: listed.lazy.map { "\($0.key): \($0.reason)" }, of: count, inJSON: VerifyCommand.inJSON)
    }
}

extension CoveredResource {
    var json: JSONText {
        [
            "kind": .string(key.kind.name), "id": .string(key.idText), "removed": .boolean(isRemoved),
            "since": .init(since?.isoText),
            "beneath": .init(beneath),
        ]
    }
}

/// `sealift verify ptar:/path/file.ptar`: nobody records digests of single-file archives, so it is read and looked at.
struct VerifyPtarCommand {
    let context: RunContext
    let path: String

    func run() async throws -> CommandResult {
        let path = path
        let facts = try await context.places.run { try PtarFile(path: path).check() }
        let code: ExitCode = facts.damage.isEmpty ? .done : .damage
        return CommandResult(
            exitCode: code,
            json: [
                ("source", .string("ptar:\(path)")), ("repository_id", .init(facts.configuration?.repositoryID.description)),
                ("versions", .array([])), ("ledger", "nothing"), ("checked", .init(facts.damage.count)),
                (
                    "damaged",
                    .array(
                        facts.damage.map { ["kind": .string($0.kind.name), "id": .null, "reason": .string($0.reason)] })
                ), ("lost", .array([])), ("unreadable", .array([])), ("unlisted", .array([])),
                ("ledger_damage", .null), ("mark_damage", .null), ("unknown", .init(3 - facts.damage.count)),
                ("complete", false), ("against", .null), ("against_damaged", .array([])), ("only_against", .array([])),
                ("attested", ["resources": .integer(0), "bytes": .integer(0)]),
                ("bytes_read", .init(facts.byteCount)),
            ],
            summary: ["ptar:\(path): \(byteText(facts.byteCount)) read; \(facts.damage.count) of 3 parts damaged on their face"],
            complaints: facts.damage.map {
                Notice(Failure(.damage, "found damage in the \($0.kind.name) of", place: "ptar:\(path)", reason: $0.reason))
            },
            warnings: [Notice("the archive could be read, but nobody recorded digests of its parts")])
    }
}
