internal import Kloset
internal import Reconciliation
internal import Storage
internal import Synchronization

/// A resource that some targets miss.
struct CopyItem: Sendable {
    var resource: ListedResource
    /// The numbers of the targets that miss it.
    var lanes: [Int]

    var size: Int64 { resource.size ?? 0 }
}

/// What one reader takes at a time.
enum CopyTask: Sendable {
    /// Small resources for the same targets, together at most one piece.
    case group([CopyItem])
    /// One resource larger than a piece.
    case large(CopyItem)
}

/// Everything of one kind that any target misses, each resource once, in ascending order: the merged plans of all targets, handed out to readers.
final class CopyQueue: Sendable {
    private struct State {
        /// By target.
        var cursors: [Int: InventorySpool.Cursor] = [:]
        var heads: [Int: ListedResource] = [:]
        var pending: CopyItem?
        var isStopped = false
    }

    private let kind: ResourceKind
    private let state = Mutex(State())
    /// Resources in a group: one bulk call of a few milliseconds.
    private static let groupCountMax = 256

    /// - Parameter plans: what targets miss, with sizes, by their numbers.
    init(_ kind: ResourceKind, of plans: [Int: InventorySpool]) throws {
        self.kind = kind
        try state.withLock { state in
            for (index, plan) in plans {
                state.cursors[index] = plan.cursor()
                try advance(index, &state)
            }
        }
    }

    /// To the target's next resource of the kind.
    private func advance(_ index: Int, _ state: inout State) throws {
        repeat {
            state.heads[index] = try state.cursors[index]?.next()
        } while state.heads[index].map { $0.key.kind < kind } ?? false
        if state.heads[index]?.key.kind != kind { state.heads[index] = nil }
    }

    /// What to read next, or nil when everything is handed out or the queue was stopped.
    func next() throws -> CopyTask? {
        try state.withLock { state in
            guard !state.isStopped, let first = try take(&state) else { return nil }
            guard first.size <= Int64(ChunkLayout.chunkByteCount) else { return .large(first) }
            var group = [first]
            var bytes = first.size
            while group.count < Self.groupCountMax, let item = try take(&state) {
                guard item.lanes == first.lanes, bytes + item.size <= Int64(ChunkLayout.chunkByteCount) else {
                    state.pending = item
                    break
                }
                group.append(item)
                bytes += item.size
            }
            return .group(group)
        }
    }

    /// Hands out nothing more.
    func stop() {
        state.withLock { $0.isStopped = true }
    }

    private func take(_ state: inout State) throws -> CopyItem? {
        if let item = state.pending {
            state.pending = nil
            return item
        }
        guard let least = state.heads.values.min(by: { $0.key < $1.key }) else { return nil }
        var item = CopyItem(resource: least, lanes: [])
        for index in state.heads.keys.sorted() where state.heads[index]?.key == least.key {
            item.lanes.append(index)
            try advance(index, &state)
        }
        return item
    }
}
