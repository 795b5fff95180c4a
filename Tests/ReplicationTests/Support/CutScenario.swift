import Kloset
import Planning
import Replication
import Storage
import StorageLocal
import StorageTesting

/// A run that can be cut anywhere: what is there before it, and what must hold at every moment of it and after it.
struct CutScenario: Sendable {
    enum Kind: String, Sendable, CaseIterable {
        /// Into an empty place.
        case firstCopy
        /// New packfiles, new states, packfiles that are gone.
        case increment
        /// Into what `cp` brought, reading all of it.
        case adoption
        /// Of damaged and lost resources.
        case repair
    }

    /// What kind of file system the target lies on.
    enum Medium: String, Sendable, CaseIterable {
        /// All that ext4 has: one sync for everything, renames that do not replace and that exchange.
        case full
        /// FUSE without flags: a sync for each file and folder, names by link.
        case linking
        /// exFAT: a sync for each, no second names.
        case plain

        var traits: SimulatedDisk.Traits {
            var traits = SimulatedDisk.Traits()
            switch self {
            case .full: break
            case .linking: (traits.type, traits.hasRenameFlags) = (0x6573_5546, false)
            case .plain: (traits.type, traits.hasRenameFlags, traits.hasLinks) = (0x2011_BAB0, false, false)
            }
            return traits
        }
    }

    let kind: Kind
    let store: GeneratedStore
    /// `/source` and `/target` before the run.
    let disk: SimulatedDisk
    let machine: Machine
    /// Paths at the target whose bytes are not the source's before the run; nil where there is nothing.
    let damaged: [String: [UInt8]?]
    /// The names that the target has in the end.
    let expected: Set<String>
    /// How many operations of the run come before the first that is about the store's content: less interesting to cut at.
    let preparationCount: Int

    /// Twelve states of 36 packfiles in 9 MB: two of several chunks, eight that need a batch each, small ones.
    private static let shape = {
        var shape = GeneratedStore.Shape()
        shape.states = 12
        shape.packfilesPerState = 4...4
        shape.graceStates = 7
        let (small, medium, large) = (48...3000, 540_000...600_000, 2_200_000...2_400_000)
        shape.packfileByteCountCycle = [
            small, small, medium, small, large, small, small, small, medium, small, small, medium, small, small, small, small,
            medium, small,
        ]
        return shape
    }()

    /// Each packfile of medium size fills a batch.
    static let limits = BatchLimits(byteCountMax: 512 << 10, resourceCountMax: 8, age: .seconds(3600))
    /// What may be staged and unpublished in files of at most a chunk: a batch that is committed, one that is full, and what three writers add
    /// before they wait.
    static let stagedByteCountMax = 2 * (512 << 10) + 3 * (1 << 20)

    init(_ kind: Kind, on medium: Medium, seed: UInt64) async throws {
        self.kind = kind
        store = GeneratedStore(seed: seed, Self.shape).keepingBytes()
        machine = try Machine()
        let base = SimulatedDisk(traits: medium.traits)
        try store.place(in: DiskSink(base, "/source"), upTo: kind == .increment ? 5 : .max)
        var expected = Set(store.files().keys)
        var damaged: [String: [UInt8]?] = [:]
        var preparationCount = 0
        switch kind {
        case .firstCopy:
            let empty = SimulatedDisk(traits: medium.traits)
            try await LocalStore(path: "/target", files: empty, pool: Machine.places).prepare()
            preparationCount = empty.operationCount
        case .increment:
            try await Self.syncWhole(base, machine)
            expected.formUnion(store.files(upTo: 5).keys)
            for event in store.events().dropFirst(store.events(upTo: 5).count) {
                try store.apply(event, to: DiskSink(base, "/source"))
            }
        case .adoption:
            try store.place(in: DiskSink(base, "/target"), upTo: 8)
            expected.formUnion(store.files(upTo: 8).keys)
        case .repair:
            try await Self.syncWhole(base, machine)
            damaged = Self.damage(store, base)
        }
        (disk, self.expected, self.damaged, self.preparationCount) = (base, expected, damaged, preparationCount)
    }

    private static func syncWhole(_ disk: SimulatedDisk, _ machine: Machine) async throws {
        let (source, target) = places(disk)
        let report = try await machine.sync(source, [target], limits: limits).targets[0]
        if let failure = report.failure { throw failure }
        disk.settle()
    }

    /// Flips a byte in CONFIG, a state, a small and a large packfile, and takes a state and a packfile away.
    private static func damage(_ store: GeneratedStore, _ disk: SimulatedDisk) -> [String: [UInt8]?] {
        let keys = store.keys()
        let packfiles = keys.filter { $0.kind == .packfile }.sorted {
            (store.bytes(of: $0)?.count ?? 0) < (store.bytes(of: $1)?.count ?? 0)
        }
        let states = keys.filter { $0.kind == .state }
        var damaged: [String: [UInt8]?] = [:]
        for key in [.config, states[1], packfiles[0], packfiles[packfiles.count - 1]] {
            guard var bytes = store.bytes(of: key), let modified = key == .config ? Timestamp(seconds: 1) : store.modified(key)
            else { continue }
            bytes[bytes.count / 2] ^= 1
            disk.put("/target/\(key.path)", bytes, modified: modified)
            damaged[key.path] = .some(bytes)
        }
        for key in [states[4], packfiles[packfiles.count / 2]] {
            disk.remove("/target/\(key.path)")
            damaged[key.path] = .some(nil)
        }
        return damaged
    }

    static func places(_ disk: SimulatedDisk) -> (source: LocalStore, target: LocalStore) {
        (
            LocalStore(path: "/source", files: disk, pool: Machine.places),
            LocalStore(path: "/target", files: disk, pool: Machine.places)
        )
    }

    // MARK: - the run

    /// One process; why it did not come to a good end, or nil.
    func run(on disk: SimulatedDisk, _ machine: Machine) async -> String? {
        let (source, target) = Self.places(disk)
        let environment = machine.process(cut: disk.cut)
        do {
            if kind == .repair {
                let report = try await RepairRun(of: target, from: source, environment: environment).run()
                return report.failed.isEmpty ? nil : "\(report.failed)"
            }
            let options = SyncOptions(verify: kind == .adoption ? .all : .sample)
            let sync = SyncRun(from: source, to: [target], options: options, environment: environment, limits: Self.limits)
            let report = try await sync.run().targets[0]
            return report.failure?.description
                ?? (report.unproven == 0 || kind != .adoption ? nil : "\(report.unproven) unproven")
        } catch {
            return "\(error)"
        }
    }

    // MARK: - what must hold

    /// What is wrong with the target at this moment of the run.
    func violations(_ disk: SimulatedDisk) -> [String] {
        var files = disk.files(below: "/target").filter { !$0.key.hasPrefix(".sealift/") }
        var found: [String] = []
        if kind == .repair { found += damagedViolations(disk, &files) }
        if kind == .firstCopy, files.keys.contains(where: { $0.hasPrefix("states/") }) {
            let missing = expected.filter { $0.hasPrefix("packfiles/") && files[$0] == nil }
            if !missing.isEmpty { found.append("states before \(missing.sorted())") }
        }
        let statesWithConfig = kind == .firstCopy ? store.states.count : nil
        return found + ClosureCheck(store).violations(in: files, stateCountWithConfig: statesWithConfig)
    }

    /// What is damaged stays under its name until what replaces it does, and is kept.
    private func damagedViolations(_ disk: SimulatedDisk, _ files: inout [String: [UInt8]]) -> [String] {
        let quarantine = disk.files(below: "/target/.sealift/quarantine").values
        var found: [String] = []
        for (path, bytes) in damaged {
            let now = files[path]
            if let bytes {
                if now == nil { found.append("\(path) has nothing under its name") }
                if !isSame(now, bytes), !quarantine.contains(where: { isSame($0, bytes) }) {
                    found.append("the damaged \(path) is nowhere")
                }
            }
            if isSame(now, bytes) { files[path] = ResourceKey(storePath: path).flatMap { store.bytes(of: $0) } }
        }
        return found
    }

    private func isSame(_ left: [UInt8]?, _ right: [UInt8]?) -> Bool {
        guard let left, let right else { return left == nil && right == nil }
        return ClosureCheck.areEqual(left, right)
    }

    /// What is wrong with the target in the end.
    func endViolations(_ disk: SimulatedDisk, _ machine: Machine) async throws -> [String] {
        let files = disk.files(below: "/target").filter { !$0.key.hasPrefix(".sealift/") }
        var found = ClosureCheck(store).violations(in: files)
        if Set(files.keys) != expected { found.append("names: \(Set(files.keys).symmetricDifference(expected).sorted())") }
        for path in expected {
            guard let key = ResourceKey(storePath: path), kind != .repair else { continue }
            if disk.modified("/target/\(path)") != store.modified(key) { found.append("\(path) has another time") }
        }
        let left = disk.names(in: "/target/.sealift/uploads")
        if !left.isEmpty { found.append("left behind: \(left)") }
        let target = Self.places(disk).target
        // This machine's knowledge, and what anybody learns from the replica alone.
        for (machine, whose) in [(machine, "own"), (try Machine(), "replica's")] {
            let report = try await machine.verify(target)
            if !report.isGood { found.append("\(whose) ledger: damaged \(report.damaged), lost \(report.lost)") }
            // What only the target has was compared with nothing.
            if report.unknown > expected.count - store.files().count {
                found.append("\(whose) ledger: \(report.unknown) unknown")
            }
            found += try await pointViolations(machine, target).map { "\(whose) ledger: \($0)" }
        }
        return found
    }

    /// The last point names just what the source holds.
    private func pointViolations(_ machine: Machine, _ target: LocalStore) async throws -> [String] {
        guard let last = try await machine.points(of: target).last else { return ["there is no recovery point"] }
        let members = try await PointsRun(environment: machine.process()).members(of: last.point.id).members
        let wanted = Set([ResourceKey.config] + store.keys())
        let difference = wanted.symmetricDifference(members.map(\.key))
        var found = difference.isEmpty ? [] : ["the last point is wrong about \(difference.sorted())"]
        if members.contains(where: { $0.digest == nil }) { found.append("the last point has members without a digest") }
        return found
    }

    /// Bytes that are staged in files of at most a chunk: what the next run copies again.
    func stagedByteCount(_ disk: SimulatedDisk) -> Int {
        disk.files(below: "/target/.sealift/uploads").filter { $0.key.hasPrefix("packfile-") && $0.value.count <= 1 << 20 }
            .reduce(0) { $0 + $1.value.count }
    }
}
