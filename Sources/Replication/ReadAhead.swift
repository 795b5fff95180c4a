internal import Kloset
internal import Storage

/// Reads the chunks of one large resource, several at a time where a place takes long to answer, and gives them in order.
///
/// The chunk that is needed next waits for memory, those behind it take only what is idle: readers never wait for each other's.
struct ReadAhead {
    struct Chunk: Sendable {
        var index: Int
        var piece: Piece
        var count: Result<Int, any Error>
    }

    private let reader: any StoreReader
    private let key: ResourceKey
    private let size: Int64
    private let pieces: PiecePool
    private let meter: SourceMeter
    private var started = 0
    private var arrived: [Int: Chunk] = [:]

    /// Pieces that reading ahead leaves for those who need one now.
    private static let reserve = 4

    init(_ key: ResourceKey, size: Int64, of reader: any StoreReader, pieces: PiecePool, meter: SourceMeter) {
        (self.key, self.size, self.reader, self.pieces, self.meter) = (key, size, reader, pieces, meter)
    }

    /// The chunk `index`, which must be the one behind the last that was asked for.
    mutating func chunk(_ index: Int, in group: inout ThrowingTaskGroup<Chunk, any Error>) async throws -> Chunk {
        let end = min(ChunkLayout.count(size: size), index + reader.capabilities.chunksInFlight)
        while started < max(end, index + 1) {
            var piece = pieces.acquireIfIdle(leaving: Self.reserve)
            if piece == nil, started == index { piece = try await pieces.acquire() }
            guard let piece else { break }
            let (reader, key, number, range) = (reader, key, started, ChunkLayout.range(started, size: size))
            try await meter.take(range.count)
            group.addTask {
                do {
                    let count = try await reader.read(
                        key, from: .published, at: range.lowerBound, count: range.count, into: piece)
                    return Chunk(index: number, piece: piece, count: .success(count))
                } catch {
                    return Chunk(index: number, piece: piece, count: .failure(error))
                }
            }
            started += 1
        }
        while true {
            if let chunk = arrived.removeValue(forKey: index) { return chunk }
            guard let chunk = try await group.next() else { throw CancellationError() }
            arrived[chunk.index] = chunk
        }
    }
}
