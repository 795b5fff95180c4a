import Kloset
import Planning
import Replication
import Storage
import StorageTesting
import Testing

/// What the server of both places copies, nobody reads; and nobody believes it either.
@Suite struct ServerCopyTests {
    /// Enough packfiles for the sample to leave most of them out.
    private static let store = {
        var shape = GeneratedStore.Shape()
        shape.states = 6
        shape.packfilesPerState = 20...20
        shape.maintenanceEvery = 0
        shape.packfileByteCountCycle = [48...9000, 1000...2000, 48...9000, 1_300_000...1_400_000]
        return GeneratedStore(seed: 15, shape)
    }()
    private static let packfiles = store.keys().filter { $0.kind == .packfile }
    private static let packfileByteCount = byteCount(packfiles)

    private static func byteCount(_ keys: [ResourceKey]) -> Int64 {
        keys.reduce(0) { $0 + Int64(store.bytes(of: $1)?.count ?? 0) }
    }

    private let server = MemoryServer()
    private let machine: Machine
    private let source: MemoryStore
    private let target: MemoryStore

    init() async throws {
        machine = try Machine()
        source = MemoryStore(place: "first", capabilities: MemoryStore.hiding, server: server)
        target = MemoryStore(place: "target", capabilities: MemoryStore.hiding, server: server)
        let origin = try MemoryStore(Self.store)
        #expect(try await machine.sync(origin, to: source).failure == nil)
    }

    private func sync(_ options: SyncOptions = SyncOptions()) async throws -> (SyncReport, TargetReport) {
        let report = try await machine.sync(source, [target], options)
        return (report, report.targets[0])
    }

    private func expectWhole(_ story: Comment? = nil) {
        #expect(Set(target.files.keys) == Set(Self.store.files().keys), story)
        #expect(target.files.allSatisfy { source.files[$0] == $1 }, story)
        #expect(ClosureCheck(Self.store).violations(in: target.files) == [], story)
    }

    @Test func noPackfileIsRead() async throws {
        let (report, copied) = try await sync()
        #expect(copied.failure == nil)
        #expect(copied.serverCopied == Tally(packfiles: Self.packfiles.count, states: 0, bytes: Self.packfileByteCount))
        #expect(copied.copied.packfiles == Self.packfiles.count)
        #expect(report.bytesRead == Self.byteCount(Self.store.keys().filter { $0.kind == .state }))
        #expect(copied.verified.packfiles > 0 && copied.unproven == Self.packfiles.count - copied.verified.packfiles)
        expectWhole()
        // The next run reads some more of them, and all where that is asked for.
        let (_, again) = try await sync()
        #expect(again.copied == Tally() && again.verified.packfiles > 0 && again.unproven < copied.unproven)
        let (_, all) = try await sync(SyncOptions(verify: .all))
        #expect(all.failure == nil && all.unproven == 0)
        #expect(try await machine.verify(target).isGood)
    }

    @Test func allOfItIsReadBackWhereThatIsAskedFor() async throws {
        let (_, copied) = try await sync(SyncOptions(verify: .all))
        #expect(copied.failure == nil && copied.unproven == 0 && copied.verified.packfiles == Self.packfiles.count)
    }

    @Test func whatAServerHasComputedIsAttested() async throws {
        server.manner = .attesting
        let (_, copied) = try await sync()
        #expect(copied.failure == nil && copied.unproven == 0 && copied.attested.packfiles == Self.packfiles.count)
    }

    @Test(arguments: [MemoryServer.Manner.refusing, .idle])
    func whatIsNotCopiedIsRead(_ manner: MemoryServer.Manner) async throws {
        server.manner = manner
        let (report, copied) = try await sync()
        #expect(copied.failure == nil && copied.serverCopied == Tally() && copied.unproven == 0)
        #expect(copied.copied.packfiles == Self.packfiles.count)
        #expect(report.bytesRead >= Self.packfileByteCount)
        expectWhole()
    }

    /// The sample finds one; then everything is read, also what was copied before.
    @Test func aServerThatLiesOnceIsBelievedNothing() async throws {
        server.manner = .damaging(0...255)
        let (_, copied) = try await sync()
        #expect(copied.failure == nil)
        expectWhole()
        #expect(try await machine.verify(target).isGood)
    }

    @Test func fewDamagedCopiesAreFoundByReadingAll() async throws {
        server.manner = .damaging(0...20)
        let (_, copied) = try await sync(SyncOptions(verify: .all))
        #expect(copied.failure == nil && copied.unproven == 0)
        expectWhole()
    }

    @Test func whatNobodyHereHasReadIsRead() async throws {
        let stranger = try Machine()
        let report = try await stranger.sync(source, [target])
        #expect(report.targets[0].failure == nil && report.targets[0].serverCopied == Tally() && server.copies == 0)
        expectWhole()
    }

    @Test func anotherServerCopiesNothing() async throws {
        let elsewhere = MemoryStore(place: "elsewhere", capabilities: MemoryStore.hiding)
        let report = try await machine.sync(source, [elsewhere, target])
        #expect(report.targets.map(\.failure) == [nil, nil])
        #expect(report.targets[0].serverCopied == Tally() && report.targets[1].serverCopied.packfiles == Self.packfiles.count)
        #expect(report.bytesRead >= Self.packfileByteCount)
        #expect(elsewhere.files.allSatisfy { source.files[$0] == $1 })
        expectWhole()
    }

    /// Damage at the source is copied on by the server; the copy is what shows it.
    @Test func aDamagedOriginalKeepsStatesBack() async throws {
        let key = Self.packfiles[3]
        source.withContent { content in content.published[key]?.bytes[20] ^= 1 }
        let (_, copied) = try await sync(SyncOptions(verify: .all))
        #expect(copied.failure?.kind == .damage && copied.failed.map(\.key) == [key] && copied.failed[0].side == .source)
        #expect(target.withContent { $0.published.keys.allSatisfy { $0.kind == .packfile } })
    }

    /// Cut anywhere between staging and the record, the next run makes the copy whole.
    @Test(arguments: [StoreOperation.publish, .makeDurable, .createDocument])
    func aCutIsContinued(_ operation: StoreOperation) async throws {
        target.faults[operation] = .late(after: 1)
        let (_, cut) = try await sync()
        #expect(cut.failure != nil)
        target.faults[operation] = nil
        let (_, copied) = try await sync()
        #expect(copied.failure == nil)
        expectWhole()
        #expect(try await machine.verify(target).isGood)
    }
}
