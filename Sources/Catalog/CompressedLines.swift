internal import CZstd

/// Text lines going into one zstd frame (RFC 8878), level 1: hexadecimal digits compress to half, and no level does much better.
final class CompressedLines {
    private let context: OpaquePointer
    private var compressed: [UInt8] = []
    /// What zstd has not seen yet: it is called once for many lines.
    private var waiting: [UInt8] = []
    private static let waitingMax = 64 << 10
    /// Bytes of text taken in so far.
    private(set) var byteCount = 0

    init() {
        guard let made = ZSTD_createCCtx() else { preconditionFailure("no memory for a compressor") }
        context = made
        ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, 1)
        // Four bytes that find a flipped bit before any line is parsed.
        ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1)
    }

    deinit {
        ZSTD_freeCCtx(context)
    }

    /// Adds a line; the line feed is added here.
    func append(_ line: [UInt8]) {
        waiting += line
        waiting.append(UInt8(ascii: "\n"))
        byteCount += line.count + 1
        if waiting.count >= Self.waitingMax { compress(ZSTD_e_continue) }
    }

    func append(_ line: String) {
        append(Array(line.utf8))
    }

    /// Ends the frame and gives its bytes.
    func finish() -> [UInt8] {
        compress(ZSTD_e_end)
        return compressed
    }

    private func compress(_ directive: ZSTD_EndDirective) {
        let room = ZSTD_CStreamOutSize()
        waiting.withUnsafeBytes { text in
            var input = ZSTD_inBuffer(src: text.baseAddress, size: text.count, pos: 0)
            var more = true
            while more {
                let piece = [UInt8](unsafeUninitializedCapacity: room) { target, count in
                    var output = ZSTD_outBuffer(dst: target.baseAddress, size: room, pos: 0)
                    let left = ZSTD_compressStream2(context, &output, &input, directive)
                    // Memory to memory it can only fail for want of memory.
                    precondition(ZSTD_isError(left) == 0, "zstd could not compress: \(String(cString: ZSTD_getErrorName(left)))")
                    more = directive == ZSTD_e_end ? left > 0 : input.pos < input.size
                    count = output.pos
                }
                compressed += piece
            }
        }
        waiting.removeAll(keepingCapacity: true)
    }
}
