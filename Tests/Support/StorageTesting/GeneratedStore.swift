internal import Glibc
public import Kloset
internal import Storage

/// A store of any size in the real format, with a known history: which packfiles each state adds and drops stands readable in its body, as
/// no real store has it. Everything follows from the seed, and bytes are made when asked for, so a million resources take little memory.
///
/// A history is a list of ``events`` as a client's backups and maintenances would cause them: packfiles before the state that names them,
/// deletions after the state that drops them.
public struct GeneratedStore: Sendable {
    /// How large, and how lively.
    public struct Shape: Sendable {
        /// How many states in all, maintenances included.
        public var states = 8
        /// How many packfiles a backup adds.
        public var packfilesPerState = 1...4
        /// Bytes of a packfile, at least ``ResourceFace/byteCountMin``.
        public var packfileByteCounts = 48...8192
        /// If not empty, the lengths of the packfiles come from these in turn, over and over, instead.
        public var packfileByteCountCycle: [ClosedRange<Int>] = []
        /// Every so many states one is a maintenance, which drops some packfiles instead of adding any; 0 is never.
        public var maintenanceEvery = 4
        /// A maintenance drops only packfiles that are at least so many states old: the grace of real clients. A copy that is brought over
        /// both a packfile's state and the maintenance that dropped it, one state at a time, has moments without it that nobody can avoid.
        public var graceStates = 0

        public init() {}
    }

    /// One thing that happened to the store, in order.
    public enum Event: Sendable, Equatable {
        case put(ResourceKey)
        case delete(ResourceKey)
    }

    /// A state: which packfiles it names and which it drops.
    public struct State: Sendable, Equatable {
        public var id: ResourceID
        public var modified: Timestamp
        public var adds: [ResourceID]
        public var drops: [ResourceID]
    }

    private struct Packfile: Sendable {
        var number: UInt64
        var byteCount: Int
        var modified: Timestamp
    }

    public let seed: UInt64
    /// Oldest first.
    public let states: [State]
    /// How many packfiles there ever were.
    public var packfileCount: Int { packfiles.count }
    private let packfiles: [ResourceID: Packfile]
    private let numbers: [ResourceID: Int]
    /// Bytes that need not be made again.
    private var kept: [ResourceKey: [UInt8]] = [:]

    public init(seed: UInt64, _ shape: Shape = Shape()) {
        self.seed = seed
        var random = SeededRandom(seed: seed)
        var states: [State] = []
        var packfiles: [ResourceID: Packfile] = [:]
        var alive: [(id: ResourceID, number: Int)] = []
        // A day in 2024; each thing happens a second after the one before.
        var clock: Int64 = 1_704_067_200
        func tick() -> Timestamp {
            clock += 1
            return Timestamp(seconds: clock)
        }
        for number in 0..<shape.states {
            var state = State(id: Self.id(&random), modified: Timestamp(seconds: 0), adds: [], drops: [])
            if shape.maintenanceEvery > 0, number % shape.maintenanceEvery == shape.maintenanceEvery - 1, alive.count > 1 {
                for _ in 0..<max(1, alive.count / 4) {
                    // Oldest first, so those that may be dropped come first.
                    let droppable = alive.prefix { $0.number + shape.graceStates <= number }.count
                    guard alive.count > 1, droppable > 0 else { break }
                    state.drops.append(alive.remove(at: Int.random(in: 0..<droppable, using: &random)).id)
                }
            } else {
                for _ in 0..<Int.random(in: shape.packfilesPerState, using: &random) {
                    let id = Self.id(&random)
                    let cycle = shape.packfileByteCountCycle
                    let byteCounts = cycle.isEmpty ? shape.packfileByteCounts : cycle[packfiles.count % cycle.count]
                    let byteCount = Int.random(in: byteCounts, using: &random)
                    packfiles[id] = Packfile(number: UInt64(packfiles.count), byteCount: byteCount, modified: tick())
                    state.adds.append(id)
                    alive.append((id, number))
                }
            }
            state.modified = tick()
            states.append(state)
        }
        self.states = states
        self.packfiles = packfiles
        numbers = Dictionary(uniqueKeysWithValues: states.enumerated().map { ($1.id, $0) })
    }

    private static func id(_ random: inout SeededRandom) -> ResourceID {
        random.bytes(ResourceID.byteCount).withUnsafeBytes { ResourceID(bytes: $0) }
    }

    /// What happened, from an empty store (with CONFIG) up to `stateCount` states.
    public func events(upTo stateCount: Int = .max) -> [Event] {
        states.prefix(stateCount).flatMap { state in
            state.adds.map { .put(ResourceKey(.packfile, $0)) } + [.put(ResourceKey(.state, state.id))]
                + state.drops.map { .delete(ResourceKey(.packfile, $0)) }
        }
    }

    /// All resources, CONFIG left out, that the store holds after `stateCount` states and the deletions that follow them; ordered.
    public func keys(upTo stateCount: Int = .max) -> [ResourceKey] {
        var keys: Set<ResourceKey> = []
        for event in events(upTo: stateCount) {
            switch event {
            case .put(let key): keys.insert(key)
            case .delete(let key): keys.remove(key)
            }
        }
        return keys.sorted()
    }

    /// The place of a state in the history, or nil for a stranger.
    public func number(ofState id: ResourceID) -> Int? { numbers[id] }

    /// When a resource was written; nil for a stranger.
    public func modified(_ key: ResourceKey) -> Timestamp? {
        switch key.kind {
        case .config: Timestamp(seconds: 1_704_067_200)
        case .state: numbers[key.id].map { states[$0].modified }
        case .packfile: packfiles[key.id]?.modified
        }
    }

    /// The same store, which keeps all that ever was in it: for a small one that is compared often.
    public func keepingBytes() -> GeneratedStore {
        var store = self
        for case .put(let key) in events() { store.kept[key] = bytes(of: key) }
        return store
    }

    /// The bytes of a resource; nil for a stranger.
    public func bytes(of key: ResourceKey) -> [UInt8]? {
        if let bytes = kept[key] { return bytes }
        switch key.kind {
        case .config: return Self.config
        case .packfile:
            guard let packfile = packfiles[key.id] else { return nil }
            var random = SeededRandom(seed: seed ^ (packfile.number &+ 1) &* 0x9E37_79B9_7F4A_7C15)
            let body = random.bytes(packfile.byteCount - Int(ResourceFace.byteCountMin))
            return Self.wrapped(.packfile, version: 1 << 16, body, &random)
        case .state:
            guard let number = numbers[key.id] else { return nil }
            var random = SeededRandom(seed: seed &+ UInt64(number) &+ 1)
            // 1.0.0 as plakar 1.0.6 wrote them, 1.1.0 as 1.1.4 does: both must be copied.
            let version: UInt32 = number % 2 == 0 ? 1 << 16 | 1 << 8 : 1 << 16
            return Self.wrapped(.state, version: version, StateBody(number: number, states[number]).bytes, &random)
        }
    }

    /// Header, body, and 32 bytes where the MAC stands (kloset-format 1).
    private static func wrapped(_ kind: ResourceKind, version: UInt32, _ body: [UInt8], _ random: inout SeededRandom) -> [UInt8] {
        var bytes = Array("_KLOSET_".utf8)
        for word in [UInt32(kind.rawValue), version] {
            withUnsafeBytes(of: word.littleEndian) { bytes += $0 }
        }
        return bytes + body + random.bytes(32)
    }

    /// The CONFIG of a real, encrypted store (Tests/Fixtures/CONFIG).
    public static let config: [UInt8] = {
        let path = #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
        guard let file = fopen("/\(path)/Fixtures/CONFIG", "r") else { return [] }
        defer { fclose(file) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        bytes.removeLast(bytes.count - fread(&bytes, 1, bytes.count, file))
        return bytes
    }()

    /// The same CONFIG with another repository id: a store of somebody else.
    public static func config(repository: [UInt8]) -> [UInt8] {
        precondition(repository.count == 16, "a repository id has 16 bytes")
        // The key as msgpack text, then the head of 16 binary bytes.
        let mark = Array("RepositoryID".utf8) + [0xC4, 0x10]
        var bytes = config
        let start = bytes.indices.first { bytes[$0...].starts(with: mark) }
        guard let start else { return bytes }
        bytes.replaceSubrange(start + mark.count..<start + mark.count + 16, with: repository)
        return bytes
    }

    /// The body of a generated state, readable.
    public struct StateBody: Sendable, Equatable {
        public var number: Int
        public var adds: [ResourceID]
        public var drops: [ResourceID]

        init(number: Int, _ state: State) {
            self.number = number
            adds = state.adds
            drops = state.drops
        }

        var bytes: [UInt8] {
            let lines = ["state \(number)"] + adds.map { "+\($0.hex)" } + drops.map { "-\($0.hex)" }
            return Array(lines.joined(separator: "\n").utf8)
        }

        /// Reads a whole state; nil for anything that this generator did not make.
        public init?(state bytes: [UInt8]) {
            guard bytes.count >= Int(ResourceFace.byteCountMin) else { return nil }
            let lines = String(decoding: bytes.dropFirst(16).dropLast(32), as: UTF8.self).split(separator: "\n")
            guard let head = lines.first, head.hasPrefix("state "), let number = Int(head.dropFirst(6)) else { return nil }
            self.number = number
            (adds, drops) = ([], [])
            for line in lines.dropFirst() {
                guard let id = ResourceID(hex: String(line.dropFirst())) else { return nil }
                if line.first == "+" { adds.append(id) } else { drops.append(id) }
            }
        }
    }
}
