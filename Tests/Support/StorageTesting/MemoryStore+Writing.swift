internal import Hashing
public import Kloset
public import Storage
internal import Synchronization

extension MemoryStore {
    public func lock(holder: String) async throws -> any StoreLock {
        let number = try await perform(.lock) { content, _ in
            if let other = content.holder {
                throw Failure(
                    .tryAgain, "cannot lock the store", place: place, reason: "it is in use by \(other)", retryable: true)
            }
            content.exists = true
            content.holder = holder
            content.lockNumber += 1
            return content.lockNumber
        }
        return MemoryLock(self, number)
    }

    /// A lock of an earlier time frees nothing.
    fileprivate func unlock(_ number: Int) {
        withContent { content in
            if content.lockNumber == number { content.holder = nil }
        }
    }

    public func readAccess() async throws -> ReadAccess {
        withContent { content in
            if capabilities.mayBeWriteOnly, content.published.isEmpty, content.documents.isEmpty, !content.exists {
                return .unknown
            }
            return content.isWriteOnly ? .denied : .allowed
        }
    }

    public func prepare() async throws {
        try await perform(.prepare, lie: ()) { content, _ in content.exists = true }
    }

    public func stage(_ resources: [SmallResource]) async throws -> [Failure?] {
        let held = resources.map { Held(bytes: Array($0.piece.bytes($0.range)), modified: $0.modified) }
        let half: (inout Content) -> Void = { content in
            for (resource, held) in zip(resources, held) { content.staged[resource.key] = held.half }
        }
        return try await perform(.stage, lie: resources.map { _ in nil }, half: half) { content, fault in
            resources.indices.map { index in
                if case .items(let failing) = fault, failing.contains(index) {
                    return Faults.failure(.stage, place, resources[index].key)
                }
                content.staged[resources[index].key] = fault == .flipping ? held[index].flipped : held[index]
                return nil
            }
        }
    }

    public func upload(_ key: ResourceKey, size: Int64, modified: Timestamp) async throws -> any Upload {
        try await perform(.upload, key) { content, _ in
            guard size > 0 else { throw fail(.usage, "cannot write", key, "an upload has at least one byte") }
            content.serverCopies.remove(key)
            if content.staged[key] == nil { content.staged[key] = Held(bytes: [], modified: modified) }
            return MemoryUpload(self, key, Int(size), modified)
        }
    }

    public func makeDurable() async throws {
        try await perform(.makeDurable, lie: ()) { _, _ in }
    }

    public func makeDurable(namesOf keys: [ResourceKey]) async throws {
        try await perform(.makeNamesDurable, lie: ()) { _, _ in }
    }

    public func publish(_ keys: [ResourceKey]) async throws -> [PublishOutcome] {
        let half: (inout Content) -> Void = { content in
            for key in keys.prefix(keys.count / 2) { _ = self.publish(key, &content) }
        }
        return try await perform(.publish, lie: keys.map { _ in .published }, half: half) { content, fault in
            keys.indices.map { index in
                if case .items(let failing) = fault, failing.contains(index) {
                    return .failed(Faults.failure(.publish, place, keys[index]))
                }
                return publish(keys[index], &content)
            }
        }
    }

    private func publish(_ key: ResourceKey, _ content: inout Content) -> PublishOutcome {
        guard let held = content.staged[key] else {
            return .failed(fail(.readWrite, "cannot publish", key, "nothing is staged for it"))
        }
        guard content.published[key] == nil, !content.irregular.contains(key) else { return .taken }
        let isCopy = content.serverCopies.remove(key) != nil
        if isCopy, server?.manner == .idle { return .uncopied(reason: "it made none") }
        content.published[key] = held
        content.staged[key] = nil
        return isCopy && server?.manner == .attesting ? .attested : .published
    }

    public func discard(_ keys: [ResourceKey]) async throws {
        let half: (inout Content) -> Void = { content in
            for key in keys.prefix(keys.count / 2) { content.staged[key] = nil }
        }
        try await perform(.discard, lie: (), half: half) { content, _ in
            for key in keys { content.staged[key] = nil }
        }
    }

    public func discardStaged(except keep: @Sendable (ResourceKey) -> Bool) async throws {
        try await perform(.discardStaged, lie: ()) { content, _ in content.staged = content.staged.filter { keep($0.key) } }
    }

    public func exchange(_ key: ResourceKey) async throws {
        try await perform(.exchange, key, lie: ()) { content, _ in
            guard let held = content.staged[key] else {
                throw fail(.readWrite, "cannot replace", key, "nothing is staged for it")
            }
            if let old = content.published[key] { content.quarantine.append((key, old)) }
            content.irregular.remove(key)
            content.published[key] = held
            content.staged[key] = nil
        }
    }

    public func replaceDocument(_ name: String, with bytes: [UInt8]) async throws {
        try await perform(.replaceDocument, lie: ()) { content, fault in try set(name, bytes, &content, fault) }
    }

    public func createDocument(_ name: String, with bytes: [UInt8]) async throws {
        try await perform(.createDocument, lie: ()) { content, fault in
            guard content.documents[name] == nil else { throw fail(.refused, "cannot write \(name)", nil, "it exists already") }
            try set(name, bytes, &content, fault)
        }
    }

    public func quarantineDocument(_ name: String) async throws {
        try await perform(.quarantineDocument, lie: ()) { content, _ in
            guard isDocumentName(name) else { throw fail(.usage, "cannot use a document", nil, "that is no name for one") }
            guard let bytes = content.documents.removeValue(forKey: name) else { return }
            content.quarantinedDocuments.append((name, bytes))
        }
    }

    private func set(_ name: String, _ bytes: [UInt8], _ content: inout Content, _ fault: Fault?) throws {
        guard isDocumentName(name) else { throw fail(.usage, "cannot use a document", nil, "that is no name for one") }
        let held = Held(bytes: bytes, modified: Timestamp(seconds: 0))
        content.documents[name] = fault == .flipping ? held.flipped.bytes : bytes
    }
}

private final class MemoryLock: StoreLock {
    private let store: MemoryStore
    private let number: Int

    init(_ store: MemoryStore, _ number: Int) {
        self.store = store
        self.number = number
    }

    deinit {
        store.unlock(number)
    }

    func release() async {
        store.unlock(number)
    }
}

private final class MemoryUpload: Upload {
    private let store: MemoryStore
    private let key: ResourceKey
    private let size: Int
    private let modified: Timestamp
    private let isOpen = Mutex(true)

    init(_ store: MemoryStore, _ key: ResourceKey, _ size: Int, _ modified: Timestamp) {
        self.store = store
        self.key = key
        self.size = size
        self.modified = modified
    }

    func heldChunks() async throws -> [ChunkHash] {
        try await store.perform(.heldChunks, key, lie: []) { content, _ in
            try checkOpen()
            let bytes = store.capabilities.showsStaged ? content.staged[key]?.bytes ?? [] : []
            return bytes.withUnsafeBytes { bytes in
                (0..<ChunkLayout.count(size: Int64(size))).map { ChunkLayout.range($0, size: Int64(size)) }
                    .prefix { $0.upperBound <= Int64(bytes.count) }
                    .map { ChunkHash(of: UnsafeRawBufferPointer(rebasing: bytes[Int($0.lowerBound)..<Int($0.upperBound)])) }
            }
        }
    }

    func write(chunk index: Int, from piece: Piece, count: Int) async throws {
        guard (0..<ChunkLayout.count(size: Int64(size))).contains(index),
            ChunkLayout.range(index, size: Int64(size)).count == count
        else { throw store.fail(.usage, "cannot write", key, "there is no such chunk") }
        let chunk = Array(piece.bytes(0..<count))
        let start = index * ChunkLayout.chunkByteCount
        func put(_ chunk: [UInt8], _ content: inout MemoryStore.Content) {
            var held = content.staged[key] ?? MemoryStore.Held(bytes: [], modified: modified)
            let missing = start + chunk.count - held.bytes.count
            if missing > 0 { held.bytes += [UInt8](repeating: 0, count: missing) }
            held.bytes.replaceSubrange(start..<start + chunk.count, with: chunk)
            content.staged[key] = held
        }
        let half: (inout MemoryStore.Content) -> Void = { put(Array(chunk.prefix(chunk.count / 2)), &$0) }
        try await store.perform(.writeChunk, key, lie: (), half: half) { content, fault in
            try checkOpen()
            put(fault == .flipping ? MemoryStore.Held(bytes: chunk, modified: modified).flipped.bytes : chunk, &content)
        }
    }

    func finish() async throws {
        try await store.perform(.finish, key, lie: ()) { content, _ in
            try checkOpen()
            var held = content.staged[key] ?? MemoryStore.Held(bytes: [], modified: modified)
            held.bytes = Array(held.bytes.prefix(size))
            held.bytes += [UInt8](repeating: 0, count: size - held.bytes.count)
            held.modified = modified
            content.staged[key] = held
            isOpen.withLock { $0 = false }
        }
    }

    func abandon() async {
        isOpen.withLock { $0 = false }
    }

    private func checkOpen() throws {
        guard isOpen.withLock({ $0 }) else {
            throw store.fail(.usage, "cannot write", key, "the upload was finished or abandoned before")
        }
    }
}
