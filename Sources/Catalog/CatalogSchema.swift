internal import Storage

extension CatalogDatabase {
    /// Marks the file as ours (`SLft`), so that another program's database is never taken for a catalog.
    static let applicationID: Int64 = 0x534c_6674

    /// The steps from an empty file to the current schema; a file at version n has had the first n. A step that was released is
    /// never edited.
    static let migrations: [String] = [schema1, schema2, schema3, schema4]

    /// Brings the schema up to date, in one transaction.
    func migrate() throws {
        if try schemaVersion() == Self.migrations.count { return }
        try write {
            // Asked again inside the transaction: another process may have done it meanwhile.
            let version = try schemaVersion()
            guard version < Self.migrations.count else { return }
            for step in Self.migrations[version...] { try execute(step) }
            try execute("PRAGMA application_id = \(Self.applicationID)")
            try execute("PRAGMA user_version = \(Self.migrations.count)")
        }
    }

    private func schemaVersion() throws -> Int {
        let version = try integer("PRAGMA user_version")
        let application = try integer("PRAGMA application_id")
        guard application == Self.applicationID else {
            guard application == 0, version == 0, try integer("SELECT count(*) FROM sqlite_schema") == 0 else {
                throw Failure(
                    .configuration, "cannot use the catalog", place: place, reason: "it is a database of another program",
                    advice: "Point SEALIFT_STATE at another folder.")
            }
            return 0
        }
        guard version <= Self.migrations.count, let known = Int(exactly: version), known >= 0 else {
            throw Failure(
                .configuration, "cannot use the catalog", place: place,
                reason: "it was written by a newer sealift (schema \(version), this one knows \(Self.migrations.count))",
                advice: "Use the newer sealift, or another SEALIFT_STATE.")
        }
        return known
    }
}

// Replicas and repositories have numbers because their 16 bytes would otherwise stand in each of a million rows. Keys are (…,
// kind, id): the order of every inventory, so cursors need no sort. Chunk lists live apart so that a walk over all resources does
// not drag them along.
private let schema1 = """
    CREATE TABLE repositories (
        number INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE
    ) STRICT;

    CREATE TABLE replicas (
        number INTEGER PRIMARY KEY,
        id BLOB NOT NULL UNIQUE,
        repository INTEGER NOT NULL,
        location TEXT,
        ledger_sequence INTEGER NOT NULL,
        ledger_head BLOB NOT NULL,
        authenticated INTEGER NOT NULL
    ) STRICT;

    CREATE TABLE summaries (
        replica INTEGER PRIMARY KEY,
        source_names BLOB NOT NULL,
        target_names BLOB NOT NULL,
        packfiles INTEGER NOT NULL,
        states INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        unproven INTEGER NOT NULL,
        target_only_packfiles INTEGER NOT NULL,
        target_only_bytes INTEGER NOT NULL,
        last_point TEXT
    ) STRICT;

    CREATE TABLE resources (
        repository INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        id BLOB NOT NULL,
        size INTEGER NOT NULL,
        digest BLOB,
        authenticated INTEGER NOT NULL,
        PRIMARY KEY (repository, kind, id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE chunks (
        repository INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        id BLOB NOT NULL,
        hashes BLOB NOT NULL,
        PRIMARY KEY (repository, kind, id)
    ) STRICT;

    CREATE TABLE holdings (
        replica INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        id BLOB NOT NULL,
        status INTEGER NOT NULL,
        first_point INTEGER NOT NULL,
        last_point INTEGER,
        PRIMARY KEY (replica, kind, id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE former_holdings (
        replica INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        id BLOB NOT NULL,
        first_point INTEGER NOT NULL,
        last_point INTEGER NOT NULL,
        PRIMARY KEY (replica, kind, id, first_point)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE points (
        replica INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        id TEXT NOT NULL,
        created INTEGER NOT NULL,
        name TEXT,
        source TEXT NOT NULL,
        source_identity TEXT NOT NULL,
        root BLOB NOT NULL,
        names BLOB NOT NULL,
        packfiles INTEGER NOT NULL,
        states INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        complete INTEGER NOT NULL,
        PRIMARY KEY (replica, sequence)
    ) STRICT, WITHOUT ROWID;
    CREATE UNIQUE INDEX points_by_id ON points (id, replica);

    CREATE TABLE missing (
        replica INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        id BLOB NOT NULL,
        PRIMARY KEY (replica, sequence, kind, id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE accepted (
        repository INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        id BLOB NOT NULL,
        PRIMARY KEY (repository, kind, id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE runs (
        number INTEGER PRIMARY KEY,
        started INTEGER NOT NULL,
        finished INTEGER NOT NULL,
        command TEXT NOT NULL,
        source TEXT,
        targets TEXT NOT NULL,
        exit_code INTEGER NOT NULL,
        packfiles INTEGER NOT NULL,
        states INTEGER NOT NULL,
        bytes INTEGER NOT NULL
    ) STRICT;

    CREATE TRIGGER points_never_change BEFORE UPDATE ON points BEGIN SELECT RAISE(ABORT, 'a recovery point never changes'); END;
    CREATE TRIGGER points_never_go BEFORE DELETE ON points BEGIN SELECT RAISE(ABORT, 'a recovery point never changes'); END;
    CREATE TRIGGER missing_never_change BEFORE UPDATE ON missing BEGIN SELECT RAISE(ABORT, 'a recovery point never changes'); END;
    CREATE TRIGGER missing_never_go BEFORE DELETE ON missing BEGIN SELECT RAISE(ABORT, 'a recovery point never changes'); END;
    CREATE TRIGGER runs_never_change BEFORE UPDATE ON runs BEGIN SELECT RAISE(ABORT, 'a run record never changes'); END;
    CREATE TRIGGER runs_never_go BEFORE DELETE ON runs BEGIN SELECT RAISE(ABORT, 'a run record never changes'); END;
    """

// Points that only a ledger tells of; where a source was met, by what stays with its folder; what was accepted, by whom it was accepted for. A
// table beside the points for each, for those never change. Points of a replica that this machine had not proven itself count as told; what was
// accepted for a repository was accepted for the replicas that there were.
private let schema2 = """
    CREATE TABLE told_points (
        replica INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        PRIMARY KEY (replica, sequence)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO told_points SELECT p.replica, p.sequence FROM points p JOIN replicas r ON r.number = p.replica
        WHERE r.authenticated = 0;

    CREATE TABLE point_anchors (
        replica INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        anchor TEXT NOT NULL,
        PRIMARY KEY (replica, sequence)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE acceptances (
        replica INTEGER NOT NULL,
        kind INTEGER NOT NULL,
        id BLOB NOT NULL,
        PRIMARY KEY (replica, kind, id)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO acceptances SELECT r.number, a.kind, a.id FROM accepted a JOIN replicas r ON r.repository = a.repository;
    DROP TABLE accepted;
    """

// What an account that may not read back must remember by itself, and what servers were found to do.
private let schema3 = """
    CREATE TABLE kept_segments (
        replica INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        bytes BLOB NOT NULL,
        PRIMARY KEY (replica, sequence)
    ) STRICT;

    CREATE TABLE endpoints (
        name TEXT NOT NULL,
        ability TEXT NOT NULL,
        answer TEXT NOT NULL,
        asked INTEGER NOT NULL,
        PRIMARY KEY (name, ability)
    ) STRICT, WITHOUT ROWID;
    """

// Points that a source need no longer match, by somebody's word; other sources that were found to have just what a point names.
private let schema4 = """
    CREATE TABLE point_sources (
        replica INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        identity TEXT NOT NULL,
        anchor TEXT NOT NULL,
        PRIMARY KEY (replica, sequence, identity, anchor)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE renounced_points (
        replica INTEGER NOT NULL,
        sequence INTEGER NOT NULL,
        PRIMARY KEY (replica, sequence)
    ) STRICT, WITHOUT ROWID;
    """
