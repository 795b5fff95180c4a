internal import Glibc
public import Kloset

/// Takes files of a store: a folder on this machine, a simulated disk, a store in memory.
public protocol StoreSink {
    /// Puts a file at a path relative to the store's root, over whatever is there.
    func put(_ path: String, _ bytes: [UInt8], modified: Timestamp) throws
    /// Makes a folder.
    func putFolder(_ path: String) throws
    /// Takes a file away.
    func remove(_ path: String) throws
}

extension GeneratedStore {
    /// Writes the store as it is after `stateCount` states.
    public func place(in sink: some StoreSink, upTo stateCount: Int = .max, config: [UInt8] = GeneratedStore.config) throws {
        try placeLayout(in: sink, config: config)
        for key in keys(upTo: stateCount) { try place(key, in: sink) }
    }

    /// Folders and CONFIG: a store without a backup.
    public func placeLayout(in sink: some StoreSink, config: [UInt8] = GeneratedStore.config) throws {
        for kind in [ResourceKind.packfile, .state] {
            for bucket in UInt8.min...UInt8.max { try sink.putFolder("\(kind.folder)/\(hexText([bucket]))") }
        }
        try sink.putFolder("locks")
        try sink.put("CONFIG", config, modified: modified(.config) ?? Timestamp(seconds: 0))
    }

    /// Lets one event happen.
    public func apply(_ event: Event, to sink: some StoreSink) throws {
        switch event {
        case .put(let key): try place(key, in: sink)
        case .delete(let key): try sink.remove(key.path)
        }
    }

    private func place(_ key: ResourceKey, in sink: some StoreSink) throws {
        guard let bytes = bytes(of: key), let modified = modified(key) else { return }
        try sink.put(key.path, bytes, modified: modified)
    }
}

/// A folder of a simulated disk.
public struct DiskSink: StoreSink {
    private let disk: SimulatedDisk
    private let root: String

    public init(_ disk: SimulatedDisk, _ root: String) {
        self.disk = disk
        self.root = root
    }

    public func put(_ path: String, _ bytes: [UInt8], modified: Timestamp) {
        disk.put("\(root)/\(path)", bytes, modified: modified)
    }

    public func putFolder(_ path: String) {
        disk.putFolder("\(root)/\(path)")
    }

    public func remove(_ path: String) {
        disk.remove("\(root)/\(path)")
    }
}

/// A store in memory; folders mean nothing there.
public struct MemorySink: StoreSink {
    private let store: MemoryStore

    public init(_ store: MemoryStore) {
        self.store = store
    }

    public func put(_ path: String, _ bytes: [UInt8], modified: Timestamp) {
        guard let key = ResourceKey(storePath: path) else { return }
        store.put(key, bytes, modified: modified)
    }

    public func putFolder(_ path: String) {}

    public func remove(_ path: String) {
        guard let key = ResourceKey(storePath: path) else { return }
        store.withContent { $0.published[key] = nil }
    }
}

extension ResourceKey {
    /// Parses ``path``; nil for everything that is no resource in its right bucket.
    public init?(storePath path: String) {
        if path == "CONFIG" {
            self = .config
            return
        }
        guard let hex = path.split(separator: "/").last, let id = ResourceID(hex: String(hex)),
            let key = [ResourceKey(.packfile, id), ResourceKey(.state, id)].first(where: { $0.path == path })
        else { return nil }
        self = key
    }
}
