/// 256 bits in big-endian order, compared as their hexadecimal text would be.
///
/// The shared shape of ``ResourceID`` and ``Digest``: four machine words, so that an inventory of a million needs no allocation per entry.
public struct Bits256: Sendable, Hashable, Comparable {
    private var words: (UInt64, UInt64, UInt64, UInt64)

    /// All bits zero.
    public static let zero = Bits256(words: (0, 0, 0, 0))

    /// The number of bytes of the binary form.
    public static let byteCount = 32

    private init(words: (UInt64, UInt64, UInt64, UInt64)) {
        self.words = words
    }

    /// Reads the binary form.
    ///
    /// - Parameter bytes: at least 32 bytes; the first 32 are read.
    public init(bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count >= Self.byteCount, "a 256-bit value needs 32 bytes")
        words = (
            UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self)),
            UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
            UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self)),
            UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 24, as: UInt64.self))
        )
    }

    /// Reads the binary form; nil unless there are exactly 32 bytes.
    public init?(_ bytes: some Collection<UInt8>) {
        guard bytes.count == Self.byteCount else { return nil }
        self = Array(bytes).withUnsafeBytes { Bits256(bytes: $0) }
    }

    /// Parses 64 lower-case hexadecimal digits; nil for anything else, upper case included.
    public init?(hex: UnsafeRawBufferPointer) {
        guard hex.count == 64 else { return nil }
        guard let a = Self.word(hex, at: 0), let b = Self.word(hex, at: 16), let c = Self.word(hex, at: 32),
            let d = Self.word(hex, at: 48)
        else { return nil }
        words = (a, b, c, d)
    }

    /// Parses 64 lower-case hexadecimal digits; nil for anything else.
    public init?(hex: String) {
        var text = hex
        guard let parsed = text.withUTF8({ Bits256(hex: UnsafeRawBufferPointer($0)) }) else { return nil }
        self = parsed
    }

    /// Sixteen digits, eight at a time in one register: names are parsed a million at a time, and digit by digit that was a sixth of a run
    /// with nothing to do.
    private static func word(_ hex: UnsafeRawBufferPointer, at start: Int) -> UInt64? {
        guard let high = eightDigits(UInt64(bigEndian: hex.loadUnaligned(fromByteOffset: start, as: UInt64.self))),
            let low = eightDigits(UInt64(bigEndian: hex.loadUnaligned(fromByteOffset: start + 8, as: UInt64.self)))
        else { return nil }
        return high << 32 | low
    }

    /// The 32 bits that eight lower-case digits stand for, the first digit in the highest byte; nil when one of them is none.
    private static func eightDigits(_ text: UInt64) -> UInt64? {
        let ones: UInt64 = 0x0101_0101_0101_0101
        let low = text & (ones &* 0x0f)
        let letter = text >> 6 & ones
        // The high half of each byte must be 3 for a digit, 6 for a letter.
        guard text & (ones &* 0xf0) == ones &* 0x30 &+ letter &* 0x30 else { return nil }
        // A digit's low half is at most 9, a letter's 1 to 6: adding 6, or 9 to a letter, overflows into bit 4 exactly when it is more.
        let nibbles = low &+ letter &* 9
        let digitTooLarge = (low &+ ones &* 6) & ~(letter &* 0xff) & (ones &* 0x10)
        let letterTooLarge = nibbles & (ones &* 0x10)
        let letterTooSmall = ~(low &+ ones &* 0x0f) & (letter &* 0x10)
        guard digitTooLarge | letterTooLarge | letterTooSmall == 0 else { return nil }
        var packed = (nibbles | nibbles >> 4) & 0x00ff_00ff_00ff_00ff
        packed = (packed | packed >> 8) & 0x0000_ffff_0000_ffff
        return (packed | packed >> 16) & 0xffff_ffff
    }

    /// Writes the binary form to the first 32 bytes of `target`.
    public func write(to target: UnsafeMutableRawBufferPointer) {
        precondition(target.count >= Self.byteCount, "a 256-bit value needs 32 bytes")
        target.storeBytes(of: words.0.bigEndian, toByteOffset: 0, as: UInt64.self)
        target.storeBytes(of: words.1.bigEndian, toByteOffset: 8, as: UInt64.self)
        target.storeBytes(of: words.2.bigEndian, toByteOffset: 16, as: UInt64.self)
        target.storeBytes(of: words.3.bigEndian, toByteOffset: 24, as: UInt64.self)
    }

    /// The binary form, 32 bytes.
    public var bytes: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: Self.byteCount) { buffer, count in
            write(to: UnsafeMutableRawBufferPointer(buffer))
            count = Self.byteCount
        }
    }

    /// 64 lower-case hexadecimal digits.
    public var hex: String {
        String(unsafeUninitializedCapacity: 64) { text in
            writeHex(to: text)
            return 64
        }
    }

    /// Writes 64 lower-case hexadecimal digits to the start of `text`.
    public func writeHex(to text: UnsafeMutableBufferPointer<UInt8>) {
        precondition(text.count >= 64, "a 256-bit value has 64 digits")
        writeHex(words.0, to: text, at: 0)
        writeHex(words.1, to: text, at: 16)
        writeHex(words.2, to: text, at: 32)
        writeHex(words.3, to: text, at: 48)
    }

    private func writeHex(_ word: UInt64, to text: UnsafeMutableBufferPointer<UInt8>, at start: Int) {
        for index in 0..<16 {
            let nibble = UInt8(truncatingIfNeeded: word >> UInt64(60 - 4 * index)) & 15
            text[start + index] = nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "a") + nibble - 10
        }
    }

    /// The first byte: the bucket of a resource in a store.
    public var firstByte: UInt8 { UInt8(words.0 >> 56) }

    public static func == (left: Bits256, right: Bits256) -> Bool { left.words == right.words }

    public static func < (left: Bits256, right: Bits256) -> Bool { left.words < right.words }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(words.0)
        hasher.combine(words.1)
        hasher.combine(words.2)
        hasher.combine(words.3)
    }
}
