public import Kloset

extension SHA256 {
    /// HMAC-SHA256 (RFC 2104) of bytes that are at hand as a whole.
    ///
    /// - Parameter key: of any length; one longer than a block of 64 bytes is hashed first, as the standard says.
    public static func authenticationCode(of message: [UInt8], key: UnsafeRawBufferPointer) -> Digest {
        let blockByteCount = 64
        var block = [UInt8](repeating: 0, count: blockByteCount)
        defer { for index in block.indices { block[index] = 0 } }
        if key.count > blockByteCount {
            block.replaceSubrange(0..<Bits256.byteCount, with: digest(of: key).bytes)
        } else {
            block.replaceSubrange(0..<key.count, with: key)
        }
        for index in block.indices { block[index] ^= 0x36 }
        let inner = SHA256()
        inner.update(block)
        inner.update(message)
        for index in block.indices { block[index] ^= 0x36 ^ 0x5c }
        let outer = SHA256()
        outer.update(block)
        outer.update(inner.finalize().bytes)
        return outer.finalize()
    }
}
