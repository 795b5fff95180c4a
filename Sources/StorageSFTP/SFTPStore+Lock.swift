internal import Glibc
internal import Kloset
internal import SFTPProtocol
public import Storage
internal import Synchronization

extension SFTPStore {
    /// Leaves a note of who writes here. SFTP has no lock that ends with its holder, so the note only informs and never blocks: what keeps
    /// two writers apart are names that are never replaced. That the place can be written to is known when this returns; the note itself is
    /// written beside the run.
    public func lock(holder: String) async throws -> any StoreLock {
        try await run { [self] connection, _ in
            try await makeOwn(on: connection)
            _ = try await triedTraits(on: connection)
        }
        let note = "\(Self.printable(holder.bytes)), \(nonce)\n".bytes
        let writing = Task { [self] in
            try await run { [self] connection, _ in
                try await write(Layout.holder, note, mayReplace: true, isLasting: false, on: connection)
            }
        }
        return SFTPNote(self, note, writing)
    }

    /// Takes the note away if it is still ours, and with it what says that names may not be durable.
    func removeNote(_ note: [UInt8]) async {
        if let marking = state.withLock({ $0.beside.marking }) { _ = try? await marking.value }
        try? await run { [self] connection, _ in
            async let unmarking: Void = unmarkUnsynced(on: connection)
            let found = try? await read(Layout.holder, 1024, on: connection)
            try await unmarking
            guard found == note else { return }
            _ = try await connection.send(.remove(path: try await path(Layout.holder, on: connection)))
        }
    }
}

/// Small things that are on their way while the run goes on, so that nobody waits their round trips out.
struct BesideTheRun {
    /// Writes the note that names may not be durable yet.
    var marking: Task<Void, any Error>?
    /// Writes down times of states that are staged.
    var keepingTimes: Task<Void, any Error>?
}

/// Stands for the note while a run writes.
private final class SFTPNote: StoreLock {
    private let store: Mutex<SFTPStore?>
    private let note: [UInt8]
    private let writing: Task<Void, any Error>

    init(_ store: SFTPStore, _ note: [UInt8], _ writing: Task<Void, any Error>) {
        self.store = Mutex(store)
        self.note = note
        self.writing = writing
    }

    func release() async {
        let store = store.withLock { store in
            defer { store = nil }
            return store
        }
        guard let store else { return }
        // Also after the run was cancelled: a task of its own is not.
        let (note, writing) = (note, writing)
        await Task {
            _ = try? await writing.value
            await store.removeNote(note)
        }.value
    }
}
