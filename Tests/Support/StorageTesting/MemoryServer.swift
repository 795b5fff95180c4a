internal import Kloset
public import Storage
internal import Synchronization

/// A server that several ``MemoryStore`` lie at, and how it copies between them.
public final class MemoryServer: Sendable {
    public enum Manner: Sendable, Equatable {
        case honest
        /// Computes digests and names them.
        case attesting
        /// Does no such thing, and says so.
        case refusing
        /// Accepts, and then makes no copy.
        case idle
        /// Copies other bytes and says nothing, all or only those whose id begins with such a byte.
        case damaging(ClosedRange<UInt8>)
    }

    private let state: Mutex<(manner: Manner, stores: [String: MemoryStore], copies: Int)>

    public init(_ manner: Manner = .honest) {
        state = Mutex((manner, [:], 0))
    }

    public var manner: Manner {
        get { state.withLock { $0.manner } }
        set { state.withLock { $0.manner = newValue } }
    }
    /// How many copies it was asked for.
    public var copies: Int { state.withLock { $0.copies } }

    func add(_ store: MemoryStore) { state.withLock { $0.stores[store.place] = store } }

    /// What it copies: nil when there is nothing.
    func copy(of key: ResourceKey, at root: String) -> MemoryStore.Held? {
        let (store, manner) = state.withLock { state in
            state.copies += 1
            return (state.stores[root], state.manner)
        }
        let held = store?.withContent { $0.published[key] }
        if case .damaging(let range) = manner, range.contains(key.id.firstByte) { return held?.flipped }
        return held
    }
}

extension MemoryStore {
    public func copyOrigin() async throws -> CopyOrigin? { server.map { _ in CopyOrigin(server: "memory", root: place) } }

    public func stage(copiesOf resources: [CopiedResource], from origin: CopyOrigin) async throws -> [StagedCopy] {
        guard let server, server.manner != .refusing else { return resources.map { _ in .refused(reason: "not here") } }
        return try resources.map { resource in
            guard let held = server.copy(of: resource.key, at: origin.root) else { throw Vanished(resource.key) }
            withContent { content in
                content.staged[resource.key] = held
                content.serverCopies.insert(resource.key)
            }
            return .staged(modified: held.modified)
        }
    }
}
