public import Kloset

/// How many resources, and how many bytes they have together.
public struct Tally: Sendable, Equatable, Codable {
    public var packfiles = 0
    public var states = 0
    /// Bytes of all of them, CONFIG included.
    public var bytes: Int64 = 0

    public init(packfiles: Int = 0, states: Int = 0, bytes: Int64 = 0) {
        self.packfiles = packfiles
        self.states = states
        self.bytes = bytes
    }

    /// Counts one more resource.
    public mutating func add(_ kind: ResourceKind, bytes: Int64) {
        switch kind {
        case .packfile: packfiles += 1
        case .state: states += 1
        case .config: break
        }
        self.bytes += bytes
    }

    public var isEmpty: Bool { packfiles == 0 && states == 0 && bytes == 0 }
    /// Packfiles and states.
    public var resources: Int { packfiles + states }
}

/// A new state and when its source says it was written: what its place in the history is.
public struct DatedState: Sendable, Equatable {
    public var key: ResourceKey
    public var modified: Timestamp
    /// Bytes.
    public var size: Int64

    public init(key: ResourceKey, modified: Timestamp, size: Int64) {
        self.key = key
        self.modified = modified
        self.size = size
    }
}

/// The order in which states become visible: oldest first, so that every moment shows a prefix of the source's history (kloset-format 2).
public func publicationOrder(_ states: [DatedState]) -> [DatedState] {
    states.sorted { ($0.modified, $0.key.id) < ($1.modified, $1.key.id) }
}
