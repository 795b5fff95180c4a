import Kloset
import Storage
import StorageLocal
import StorageTesting
import Synchronization
import Testing

/// What a store promises after each step, at every cut, under every kind of loss.
@Suite struct PowerLossTests {
    /// A kind of disk, and what it was found with.
    enum Kind: String, CaseIterable, Sendable {
        case local, localWithoutFlags, localWithoutLinks, network, networkWithoutLinks

        var traits: SimulatedDisk.Traits {
            var traits = SimulatedDisk.Traits()
            if self == .network || self == .networkWithoutLinks { traits.type = 0x6969 }
            if self != .local { traits.hasRenameFlags = false }
            if self == .localWithoutLinks || self == .networkWithoutLinks { traits.hasLinks = false }
            return traits
        }
    }

    /// What must be found after any loss from now on.
    private final class Promises: Sendable {
        enum Promise: Sendable {
            /// Under its final name or staged.
            case bytes(ResourceKey)
            case published(ResourceKey)
            case document(String, [UInt8])
        }

        private let promises = Mutex<[Promise]>([])

        func add(_ promise: Promise) { promises.withLock { $0.append(promise) } }

        func broken(on disk: SimulatedDisk, _ source: GeneratedStore) -> [String] {
            promises.withLock { $0 }.compactMap { promise in
                switch promise {
                case .bytes(let key):
                    let places = ["/target/\(key.path)", "/target/.sealift/uploads/\(key.kind.name)-\(key.id.hex)"]
                    return places.contains { disk.contents(of: $0) == source.bytes(of: key) }
                        ? nil : "the bytes of \(key) are lost"
                case .published(let key):
                    return disk.contents(of: "/target/\(key.path)") == source.bytes(of: key) ? nil : "the name of \(key) is lost"
                case .document(let name, let bytes):
                    return disk.contents(of: "/target/.sealift/\(name)") == bytes ? nil : "\(name) is lost"
                }
            }
        }
    }

    private static let source: GeneratedStore = {
        var shape = GeneratedStore.Shape()
        shape.states = 3
        shape.packfilesPerState = 1...2
        shape.packfileByteCounts = 48...9000
        shape.maintenanceEvery = 3
        return GeneratedStore(seed: 7, shape)
    }()

    /// What a sync does, in small: packfiles in one batch, then the states one by one, then CONFIG.
    private func copy(to disk: SimulatedDisk, _ promises: Promises = Promises()) async throws {
        let source = Self.source
        let store = LocalStore(path: "/target", files: disk, pool: pool)
        let lock = try await store.lock(holder: "test")
        if try await store.document("replica", byteCountMax: 10) == nil {
            try await store.createDocument("replica", with: [1, 2, 3])
            promises.add(.document("replica", [1, 2, 3]))
        }
        try await store.prepare()
        // All packfiles that ever were: what is dropped at the end is needed by the states before.
        let packfiles = source.states.flatMap(\.adds).map { ResourceKey(.packfile, $0) }
        try await stage(packfiles, store)
        try await store.makeDurable()
        for key in packfiles { promises.add(.bytes(key)) }
        try await publish(packfiles, store)
        try await store.makeDurable()
        for key in packfiles { promises.add(.published(key)) }
        for key in source.states.map({ ResourceKey(.state, $0.id) }) + [.config] {
            try await stage([key], store)
            try await store.makeDurable()
            promises.add(.bytes(key))
            try await publish([key], store)
            try await store.makeDurable(namesOf: [key])
            promises.add(.published(key))
        }
        try await store.replaceDocument("ledger/1", with: [9])
        promises.add(.document("ledger/1", [9]))
        await lock.release()
    }

    private func stage(_ keys: [ResourceKey], _ store: LocalStore) async throws {
        for key in keys {
            let bytes = try #require(Self.source.bytes(of: key))
            let piece = Piece()
            piece.memory.copyBytes(from: bytes)
            if key.id.firstByte % 2 == 0 {
                let resource = SmallResource(key: key, piece: piece, range: 0..<bytes.count, modified: Timestamp(seconds: 1))
                if let failure = try await store.stage([resource])[0] { throw failure }
            } else {
                let upload = try await store.upload(key, size: Int64(bytes.count), modified: Timestamp(seconds: 1))
                try await upload.write(chunk: 0, from: piece, count: bytes.count)
                try await upload.finish()
            }
        }
    }

    private func publish(_ keys: [ResourceKey], _ store: LocalStore) async throws {
        for outcome in try await store.publish(keys) {
            if case .failed(let failure) = outcome { throw failure }
        }
    }

    private func check(_ disk: SimulatedDisk, _ promises: Promises, _ when: String) {
        let found = ClosureCheck(Self.source).violations(
            in: disk.files(below: "/target"), stateCountWithConfig: Self.source.states.count)
        let broken = promises.broken(on: disk, Self.source)
        #expect(found.isEmpty && broken.isEmpty, "\(when): \(found + broken) after \(disk.cut.lastOperations)")
    }

    /// A disk with plakar's folders, as after `prepare` long ago: the hundreds of folders would hide the cuts that matter.
    private func prepared(_ kind: Kind, cut: CutPoint = CutPoint()) async throws -> SimulatedDisk {
        let disk = SimulatedDisk(traits: kind.traits)
        for folder in ["packfiles", "states"] {
            for bucket in UInt8.min...UInt8.max { disk.putFolder("/target/\(folder)/\(hexText([bucket]))") }
        }
        disk.putFolder("/target/locks")
        return disk.afterKill(cut: cut)
    }

    @Test(arguments: Kind.allCases)
    func nothingPromisedIsLostAtAnyCut(_ kind: Kind) async throws {
        let seed = SeededRandom.freshSeed()
        let whole = try await prepared(kind)
        let all = Promises()
        try await copy(to: whole, all)
        check(whole.afterPowerLoss(.none), all, "\(kind), whole")
        let operations = whole.operationCount
        #expect(operations > 50)
        // Every cut of the usual kind of disk, every third of the others, beginning by chance.
        let step = kind == .local ? 1 : 3
        for number in stride(from: Int(seed % UInt64(step)), to: operations, by: step) {
            let disk = try await prepared(kind, cut: CutPoint(after: number, number % 2 == 0 ? .before : .torn))
            let promises = Promises()
            await #expect(throws: (any Error).self) { try await copy(to: disk, promises) }
            check(disk.afterKill(), promises, "\(kind), killed at \(number)")
            for index in 0..<disk.pendingCount {
                check(disk.afterPowerLoss(.only(index)), promises, "\(kind), power lost at \(number) with only \(index)")
            }
            for loss in [PowerLoss.none, .all, .random(seed &+ UInt64(number))] {
                let left = disk.afterPowerLoss(loss)
                check(left, promises, "\(kind), power lost at \(number), \(loss), seed \(seed)")
                try await copy(to: left)
                check(left.afterPowerLoss(.none), all, "\(kind), second run after \(number), \(loss), seed \(seed)")
            }
        }
    }

    @Test func aTargetMadeFromNothingIsDurableToo() async throws {
        let seed = SeededRandom.freshSeed()
        let whole = SimulatedDisk()
        let all = Promises()
        try await copy(to: whole, all)
        check(whole.afterPowerLoss(.none), all, "whole")
        for number in stride(from: 0, to: whole.operationCount, by: 23) {
            let disk = SimulatedDisk(cut: CutPoint(after: number))
            let promises = Promises()
            await #expect(throws: (any Error).self) { try await copy(to: disk, promises) }
            for loss in [PowerLoss.none, .all, .random(seed &+ UInt64(number))] {
                let left = disk.afterPowerLoss(loss)
                check(left, promises, "power lost at \(number), \(loss), seed \(seed)")
                try await copy(to: left)
                check(left.afterPowerLoss(.none), all, "second run after \(number), \(loss), seed \(seed)")
            }
        }
    }

    /// What earlier runs or other tools left unsynced is covered as well.
    @Test(arguments: Kind.allCases)
    func makeDurableCoversWhatOthersLeft(_ kind: Kind) async throws {
        let disk = try await prepared(kind)
        let first = LocalStore(path: "/target", files: disk, pool: pool)
        try await first.prepare()
        let key = ResourceKey(.packfile, Self.source.states[0].adds[0])
        let other = ResourceKey(.state, Self.source.states[0].id)
        try await stage([key, other], first)
        try await publish([key], first)
        let next = disk.afterKill()
        let second = LocalStore(path: "/target", files: next, pool: pool)
        try await second.makeDurable()
        let left = next.afterPowerLoss(.none)
        #expect(left.contents(of: "/target/\(key.path)") == Self.source.bytes(of: key))
        #expect(left.contents(of: "/target/.sealift/uploads/state-\(other.id.hex)") == Self.source.bytes(of: other))
    }

    /// `exchange`: at every cut there are the old bytes or the new ones under the name, and the old ones are never lost.
    @Test(arguments: Kind.allCases)
    func exchangeNeverLosesTheOriginal(_ kind: Kind) async throws {
        let key = ResourceKey(.packfile, Self.source.states[0].adds[0])
        let good = try #require(Self.source.bytes(of: key))
        let damaged = [UInt8](repeating: 5, count: good.count)
        func repair(_ disk: SimulatedDisk) async throws {
            let store = LocalStore(path: "/target", files: disk, pool: pool)
            try await store.prepare()
            try await stage([key], store)
            try await store.makeDurable()
            try await store.exchange(key)
        }
        let start = try await prepared(kind)
        start.put("/target/\(key.path)", damaged)
        let whole = start.afterKill()
        try await repair(whole)
        for number in 0...whole.operationCount {
            let disk = start.afterKill(cut: CutPoint(after: number))
            do { try await repair(disk) } catch { #expect(disk.cut.isDead) }
            let losses = [PowerLoss.none, .all] + (0..<disk.pendingCount).map { .only($0) }
            for left in losses.map({ disk.afterPowerLoss($0) }) + [disk.afterKill()] {
                let found = left.contents(of: "/target/\(key.path)")
                #expect(found == damaged || found == good, "\(kind) at \(number)")
                if number == whole.operationCount { #expect(found == good) }
                let kept = left.files(below: "/target/.sealift/quarantine").values.contains(damaged)
                #expect(kept || found == damaged, "\(kind) at \(number): the original is lost")
                // What a next run cleans up is never the original.
                #expect(!left.files(below: "/target/.sealift/uploads").values.contains(damaged), "\(kind) at \(number)")
            }
        }
    }
}
