internal import Hashing
public import Kloset

/// SHA-256 over the sorted names of an inventory: tells cheaply whether two cuts name the same resources.
public struct NamesDigest: ~Copyable {
    private let hash = SHA256()
    private var last: ResourceKey?

    public init() {
        hash.update(Array("sealift names 1\n".utf8))
    }

    /// Takes the next name, in ascending order.
    public mutating func add(_ key: ResourceKey) {
        precondition(last.map { $0 < key } ?? true, "names are digested in ascending order")
        last = key
        withUnsafeTemporaryAllocation(byteCount: 33, alignment: 8) { buffer in
            buffer[0] = key.kind.rawValue
            key.id.write(to: UnsafeMutableRawBufferPointer(rebasing: buffer[1...]))
            hash.update(UnsafeRawBufferPointer(buffer))
        }
    }

    public consuming func finalize() -> Digest { hash.finalize() }
}

/// The root hash of a recovery point: SHA-256 over the sorted (kind, id, size, digest) of all it names (docs/format.md, "Root hash").
///
/// A resource whose digest is not known yet counts with a marker in the digest's place, so that the root changes when it becomes known.
public struct RootHash: ~Copyable {
    private let hash = SHA256()
    private var last: ResourceKey?

    public init() {
        hash.update(Array("sealift root 1\n".utf8))
    }

    /// Takes the next resource, in ascending order of keys.
    public mutating func add(_ key: ResourceKey, size: Int64, digest: Digest?) {
        precondition(last.map { $0 < key } ?? true, "resources are digested in ascending order")
        last = key
        withUnsafeTemporaryAllocation(byteCount: 74, alignment: 8) { buffer in
            buffer[0] = key.kind.rawValue
            key.id.write(to: UnsafeMutableRawBufferPointer(rebasing: buffer[1..<33]))
            buffer.storeBytes(of: size.bigEndian, toByteOffset: 33, as: Int64.self)
            buffer[41] = digest == nil ? 0 : 1
            (digest ?? .zero).write(to: UnsafeMutableRawBufferPointer(rebasing: buffer[42...]))
            hash.update(UnsafeRawBufferPointer(buffer))
        }
    }

    public consuming func finalize() -> Digest { hash.finalize() }
}

/// The names of a whole inventory, from those of its two kinds.
public enum InventoryNames {
    /// SHA-256 of both digests, states first.
    public static func joined(_ states: Digest, _ packfiles: Digest) -> Digest {
        SHA256.digest(of: states.bytes + packfiles.bytes)
    }
}
