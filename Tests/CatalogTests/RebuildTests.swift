import Hashing
import Kloset
import Storage
import Testing

@testable import Catalog

/// A ledger that is written from the catalog, and one that is compared with it.
@Suite struct RebuildTests {
    private let folder = TemporaryFolder()

    @Test func whatTheCatalogKnowsMakesTheSameLedger() async throws {
        var random = Seeded("rebuild")
        for _ in 0..<12 {
            let (original, copy) = (TemporaryFolder(), TemporaryFolder())
            let history = ReplicaHistory(&random, points: Int.random(in: 1...8, using: &random), keys: 25)
            for step in history.steps { try await original.catalog().write { try history.apply(step, to: $0) } }
            let limit = Int.random(in: 1...40, using: &random)
            let segments = try await Self.segments(of: history, original.catalog(), limit: limit)
            let result = try await copy.catalog().importLedger(of: history.replica, repository: history.repository, location: nil)
            {
                $0 <= segments.count ? segments[Int($0) - 1] : nil
            }
            #expect(result.broken == nil && result.conflictCount == 0 && result.segments == segments.count)
            try await history.check(copy.catalog())
            let told = try await original.catalog().read { try $0.allHoldings(of: history.replica) }
            let learned = try await copy.catalog().read { try $0.allHoldings(of: history.replica) }
            #expect(told.map(\.key) == learned.map(\.key) && told.map(\.firstPoint) == learned.map(\.firstPoint))
            #expect(told.map(\.lastPoint) == learned.map(\.lastPoint))
        }
    }

    private static func segments(of history: ReplicaHistory, _ catalog: StateCatalog, limit: Int) async throws -> [[UInt8]] {
        var head = LedgerHead.none
        var segments: [[UInt8]] = []
        var position: LedgerPosition?
        repeat {
            let begin = position
            let (entries, next) = try await catalog.read {
                try $0.ledgerEntries(of: history.replica, after: begin, limit: limit)
            }
            #expect(entries.count <= limit)
            guard !entries.isEmpty else { break }
            let done = try LedgerTests.encode(
                LedgerHeader(after: head, replica: history.replica, repository: history.repository), entries)
            segments.append(done.bytes)
            head = done.head
            position = next
        } while position != nil
        return segments
    }

    /// Any byte of any segment, any segment.
    @Test func everyChangeOfAKnownLedgerIsSeen() async throws {
        var random = Seeded("check")
        let history = ReplicaHistory(&random, points: 5, keys: 20)
        let segments = try history.ledger(&random)
        let catalog = folder.catalog()
        let check: @Sendable ([[UInt8]]) async throws -> Failure? = { segments in
            try await catalog.checkLedger(of: history.replica) { $0 <= segments.count ? segments[Int($0) - 1] : nil }
        }
        #expect(try await check(segments) == nil, "a replica that is not known")
        _ = try await catalog.importLedger(of: history.replica, repository: history.repository, location: nil) {
            $0 <= segments.count ? segments[Int($0) - 1] : nil
        }
        #expect(try await check(segments) == nil)
        #expect(try await check(segments + [[1]]) == nil, "what is not known yet is not looked at")
        for index in segments.indices {
            var changed = segments
            changed[index][Int.random(in: 0..<segments[index].count, using: &random)] ^=
                1 << UInt8.random(in: 0..<8, using: &random)
            #expect(try await check(changed)?.kind == .damage, "segment \(index + 1)")
            #expect(try await check(Array(segments[..<index]))?.kind == .damage)
        }
    }
}
