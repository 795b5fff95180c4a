internal import Kloset
internal import Storage
internal import Synchronization

/// How a ``MemoryStore`` misbehaves in one kind of operation.
public enum Fault: Sendable, Equatable {
    /// The next call fails, later ones work.
    case once
    /// Every call fails.
    case always
    /// This many calls work, all later ones fail.
    case late(after: Int)
    /// Half of the next call is done, then it fails: half of the bytes, or half of the resources.
    case torn
    /// The next call says that it worked and did nothing; a read gives zeros.
    case lying
    /// Every call works but for one byte that is another one: of what is written, or of what is read.
    case flipping
    /// The next call is done whole and answers with an error.
    case doneButFailed
    /// In each call, the resources at these places fail and the others work. For calls that answer for each resource.
    case items(Set<Int>)
}

/// The operations of a store, by name.
public enum StoreOperation: String, Sendable, CaseIterable {
    case footprint, presence, list, extras, attributes, readWhole, read, document, documents
    case lock, prepare, stage, upload, heldChunks, writeChunk, finish, makeDurable, makeNamesDurable, publish, discard,
        discardStaged
    case exchange, replaceDocument, createDocument, quarantineDocument
}

/// The faults of one store; can be changed at any time.
public final class Faults: Sendable {
    private struct State {
        var faults: [StoreOperation: Fault] = [:]
        var calls: [StoreOperation: Int] = [:]
    }

    private let state = Mutex(State())

    public init(_ faults: [StoreOperation: Fault] = [:]) {
        for (operation, fault) in faults { self[operation] = fault }
    }

    /// The fault of an operation; nil is none.
    public subscript(operation: StoreOperation) -> Fault? {
        get { state.withLock { $0.faults[operation] } }
        set {
            state.withLock { state in
                state.faults[operation] = newValue
                state.calls[operation] = 0
            }
        }
    }

    /// How often an operation was called since its fault was last set.
    public func callCount(_ operation: StoreOperation) -> Int { state.withLock { $0.calls[operation] ?? 0 } }

    /// The fault that is due for this call.
    func due(_ operation: StoreOperation) -> Fault? {
        state.withLock { state in
            let call = state.calls[operation] ?? 0
            state.calls[operation] = call + 1
            switch state.faults[operation] {
            case nil: return nil
            case .late(let count): return call < count ? nil : .always
            case .once, .torn, .lying, .doneButFailed:
                defer { state.faults[operation] = nil }
                return state.faults[operation]
            case .always, .flipping, .items: return state.faults[operation]
            }
        }
    }

    /// What a fault throws.
    static func failure(_ operation: StoreOperation, _ place: String, _ key: ResourceKey? = nil) -> Failure {
        Failure(
            .readWrite, "cannot \(operation.rawValue)", resource: key, place: place, reason: "a fault was injected",
            retryable: true)
    }
}
