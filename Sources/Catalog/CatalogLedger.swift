internal import Kloset
internal import Storage

/// How far a walk through a replica's history has come.
public struct LedgerPosition: Sendable, Equatable {
    /// The number of the recovery point before which it happened.
    fileprivate var point: Int64
    fileprivate var step: Step
    /// Kind and id; zero for a point.
    fileprivate var kind: Int64
    fileprivate var id: ResourceID

    /// What happens before a point, in this order.
    fileprivate enum Step: Int64 {
        case appears = 1
        case leaves = 2
        case point = 3
    }
}

extension CatalogReading {
    /// What a replica's ledger would say if it were written now, from the catalog alone: read in this order it gives the same holdings, points and
    /// members.
    ///
    /// Each call sorts all that the replica holds: two seconds for a million.
    /// - Parameters:
    ///   - position: begin behind it; nil for the beginning.
    ///   - limit: entries at most.
    /// - Returns: entries, and where the next call begins; nil when these were the last.
    public func ledgerEntries(
        of replica: ReplicaID, after position: LedgerPosition? = nil, limit: Int
    ) throws -> (entries: [LedgerEntry], next: LedgerPosition?) {
        guard let number = try number(of: replica), let repository = try self.replica(replica)?.repository else {
            return ([], nil)
        }
        let positions = try ledgerPositions(of: number, after: position, limit: limit)
        let points = try points(of: replica)
        let entries = try positions.map { try entry(at: $0, repository: repository, points: points) }
        return (entries, positions.count < limit ? nil : positions.last)
    }

    private func ledgerPositions(of replica: Int64, after position: LedgerPosition?, limit: Int) throws -> [LedgerPosition] {
        // A membership that ended before it began is told too: the replica holds the resource, though no point names it.
        try database.with(
            """
            SELECT point, step, kind, id FROM (
                SELECT first_point AS point, 1 AS step, kind, id FROM holdings WHERE replica = ?1
                UNION ALL SELECT last_point + 1, 2, kind, id FROM holdings WHERE replica = ?1 AND last_point IS NOT NULL
                UNION ALL SELECT first_point, 1, kind, id FROM former_holdings WHERE replica = ?1
                UNION ALL SELECT last_point + 1, 2, kind, id FROM former_holdings WHERE replica = ?1
                UNION ALL SELECT sequence, 3, 0, zeroblob(32) FROM points WHERE replica = ?1
            )
            WHERE (point, step, kind, id) > (?2, ?3, ?4, ?5) ORDER BY point, step, kind, id LIMIT ?6
            """
        ) { row in
            row.bind(1, replica)
            row.bind(2, position?.point ?? -1)
            row.bind(3, position?.step.rawValue ?? 0)
            row.bind(4, position?.kind ?? 0)
            row.bind(5, position?.id ?? .zero)
            row.bind(6, limit)
            var positions: [LedgerPosition] = []
            while try row.step() {
                guard let step = LedgerPosition.Step(rawValue: row.int(1)) else { throw row.damage("a step has no meaning") }
                positions.append(LedgerPosition(point: row.int(0), step: step, kind: row.int(2), id: try row.bits(3)))
            }
            return positions
        }
    }

    private func entry(at position: LedgerPosition, repository: RepositoryID, points: [CatalogPoint]) throws -> LedgerEntry {
        if position.step == .point {
            guard let point = points.first(where: { $0.sequence == position.point }) else {
                throw Failure(damagedCatalog: database.place, reason: "the recovery point \(position.point) is gone")
            }
            return .point(point.point)
        }
        guard let raw = UInt8(exactly: position.kind), let kind = ResourceKind(rawValue: raw) else {
            throw Failure(damagedCatalog: database.place, reason: "a holding is of the kind \(position.kind)")
        }
        let key = ResourceKey(kind, position.id)
        if position.step == .leaves { return .gone(key) }
        guard let known = try proof(of: key, in: repository) else {
            throw Failure(damagedCatalog: database.place, reason: "a replica holds \(key), of which nothing is known")
        }
        return .resource(key, size: known.size, digest: known.digest, chunks: known.chunks)
    }
}
