/// Cuts a stream of bytes into packets, however the stream was split. Its memory is fixed: one packet of the greatest length and as much again.
public struct PacketDecoder {
    private var buffer: [UInt8]
    private var start = 0
    private var end = 0

    public init() {
        buffer = [UInt8](repeating: 0, count: 2 * (SFTPBounds.packetMax + 4))
    }

    /// Has `body` put bytes into free room; it returns how many.
    ///
    /// There is always room for a byte as long as ``next(_:)`` is called until it returns nil.
    public mutating func receive<Trouble: Error>(
        _ body: (UnsafeMutableRawBufferPointer) throws(Trouble) -> Int
    ) throws(Trouble) -> Int {
        if start == end { (start, end) = (0, 0) }
        if start > buffer.count / 2 {
            buffer.withUnsafeMutableBytes { raw in
                UnsafeMutableRawBufferPointer(rebasing: raw[..<(end - start)])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: raw[start..<end]))
            }
            (start, end) = (0, end - start)
        }
        let from = end
        var outcome: Result<Int, Trouble> = .success(0)
        buffer.withUnsafeMutableBytes { raw in
            do throws(Trouble) {
                outcome = .success(try body(UnsafeMutableRawBufferPointer(rebasing: raw[from...])))
            } catch { outcome = .failure(error) }
        }
        let count = try outcome.get()
        precondition(count >= 0 && from + count <= buffer.count, "more bytes than there is room for")
        end += count
        return count
    }

    /// Has `body` look at the next whole packet, without its length.
    ///
    /// - Returns: what `body` returned, or nil when no whole packet is there yet.
    /// - Throws: ``SFTPViolation`` for a length that no packet has, or what `body` throws.
    public mutating func next<Value>(
        _ body: (UnsafeRawBufferPointer) throws(SFTPViolation) -> Value
    ) throws(SFTPViolation) -> Value? {
        guard end - start >= 4 else { return nil }
        let length = Int(
            UInt32(buffer[start]) << 24 | UInt32(buffer[start + 1]) << 16 | UInt32(buffer[start + 2]) << 8
                | UInt32(buffer[start + 3]))
        guard (1...SFTPBounds.packetMax).contains(length) else {
            throw SFTPViolation("announced a packet of \(length) bytes\(looksLikeText ? "; its first bytes are text" : "")")
        }
        guard end - start >= 4 + length else { return nil }
        let range = start + 4..<start + 4 + length
        start = range.upperBound
        var outcome: Result<Value, SFTPViolation>?
        buffer.withUnsafeBytes { raw in
            do throws(SFTPViolation) {
                outcome = .success(try body(UnsafeRawBufferPointer(rebasing: raw[range])))
            } catch { outcome = .failure(error) }
        }
        return try outcome?.get()
    }

    /// Whether bytes of a packet that is not whole yet are there.
    public var isInsidePacket: Bool { start != end }

    private var looksLikeText: Bool {
        buffer[start..<start + 4].allSatisfy { (0x20..<0x7f).contains($0) || $0 == 10 || $0 == 13 || $0 == 9 }
    }
}
