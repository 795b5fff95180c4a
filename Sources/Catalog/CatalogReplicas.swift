internal import Kloset
internal import Storage

extension CatalogReading {
    /// The replica with this id, if it is known.
    public func replica(_ id: ReplicaID) throws -> ReplicaRecord? {
        try records(id: id).first
    }

    /// The replicas that were last seen at a location: none, or one unless two processes raced.
    public func replicas(at location: String) throws -> [ReplicaRecord] {
        try records(location: location)
    }

    /// All known replicas, in the order they became known.
    public func replicas() throws -> [ReplicaRecord] {
        try records()
    }

    private func records(id: ReplicaID? = nil, location: String? = nil) throws -> [ReplicaRecord] {
        try database.with(
            """
            SELECT r.id, p.id, r.location, r.ledger_sequence, r.ledger_head, r.authenticated, s.source_names, s.target_names,
                s.packfiles, s.states, s.bytes, s.unproven, s.target_only_packfiles, s.target_only_bytes, s.last_point
            FROM replicas r JOIN repositories p ON p.number = r.repository LEFT JOIN summaries s ON s.replica = r.number
            WHERE (?1 IS NULL OR r.id = ?1) AND (?2 IS NULL OR r.location = ?2)
            ORDER BY r.number
            """
        ) { statement in
            statement.bind(1, id?.bytes)
            statement.bind(2, location)
            var found: [ReplicaRecord] = []
            while try statement.step() { found.append(try ReplicaRecord(statement)) }
            return found
        }
    }

    /// The row number of a replica, or nil if it is not known.
    func number(of replica: ReplicaID) throws -> Int64? {
        if let number = database.replicaNumbers[replica] { return number }
        let number = try database.with("SELECT number FROM replicas WHERE id = ?") { statement in
            statement.bind(1, replica.bytes)
            return try statement.step() ? statement.int(0) : nil
        }
        database.replicaNumbers[replica] = number
        return number
    }

    /// The row number of a repository, or nil if it is not known.
    func number(of repository: RepositoryID) throws -> Int64? {
        if let number = database.repositoryNumbers[repository] { return number }
        let number = try database.with("SELECT number FROM repositories WHERE id = ?") { statement in
            statement.bind(1, repository.bytes)
            return try statement.step() ? statement.int(0) : nil
        }
        database.repositoryNumbers[repository] = number
        return number
    }
}

extension CatalogWriting {
    /// Makes a replica known. Its id must be durable on the replica first, else a crash leaves a catalog that waits for it for
    /// ever.
    ///
    /// A replica that is known already is left as it is, except that its location is set.
    /// - Throws: `.damage` when it is known for another repository.
    public func register(_ replica: ReplicaRecord) throws {
        if let known = try self.replica(replica.id) {
            guard known.repository == replica.repository else {
                throw Failure(
                    .damage, "cannot register replica \(replica.id)", place: replica.location,
                    reason: "it is known as a replica of repository \(known.repository), not \(replica.repository)",
                    advice: "Somebody replaced the store at that place.")
            }
            return try setLocation(replica.location, of: replica.id)
        }
        try database.with(
            """
            INSERT INTO replicas (id, repository, location, ledger_sequence, ledger_head, authenticated) VALUES (?, ?, ?, ?, ?, ?)
            """
        ) { statement in
            statement.bind(1, replica.id.bytes)
            statement.bind(2, try makeNumber(of: replica.repository))
            statement.bind(3, replica.location)
            statement.bind(4, replica.ledgerHead.sequence)
            statement.bind(5, replica.ledgerHead.digest)
            statement.bind(6, replica.authenticated)
            try statement.run()
        }
        database.replicaNumbers[replica.id] = database.lastRow
        if let summary = replica.summary { try setSummary(summary, of: replica.id) }
    }

    /// Says where a replica was last seen.
    public func setLocation(_ location: String?, of replica: ReplicaID) throws {
        try database.with("UPDATE replicas SET location = ?2 WHERE number = ?1 AND location IS NOT ?2") { statement in
            statement.bind(1, try knownNumber(of: replica))
            statement.bind(2, location)
            try statement.run()
        }
    }

    /// Forgets that any replica is expected at a location. The replicas stay known.
    public func forgetLocation(_ location: String) throws {
        try database.with("UPDATE replicas SET location = NULL WHERE location = ?") { statement in
            statement.bind(1, location)
            try statement.run()
        }
    }

    /// Records that the replica's ledger now ends with this segment.
    public func setLedgerHead(_ head: LedgerHead, of replica: ReplicaID) throws {
        try database.with("UPDATE replicas SET ledger_sequence = ?2, ledger_head = ?3 WHERE number = ?1") { statement in
            statement.bind(1, try knownNumber(of: replica))
            statement.bind(2, head.sequence)
            statement.bind(3, head.digest)
            try statement.run()
        }
    }

    /// Records what a complete run left, to be believed until something the replica holds changes.
    public func setSummary(_ summary: ReplicaSummary, of replica: ReplicaID) throws {
        let number = try knownNumber(of: replica)
        clearedSummaries.remove(number)
        try database.with("INSERT OR REPLACE INTO summaries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)") { statement in
            statement.bind(1, number)
            statement.bind(2, summary.sourceNames)
            statement.bind(3, summary.targetNames)
            statement.bind(4, summary.packfiles)
            statement.bind(5, summary.states)
            statement.bind(6, summary.bytes)
            statement.bind(7, summary.unproven)
            statement.bind(8, summary.targetOnlyPackfiles)
            statement.bind(9, summary.targetOnlyBytes)
            statement.bind(10, summary.lastPoint)
            try statement.run()
        }
    }

    /// Records whether all digests of what a replica holds are this machine's own.
    public func setAuthenticated(_ isAuthenticated: Bool, _ replica: ReplicaID) throws {
        try database.with("UPDATE replicas SET authenticated = ?2 WHERE number = ?1") { statement in
            statement.bind(1, try knownNumber(of: replica))
            statement.bind(2, isAuthenticated)
            try statement.run()
        }
    }

    /// Called before anything that the replica holds changes.
    func clearSummary(of number: Int64) throws {
        guard clearedSummaries.insert(number).inserted else { return }
        try database.with("DELETE FROM summaries WHERE replica = ?") { statement in
            statement.bind(1, number)
            try statement.run()
        }
    }

    /// The row number of a replica that the caller has registered.
    func knownNumber(of replica: ReplicaID) throws -> Int64 {
        guard let number = try number(of: replica) else { preconditionFailure("replica \(replica) was never registered") }
        return number
    }

    /// The row number of a repository, which becomes known.
    func makeNumber(of repository: RepositoryID) throws -> Int64 {
        if let number = try number(of: repository) { return number }
        try database.with("INSERT INTO repositories (id) VALUES (?)") { statement in
            statement.bind(1, repository.bytes)
            try statement.run()
        }
        database.repositoryNumbers[repository] = database.lastRow
        return database.lastRow
    }
}

extension ReplicaRecord {
    /// From the columns of the query above.
    fileprivate init(_ row: Statement) throws {
        guard let id = ReplicaID(bytes: row.blob(0)), let repository = RepositoryID(bytes: row.blob(1)) else {
            throw row.damage("the identity of a replica has not 16 bytes")
        }
        self.init(
            id: id, repository: repository, location: row.text(2),
            ledgerHead: LedgerHead(sequence: row.int(3), digest: try row.bits(4)), authenticated: row.bool(5),
            summary: row.isNull(6)
                ? nil
                : ReplicaSummary(
                    sourceNames: try row.bits(6), targetNames: try row.bits(7), packfiles: row.int(8), states: row.int(9),
                    bytes: row.int(10), unproven: row.int(11), targetOnlyPackfiles: row.int(12),
                    targetOnlyBytes: row.int(13), lastPoint: row.text(14)))
    }
}
