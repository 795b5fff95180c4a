import CSQLite
import Glibc
import Kloset
import Testing

@testable import Catalog

/// Figures, not limits: a machine that is busy must not fail a test. Run with `SEALIFT_BENCH=1` in a release build.
@Suite(.serialized, .enabled(if: getenv("SEALIFT_BENCH") != nil))
struct CatalogSpeedTests {
    @Test(arguments: [100_000, 1_000_000])
    func bulk(count: Int) async throws {
        let folder = TemporaryFolder()
        var random = Seeded("bulk")
        let (replica, repository) = (random.replica(), random.repository())
        let clock = ContinuousClock()
        let catalog = folder.catalog()
        let opened = try await clock.measure { _ = try await catalog.read { try $0.replicas() } }
        print("first query \(opened)")
        try await catalog.write { try $0.register(ReplicaRecord(id: replica, repository: repository, location: "/a")) }
        let keys = (0..<count).map { _ in ResourceKey(.packfile, random.bits()) }.sorted()
        let digest = random.bits()
        let inserted = try await clock.measure {
            for start in stride(from: 0, to: count, by: 4096) {
                let batch = keys[start..<min(start + 4096, count)]
                try await catalog.write { db in
                    for key in batch {
                        try db.record(
                            ResourceProof(size: 4096, digest: digest, chunks: []), for: key, in: repository, authenticated: true)
                        try db.hold(key, in: replica, status: .pending, from: 1)
                    }
                }
            }
        }
        print("\(count) × (record + hold): \(inserted)")
        let confirmed = try await clock.measure {
            for start in stride(from: 0, to: count, by: 4096) {
                let batch = keys[start..<min(start + 4096, count)]
                try await catalog.write { try $0.confirm(batch, in: replica) }
            }
        }
        print("\(count) × confirm: \(confirmed)")
        let walked = try await clock.measure {
            let seen = try await catalog.read { db in
                var cursor = try db.holdings(of: replica)
                var seen = 0
                while try cursor.next() != nil { seen += 1 }
                return seen
            }
            #expect(seen == count)
        }
        print("\(count) × walk: \(walked)")
        let point = random.point()
        let stored = try await catalog.write { db in
            try db.insertPoint(point, of: replica)
            return try db.points(of: replica)
        }
        let members = try await clock.measure {
            let seen = try await catalog.read { db in
                var cursor = try db.members(of: stored[0])
                var seen = 0
                while try cursor.next() != nil { seen += 1 }
                return seen
            }
            #expect(seen == count)
        }
        print("\(count) × members: \(members)")
        let counted = try await clock.measure { _ = try await catalog.read { try $0.counts(of: replica) } }
        print("\(count) counted: \(counted)")
        let reopened = try await clock.measure { _ = try await folder.catalog().read { try $0.replica(replica) } }
        print("first query of another process: \(reopened)")
        var ledger: [[UInt8]] = []
        let encoded = try clock.measure {
            var head = LedgerHead.none
            var encoder = LedgerEncoder(LedgerHeader(after: head, replica: replica, repository: repository))
            for key in keys {
                let entry = LedgerEntry.resource(key, size: 4096, digest: digest, chunks: [])
                if try encoder.append(entry) { continue }
                let done = encoder.finish()
                ledger.append(done.bytes)
                head = done.head
                encoder = LedgerEncoder(LedgerHeader(after: head, replica: replica, repository: repository))
                _ = try encoder.append(entry)
            }
            ledger.append(encoder.finish().bytes)
        }
        print("\(count) encoded: \(encoded), \(ledger.reduce(0) { $0 + $1.count }) bytes")
        let segments = ledger
        let other = TemporaryFolder()
        let second = other.catalog()
        let imported = try await clock.measure {
            let result = try await second.importLedger(of: replica, repository: repository, location: nil) {
                $0 <= segments.count ? segments[Int($0) - 1] : nil
            }
            #expect(result.broken == nil && result.newResources == count)
        }
        print("\(count) imported: \(imported)")
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        print("SQLite's own peak \(sqlite3_memory_highwater(0) >> 20) MiB")
        print("peak \(usage.ru_maxrss / 1024) MiB")
    }
}
