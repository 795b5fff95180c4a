public import Kloset

extension CatalogReading {
    /// What a replica holds, ascending by key; nothing when it is not known.
    ///
    /// - Parameter after: begin behind this key, for callers that go page by page.
    public func holdings(of replica: ReplicaID, after: ResourceKey? = nil) throws -> HoldingCursor {
        guard let number = try number(of: replica) else { return HoldingCursor(rows: nil, resources: nil) }
        let rows = try database.lend(
            """
            SELECT kind, id, status, first_point, last_point FROM holdings
            WHERE replica = ?1 AND (kind, id) > (?2, ?3) ORDER BY kind, id
            """)
        rows.statement.bind(1, number)
        rows.statement.bind(2, Int64(after?.kind.rawValue ?? 0))
        rows.statement.bind(3, after?.id ?? .zero)
        return HoldingCursor(rows: rows, resources: try ResourceWalk(database, repository: repository(ofReplica: number)))
    }

    /// One resource in a replica; nil when it does not hold it.
    public func holding(of key: ResourceKey, in replica: ReplicaID) throws -> Holding? {
        guard let number = try number(of: replica) else { return nil }
        return try database.with(
            """
            SELECT h.status, h.first_point, h.last_point, r.size, r.digest, r.authenticated
            FROM holdings h JOIN replicas p ON p.number = h.replica
            JOIN resources r ON r.repository = p.repository AND r.kind = h.kind AND r.id = h.id
            WHERE h.replica = ? AND h.kind = ? AND h.id = ?
            """
        ) { row in
            row.bind(1, number)
            row.bind(2, key)
            guard try row.step() else { return nil }
            guard let status = HoldingStatus(rawValue: row.int(0)) else {
                throw row.damage("a holding has the status \(row.int(0))")
            }
            return Holding(
                key: key, status: status, size: row.int(3), digest: try row.bitsIfAny(4), authenticated: row.bool(5),
                firstPoint: row.int(1), lastPoint: row.isNull(2) ? nil : row.int(2))
        }
    }

    /// The resources whose name may not be durable, ascending: what a run that died has left to be read back.
    public func pendingKeys(of replica: ReplicaID) throws -> [ResourceKey] {
        try keys(of: replica, status: .pending)
    }

    /// The resources that were adopted and not read yet, ascending, at most `limit`.
    public func unprovenKeys(of replica: ReplicaID, limit: Int = .max) throws -> [ResourceKey] {
        try keys(of: replica, status: .unproven, limit: limit)
    }

    private func keys(of replica: ReplicaID, status: HoldingStatus, limit: Int = .max) throws -> [ResourceKey] {
        guard let number = try number(of: replica) else { return [] }
        // No index on the status: it would double the cost of each confirmation, to save a scan (15 ms for 100,000) after a
        // crash.
        return try database.with(
            "SELECT kind, id FROM holdings WHERE replica = ? AND status = ? ORDER BY kind, id LIMIT ?"
        ) { statement in
            statement.bind(1, number)
            statement.bind(2, status.rawValue)
            statement.bind(3, limit)
            var keys: [ResourceKey] = []
            while try statement.step() { keys.append(try statement.key(0)) }
            return keys
        }
    }

    /// How many resources a replica holds. Counts rows: about 0.1 s for a million.
    public func counts(of replica: ReplicaID) throws -> HoldingCounts {
        guard let number = try number(of: replica) else { return HoldingCounts(resources: 0, pending: 0, unproven: 0) }
        return try database.with(
            """
            SELECT count(*), count(*) FILTER (WHERE status = 1), count(*) FILTER (WHERE status = 3) FROM holdings
            WHERE replica = ?
            """
        ) { statement in
            statement.bind(1, number)
            _ = try statement.step()
            return HoldingCounts(resources: statement.int(0), pending: statement.int(1), unproven: statement.int(2))
        }
    }

    /// Whether a replica holds something whose digest only a ledger tells. Looks at every row: a second for a million.
    public func holdsUnauthenticated(_ replica: ReplicaID) throws -> Bool {
        guard let number = try number(of: replica) else { return false }
        return try database.with(
            """
            SELECT EXISTS (SELECT 1 FROM holdings h JOIN resources r ON r.repository = ?2 AND r.kind = h.kind AND r.id = h.id
                WHERE h.replica = ?1 AND r.digest IS NOT NULL AND r.authenticated = 0)
            """
        ) { statement in
            statement.bind(1, number)
            statement.bind(2, try repository(ofReplica: number))
            _ = try statement.step()
            return statement.bool(0)
        }
    }

    /// The replicas of a repository that hold a resource, by number.
    func holders(of key: ResourceKey, _ repository: Int64) throws -> [Int64] {
        try database.with(
            """
            SELECT h.replica FROM holdings h JOIN replicas p ON p.number = h.replica
            WHERE p.repository = ?1 AND h.kind = ?2 AND h.id = ?3
            """
        ) { statement in
            statement.bind(1, repository)
            statement.bind(2, key)
            var replicas: [Int64] = []
            while try statement.step() { replicas.append(statement.int(0)) }
            return replicas
        }
    }

    func isHeld(_ key: ResourceKey, in repository: RepositoryID, byOthersThan replica: ReplicaID) throws -> Bool {
        guard let repository = try number(of: repository) else { return false }
        let number = try number(of: replica)
        return try holders(of: key, repository).contains { $0 != number }
    }

    func repository(ofReplica number: Int64) throws -> Int64 {
        try database.with("SELECT repository FROM replicas WHERE number = ?") { statement in
            statement.bind(1, number)
            _ = try statement.step()
            return statement.int(0)
        }
    }
}

extension CatalogWriting {
    /// Records that a replica holds a resource, as a member of all points from number `point` on.
    ///
    /// The resource itself must have been recorded before. One that is held already and is still a member keeps the point it
    /// began with and gets the new status; one that had left becomes a member again, and its earlier membership is remembered.
    public func hold(_ key: ResourceKey, in replica: ReplicaID, status: HoldingStatus, from point: Int64) throws {
        let number = try knownNumber(of: replica)
        assert((try? isRecorded(key, number)) ?? true, "\(key) is held but was never recorded")
        try clearSummary(of: number)
        let inserted = try database.with("INSERT INTO holdings VALUES (?, ?, ?, ?, ?, NULL) ON CONFLICT DO NOTHING") {
            statement in
            statement.bind(1, number)
            statement.bind(2, key)
            statement.bind(4, status.rawValue)
            statement.bind(5, point)
            try statement.run()
            return database.changes == 1
        }
        if !inserted { try holdAgain(key, number, status: status, from: point) }
    }

    private func holdAgain(_ key: ResourceKey, _ replica: Int64, status: HoldingStatus, from point: Int64) throws {
        // A membership that ended and begins anew goes to the history, unless it was empty or the new one continues it without a
        // gap.
        try database.with(
            """
            INSERT INTO former_holdings SELECT replica, kind, id, first_point, last_point FROM holdings
            WHERE replica = ?1 AND kind = ?2 AND id = ?3 AND last_point >= first_point AND last_point < ?4 - 1
            """
        ) { statement in
            statement.bind(1, replica)
            statement.bind(2, key)
            statement.bind(4, point)
            try statement.run()
        }
        try database.with(
            """
            UPDATE holdings SET status = ?5, last_point = NULL, first_point = CASE
                WHEN last_point < first_point OR last_point < ?4 - 1 THEN ?4 ELSE first_point END
            WHERE replica = ?1 AND kind = ?2 AND id = ?3
            """
        ) { statement in
            statement.bind(1, replica)
            statement.bind(2, key)
            statement.bind(4, point)
            statement.bind(5, status.rawValue)
            try statement.run()
        }
    }

    /// Records that the names of these resources are durable, or that their bytes were read and found right.
    public func confirm(_ keys: some Sequence<ResourceKey>, in replica: ReplicaID) throws {
        try mark(keys, as: .confirmed, in: replica)
    }

    /// Gives resources that a replica holds another status. Those that it does not hold are left alone.
    public func mark(_ keys: some Sequence<ResourceKey>, as status: HoldingStatus, in replica: ReplicaID) throws {
        let number = try knownNumber(of: replica)
        try clearSummary(of: number)
        try database.with("UPDATE holdings SET status = ?4 WHERE replica = ?1 AND kind = ?2 AND id = ?3") { statement in
            statement.bind(1, number)
            statement.bind(4, status.rawValue)
            for key in keys {
                statement.bind(2, key)
                try statement.run()
                statement.reset()
            }
        }
    }

    /// Has resources that were found damaged read again: those whose digest we took ourselves are compared with it, the others with the source.
    public func doubt(_ keys: [ResourceKey], in replica: ReplicaID, of repository: RepositoryID) throws {
        guard let number = try number(of: repository) else { return }
        for key in keys {
            guard let known = try knownResource(key, number) else { continue }
            try mark([key], as: known.digest != nil && known.authenticated ? .pending : .unproven, in: replica)
        }
    }

    /// The replica is given by its number.
    func markUnproven(_ key: ResourceKey, in replica: Int64) throws {
        try clearSummary(of: replica)
        try database.with("UPDATE holdings SET status = 3 WHERE replica = ? AND kind = ? AND id = ?") { statement in
            statement.bind(1, replica)
            statement.bind(2, key)
            try statement.run()
        }
    }

    /// Records that a resource has left the source: point number `point` is the last one it is a member of.
    ///
    /// The replica still holds it. With a number below the first point it never was a member. A membership that has ended already
    /// stays as it is.
    public func endMembership(of key: ResourceKey, in replica: ReplicaID, at point: Int64) throws {
        let number = try knownNumber(of: replica)
        try clearSummary(of: number)
        try database.with(
            "UPDATE holdings SET last_point = ?4 WHERE replica = ?1 AND kind = ?2 AND id = ?3 AND last_point IS NULL"
        ) { statement in
            statement.bind(1, number)
            statement.bind(2, key)
            statement.bind(4, point)
            try statement.run()
        }
    }

    private func isRecorded(_ key: ResourceKey, _ replica: Int64) throws -> Bool {
        try knownResource(key, repository(ofReplica: replica)) != nil
    }
}
