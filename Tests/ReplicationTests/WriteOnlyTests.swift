import Catalog
import Kloset
import Planning
import Replication
import Storage
import StorageTesting
import Testing

/// Targets that may be listed and written but not read: the safest kind of copy, for whoever takes over the source cannot take it over, too.
@Suite struct WriteOnlyTests {
    private let store = GeneratedStore(seed: Loops.seed("write-only"))
    private let machine: Machine
    private let source: MemoryStore
    private let target = MemoryStore(place: "target", capabilities: MemoryStore.hidingMore)

    init() throws {
        machine = try Machine()
        source = try MemoryStore(store)
        target.withContent { $0.isWriteOnly = true }
    }

    private static func demanding(_ depth: VerificationDepth) -> SyncOptions {
        SyncOptions(verify: depth, isVerifyDemanded: true)
    }

    /// With eyes: everything is there, the ledger holds, and nothing is damaged.
    private func expectGood(_ target: MemoryStore, _ story: Comment? = nil) async throws {
        target.withContent { $0.isWriteOnly = false }
        defer { target.withContent { $0.isWriteOnly = true } }
        let report = try await Machine().verify(target)
        #expect(report.isGood && report.unknown == 0, story)
    }

    @Test func aHistoryGoesThere() async throws {
        for count in [2, 3, 5] {
            source.withContent { $0.published = [:] }
            try store.place(in: MemorySink(source), upTo: count)
            let report = try await machine.sync(source, to: target)
            #expect(report.failure == nil)
            #expect(report.verified == Tally() && report.unproven == 0)
            #expect(report.unverifiedReason?.contains("not read") == true)
            let isAll = source.files.allSatisfy { target.files[$0] == $1 }
            #expect(isAll)
        }
        let again = try await machine.sync(source, to: target)
        #expect(again.failure == nil && again.copied == Tally())
        try await expectGood(target)
        // Whoever may read goes on where the other left off.
        target.withContent { $0.isWriteOnly = false }
        let eyes = try Machine()
        #expect(try await eyes.sync(source, to: target, SyncOptions(verify: .all)).failure == nil)
        #expect(try await eyes.points(of: target).count == 3)
    }

    @Test(arguments: [VerificationDepth.sample, .all])
    func askingForProofIsRefusedBeforeAnythingIsWritten(_ depth: VerificationDepth) async throws {
        let fresh = try await machine.sync(source, to: target, Self.demanding(depth))
        #expect(fresh.failure?.kind == .refused && fresh.failure?.reason.contains("--verify \(depth)") == true)
        #expect(target.files.isEmpty && target.withContent { $0.documents.isEmpty })
        #expect(try await machine.sync(source, to: target, Self.demanding(.none)).failure == nil)
        let before = target.withContent { $0.documents }
        #expect(try await machine.outcome(source, to: target, Self.demanding(depth)) == .refused)
        let isUntouched = target.withContent { $0.documents } == before
        #expect(isUntouched)
    }

    @Test func sayingNothingIsReportedAsNothing() async throws {
        #expect(try await machine.sync(source, to: target, Self.demanding(.none)).unverifiedReason == nil)
    }

    @Test func whatThisMachineDoesNotKnowIsRefused() async throws {
        #expect(try await machine.sync(source, to: target).failure == nil)
        let before = target.withContent { ($0.published, $0.documents) }
        // A replica of another machine's.
        let other = try await Machine().sync(source, to: target).failure
        #expect(other?.kind == .refused && other?.reason.contains("does not know") == true)
        // A place with a store and nothing of ours, or with anything at all.
        target.withContent { $0.documents = [:] }
        #expect(try await Machine().outcome(source, to: target) == .refused)
        target.withContent { $0.published[.config] = nil }
        #expect(try await Machine().outcome(source, to: target) == .refused)
        #expect(target.withContent { $0.documents.isEmpty })
        // The one that this machine knows is not there any more.
        #expect(try await machine.outcome(source, to: target) == .refused)
        target.withContent { ($0.published, $0.documents) = before }
        #expect(try await machine.sync(source, to: target).failure == nil)
    }

    @Test func anotherRepositoryIsRefused() async throws {
        #expect(try await machine.sync(source, to: target).failure == nil)
        let other = MemoryStore(place: "other")
        try store.place(in: MemorySink(other), config: GeneratedStore.config(repository: Array(0..<16)))
        let before = target.withContent { $0.documents }
        #expect(try await machine.outcome(other, to: target) == .refused)
        let isUntouched = target.withContent { $0.documents } == before
        #expect(isUntouched)
    }

    @Test func anotherReplicaAtTheSamePlaceIsRefused() async throws {
        #expect(try await machine.sync(source, to: target).failure == nil)
        let name = try #require(target.withContent { $0.documents.keys.first { $0.hasPrefix("nameplate/") } })
        let other = "nameplate/" + String(repeating: "0", count: 32) + name.dropFirst("nameplate/".count + 32)
        target.withContent { content in
            content.documents[other] = content.documents.removeValue(forKey: name)
        }
        #expect(try await machine.outcome(source, to: target) == .refused)
        target.withContent { $0.documents[name] = [1] }
        #expect(try await machine.outcome(source, to: target) == .refused, "two of them say nothing")
    }

    @Test func aConfigOfAnotherLengthIsDamage() async throws {
        #expect(try await machine.sync(source, to: target).failure == nil)
        target.withContent { $0.published[.config]?.bytes += [0] }
        #expect(try await machine.outcome(source, to: target) == .damage)
    }

    /// What another machine recorded there is unknown here, and a ledger never becomes shorter.
    @Test func aLedgerThatEndsElsewhereIsRefused() async throws {
        #expect(try await machine.sync(source, to: target).failure == nil)
        let (last, bytes) = try #require(
            target.withContent { content in
                content.documents.filter { $0.key.hasPrefix("ledger/") }.max { $0.key < $1.key }
            })
        let next = "ledger/0000\(String(9000 + (Int(last.dropFirst(7).prefix(8)) ?? 0)))".prefix(15) + ".zst"
        target.withContent { $0.documents[String(next)] = bytes }
        #expect(try await machine.outcome(source, to: target) == .refused)
        target.withContent { content in
            content.documents[String(next)] = nil
            content.documents[last] = nil
        }
        #expect(try await machine.outcome(source, to: target) == .refused)
    }

    @Test func aNameThatIsTakenMeanwhileIsNeverLeantOn() async throws {
        let victim = try #require(store.keys().first { $0.kind == .packfile })
        let meddling = ForwardingStore(target) { [target] operation, keys in
            if operation == .publish, keys.contains(victim) { target.put(victim, [1, 2, 3]) }
        }
        #expect(try await machine.outcome(source, to: meddling) == .damage)
        #expect(target.withContent { $0.published.keys.allSatisfy { $0.kind == .packfile } })
    }

    /// At every step: of the target, of the catalog, before it or just after it.
    @Test func aRunThatIsKilledAnywhereIsContinued() async throws {
        var random = SeededRandom(seed: Loops.seed("write-only kills"))
        for start in [0, 2] {
            let begun = try Machine()
            let base = MemoryStore(place: "target", capabilities: MemoryStore.hidingMore)
            base.withContent { $0.isWriteOnly = true }
            if start > 0 {
                let early = try MemoryStore(store, upTo: start)
                #expect(try await begun.sync(early, to: base).failure == nil)
            }
            let whole = CutPoint()
            _ = try await run(try begun.copy(), Self.copy(base), whole, late: false)
            for number in random.choose(Loops.rounds(fast: 12, part: 80) ?? whole.operationCount, of: 0..<whole.operationCount) {
                let (copied, there) = (try begun.copy(), Self.copy(base))
                let late = Bool.random(using: &random)
                let cut = CutPoint(after: number)
                _ = try? await run(copied, there, cut, late: late)
                there.withContent { $0.staged = [:] }
                let story = Comment(rawValue: "from \(start), cut \(number) \(late): \(cut.lastOperations.suffix(4))")
                let next = try await copied.sync(source, to: there)
                #expect(next.failure == nil, "\(story): \(next.failure.debugDescription)")
                let isAll = source.files.allSatisfy { there.files[$0] == $1 }
                #expect(isAll, story)
                try await expectGood(there, story)
                let again = try await copied.sync(source, to: there)
                #expect(again.failure == nil && again.copied == Tally(), story)
            }
        }
    }

    private func run(_ machine: Machine, _ target: MemoryStore, _ cut: CutPoint, late: Bool) async throws -> SyncReport {
        let store = ForwardingStore(
            target,
            before: { operation, _ in
                if late { try cut.live() } else { try cut.passWhole("\(operation)") }
            },
            after: { operation, _ in if late { try cut.passWhole("\(operation) was done") } })
        return try await machine.sync(
            source, [store], cut: cut, limits: BatchLimits(byteCountMax: 1 << 20, resourceCountMax: 8, age: .seconds(3600)))
    }

    private static func copy(_ store: MemoryStore) -> MemoryStore {
        let copy = MemoryStore(place: store.place, capabilities: store.capabilities)
        let content = store.withContent { $0 }
        copy.withContent { $0 = content }
        return copy
    }
}
