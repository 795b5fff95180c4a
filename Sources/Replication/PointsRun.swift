public import Catalog
internal import Kloset
internal import Reconciliation
public import Storage

/// Looks at recovery points. A point may name millions of resources: they are handed out one by one.
public struct PointsRun: Sendable {
    private let environment: RunEnvironment

    public init(environment: RunEnvironment) {
        self.environment = environment
    }

    /// Points, oldest first.
    public struct Listed: Sendable {
        public var points: [CatalogPoint] = []
        /// What is wrong with the replica's ledger: there may be more points than are known.
        public var ledgerDamage: Failure?
        /// What is wrong with the replica's mark; its ledger says who it is.
        public var markDamage: Failure?
    }

    /// The points of a replica, read from its ledger where the catalog does not know them, or all that the catalog knows.
    public func points(of reader: (any StoreReader)?) async throws -> Listed {
        guard let reader else { return Listed(points: try await environment.catalog.read { db in try db.points() }) }
        let known = try await KnownReplica.open(reader, in: environment)
        guard let replica = known.replica else { return Listed(markDamage: known.markDamage) }
        let points = try await environment.catalog.read { db in try db.points(of: replica) }
        return Listed(points: points, ledgerDamage: known.ledgerDamage, markDamage: known.markDamage)
    }

    /// The point with this id, or with the only id that begins so. All targets of a run share one; any of them will do.
    ///
    /// - Throws: `.usage` when there is none, or more than one.
    public func point(_ id: String) async throws -> CatalogPoint {
        let found = try await environment.catalog.read { db in try db.points(matching: id) }
        guard let first = found.first else {
            throw Failure(
                .usage, "no recovery point", place: id, reason: "this machine knows none that begins so",
                advice: "List them with: sealift points LOCATION")
        }
        guard found.allSatisfy({ $0.point.id == first.point.id }) else {
            throw Failure(
                .usage, "no single recovery point", place: id, reason: "\(found.count) begin so", advice: "Write more of the id.")
        }
        return first
    }

    /// Calls `body` for each resource that the point names and the replica holds or held, ascending by key.
    ///
    /// - Parameter body: called on the catalog's thread, which serves nobody else meanwhile; what it throws is thrown.
    public func forEachMember(
        of point: CatalogPoint, _ body: @escaping @Sendable (PointMember) throws -> Void
    ) async throws {
        try await environment.catalog.read { db in
            var cursor = try db.members(of: point)
            while let member = try cursor.next() { try body(member) }
        }
    }

    /// What became of a resource from one point to another.
    public enum Change: Sendable, CaseIterable {
        case removed, added
        /// Named by both, with different bytes on record: damage or attack.
        case changed
    }

    /// Calls `body` for each resource that is not the same in both points, ascending by key, with what the later point says of it where it does.
    ///
    /// - Parameter body: as in ``forEachMember(of:_:)``.
    public func forEachChange(
        from first: CatalogPoint, to second: CatalogPoint, _ body: @escaping @Sendable (Change, PointMember) throws -> Void
    ) async throws {
        try await environment.catalog.read { db in
            var difference = try SortedDifference(db.members(of: first), db.members(of: second))
            while let step = try difference.next() {
                switch step {
                case .leftOnly(let member): try body(.removed, member)
                case .rightOnly(let member): try body(.added, member)
                case .both(let old, let new):
                    if let before = old.digest, let after = new.digest, before != after { try body(.changed, new) }
                }
            }
        }
    }
}
