import Kloset
import Storage
import StorageLocal
import StorageTesting
import Testing

/// The test support finds what it is there to find.
@Suite struct TestSupportTests {
    private let source = GeneratedStore(seed: 42)

    @Test func generatedStoresLookReal() throws {
        #expect(GeneratedStore.config.count == 663)
        #expect(source.states.count == 8 && source.packfileCount > 5)
        for key in source.keys() {
            let bytes = try #require(source.bytes(of: key))
            #expect(bytes.withUnsafeBytes { ResourceFace.damage(header: $0, size: Int64(bytes.count), kind: key.kind) } == nil)
            #expect(bytes == GeneratedStore(seed: 42).bytes(of: key))
        }
        for (number, state) in source.states.enumerated() {
            let body = try #require(GeneratedStore.StateBody(state: source.bytes(of: ResourceKey(.state, state.id)) ?? []))
            #expect(body.number == number && body.adds == state.adds && body.drops == state.drops)
        }
        #expect(source.states.contains { !$0.drops.isEmpty })
        #expect(source.keys() != GeneratedStore(seed: 43).keys())
        let other = GeneratedStore.config(repository: [UInt8](repeating: 9, count: 16))
        #expect(other != GeneratedStore.config && other.count == 663)
    }

    /// Every prefix of the events is a store without fault.
    @Test func everyMomentOfAHistoryIsClosed() throws {
        let disk = SimulatedDisk()
        let sink = DiskSink(disk, "/store")
        try source.placeLayout(in: sink)
        for event in source.events() {
            try source.apply(event, to: sink)
            #expect(ClosureCheck(source).violations(in: disk.files(below: "/store")) == [])
        }
        let folder = try TestFolder()
        try source.place(in: folder)
        #expect(folder.files() == disk.files(below: "/store"))
        let memory = MemoryStore()
        try source.place(in: MemorySink(memory))
        #expect(memory.withContent { $0.published.count } == source.keys().count + 1)
    }

    @Test func theClosureCheckFindsEachKindOfFault() throws {
        let disk = SimulatedDisk()
        try source.place(in: DiskSink(disk, "/store"))
        let whole = disk.files(below: "/store")
        let check = ClosureCheck(source)
        #expect(check.violations(in: whole) == [])
        #expect(check.stateCount(in: whole) == 8)
        for key in source.keys() where !(key.kind == .state && key.id == source.states.last?.id) {
            var files = whole
            files[key.path] = nil
            #expect(!check.violations(in: files).isEmpty, "\(key) is missed by nobody")
        }
        for path in whole.keys {
            var files = whole
            files[path]?[20] ^= 1
            #expect(check.violations(in: files).count == 1, "\(path)")
            files[path]?.removeLast()
            #expect(check.violations(in: files).count == 1, "\(path)")
        }
        var files = whole
        files["packfiles/aa/README"] = []
        #expect(check.violations(in: files).count == 1)
        #expect(check.violations(in: ["CONFIG": GeneratedStore.config], stateCountWithConfig: 8).count == 1)
    }

    @Test func aDiskForgetsWhatWasNotSynced() throws {
        let disk = SimulatedDisk()
        let root = try disk.openLocation("/")
        try disk.makeFolder(in: root, "a")
        let folder = try disk.open(beneath: root, "a", .folder)
        let file = try disk.open(beneath: folder, "x", .create)
        let bytes = [UInt8](repeating: 3, count: 10_000)
        _ = try bytes.withUnsafeBytes { bytes throws(SystemError) in try disk.write(file, bytes, at: 0) }
        // Two names, three blocks, one length.
        #expect(disk.pendingCount == 6)
        #expect(disk.afterPowerLoss(.none).names(in: "/") == [])
        #expect(disk.afterPowerLoss(.all).contents(of: "/a/x") == bytes)
        #expect(disk.afterPowerLoss(.only(0)).names(in: "/") == ["a"])
        #expect(disk.afterPowerLoss(.only(1)).names(in: "/") == [])
        try disk.sync(file)
        #expect(disk.afterPowerLoss(.none).names(in: "/") == [], "fsync of a file covers no name")
        try disk.sync(folder)
        #expect(disk.afterPowerLoss(.none).names(in: "/") == [], "nor does fsync of a folder cover its own")
        try disk.sync(root)
        #expect(disk.afterPowerLoss(.none).contents(of: "/a/x") == bytes)
        _ = try bytes.withUnsafeBytes { bytes throws(SystemError) in try disk.write(file, bytes, at: 10_000) }
        let torn = try #require(disk.afterPowerLoss(.only(1)).contents(of: "/a/x"))
        #expect(torn.count > 10_000 && torn.count < 20_000 && torn.contains(0), "a block of several shows holes before it")
        try disk.rename("x", in: folder, to: "y", in: root, .refuse)
        try disk.sync(folder)
        #expect(disk.afterPowerLoss(.none).names(in: "/") == ["a"], "a move counts for the folder that it leads to")
        try disk.sync(root)
        #expect(disk.afterPowerLoss(.none).names(in: "/") == ["a", "y"])
        #expect(disk.afterPowerLoss(.none).names(in: "/a") == [])
    }

    @Test func aCutEndsEverything() throws {
        let disk = SimulatedDisk(cut: CutPoint(after: 2, .torn))
        let root = try disk.openLocation("/")
        try disk.makeFolder(in: root, "a")
        let file = try disk.open(beneath: root, "x", .create)
        #expect(throws: CutPoint.death) { try [UInt8](1...4).withUnsafeBytes { _ = try disk.write(file, $0, at: 0) } }
        #expect(throws: CutPoint.death) { try disk.openLocation("/") }
        #expect(disk.cut.isDead && disk.operationCount == 2)
        #expect(disk.afterKill().contents(of: "/x") == [1, 2])
    }

    @Test(arguments: [Fault.once, .always, .late(after: 1), .torn, .lying, .flipping, .doneButFailed, .items([0])])
    func aStoreInMemoryMisbehavesAsTold(_ fault: Fault) async throws {
        let store = MemoryStore(faults: Faults([.stage: fault]))
        try await store.prepare()
        let piece = Piece()
        piece.memory.copyBytes(from: [UInt8](1...100))
        var outcomes: [String] = []
        for number in 0..<3 {
            let key = ResourceKey(.packfile, ResourceID([UInt8](repeating: UInt8(number), count: 32)) ?? .zero)
            let resource = SmallResource(key: key, piece: piece, range: 0..<100, modified: Timestamp(seconds: 1))
            var outcome = "failed"
            do { outcome = try await store.stage([resource])[0] == nil ? "ok" : "refused" } catch {}
            let held = store.withContent { $0.staged[key]?.bytes }
            let state = held == nil ? "nothing" : held == [UInt8](1...100) ? "whole" : held?.count == 100 ? "other" : "half"
            outcomes.append("\(outcome) \(state)")
        }
        let whole = "ok whole"
        let expected =
            switch fault {
            case .once: ["failed nothing", whole, whole]
            case .always: ["failed nothing", "failed nothing", "failed nothing"]
            case .late: [whole, "failed nothing", "failed nothing"]
            case .torn: ["failed half", whole, whole]
            case .lying: ["ok nothing", whole, whole]
            case .flipping: ["ok other", "ok other", "ok other"]
            case .doneButFailed: ["failed whole", whole, whole]
            case .items: ["refused nothing", "refused nothing", "refused nothing"]
            }
        #expect(outcomes == expected)
    }
}
