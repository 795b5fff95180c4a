internal import Kloset
internal import Replication
internal import Storage
internal import StorageLocal

/// `sealift inspect LOCATION`
struct InspectCommand {
    let context: RunContext
    let store: any StoreReader

    /// A screen has room for more, but not for much more.
    private static let uploadsShownMax = 10
    /// As many as one page of a server's list.
    private static let uploadsMax = 1000

    func run() async throws -> CommandResult {
        let report = try await InspectRun(of: store, environment: context.environment).run()
        let isDamaged =
            report.configDamage != nil && !report.isConfigForbidden || report.markDamage != nil
            || report.folders.contains { !$0.isForbidden }
        let isForbidden = report.isConfigForbidden || !report.folders.isEmpty
        let code: ExitCode = isDamaged ? .damage : isForbidden ? .permission : .done
        let configuration = report.configuration
        let abilities = report.capabilities
        let missing = report.standing.abilities.compactMap(\.missing)
        let json = Self.json(
            configuration, report.repository, location: report.location,
            counts: (report.packfiles, report.states, report.locks, report.foreign), bytes: report.bytes)
        let more: [(String, JSONText)] = [
            ("replica_id", .init(report.replica)), ("mark_damage", .init(report.markDamage?.reason)),
            ("unfinished", .boolean(report.isUnfinished)), ("unlisted", .array(report.folders.map(\.json))),
            (
                "capabilities",
                [
                    "publication": .string(abilities.publication.rawValue), "durability": .string(abilities.durability.rawValue),
                    "exchange": .string(abilities.exchange.rawValue), "locking": .string(abilities.locking.rawValue),
                ]
            ),
            ("server", .object(report.standing.abilities.map { ($0.name, .init($0.answer)) })),
            ("missing_protection", .array(missing.map { .string($0) })),
            ("uploads", report.standing.uploads.map { .array($0.prefix(Self.uploadsMax).map(\.json)) } ?? .null),
        ]
        var lines = ["location      \(report.location)"] + Self.lines(configuration, report.repository)
        lines.append("packfiles     \(report.packfiles)")
        lines.append("states        \(report.states)")
        lines.append("locks         \(report.locks)")
        lines.append("foreign       \(report.foreign)")
        lines.append("bytes         \(report.bytes) (\(byteText(report.bytes)))")
        if report.markDamage != nil { lines.append("replica       its mark cannot be read") }
        if let replica = report.replica {
            lines.append("replica       \(replica)\(report.isUnfinished ? " (unfinished: CONFIG comes last)" : "")")
            // No client can open an unfinished copy.
            if !report.isUnfinished {
                lines.append(
                    "              look at it with plakar under an XDG_CACHE_HOME of its own, else it shows the origin's snapshots"
                )
            }
        }
        lines.append("publication   \(abilities.publication.rawValue)")
        lines.append("durability    \(abilities.durability.rawValue)")
        if abilities.locking == .none {
            lines.append("locking       none: let one machine at a time write to it, for a second one is noticed late")
        }
        lines += Self.protectionLines(report.standing)
        for one in missing { lines.append("missing       \(one)") }
        if let uploads = report.standing.uploads {
            if !uploads.isEmpty { lines.append("uploads       \(uploads.count) unfinished; sealift cleanup ends old ones") }
            for upload in uploads.prefix(Self.uploadsShownMax) { lines.append("              \(upload.line)") }
        } else {
            lines.append("uploads       not to be listed with these credentials")
        }
        return CommandResult(exitCode: code, json: json + more, summary: lines, complaints: Self.complaints(report))
    }

    private static func complaints(_ report: InspectReport) -> [Notice] {
        let config = report.configDamage.map { reason in
            Failure(
                report.isConfigForbidden ? .permission : .damage, report.isConfigForbidden ? "cannot read" : "cannot understand",
                resource: .config, place: report.location, reason: reason,
                advice: report.isConfigForbidden
                    ? "Run as a user who may read there."
                    : "If another copy has it whole: sealift repair \(commandWord(report.location)) --from COPY")
        }
        return [config, report.markDamage].compactMap { $0.map { Notice($0) } }
            + report.folders.map { Notice($0.asFailure(at: report.location)) }
    }

    private static func protectionLines(_ standing: PlaceStanding) -> [String] {
        let answers = standing.protection
        var lines: [String] = []
        if let lock = answers.objectLock, lock != "none" {
            lines.append("object lock   \(lock == "enabled" ? "yes, without a default rule" : "yes; default rule: \(lock)")")
        }
        if let versioning = answers.versioning, versioning != "none" { lines.append("versioning    \(versioning)") }
        return lines
    }

    static func json(
        _ configuration: StoreConfiguration?, _ repository: RepositoryID?, location: String,
        counts: (packfiles: Int, states: Int, locks: Int, foreign: Int), bytes: Int64
    ) -> [(String, JSONText)] {
        [
            ("source", .string(location)), ("repository_id", .init(repository?.description)),
            ("created", .init(configuration?.created?.isoText)),
            ("encrypted", configuration.map { .boolean($0.isEncrypted) } ?? .null), ("packfiles", .init(counts.packfiles)),
            ("states", .init(counts.states)), ("locks", .init(counts.locks)), ("foreign", .init(counts.foreign)),
            ("bytes", .init(bytes)), ("version", .init(configuration?.version.description)),
            ("hashing", .init(configuration?.hashing)), ("compression", .init(configuration?.compression)),
        ]
    }

    static func lines(_ configuration: StoreConfiguration?, _ repository: RepositoryID?) -> [String] {
        var lines = repository.map { ["repository    \($0)"] } ?? []
        guard let configuration else { return lines }
        if let created = configuration.created { lines.append("created       \(created.isoText)") }
        lines.append("encrypted     \(configuration.isEncrypted ? "yes" : "no")")
        return lines
    }
}

/// `sealift inspect ptar:/path/file.ptar`
struct InspectPtarCommand {
    let context: RunContext
    let path: String

    func run() async throws -> CommandResult {
        let path = path
        let facts = try await context.places.run { try PtarFile(path: path).inspect() }
        let code: ExitCode = facts.damage.isEmpty ? .done : .damage
        let json = InspectCommand.json(
            facts.configuration, facts.configuration?.repositoryID, location: "ptar:\(path)", counts: (1, 1, 0, 0),
            bytes: facts.byteCount)
        return CommandResult(
            exitCode: code, json: json + [("mark_damage", .null), ("unlisted", .array([]))],
            summary: ["location      ptar:\(path)"] + InspectCommand.lines(facts.configuration, facts.configuration?.repositoryID)
                + [
                    "packfiles     1", "states        1", "bytes         \(facts.byteCount) (\(byteText(facts.byteCount)))",
                    "              a single-file archive cannot be unpacked into a store without the key",
                ],
            complaints: facts.damage.map {
                Notice(Failure(.damage, "found damage in the \($0.kind.name) of", place: "ptar:\(path)", reason: $0.reason))
            })
    }
}
