internal import Hashing
internal import Kloset
internal import Storage

/// What reading a resource from end to end has shown.
struct ReadResource: Sendable {
    var proof: ResourceProof
    /// Why its bytes cannot be whole; nil when they look so.
    var faceDamage: String?
}

extension ResourceProof {
    /// Reads a resource from end to end and hashes it; nil when it is shorter or longer than `size`.
    ///
    /// - Throws: ``Vanished`` when it is not there, what the store throws.
    static func reading(
        _ key: ResourceKey, size: Int64, of store: any StoreReader, from view: ResourceView, piece: Piece
    ) async throws -> ResourceProof? {
        try await ReadResource.reading(key, size: size, of: store, from: view, piece: piece)?.proof
    }
}

extension ReadResource {
    /// As ``ResourceProof/reading(_:size:of:from:piece:)``, with a look at the resource's face.
    static func reading(
        _ key: ResourceKey, size: Int64, of store: any StoreReader, from view: ResourceView, piece: Piece
    ) async throws -> ReadResource? {
        var hasher = ResourceHasher()
        var faceDamage = ResourceFace.damage(size: size)
        for index in 0..<ChunkLayout.count(size: size) {
            let range = ChunkLayout.range(index, size: size)
            let count = try await store.read(key, from: view, at: range.lowerBound, count: range.count, into: piece)
            guard count == range.count else { return nil }
            if index == 0 { faceDamage = ResourceFace.damage(header: piece.bytes(0..<count), size: size, kind: key.kind) }
            hasher.update(chunk: piece.bytes(0..<count))
        }
        let more = try await store.read(key, from: view, at: size, count: 1, into: piece)
        return more == 0 ? ReadResource(proof: hasher.finalize(), faceDamage: faceDamage) : nil
    }
}

extension StoreReader {
    /// Whether a resource is there and looks whole without a key.
    ///
    /// - Throws: what is no matter of this resource.
    func looksWhole(_ key: ResourceKey, piece: Piece) async throws -> Bool {
        do {
            guard case .regular(let size, _) = try await attributes(of: [key])[0] else { return false }
            let count = try await read(key, from: .published, at: 0, count: ResourceFace.headerByteCount, into: piece)
            return ResourceFace.damage(header: piece.bytes(0..<count), size: size, kind: key.kind) == nil
        } catch let failure as Failure where failure.kind == .readWrite || failure.kind == .damage {
            return false
        } catch is Vanished {
            return false
        }
    }
}
