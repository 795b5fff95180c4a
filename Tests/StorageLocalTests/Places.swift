import Kloset
import Storage
import StorageLocal
import StorageTesting

/// Threads that all tests of this module share.
let pool = BlockingPool(threadsMax: 8)

/// A folder of this machine that does not exist yet.
struct FolderPlace: StorePlace {
    let outer: TestFolder
    let files: any FileOperations
    private let name = "store"

    init(_ files: any FileOperations = LinuxFiles()) throws {
        outer = try TestFolder()
        self.files = files
    }

    var path: String { outer.path(name) }

    func open() -> any Store { local() }

    func local() -> LocalStore { LocalStore(path: path, files: files, pool: pool) }

    func plant(_ key: ResourceKey, _ bytes: [UInt8], modified: Timestamp) throws {
        try outer.put("\(name)/\(key.path)", bytes, modified: modified)
    }

    func plantIrregular(_ key: ResourceKey) throws -> Bool {
        try outer.putLink("\(name)/\(key.path)", to: "/etc/passwd")
        return true
    }

    func plantName(_ path: String) throws -> Bool {
        try outer.put("\(name)/\(path)", [1])
        return true
    }

    func quarantined(_ key: ResourceKey) -> [[UInt8]] {
        outer.names(in: "\(name)/.sealift/quarantine").filter { $0.contains(key.id.hex) && $0.hasPrefix(key.kind.name) }
            .compactMap { outer.contents(of: "\(name)/.sealift/quarantine/\($0)") }
    }

    func quarantinedDocuments() -> [[UInt8]] {
        outer.names(in: "\(name)/.sealift/quarantine").filter { $0.hasPrefix("ledger-") }
            .compactMap { outer.contents(of: "\(name)/.sealift/quarantine/\($0)") }
    }

    func stagedCount() -> Int { outer.names(in: "\(name)/.sealift/uploads").count }
}

/// A folder of a simulated disk.
struct DiskPlace: StorePlace {
    let disk: SimulatedDisk
    var files: any FileOperations

    init(_ traits: SimulatedDisk.Traits = SimulatedDisk.Traits(), wrap: (SimulatedDisk) -> any FileOperations = { $0 }) {
        disk = SimulatedDisk(traits: traits)
        files = wrap(disk)
    }

    func open() -> any Store { LocalStore(path: "/target", files: files, pool: pool) }

    func plant(_ key: ResourceKey, _ bytes: [UInt8], modified: Timestamp) {
        disk.put("/target/\(key.path)", bytes, modified: modified)
    }

    func plantIrregular(_ key: ResourceKey) -> Bool {
        disk.putFolder("/target/\(key.path)")
        return true
    }

    func plantName(_ path: String) -> Bool {
        disk.put("/target/\(path)", [1])
        return true
    }

    func quarantined(_ key: ResourceKey) -> [[UInt8]] {
        disk.names(in: "/target/.sealift/quarantine").filter { $0.contains(key.id.hex) && $0.hasPrefix(key.kind.name) }
            .compactMap { disk.contents(of: "/target/.sealift/quarantine/\($0)") }
    }

    func quarantinedDocuments() -> [[UInt8]] {
        disk.names(in: "/target/.sealift/quarantine").filter { $0.hasPrefix("ledger-") }
            .compactMap { disk.contents(of: "/target/.sealift/quarantine/\($0)") }
    }

    func stagedCount() -> Int { disk.names(in: "/target/.sealift/uploads").count }
}

struct MemoryPlace: StorePlace {
    let store = MemoryStore()

    func open() -> any Store { store }

    func plant(_ key: ResourceKey, _ bytes: [UInt8], modified: Timestamp) {
        store.put(key, bytes, modified: modified)
    }

    func plantIrregular(_ key: ResourceKey) -> Bool {
        store.withContent { content in
            content.exists = true
            content.irregular.insert(key)
        }
        return true
    }

    func plantName(_ path: String) -> Bool { false }

    func quarantined(_ key: ResourceKey) -> [[UInt8]] {
        store.withContent { $0.quarantine.filter { $0.key == key }.map(\.held.bytes) }
    }

    func quarantinedDocuments() -> [[UInt8]] { store.withContent { $0.quarantinedDocuments.map(\.bytes) } }

    func stagedCount() -> Int { store.withContent { $0.staged.count } }
}
