internal import Storage

/// The bytes of a request's body, handed out from where they lie.
struct BodySource {
    let byteCount: Int
    private let body: HTTPBody
    private var slice = 0
    /// Within the slice, or within the bytes.
    private var offset = 0

    init(_ body: HTTPBody) {
        self.body = body
        byteCount = body.byteCount
    }

    /// Copies the next bytes; 0 when there are no more.
    mutating func read(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        switch body {
        case .none: return 0
        case .bytes(let bytes):
            let count = min(buffer.count, bytes.count - offset)
            bytes.withUnsafeBytes { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<offset + count])) }
            offset += count
            return count
        case .pieces(let slices):
            var filled = 0
            while filled < buffer.count, slice < slices.count {
                let range = slices[slice].range
                let count = min(buffer.count - filled, range.count - offset)
                let start = range.lowerBound + offset
                UnsafeMutableRawBufferPointer(rebasing: buffer[filled...])
                    .copyMemory(from: slices[slice].piece.bytes(start..<start + count))
                filled += count
                offset += count
                if offset == range.count { (slice, offset) = (slice + 1, 0) }
            }
            return filled
        }
    }
}

/// Where the bytes of an answer's body go.
struct BodyTarget {
    /// Of a successful answer.
    let byteCountMax: Int
    private let pieces: [Piece]
    private(set) var bytes: [UInt8] = []
    private(set) var byteCount = 0

    init(_ sink: HTTPSink) {
        switch sink {
        case .bytes(let max): (byteCountMax, pieces) = (max, [])
        case .pieces(let list, let max): (byteCountMax, pieces) = (min(max, list.reduce(0) { $0 + $1.memory.count }), list)
        }
    }

    /// Returns false when there are more than allowed; then none of them is taken.
    mutating func take(_ source: UnsafeRawBufferPointer) -> Bool {
        guard source.count <= byteCountMax - byteCount else { return false }
        if pieces.isEmpty { bytes.append(contentsOf: source) } else { copy(source) }
        byteCount += source.count
        return true
    }

    /// All pieces have one size, that of a chunk.
    private func copy(_ source: UnsafeRawBufferPointer) {
        var done = 0
        while done < source.count {
            let size = pieces[0].memory.count
            let (piece, offset) = (byteCount + done).quotientAndRemainder(dividingBy: size)
            let count = min(source.count - done, size - offset)
            UnsafeMutableRawBufferPointer(rebasing: pieces[piece].memory[offset...])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: source[done..<done + count]))
            done += count
        }
    }

    /// Keeps the beginning of an error document; false when it is too long.
    mutating func takeError(_ source: UnsafeRawBufferPointer) -> Bool {
        let room = HTTPResponse.errorByteCountMax - bytes.count
        bytes.append(contentsOf: source.prefix(room))
        byteCount = bytes.count
        return source.count <= room
    }
}
