internal import Catalog
internal import Kloset
internal import Reconciliation
internal import Replication
internal import Storage

/// `sealift points [LOCATION]`, `points show ID`, `points diff A B`
struct PointsCommand {
    let context: RunContext
    private var points: PointsRun { PointsRun(environment: context.environment) }

    init(context: RunContext) {
        self.context = context
    }

    func list(_ location: (any StoreReader)?) async throws -> CommandResult {
        let listed = try await points.points(of: location)
        let points = listed.points
        let damage = [listed.ledgerDamage, listed.markDamage].compactMap { $0 }
        return CommandResult(
            exitCode: damage.isEmpty ? .done : .damage,
            json: [
                ("ledger", .string(Self.source(of: points).rawValue)), ("ledger_damage", .init(listed.ledgerDamage?.reason)),
                ("mark_damage", .init(listed.markDamage?.reason)), ("points", .array(points.map(\.json))),
            ],
            summary: points.isEmpty ? ["no recovery points"] : points.map { line($0, withLocation: location == nil) },
            complaints: damage.map { Notice($0) }, warnings: Self.warnings(points))
    }

    /// What stands behind points together: the weakest of them counts.
    private static func source(of points: [CatalogPoint]) -> LedgerSource {
        if points.isEmpty { return .nothing }
        return points.allSatisfy(\.authenticated) ? .catalog : .replicaLedger
    }

    private static func warnings(_ points: [CatalogPoint]) -> [Notice] {
        let told = points.filter { !$0.authenticated }
        guard !told.isEmpty else { return [] }
        return [
            Notice(
                "of \(counted(points.count, "recovery point")) \(told.count) came from a replica's own ledger (UNAUTHENTICATED): compare the root hash "
                    + "with the one you noted; sync with --verify all proves what the source still has")
        ]
    }

    /// Prints resources while the catalog names them; a failure in the middle is told in the same object.
    func show(_ id: String) async throws -> CommandResult {
        let output = context.output
        let point = try await points.point(id)
        output.member("command", "points")
        output.open(.array, "points")
        output.open(.object)
        for (name, value) in point.members { output.member(name, value) }
        output.member("missing", .array(point.point.missing.map(\.json)))
        output.open(.array, "resources")
        output.line(line(point, withLocation: true))
        for key in point.point.missing { output.line("  \(key) left out") }
        try await points.forEachMember(of: point) { member in
            output.element(member.json)
            output.line("  \(member.key) \(member.size) \(member.digest?.hex ?? "unproven")")
        }
        return CommandResult(exitCode: .done, json: [], summary: [], warnings: Self.warnings([point]))
    }

    func diff(_ first: String, _ second: String) async throws -> CommandResult {
        let output = context.output
        let (first, second) = (try await points.point(first), try await points.point(second))
        output.member("command", "points")
        output.member("points", .array([first.json, second.json]))
        if output.form == .json {
            // A pass for each list: the catalog is read again sooner than lists of any length are held.
            for wanted in PointsRun.Change.allCases {
                output.open(.array, wanted.jsonName)
                try await points.forEachChange(from: first, to: second) { change, member in
                    if change == wanted { output.element(member.json) }
                }
                output.close()
            }
        } else {
            try await points.forEachChange(from: first, to: second) { change, member in
                output.line("\(change.sign) \(member.key) \(member.size)")
            }
        }
        return CommandResult(exitCode: .done, json: [], summary: [], warnings: Self.warnings([first, second]))
    }

    private func line(_ one: CatalogPoint, withLocation: Bool) -> String {
        let point = one.point
        var text =
            "\(point.id)  \(point.created.isoText)  \(point.packfiles) packfiles, \(point.states) states, \(byteText(point.bytes))"
        text += "  root \(point.root.hex)"
        if !point.isComplete { text += "  INCOMPLETE (\(point.missing.count) left out)" }
        if !one.authenticated { text += "  UNAUTHENTICATED" }
        if let name = point.name { text += "  \(name)" }
        if withLocation, let location = one.location { text += "  \(location)" }
        return text
    }
}

extension PointsRun.Change {
    fileprivate var jsonName: String {
        switch self {
        case .removed: "removed"
        case .added: "added"
        case .changed: "changed"
        }
    }

    fileprivate var sign: String {
        switch self {
        case .removed: "-"
        case .added: "+"
        case .changed: "!"
        }
    }
}

extension PointMember {
    fileprivate var json: JSONText {
        [
            "kind": .string(key.kind.name), "id": .string(key.idText), "bytes": .init(size), "sha256": .init(digest?.hex),
        ]
    }
}
