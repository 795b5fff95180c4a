internal import CZstd

/// The text lines of one zstd frame that may have been written by anyone: bounded memory, one line at a time.
final class DecompressedLines {
    /// Why the bytes are no frame of lines.
    struct Illegible: Error {
        var reason: String
    }

    private let context: OpaquePointer
    private let stored: [UInt8]
    private var storedOffset = 0
    private var frameEnded = false
    /// Decompressed text; lines before `start` have been given out.
    private var text: [UInt8] = []
    private var start = 0
    private var searched = 0
    private var byteCount = 0

    /// - Parameter stored: one frame and nothing else.
    init(_ stored: [UInt8]) throws(Illegible) {
        guard stored.count <= LedgerFormat.storedByteCountMax else { throw Illegible(reason: "it is too long") }
        // RFC 8878, section 3.1.1. Skippable frames have other magic numbers and are refused.
        guard stored.starts(with: [0x28, 0xb5, 0x2f, 0xfd]) else { throw Illegible(reason: "it is no zstd frame") }
        guard let made = ZSTD_createDCtx() else { preconditionFailure("no memory for a decompressor") }
        context = made
        self.stored = stored
        // 2^23 bytes: what a frame may make us allocate. Our own frames ask for less; zstd's default would allow 128 MiB.
        ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, 23)
    }

    deinit {
        ZSTD_freeDCtx(context)
    }

    /// Lends the next line, without its line feed, or nil at the end of the text.
    ///
    /// - Throws: ``Illegible`` also for a last line without a line feed, a line or a text that is too long, and bytes behind the
    ///   frame.
    func next<Value>(_ body: (UnsafeRawBufferPointer) throws -> Value) throws -> Value? {
        while true {
            if let end = text[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                let line = start..<end
                start = end + 1
                searched = start
                guard line.count < LedgerFormat.lineByteCountMax else { throw Illegible(reason: "a line is too long") }
                return try text.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[line])) }
            }
            searched = text.count
            guard searched - start < LedgerFormat.lineByteCountMax else { throw Illegible(reason: "a line is too long") }
            if frameEnded { return try finish() }
            try decompress()
        }
    }

    private func finish<Value>() throws(Illegible) -> Value? {
        guard start == text.count else { throw Illegible(reason: "the last line is cut short") }
        guard storedOffset == stored.count else { throw Illegible(reason: "something follows its end") }
        return nil
    }

    /// Appends up to one block of text.
    private func decompress() throws(Illegible) {
        text.removeFirst(start)
        searched -= start
        start = 0
        let room = ZSTD_DStreamOutSize()
        var code = 0
        var consumed = 0
        text += stored.withUnsafeBytes { bytes in
            [UInt8](unsafeUninitializedCapacity: room) { target, count in
                var input = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: storedOffset)
                var output = ZSTD_outBuffer(dst: target.baseAddress, size: room, pos: 0)
                code = ZSTD_decompressStream(context, &output, &input)
                consumed = input.pos
                count = ZSTD_isError(code) == 0 ? output.pos : 0
            }
        }
        guard ZSTD_isError(code) == 0 else { throw Illegible(reason: String(cString: ZSTD_getErrorName(code))) }
        let gained = text.count - searched
        byteCount += gained
        guard byteCount <= LedgerFormat.textByteCountMax else { throw Illegible(reason: "its text is too long") }
        frameEnded = code == 0
        guard frameEnded || gained > 0 || consumed < stored.count || consumed > storedOffset else {
            throw Illegible(reason: "it is cut short")
        }
        storedOffset = consumed
    }
}
