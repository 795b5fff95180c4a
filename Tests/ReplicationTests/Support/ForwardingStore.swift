import Kloset
import Storage
import StorageTesting

/// A store with something in front of it: sees each call before and after, may delay or refuse it.
final class ForwardingStore: Store {
    typealias Hook = @Sendable (_ operation: StoreOperation, _ keys: [ResourceKey]) async throws -> Void

    private let base: any Store
    private let before: Hook
    private let after: Hook

    init(_ base: any Store, before: @escaping Hook = { _, _ in }, after: @escaping Hook = { _, _ in }) {
        self.base = base
        self.before = before
        self.after = after
    }

    var place: String { base.place }
    var capabilities: StoreCapabilities { base.capabilities }

    private func pass<Value: Sendable>(
        _ operation: StoreOperation, _ keys: [ResourceKey] = [], _ body: () async throws -> Value
    ) async throws -> Value {
        try await before(operation, keys)
        let value = try await body()
        try await after(operation, keys)
        return value
    }

    func footprint() async throws -> Footprint { try await pass(.footprint) { try await base.footprint() } }
    func presence() async throws -> Presence { try await pass(.presence) { try await base.presence() } }
    func extras() async throws -> StoreExtras { try await pass(.extras) { try await base.extras() } }
    func list(_ kind: ResourceKind, bucket: UInt8) async throws -> BucketListing {
        try await pass(.list) { try await base.list(kind, bucket: bucket) }
    }
    func attributes(of keys: [ResourceKey]) async throws -> [ResourceAttributes] {
        try await pass(.attributes, keys) { try await base.attributes(of: keys) }
    }
    func readWhole(_ keys: [ResourceKey], from view: ResourceView, into piece: Piece) async throws -> [WholeRead] {
        try await pass(.readWhole, keys) { try await base.readWhole(keys, from: view, into: piece) }
    }
    func read(_ key: ResourceKey, from view: ResourceView, at offset: Int64, count: Int, into piece: Piece) async throws -> Int {
        try await pass(.read, [key]) { try await base.read(key, from: view, at: offset, count: count, into: piece) }
    }
    func document(_ name: String, byteCountMax: Int) async throws -> [UInt8]? {
        try await pass(.document) { try await base.document(name, byteCountMax: byteCountMax) }
    }
    func documents(in folder: String) async throws -> [String] {
        try await pass(.documents) { try await base.documents(in: folder) }
    }
    func lock(holder: String) async throws -> any StoreLock { try await pass(.lock) { try await base.lock(holder: holder) } }
    func readAccess() async throws -> ReadAccess { try await base.readAccess() }
    func prepare() async throws { try await pass(.prepare) { try await base.prepare() } }
    func stage(_ resources: [SmallResource]) async throws -> [Failure?] {
        try await pass(.stage, resources.map(\.key)) { try await base.stage(resources) }
    }
    func upload(_ key: ResourceKey, size: Int64, modified: Timestamp) async throws -> any Upload {
        try await pass(.upload, [key]) { try await base.upload(key, size: size, modified: modified) }
    }
    func makeDurable() async throws { try await pass(.makeDurable) { try await base.makeDurable() } }
    func makeDurable(namesOf keys: [ResourceKey]) async throws {
        try await pass(.makeNamesDurable, keys) { try await base.makeDurable(namesOf: keys) }
    }
    func publish(_ keys: [ResourceKey]) async throws -> [PublishOutcome] {
        try await pass(.publish, keys) { try await base.publish(keys) }
    }
    func discard(_ keys: [ResourceKey]) async throws { try await pass(.discard, keys) { try await base.discard(keys) } }
    func discardStaged(except keep: @Sendable (ResourceKey) -> Bool) async throws {
        try await pass(.discardStaged) { try await base.discardStaged(except: keep) }
    }
    func exchange(_ key: ResourceKey) async throws { try await pass(.exchange, [key]) { try await base.exchange(key) } }
    func replaceDocument(_ name: String, with bytes: [UInt8]) async throws {
        try await pass(.replaceDocument) { try await base.replaceDocument(name, with: bytes) }
    }
    func createDocument(_ name: String, with bytes: [UInt8]) async throws {
        try await pass(.createDocument) { try await base.createDocument(name, with: bytes) }
    }
    func quarantineDocument(_ name: String) async throws {
        try await pass(.quarantineDocument) { try await base.quarantineDocument(name) }
    }
}
