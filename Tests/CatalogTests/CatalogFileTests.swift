import Glibc
import Kloset
import Storage
import Testing

@testable import Catalog

@Suite struct CatalogFileTests {
    private let folder = TemporaryFolder()

    @Test func folderAndFileAreMadeForTheOwnerOnly() async throws {
        let state = folder.path + "/a/b/state"
        #expect(try await StateCatalog(folder: state).read { try $0.replicas() } == [])
        #expect(mode(state) == 0o700)
        #expect(mode(folder.path + "/a") == 0o700)
        #expect(mode(state + "/catalog.sqlite") == 0o600)
    }

    @Test func logsAreForTheOwnerOnlyToo() async throws {
        let catalog = folder.catalog()
        try await catalog.write { _ in }
        #expect(mode(folder.catalogFile + "-wal") == 0o600)
        #expect(mode(folder.catalogFile + "-shm") == 0o600)
    }

    @Test func openingAgainMigratesNothing() async throws {
        try await folder.catalog().write { _ in }
        let commits = Counter()
        let again = StateCatalog(folder: folder.path + "/state", onCommit: { commits.add() })
        _ = try await again.read { try $0.replicas() }
        #expect(commits.value == 0)
        #expect(try database().integer("PRAGMA user_version") == 4)
    }

    @Test func settingsThatDurabilityAndMemoryDependOn() throws {
        let database = try database()
        #expect(try database.integer("PRAGMA synchronous") == 2)
        #expect(try database.integer("PRAGMA cache_size") == -8192)
        #expect(try database.with("PRAGMA journal_mode") { try $0.step() ? $0.text(0) : nil } == "wal")
    }

    @Test func newerSchemaIsRefused() async throws {
        try database().execute("PRAGMA user_version = 5")
        let failure = await failure { _ = try await folder.catalog().read { try $0.replicas() } }
        #expect(failure?.kind == .configuration)
        #expect(failure?.reason == "it was written by a newer sealift (schema 5, this one knows 4)")
    }

    /// What the first schema knew counts in the second: whose word a point is, and what was accepted.
    @Test func theFirstSchemaIsBroughtUpToDate() async throws {
        var random = Seeded("schema 1")
        let (repository, own, told) = (random.repository(), random.replica(), random.replica())
        let (points, key) = ([random.point(), random.point(missing: 1)], random.key())
        try await folder.catalog().write { db in
            for id in [own, told] {
                try db.register(ReplicaRecord(id: id, repository: repository, location: nil, authenticated: id == own))
                for point in points { try db.insertPoint(point, of: id) }
            }
        }
        let database = try database()
        try database.execute(
            """
            DROP TABLE told_points; DROP TABLE point_anchors; DROP TABLE acceptances;
            DROP TABLE kept_segments; DROP TABLE endpoints; DROP TABLE renounced_points; DROP TABLE point_sources;
            CREATE TABLE accepted (repository INTEGER NOT NULL, kind INTEGER NOT NULL, id BLOB NOT NULL,
                PRIMARY KEY (repository, kind, id)) STRICT, WITHOUT ROWID;
            INSERT INTO accepted SELECT number, \(key.kind.rawValue), x'\(key.id.hex)' FROM repositories;
            PRAGMA user_version = 1
            """)
        let catalog = folder.catalog()
        #expect(try await catalog.read { try $0.points(of: own).map(\.authenticated) } == [true, true])
        #expect(try await catalog.read { try $0.points(of: told).map(\.authenticated) } == [false, false])
        for id in [own, told] {
            let accepted = try await catalog.read { try $0.acceptedKeys(of: id) }
            #expect(accepted == Set([key] + points[1].missing).sorted())
        }
    }

    @Test func theLatestPointOfASourceIsFoundByNameOrPlace() async throws {
        var random = Seeded("sources")
        let (repository, replicas) = (random.repository(), [random.replica(), random.replica()])
        let made = (0..<4).map { index in
            var point = random.point()
            (point.created, point.sourceIdentity) = (Timestamp(seconds: Int64(index)), ["/a", "/b", "/b", "/c"][index])
            return point
        }
        let catalog = folder.catalog()
        try await catalog.write { db in
            for id in replicas { try db.register(ReplicaRecord(id: id, repository: repository, location: nil)) }
            for (index, anchor) in ["1", "1", "2", nil].enumerated() {
                try db.insertPoint(made[index], of: replicas[index % 2], anchor: anchor)
            }
        }
        let other = random.repository()
        // Replica 0 has the points 0 and 2, replica 1 has 1 and 3: of each the newest one that is of the source, newest first.
        for (name, anchor, expected) in [
            ("/a", nil, [0]), ("/a", "1", [1, 0]), ("/x", "1", [1, 0]), ("/x", "2", [2]), ("/b", nil, [2, 1]),
            ("/b", "1", [2, 1]),
            ("/c", "1", [3, 0]), ("/x", nil, []), ("/x", "3", []),
        ] as [(String, String?, [Int])] {
            let found = try await catalog.read { try $0.latestPoints(ofSource: name, anchor: anchor, in: repository) }
            #expect(found.map(\.point) == expected.map { made[$0] }, "\(name) \(anchor ?? "-")")
            #expect(try await catalog.read { try $0.latestPoints(ofSource: name, anchor: anchor, in: other) }.isEmpty)
        }
    }

    /// A point can be renounced and taken back, and itself never changes; what it names can be asked for, and who has just that.
    @Test func whatIsSaidOfAPoint() async throws {
        var random = Seeded("renounced")
        let (repository, replica) = (random.repository(), random.replica())
        var (older, newer) = (random.point(), random.point())
        (older.sourceIdentity, newer.sourceIdentity) = ("/a", "/a")
        let points = [older, newer]
        let (key, gone) = (random.key(), random.key())
        let catalog = folder.catalog()
        try await catalog.write { db in
            try db.register(ReplicaRecord(id: replica, repository: repository, location: nil))
            for one in [key, gone] {
                _ = try db.record(KnownResource(size: 1, digest: nil, authenticated: true), for: one, in: repository)
                try db.hold(one, in: replica, status: .confirmed, from: 1)
            }
            try db.insertPoint(points[0], of: replica)
            try db.endMembership(of: gone, in: replica, at: 1)
            try db.insertPoint(points[1], of: replica)
        }
        let last = try #require(try await catalog.read { try $0.latestPoint(of: replica) })
        for _ in 0..<2 { try await catalog.write { try $0.renounce([last]) } }
        #expect(try await catalog.read { try $0.isRenounced(last) })
        #expect(try await catalog.read { try $0.points(of: replica).map(\.point) } == points)
        try await catalog.write { try $0.uphold(last) }
        #expect(try await !catalog.read { try $0.isRenounced(last) })
        let first = try await catalog.read { try $0.points(of: replica)[0] }
        for (one, named) in [(key, [true, true]), (gone, [true, false]), (random.key(), [false, false])] {
            #expect(try await catalog.read { db in try [first, last].map { try db.names(one, in: $0) } } == named)
        }
        for _ in 0..<2 { try await catalog.write { try $0.met(first, at: "/b", anchor: "1") } }
        for (name, anchor, expected) in [("/b", nil, older), ("/c", "1", older), ("/c", nil, nil), ("/a", "1", newer)]
            as [(String, String?, RecoveryPoint?)]
        {
            let found = try await catalog.read { try $0.latestPoints(ofSource: name, anchor: anchor, in: repository) }
            #expect(found.map(\.point) == [expected].compactMap { $0 }, "\(name)")
        }
    }

    @Test func anotherProgramsDatabaseIsRefused() async throws {
        try database().execute("PRAGMA application_id = 7")
        #expect(await failure { try await folder.catalog().write { _ in } }?.kind == .configuration)
    }

    @Test func tablesOfAnotherProgramAreRefused() async throws {
        try database().execute("PRAGMA application_id = 0; PRAGMA user_version = 0")
        #expect(await failure { try await folder.catalog().write { _ in } }?.kind == .configuration)
    }

    @Test func symbolicLinkIsRefused() async throws {
        mkdir(folder.path + "/state", 0o700)
        symlink(folder.path + "/elsewhere", folder.catalogFile)
        let failure = await failure { try await folder.catalog().write { _ in } }
        #expect(failure?.kind == .readWrite)
        #expect(failure?.reason == "it is a symbolic link")
        #expect(access(folder.path + "/elsewhere", F_OK) != 0)
    }

    @Test func linkedFolderIsFollowed() async throws {
        mkdir(folder.path + "/real", 0o700)
        symlink(folder.path + "/real", folder.path + "/state")
        try await folder.catalog().write { _ in }
        #expect(access(folder.path + "/real/catalog.sqlite", F_OK) == 0)
    }

    @Test func folderThatIsAFile() async throws {
        close(open(folder.path + "/state", O_CREAT | O_WRONLY, 0o600))
        #expect(await failure { try await folder.catalog().write { _ in } }?.kind == .readWrite)
    }

    @Test func noiseIsDamage() async throws {
        mkdir(folder.path + "/state", 0o700)
        overwrite(at: 0, with: Array(repeating: 0x5a, count: 8192))
        let failure = await failure { try await folder.catalog().write { _ in } }
        #expect(failure?.kind == .damage)
        #expect(failure?.advice == "Move it away; sealift rebuilds it from the replicas.")
    }

    /// Whatever is overwritten, the answer is the right one or a failure; never a crash, never a wrong digest of another shape.
    @Test func damagedPagesAreDamageOrRightAnswers() async throws {
        var random = Seeded("damaged pages")
        let (replica, repository) = (random.replica(), random.repository())
        let proofs = (0..<2000).map { _ in (random.key(), random.proof()) }
        try await folder.catalog().write { db in
            try db.register(ReplicaRecord(id: replica, repository: repository, location: "/a"))
            for (key, proof) in proofs {
                try db.record(proof, for: key, in: repository, authenticated: true)
                try db.hold(key, in: replica, status: .confirmed, from: 1)
            }
        }
        let sound = contents()
        var damaged = 0
        for _ in 0..<60 {
            restore(sound)
            let offset = Int.random(in: 100..<(sound.count - 64), using: &random)
            overwrite(at: offset, with: random.bytes(64))
            let failure = await failure { _ = try await folder.catalog().read { try $0.allHoldings(of: replica) } }
            if let failure {
                #expect([.damage, .readWrite].contains(failure.kind), "\(failure)")
                damaged += 1
            }
        }
        #expect(damaged > 0)
    }

    @Test(.enabled(if: geteuid() == 0, "only root can mount a small disk"))
    func fullDiskIsReportedAndNothingIsLost() async throws {
        let disk = folder.path + "/disk"
        mkdir(disk, 0o700)
        try #require(mount("tmpfs", disk, "tmpfs", 0, "size=1m") == 0)
        defer { umount2(disk, Int32(MNT_DETACH)) }
        var random = Seeded("full disk")
        let (replica, repository) = (random.replica(), random.repository())
        let catalog = StateCatalog(folder: disk)
        try await catalog.write { try $0.register(ReplicaRecord(id: replica, repository: repository, location: "/a")) }
        var committed = 0
        var full: Failure?
        while full == nil, committed < 10_000 {
            let batch = (0..<100).map { _ in (random.key(), random.proof()) }
            full = await failure {
                try await catalog.write { db in
                    for (key, proof) in batch {
                        try db.record(proof, for: key, in: repository, authenticated: true)
                        try db.hold(key, in: replica, status: .pending, from: 1)
                    }
                }
            }
            if full == nil { committed += 100 }
        }
        #expect(full?.kind == .readWrite)
        #expect(full?.reason == "the disk is full")
        #expect(committed > 0)
        #expect(try await catalog.read { try $0.counts(of: replica).resources } == Int64(committed))
    }

    // MARK: -

    private func mode(_ path: String) -> mode_t? {
        var status = stat()
        return lstat(path, &status) == 0 ? status.st_mode & 0o777 : nil
    }

    private func database() throws -> CatalogDatabase {
        try CatalogDatabase(folder: folder.path + "/state", hooks: CommitHooks(), busyMilliseconds: 1000)
    }

    private func contents() -> [UInt8] {
        let file = open(folder.catalogFile, O_RDONLY)
        defer { close(file) }
        var bytes = [UInt8](repeating: 0, count: Int(lseek(file, 0, SEEK_END)))
        let count = pread(file, &bytes, bytes.count, 0)
        #expect(count == bytes.count)
        return bytes
    }

    private func restore(_ bytes: [UInt8]) {
        for suffix in ["", "-wal", "-shm"] { unlink(folder.catalogFile + suffix) }
        overwrite(at: 0, with: bytes)
    }

    private func overwrite(at offset: Int, with bytes: [UInt8]) {
        let file = open(folder.catalogFile, O_WRONLY | O_CREAT, 0o600)
        #expect(pwrite(file, bytes, bytes.count, offset) == bytes.count)
        close(file)
    }
}
