internal import Glibc
internal import Kloset
internal import SFTPProtocol
public import Storage
internal import Synchronization

extension SFTPStore {
    /// Leaves a note of who writes here. SFTP has no lock that ends with its holder, so the note only informs and never blocks: what keeps
    /// two writers apart are names that are never replaced.
    public func lock(holder: String) async throws -> any StoreLock {
        try await run { [self] connection, _ in
            try await makeRoot(on: connection)
            try await makeFolders(Layout.ownFolders, mode: 0o700, on: connection)
            let note = "\(Self.printable(holder.bytes)), \(nonce)\n".bytes
            try await write(Layout.holder, note, mayReplace: true, on: connection)
            return SFTPNote(self, note)
        }
    }

    /// Takes the note away if it is still ours, and with it what says that names may not be durable.
    func removeNote(_ note: [UInt8]) async {
        try? await run { [self] connection, _ in
            try await unmarkUnsynced(on: connection)
            guard try await read(Layout.holder, 1024, on: connection) == note else { return }
            _ = try await connection.send(.remove(path: try await path(Layout.holder, on: connection)))
        }
    }
}

/// Stands for the note while a run writes.
private final class SFTPNote: StoreLock {
    private let store: Mutex<SFTPStore?>
    private let note: [UInt8]

    init(_ store: SFTPStore, _ note: [UInt8]) {
        self.store = Mutex(store)
        self.note = note
    }

    func release() async {
        let store = store.withLock { store in
            defer { store = nil }
            return store
        }
        guard let store else { return }
        // Also after the run was cancelled: a task of its own is not.
        let note = note
        await Task { await store.removeNote(note) }.value
    }
}
