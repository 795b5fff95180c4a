internal import Kloset

/// Segments of ledgers that we may write but not read: kept here from before they are written until the next one is known to be there.
extension CatalogReading {
    /// The bytes of a segment, or nil when they were not kept.
    public func keptSegment(_ sequence: Int64, of replica: ReplicaID) throws -> [UInt8]? {
        guard let number = try number(of: replica) else { return nil }
        return try database.with("SELECT bytes FROM kept_segments WHERE replica = ? AND sequence = ?") { statement in
            statement.bind(1, number)
            statement.bind(2, sequence)
            return try statement.step() ? Array(statement.blob(0)) : nil
        }
    }
}

extension CatalogWriting {
    /// Keeps a segment that is about to be written, and lets go of those before the last one that is known to be there.
    public func keepSegment(_ sequence: Int64, _ bytes: [UInt8], of replica: ReplicaID) throws {
        let number = try knownNumber(of: replica)
        try database.with(
            """
            DELETE FROM kept_segments
            WHERE replica = ?1 AND sequence < (SELECT ledger_sequence FROM replicas WHERE number = ?1)
            """
        ) { statement in
            statement.bind(1, number)
            try statement.run()
        }
        try database.with("INSERT OR REPLACE INTO kept_segments VALUES (?, ?, ?)") { statement in
            statement.bind(1, number)
            statement.bind(2, sequence)
            statement.bind(3, bytes)
            try statement.run()
        }
    }

    /// What was kept has not been written: something else has its name.
    public func dropSegment(_ sequence: Int64, of replica: ReplicaID) throws {
        try database.with("DELETE FROM kept_segments WHERE replica = ? AND sequence = ?") { statement in
            statement.bind(1, try knownNumber(of: replica))
            statement.bind(2, sequence)
            try statement.run()
        }
    }
}
