public import Kloset
public import Storage

extension MemoryStore {
    public func footprint() async throws -> Footprint {
        try await perform(.footprint) { _, _ in Footprint(realm: "memory", steps: [self.place], anchor: self.anchor) }
    }

    public func presence() async throws -> Presence {
        try await perform(.presence) { content, _ in
            guard content.exists else { return .absent }
            var names: Set<String> = []
            for key in content.published.keys { names.insert(key.kind == .config ? "CONFIG" : key.kind.folder) }
            if !content.documents.isEmpty || !content.staged.isEmpty { names.insert(".sealift") }
            if content.foreign > 0 { names.insert("something else") }
            return names.isEmpty ? .empty : .occupied(names: names.sorted())
        }
    }

    public func list(_ kind: ResourceKind, bucket: UInt8) async throws -> BucketListing {
        try await perform(.list, lie: BucketListing()) { content, _ in
            func belongs(_ key: ResourceKey) -> Bool { key.kind == kind && (kind == .config || key.id.firstByte == bucket) }
            let irregular = Set(content.irregular.filter(belongs).map(\.id))
            let ids = Set(content.published.keys.filter(belongs).map(\.id)).union(irregular)
            let sorted = ids.sorted()
            let sizes = content.listedSizesAreOffBy.map { error in
                sorted.map { Int64(content.published[ResourceKey(kind, $0)]?.bytes.count ?? 0) + error }
            }
            return BucketListing(ids: sorted, sizes: sizes ?? [], irregular: irregular)
        }
    }

    public func extras() async throws -> StoreExtras {
        try await perform(.extras, lie: StoreExtras()) { content, _ in StoreExtras(locks: content.locks, foreign: content.foreign)
        }
    }

    public func attributes(of keys: [ResourceKey]) async throws -> [ResourceAttributes] {
        try await perform(.attributes, lie: keys.map { _ in .absent }) { content, _ in
            keys.map { key in
                if content.irregular.contains(key) { return .irregular("something else") }
                guard let held = content.published[key] else { return .absent }
                return .regular(size: Int64(held.bytes.count), modified: held.modified)
            }
        }
    }

    public func readWhole(_ keys: [ResourceKey], from view: ResourceView, into piece: Piece) async throws -> [WholeRead] {
        try await perform(.readWhole) { content, fault in
            var reads: [WholeRead] = []
            var used = 0
            for (index, key) in keys.enumerated() {
                if case .items(let failing) = fault, failing.contains(index) {
                    reads.append(.failed(Faults.failure(.readWhole, place, key)))
                    continue
                }
                if view != .stagedOnMedium, content.irregular.contains(key) {
                    reads.append(.failed(fail(.damage, "cannot read", key, "its name is taken by something else")))
                    continue
                }
                guard let held = find(key, view, content, fault) else {
                    reads.append(.vanished)
                    continue
                }
                guard held.bytes.count <= piece.memory.count else {
                    reads.append(.tooLarge(size: Int64(held.bytes.count)))
                    continue
                }
                guard used + held.bytes.count <= piece.memory.count else { break }
                let range = used..<used + held.bytes.count
                UnsafeMutableRawBufferPointer(rebasing: piece.memory[range]).copyBytes(from: held.bytes)
                used = range.upperBound
                reads.append(.bytes(range: range, modified: held.modified))
            }
            return reads
        }
    }

    public func read(
        _ key: ResourceKey, from view: ResourceView, at offset: Int64, count: Int, into piece: Piece
    ) async throws -> Int {
        try await perform(.read, key) { content, fault in
            guard offset >= 0, count >= 0, count <= piece.memory.count else {
                throw fail(.usage, "cannot read", key, "the range does not fit a piece")
            }
            if view != .stagedOnMedium, content.irregular.contains(key) {
                throw fail(.damage, "cannot read", key, "its name is taken by something else")
            }
            guard let held = find(key, view, content, fault) else { throw Vanished(key) }
            let part = held.bytes.dropFirst(Int(min(offset, Int64(held.bytes.count)))).prefix(count)
            piece.memory.copyBytes(from: part)
            return part.count
        }
    }

    private func find(_ key: ResourceKey, _ view: ResourceView, _ content: Content, _ fault: Fault?) -> Held? {
        if view == .stagedOnMedium, !capabilities.showsStaged { return nil }
        guard var held = view == .stagedOnMedium ? content.staged[key] : content.published[key] else { return nil }
        if fault == .lying { held.bytes = [UInt8](repeating: 0, count: held.bytes.count) }
        return fault == .flipping ? held.flipped : held
    }

    public func document(_ name: String, byteCountMax: Int) async throws -> [UInt8]? {
        try await perform(.document) { content, fault in
            guard isDocumentName(name) else { throw fail(.usage, "cannot use a document", nil, "that is no name for one") }
            guard let bytes = content.documents[name] else { return nil }
            guard bytes.count <= byteCountMax else { throw fail(.damage, "cannot read \(name)", nil, "it is too long") }
            return fault == .flipping ? Held(bytes: bytes, modified: Timestamp(seconds: 0)).flipped.bytes : bytes
        }
    }

    public func documents(in folder: String) async throws -> [String] {
        try await perform(.documents, lie: []) { content, _ in
            content.documents.keys.filter { $0.hasPrefix("\(folder)/") }.map { String($0.dropFirst(folder.count + 1)) }
                .filter { !$0.contains("/") }.sorted()
        }
    }

    /// The same names that ``LocalStore`` takes.
    func isDocumentName(_ name: String) -> Bool {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        return parts.count <= 4
            && parts.allSatisfy { part in
                part.first.map { $0 != "." } ?? false
                    && part.utf8.allSatisfy { UInt8(ascii: "!") <= $0 && $0 < 127 }
                    && part.allSatisfy { $0.isLetter || $0.isNumber || "._-".contains($0) }
            }
    }
}
