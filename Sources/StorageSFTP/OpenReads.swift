internal import Kloset
internal import SFTPProtocol
internal import Storage
internal import Synchronization

/// A file as it was opened for reading, on each connection that reads of it.
final class OpenFile: Sendable {
    let path: [UInt8]
    let key: ResourceKey
    private let state = Mutex(State())

    private struct State {
        var handles: [(connection: SFTPConnection, handle: SFTPHandle)] = []
        var size = Int64.max
    }

    init(_ path: [UInt8], _ key: ResourceKey) {
        self.path = path
        self.key = key
    }

    deinit {
        for (connection, handle) in state.withLock({ $0.handles }) { connection.forget(.close(handle)) }
    }

    /// Bytes, as far as the server said so.
    var size: Int64 { state.withLock { $0.size } }

    func handle(on connection: SFTPConnection) -> SFTPHandle? {
        state.withLock { state in state.handles.first { $0.connection === connection }?.handle }
    }

    func add(_ handle: SFTPHandle, size: Int64?, on connection: SFTPConnection) {
        state.withLock { state in
            state.handles.removeAll { $0.connection.failure != nil }
            state.handles.append((connection, handle))
            if let size { state.size = size }
        }
    }
}

/// A file that is being read from end to end, with the chunks that are already on their way.
struct OpenRead: Sendable {
    let file: OpenFile
    /// Where the next chunk begins that is likely to be asked for.
    private(set) var next: Int64 = 0
    private var ahead: [Ahead] = []

    /// A chunk on its way.
    private struct Ahead {
        var offset: Int64
        var piece: Piece
        var task: Task<Int, any Error>
    }

    /// With the chunk that is asked for, 8 MiB are under way for a file that is read alone: 2.5 MB are on a line of 20 ms and 1 Gbit/s, as much
    /// waits at either end of it, and a chunk is whole only when its last byte is there.
    static let aheadMax = 7
    /// And 4 MiB for each where several are read.
    static let aheadMin = 3

    init(_ file: OpenFile) {
        self.file = file
    }

    /// Bytes at an offset, fewer only at the end of the file.
    ///
    /// - Parameter read: reads that of the file over any connection.
    mutating func read(
        at offset: Int64, into piece: Piece, count: Int, by read: @Sendable (OpenFile, Int64, Piece, Int) async throws -> Int
    ) async throws -> Int {
        guard let first = ahead.first, first.offset == offset else { return try await read(file, offset, piece, count) }
        ahead.removeFirst()
        let got = try await withTaskCancellationHandler {
            try await first.task.value
        } onCancel: {
            first.task.cancel()
        }
        piece.memory.copyMemory(from: first.piece.bytes(0..<min(got, count)))
        return min(got, count)
    }

    /// The next chunk that is asked for is likely to begin here.
    mutating func expect(_ offset: Int64) { next = offset }

    /// Whether nothing is left to be read.
    var isOver: Bool { next >= file.size }

    /// Asks for the chunks that are likely to be wanted next.
    mutating func lookAhead(
        _ count: Int, in pool: PiecePool, by read: @escaping @Sendable (OpenFile, Int64, Piece, Int) async throws -> Int
    ) async throws {
        while ahead.count < count {
            let offset = (ahead.last.map { $0.offset + Int64(ChunkLayout.chunkByteCount) }) ?? next
            guard offset < file.size else { return }
            let piece = try await pool.acquire()
            let task = Task { [file] in try await read(file, offset, piece, ChunkLayout.chunkByteCount) }
            ahead.append(Ahead(offset: offset, piece: piece, task: task))
        }
    }

    /// Nobody wants what is on its way any more; it is dropped when it comes.
    func cancel() {
        for one in ahead { one.task.cancel() }
    }
}

/// Files that are being read, between one chunk and the next.
struct OpenReads {
    /// As many as may be read at the same time; what is read to its end leaves at once.
    static let countMax = 16
    private var files: [OpenRead] = []

    /// How many chunks each file may have on their way: all of what one may have, where it is the only one.
    var ahead: Int { max(OpenRead.aheadMin, OpenRead.aheadMax / max(1, files.count)) }

    /// The file whose next chunk this is; it is the caller's then.
    mutating func take(_ path: [UInt8], at offset: Int64) -> OpenRead? {
        guard let index = files.firstIndex(where: { $0.next == offset && $0.file.path == path }) else { return nil }
        return files.remove(at: index)
    }

    /// Keeps a file; the one that has to leave for it is returned.
    mutating func keep(_ file: OpenRead) -> OpenRead? {
        files.append(file)
        return files.count > Self.countMax ? files.removeFirst() : nil
    }
}
