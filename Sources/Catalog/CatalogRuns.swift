public import Kloset

/// One run of a command, as the catalog remembers it.
public struct RunRecord: Sendable, Equatable {
    public var started: Timestamp
    public var finished: Timestamp
    /// The verb: `sync`, `verify`.
    public var command: String
    /// Where it read from, without secrets.
    public var source: String?
    /// Where it wrote to, without secrets.
    public var targets: [String]
    public var exitCode: Int64
    /// What it copied, over all targets.
    public var packfiles: Int64
    public var states: Int64
    public var bytes: Int64

    public init(
        started: Timestamp, finished: Timestamp, command: String, source: String?, targets: [String], exitCode: Int64,
        packfiles: Int64 = 0, states: Int64 = 0, bytes: Int64 = 0
    ) {
        self.started = started
        self.finished = finished
        self.command = command
        self.source = source
        self.targets = targets
        self.exitCode = exitCode
        self.packfiles = packfiles
        self.states = states
        self.bytes = bytes
    }
}

extension CatalogReading {
    /// The latest runs, newest first.
    public func runs(limit: Int = 100) throws -> [RunRecord] {
        try database.with(
            """
            SELECT started, finished, command, source, targets, exit_code, packfiles, states, bytes FROM runs
            ORDER BY number DESC LIMIT ?
            """
        ) { row in
            row.bind(1, limit)
            var found: [RunRecord] = []
            while try row.step() {
                guard let targets = PercentText.decodeList(row.text(4) ?? "") else {
                    throw row.damage("a run has illegible targets")
                }
                found.append(
                    RunRecord(
                        started: Timestamp(nanoseconds: row.int(0)), finished: Timestamp(nanoseconds: row.int(1)),
                        command: row.text(2) ?? "", source: row.text(3),
                        targets: targets, exitCode: row.int(5),
                        packfiles: row.int(6), states: row.int(7), bytes: row.int(8)))
            }
            return found
        }
    }

    /// The resources whose damage at the source the operator accepted for a replica, ascending: what was said on this machine, and what the
    /// replica's points lack, whoever made them.
    public func acceptedKeys(of replica: ReplicaID) throws -> [ResourceKey] {
        guard let number = try number(of: replica) else { return [] }
        return try database.with(
            """
            SELECT kind, id FROM acceptances WHERE replica = ?1 UNION SELECT kind, id FROM missing WHERE replica = ?1
            ORDER BY kind, id
            """
        ) { statement in
            statement.bind(1, number)
            var keys: [ResourceKey] = []
            while try statement.step() { keys.append(try statement.key(0)) }
            return keys
        }
    }
}

extension CatalogWriting {
    /// Adds a run. Nothing ever changes or removes it.
    public func recordRun(_ run: RunRecord) throws {
        try database.with(
            """
            INSERT INTO runs (started, finished, command, source, targets, exit_code, packfiles, states, bytes)
            VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
            """
        ) { statement in
            statement.bind(1, run.started.nanoseconds)
            statement.bind(2, run.finished.nanoseconds)
            statement.bind(3, run.command)
            statement.bind(4, run.source)
            statement.bind(5, run.targets.map(PercentText.encode).joined(separator: " "))
            statement.bind(6, run.exitCode)
            statement.bind(7, run.packfiles)
            statement.bind(8, run.states)
            statement.bind(9, run.bytes)
            try statement.run()
        }
    }

    /// Remembers that the operator accepted the damage of these resources for a replica (`--allow-incomplete`), and of no others.
    public func accept(_ keys: some Sequence<ResourceKey>, for replica: ReplicaID) throws {
        let number = try knownNumber(of: replica)
        try database.with("INSERT INTO acceptances VALUES (?, ?, ?) ON CONFLICT DO NOTHING") { statement in
            statement.bind(1, number)
            for key in keys {
                statement.bind(2, key)
                try statement.run()
                statement.reset()
            }
        }
    }
}
