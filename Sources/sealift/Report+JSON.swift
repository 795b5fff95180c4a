internal import Catalog
internal import Kloset
internal import Planning
internal import Replication
internal import Storage

/// The machine-readable results (docs/format.md, "JSON").
extension RunContext {
    /// The members that close every object.
    func closing() -> [(String, JSONText)] { Self.closing(seconds: seconds) }

    static func closing(seconds: Double) -> [(String, JSONText)] {
        [("seconds", .number(seconds)), ("peak_memory_bytes", .init(peakMemory))]
    }
}

extension FailedResource {
    var json: JSONText {
        var members: [(String, JSONText)] = [
            ("kind", .string(key.kind.name)), ("id", .string(key.idText)), ("reason", .string(reason)),
            ("retryable", .boolean(retryable)),
        ]
        if let side { members.append(("side", .string(side.rawValue))) }
        return .object(members)
    }
}

extension ResourceKey {
    /// The id as JSON shows it: CONFIG has none of its own.
    var idText: String { kind == .config ? "CONFIG" : id.hex }

    var json: JSONText { ["kind": .string(kind.name), "id": .string(idText)] }
}

extension Failure {
    var json: JSONText {
        [
            "kind": .string(kind.jsonName), "message": .string(description), "retryable": .boolean(retryable),
            "resources": .array(concerned.map(\.json)),
        ]
    }

    /// The resources that it is about.
    var concerned: [ResourceKey] {
        guard let resource, !resources.contains(resource) else { return resources }
        return [resource] + resources
    }
}

extension Failure.Kind {
    /// `no_store` for `noStore`.
    var jsonName: String {
        rawValue.reduce(into: "") { name, letter in name += letter.isUppercase ? "_\(letter.lowercased())" : "\(letter)" }
    }
}

extension JSONText {
    /// Null where requests are not counted.
    init(_ counts: RequestCounts?) {
        self =
            counts.map { counts in
                [
                    "put": .init(counts.puts), "list": .init(counts.lists), "get": .init(counts.gets),
                    "delete": .init(counts.deletes),
                ]
            } ?? .null
    }
}

extension RequestCounts {
    /// For people, by the classes of a bill.
    var line: String { "\(puts) PUT/POST, \(lists) LIST, \(gets) GET/HEAD" }
}

extension ColdReport {
    var json: JSONText {
        guard !isEmpty else { return .null }
        return ["cold": .init(cold), "recalling": .init(recalling), "classes": .array(classes.sorted().map { .string($0) })]
    }

    /// For people: how much, and what the tiers are. The times are those that Amazon names.
    var lines: [String] {
        var lines: [String] = []
        func amount(_ tally: Tally) -> String {
            "\(counted(tally.packfiles, "packfile")) and \(counted(tally.states, "state")), \(byteText(tally.bytes))"
        }
        if !cold.isEmpty {
            lines.append(
                "\(amount(cold)) of it lie in \(classes.sorted().joined(separator: ", ")) and must be recalled (--recall):")
            if classes.contains("GLACIER") {
                lines.append("  GLACIER: expedited 1 to 5 minutes, standard 3 to 5 hours, bulk 5 to 12")
            }
            if classes.contains("DEEP_ARCHIVE") { lines.append("  DEEP_ARCHIVE: standard within 12 hours, bulk within 48") }
        }
        if !recalling.isEmpty { lines.append("\(amount(recalling)) of it are being recalled") }
        return lines
    }
}

extension ResourceLock {
    var json: JSONText {
        [
            "mode": .init(retention?.mode.rawValue), "days": retention.map { .init($0.days) } ?? .null,
            "legal_hold": .boolean(isHeld),
        ]
    }

    /// `locked for 30 days (governance) and held`.
    var words: String {
        [retention.map { "locked for \(counted($0.days, "day")) (\($0.mode.rawValue))" }, isHeld ? "held" : nil]
            .compactMap { $0 }.joined(separator: " and ")
    }
}

extension LockReport {
    var json: JSONText {
        [
            "mode": .init(lock.retention?.mode.rawValue), "until": .init(until?.isoText), "legal_hold": .boolean(lock.isHeld),
            "extended": .init(extended),
        ]
    }
}

extension TargetReport {
    var json: JSONText {
        var members: [(String, JSONText)] = [
            ("location", .string(place)), ("exit_code", .init(Int(exitCode.rawValue))), ("copied", .init(copied)),
            ("copied_by_server", .init(serverCopied)),
            ("already_there", .init(alreadyThere)), ("target_only", .init(targetOnly)), ("failed", .array(allFailed.map(\.json))),
            ("failed_count", .init(max(failedCount, allFailed.count))),
            (
                "verified",
                [
                    "resources": .init(verified.resources), "bytes": .init(verified.bytes), "reason": .init(unverifiedReason),
                ]
            ), ("unproven", .init(unproven)),
            ("attested", ["resources": .init(attested.resources), "bytes": .init(attested.bytes)]),
            ("restored", .init(restored)), ("ledger", .init(knowledge?.rawValue)), ("learned", .init(learned)),
            ("lock", lock?.json ?? .null),
            ("recovery_point", .init(recoveryPoint)), ("recovery_point_is_new", .boolean(madePoint)),
            ("renounced_points", .array(renounced.map { .string($0) })),
            ("requests", .init(requests)),
        ]
        if let failure { members.append(("error", failure.json)) }
        return .object(members)
    }

    /// The list, and what the failure that ended the target is about.
    private var allFailed: [FailedResource] {
        guard let failure else { return failed }
        let listed = Set(failed.map(\.key))
        return failed
            + failure.concerned.filter { !listed.contains($0) }
            .map { FailedResource(key: $0, reason: failure.reason, retryable: failure.retryable) }
    }

    var exitCode: ExitCode { failure.map { ExitCode($0.kind) } ?? .done }
}

extension SyncReport {
    /// One code for all targets: theirs when they agree; 1 when some are not what others are.
    var exitCode: ExitCode {
        let codes = Set(targets.map(\.exitCode))
        return codes.count > 1 ? .incomplete : codes.first ?? .done
    }
}

extension DamagedResource {
    var json: JSONText { ["kind": .string(key.kind.name), "id": .string(key.idText), "reason": .string(reason)] }
}

extension UnlistedFolder {
    var json: JSONText { ["folder": .string(path), "reason": .string(reason), "forbidden": .boolean(isForbidden)] }

    /// As it is said to a person.
    func asFailure(at place: String) -> Failure {
        guard let failure else {
            return Failure(
                .damage, "cannot list", place: "\(place)/\(path)", reason: "\(reason), with all that it held",
                advice:
                    "Is all of the store mounted? sealift repair \(commandWord(place)) --from COPY makes it again, with what the copy has of it"
            )
        }
        let advice =
            isForbidden
            ? "That says nothing about what is there. Run as a user who may read there."
            : failure.kind == .damage
                ? "Move aside what has that name, then: sealift repair \(commandWord(place)) --from COPY" : failure.advice
        return Failure(failure.kind, "cannot list", place: "\(place)/\(path)", reason: reason, advice: advice)
    }
}

extension CatalogPoint {
    var json: JSONText { .object(members) }

    var members: [(String, JSONText)] {
        [
            ("id", .string(point.id)), ("name", .init(point.name)), ("created", .string(point.created.isoText)),
            ("packfiles", .init(point.packfiles)), ("states", .init(point.states)), ("bytes", .init(point.bytes)),
            ("root_hash", .string(point.root.hex)), ("complete", .boolean(point.isComplete)),
            ("authenticated", .boolean(authenticated)),
            ("repository_id", .string(repository.description)), ("replica_id", .string(replica.description)),
            ("location", .init(location)), ("source", .string(point.source)),
        ]
    }
}
