public import Kloset
internal import Storage

extension CatalogReading {
    /// The points of a replica, or of all replicas, oldest first within each.
    public func points(of replica: ReplicaID? = nil) throws -> [CatalogPoint] {
        var number: Int64?
        if let replica {
            number = try self.number(of: replica)
            if number == nil { return [] }
        }
        return try points(replica: number)
    }

    /// The points, on any replica, with just this id; if there are none, those whose id begins with it. Nothing for empty text.
    public func points(matching id: String) throws -> [CatalogPoint] {
        guard !id.isEmpty else { return [] }
        let exact = try points(id: id)
        return exact.isEmpty ? try points(prefix: id) : exact
    }

    /// The newest point of a replica.
    public func latestPoint(of replica: ReplicaID) throws -> CatalogPoint? {
        guard let number = try number(of: replica), let last = try lastSequence(of: number) else { return nil }
        return try points(replica: number, sequence: last).first
    }

    /// The newest point that each replica has of a source, newest first, those that were renounced among them.
    ///
    /// - Parameters:
    ///   - identity: what the source is called.
    ///   - anchor: what stays with it when it is moved (`Footprint.anchor`); a point that was taken there is one of this source too.
    public func latestPoints(
        ofSource identity: String, anchor: String?, in repository: RepositoryID
    ) throws -> [CatalogPoint] {
        guard let repository = try number(of: repository) else { return [] }
        let found = try database.with(
            """
            SELECT p.replica, max(p.sequence) FROM points p JOIN replicas r ON r.number = p.replica
                LEFT JOIN point_anchors a ON a.replica = p.replica AND a.sequence = p.sequence
            WHERE r.repository = ?1 AND (p.source_identity = ?2 OR a.anchor = ?3 OR EXISTS (
                SELECT 1 FROM point_sources s WHERE s.replica = p.replica AND s.sequence = p.sequence
                    AND (s.identity = ?2 OR s.anchor = ?3)))
            GROUP BY p.replica
            """
        ) { statement in
            statement.bind(1, repository)
            statement.bind(2, identity)
            statement.bind(3, anchor)
            var found: [(replica: Int64, sequence: Int64)] = []
            while try statement.step() { found.append((statement.int(0), statement.int(1))) }
            return found
        }
        return try found.compactMap { try points(replica: $0.replica, sequence: $0.sequence).first }
            .sorted { $0.point.created > $1.point.created }
    }

    /// Whether a point names a resource, as one that the replica holds or held.
    public func names(_ key: ResourceKey, in point: CatalogPoint) throws -> Bool {
        guard let number = try number(of: point.replica) else { return false }
        return try database.with(
            """
            SELECT 1 FROM holdings WHERE replica = ?1 AND kind = ?2 AND id = ?3
                AND first_point <= ?5 AND (last_point IS NULL OR last_point >= ?5)
            UNION ALL
            SELECT 1 FROM former_holdings WHERE replica = ?1 AND kind = ?2 AND id = ?3 AND first_point <= ?5 AND last_point >= ?5
            """
        ) { statement in
            statement.bind(1, number)
            statement.bind(2, key)
            statement.bind(5, point.sequence)
            return try statement.step()
        }
    }

    /// Whether somebody said that the source of a point no longer has what it names.
    public func isRenounced(_ point: CatalogPoint) throws -> Bool {
        guard let number = try number(of: point.replica) else { return false }
        return try database.with("SELECT 1 FROM renounced_points WHERE replica = ? AND sequence = ?") { statement in
            statement.bind(1, number)
            statement.bind(2, point.sequence)
            return try statement.step()
        }
    }

    /// The points of a replica that only a ledger tells of although this machine has seen the bytes of all their members itself, oldest first. One
    /// look at each resource, however many points there are.
    public func seenToldPoints(of replica: ReplicaID) throws -> [CatalogPoint] {
        let told = try points(of: replica).filter { !$0.authenticated }
        guard !told.isEmpty, let number = try number(of: replica) else { return [] }
        // Resources that nobody here has seen belong to points from one to another; there are few such pairs.
        let unseen = try database.with(
            """
            SELECT DISTINCT m.first_point, m.last_point FROM (
                SELECT kind, id, first_point, last_point FROM holdings WHERE replica = ?1
                UNION ALL SELECT kind, id, first_point, last_point FROM former_holdings WHERE replica = ?1
            ) m JOIN resources r ON r.repository = ?2 AND r.kind = m.kind AND r.id = m.id
            WHERE r.digest IS NULL OR r.authenticated = 0
            """
        ) { statement in
            statement.bind(1, number)
            statement.bind(2, try repository(ofReplica: number))
            var unseen: [(first: Int64, last: Int64)] = []
            while try statement.step() {
                unseen.append((statement.int(0), statement.isNull(1) ? .max : statement.int(1)))
            }
            return unseen
        }
        return told.filter { point in !unseen.contains { $0.first <= point.sequence && point.sequence <= $0.last } }
    }

    /// The number that a replica's next point will have: what ``CatalogWriting/hold(_:in:status:from:)`` wants to know. 1 at
    /// first.
    public func nextPointSequence(of replica: ReplicaID) throws -> Int64 {
        guard let number = try number(of: replica) else { return 1 }
        return (try lastSequence(of: number) ?? 0) + 1
    }

    /// The members of a point that the replica holds or held, ascending by key.
    public func members(of point: CatalogPoint) throws -> MemberCursor {
        guard let number = try number(of: point.replica) else { return MemberCursor(rows: nil, resources: nil) }
        // Each half comes in key order, so SQLite merges them without sorting.
        let rows = try database.lend(
            """
            SELECT kind, id FROM holdings
            WHERE replica = ?1 AND first_point <= ?2 AND (last_point IS NULL OR last_point >= ?2)
            UNION ALL
            SELECT kind, id FROM former_holdings WHERE replica = ?1 AND first_point <= ?2 AND last_point >= ?2
            ORDER BY kind, id
            """)
        rows.statement.bind(1, number)
        rows.statement.bind(2, point.sequence)
        return MemberCursor(rows: rows, resources: try ResourceWalk(database, repository: repository(ofReplica: number)))
    }

    /// A replica's point with just this id.
    public func point(id: String, of replica: ReplicaID) throws -> RecoveryPoint? {
        guard let number = try number(of: replica) else { return nil }
        return try points(replica: number, id: id).first?.point
    }

    func sequence(ofPoint id: String, of replica: ReplicaID) throws -> Int64? {
        guard let number = try number(of: replica) else { return nil }
        return try points(replica: number, id: id).first?.sequence
    }

    func lastSequence(of replica: Int64) throws -> Int64? {
        try database.with("SELECT max(sequence) FROM points WHERE replica = ?") { statement in
            statement.bind(1, replica)
            guard try statement.step(), !statement.isNull(0) else { return nil }
            return statement.int(0)
        }
    }

    private func points(
        replica: Int64? = nil, sequence: Int64? = nil, id: String? = nil, prefix: String? = nil
    ) throws -> [CatalogPoint] {
        // Points are few (one a run), so one statement that may look at all of them serves every question.
        let found = try database.with(
            """
            SELECT p.sequence, p.id, p.created, p.name, p.source, p.source_identity, p.root, p.names, p.packfiles, p.states,
                p.bytes, p.complete, p.replica, r.id, r.location, t.id, d.sequence IS NULL
            FROM points p JOIN replicas r ON r.number = p.replica JOIN repositories t ON t.number = r.repository
                LEFT JOIN told_points d ON d.replica = p.replica AND d.sequence = p.sequence
            WHERE (?1 IS NULL OR p.replica = ?1) AND (?2 IS NULL OR p.sequence = ?2) AND (?3 IS NULL OR p.id = ?3)
                AND (?4 IS NULL OR substr(p.id, 1, length(?4)) = ?4)
            ORDER BY p.replica, p.sequence
            """
        ) { statement in
            statement.bind(1, replica)
            statement.bind(2, sequence)
            statement.bind(3, id)
            statement.bind(4, prefix)
            var found: [(point: CatalogPoint, complete: Bool, replica: Int64)] = []
            while try statement.step() {
                found.append((try CatalogPoint(statement), statement.bool(11), statement.int(12)))
            }
            return found
        }
        return try found.map { row in
            var point = row.point
            if !row.complete { point.point.missing = try missing(replica: row.replica, sequence: point.sequence) }
            return point
        }
    }

    private func missing(replica: Int64, sequence: Int64) throws -> [ResourceKey] {
        try database.with("SELECT kind, id FROM missing WHERE replica = ? AND sequence = ? ORDER BY kind, id") { statement in
            statement.bind(1, replica)
            statement.bind(2, sequence)
            var keys: [ResourceKey] = []
            while try statement.step() { keys.append(try statement.key(0)) }
            return keys
        }
    }
}

extension CatalogWriting {
    /// Adds a recovery point behind the replica's last one. Nothing ever changes or removes it.
    ///
    /// Its members are what the replica holds and has not left the source by then; see ``hold(_:in:status:from:)``.
    /// - Parameters:
    ///   - anchor: what stays with the source when it is moved, if there is such a thing (`Footprint.anchor`).
    ///   - isTold: only a ledger tells of it, or of the bytes of some members.
    /// - Returns: its number.
    /// - Throws: `.damage` when the replica already has a point with that id.
    @discardableResult
    public func insertPoint(
        _ point: RecoveryPoint, of replica: ReplicaID, anchor: String? = nil, isTold: Bool = false
    ) throws -> Int64 {
        let number = try knownNumber(of: replica)
        let sequence = (try lastSequence(of: number) ?? 0) + 1
        let inserted = try database.with(
            "INSERT INTO points VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
        ) { statement in
            statement.bind(1, number)
            statement.bind(2, sequence)
            statement.bind(3, point.id)
            statement.bind(4, point.created.nanoseconds)
            statement.bind(5, point.name)
            statement.bind(6, point.source)
            statement.bind(7, point.sourceIdentity)
            statement.bind(8, point.root)
            statement.bind(9, point.namesDigest)
            statement.bind(10, point.packfiles)
            statement.bind(11, point.states)
            statement.bind(12, point.bytes)
            statement.bind(13, point.isComplete)
            try statement.run()
            return database.changes == 1
        }
        guard inserted else {
            throw Failure(
                .damage, "cannot record the recovery point \(point.id)", place: database.place,
                reason: "the replica \(replica) already has one with that id")
        }
        for key in point.missing { try insertMissing(key, number, sequence) }
        if let anchor { try insertAnchor(anchor, number, sequence) }
        if isTold { try insertTold(number, sequence) }
        return sequence
    }

    private func insertAnchor(_ anchor: String, _ replica: Int64, _ sequence: Int64) throws {
        try database.with("INSERT INTO point_anchors VALUES (?, ?, ?)") { statement in
            statement.bind(1, replica)
            statement.bind(2, sequence)
            statement.bind(3, anchor)
            try statement.run()
        }
    }

    private func insertTold(_ replica: Int64, _ sequence: Int64) throws {
        try database.with("INSERT INTO told_points VALUES (?, ?)") { statement in
            statement.bind(1, replica)
            statement.bind(2, sequence)
            try statement.run()
        }
    }

    /// Records that somebody said (`--allow-loss`) that the points' source no longer has what they name: nothing is measured by them any more. The
    /// points themselves stay as they are.
    public func renounce(_ points: [CatalogPoint]) throws {
        for point in points {
            try database.with("INSERT INTO renounced_points VALUES (?, ?) ON CONFLICT DO NOTHING") { statement in
                statement.bind(1, try knownNumber(of: point.replica))
                statement.bind(2, point.sequence)
                try statement.run()
            }
        }
    }

    /// Records that another source than the one that a point was taken from has just what it names.
    ///
    /// - Parameter anchor: what stays with that source when it is moved.
    public func met(_ point: CatalogPoint, at identity: String, anchor: String?) throws {
        try database.with("INSERT INTO point_sources VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING") { statement in
            statement.bind(1, try knownNumber(of: point.replica))
            statement.bind(2, point.sequence)
            statement.bind(3, identity)
            // An anchor is never empty.
            statement.bind(4, anchor ?? "")
            try statement.run()
        }
    }

    /// Takes back ``renounce(_:)``: the source has again what the point names.
    public func uphold(_ point: CatalogPoint) throws {
        try database.with("DELETE FROM renounced_points WHERE replica = ? AND sequence = ?") { statement in
            statement.bind(1, try knownNumber(of: point.replica))
            statement.bind(2, point.sequence)
            try statement.run()
        }
    }

    /// Records that this machine has seen itself what the points name.
    public func authenticate(_ points: [CatalogPoint]) throws {
        for point in points {
            try database.with("DELETE FROM told_points WHERE replica = ? AND sequence = ?") { statement in
                statement.bind(1, try knownNumber(of: point.replica))
                statement.bind(2, point.sequence)
                try statement.run()
            }
        }
    }

    private func insertMissing(_ key: ResourceKey, _ replica: Int64, _ sequence: Int64) throws {
        try database.with("INSERT INTO missing VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING") { statement in
            statement.bind(1, replica)
            statement.bind(2, sequence)
            statement.bind(3, key)
            try statement.run()
        }
    }
}

extension CatalogPoint {
    /// From the columns of the query above, without the missing.
    fileprivate init(_ row: Statement) throws {
        guard let replica = ReplicaID(bytes: row.blob(13)), let repository = RepositoryID(bytes: row.blob(15)) else {
            throw row.damage("the identity of a replica has not 16 bytes")
        }
        let point = RecoveryPoint(
            id: row.text(1) ?? "", created: Timestamp(nanoseconds: row.int(2)), name: row.text(3), source: row.text(4) ?? "",
            sourceIdentity: row.text(5) ?? "", root: try row.bits(6), namesDigest: try row.bits(7), packfiles: row.int(8),
            states: row.int(9), bytes: row.int(10))
        self.init(
            point: point, sequence: row.int(0), replica: replica, repository: repository, location: row.text(14),
            authenticated: row.bool(16))
    }
}
