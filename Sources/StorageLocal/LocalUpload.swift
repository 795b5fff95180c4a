internal import Hashing
internal import Kloset
internal import Storage
internal import Synchronization

/// A large resource on its way into `.sealift/uploads`.
final class LocalUpload: Upload {
    private let store: LocalStore
    private let key: ResourceKey
    private let size: Int64
    private let modified: Timestamp
    /// The staged file; nil once it is finished or abandoned.
    private let file: Mutex<Int32?>
    /// ``UnsyncedWork/failures`` when the first byte was written: if a sync fails meanwhile, these bytes may be lost with the rest.
    private let failures: Int

    init(store: LocalStore, key: ResourceKey, size: Int64, modified: Timestamp, file: Int32, failures: Int) {
        self.store = store
        self.key = key
        self.size = size
        self.modified = modified
        self.file = Mutex(file)
        self.failures = failures
    }

    deinit {
        close()
    }

    func heldChunks() async throws -> [ChunkHash] {
        try await store.run("cannot read what was staged for", key, writing: true) { [self] in
            let file = try open()
            let held = min(try store.files.status(of: file).size, size)
            guard held > 0 else { return [] }
            // Pages that an earlier run failed to write out may look clean in the cache: only the medium tells what is really held.
            try store.files.sync(file)
            store.files.dropCache(file, at: 0, count: 0)
            let piece = Piece()
            var hashes: [ChunkHash] = []
            for index in 0..<ChunkLayout.count(size: size) {
                let range = ChunkLayout.range(index, size: size)
                guard range.upperBound <= held else { break }
                let target = UnsafeMutableRawBufferPointer(rebasing: piece.memory[..<range.count])
                guard try store.files.readFully(file, into: target, at: range.lowerBound) == range.count else { break }
                hashes.append(ChunkHash(of: UnsafeRawBufferPointer(target)))
            }
            return hashes
        }
    }

    func write(chunk index: Int, from piece: Piece, count: Int) async throws {
        try await store.run("cannot write", key, writing: true) { [self] in
            guard (0..<ChunkLayout.count(size: size)).contains(index), ChunkLayout.range(index, size: size).count == count else {
                throw store.failure(.usage, "cannot write", key, "there is no chunk \(index) of \(count) bytes")
            }
            let file = try open()
            let start = ChunkLayout.range(index, size: size).lowerBound
            try store.files.writeFully(file, piece.bytes(0..<count), at: start)
            // Keeps the disk busy from the first chunk on, instead of leaving everything to the sync at the end.
            store.files.startWriteBack(file, at: start, count: Int64(count))
        }
    }

    func finish() async throws {
        try await store.run("cannot write", key, writing: true) { [self] in
            let file = try open()
            try store.files.setSize(file, size)
            try store.files.setModified(file, modified)
            close()
            let standing = store.state.withLock { state in
                state.unsynced.didStage([key], since: failures)
                return state.unsynced.isLost(key) ? state.unsynced.standing : nil
            }
            if let standing { throw standing.at(store.place, key) }
        }
    }

    func abandon() async {
        close()
    }

    private func open() throws -> Int32 {
        guard let file = file.withLock({ $0 }) else {
            throw store.failure(.usage, "cannot write", key, "the upload was finished or abandoned before")
        }
        return file
    }

    private func close() {
        let closing = file.withLock { file in
            defer { file = nil }
            return file
        }
        if let closing { store.files.close(closing) }
    }
}
