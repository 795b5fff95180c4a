/// Takes the fields of one packet apart (draft, section 2; RFC 4251, section 5). Never reads behind its end.
struct WireReader {
    private let bytes: UnsafeRawBufferPointer
    private(set) var position = 0

    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    var left: Int { bytes.count - position }

    mutating func byte() throws(SFTPViolation) -> UInt8 {
        guard left >= 1 else { throw Self.short }
        defer { position += 1 }
        return bytes[position]
    }

    mutating func uint32() throws(SFTPViolation) -> UInt32 {
        guard left >= 4 else { throw Self.short }
        defer { position += 4 }
        return UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt32.self))
    }

    mutating func uint64() throws(SFTPViolation) -> UInt64 {
        guard left >= 8 else { throw Self.short }
        defer { position += 8 }
        return UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self))
    }

    /// Where a string of at most `max` bytes is.
    mutating func range(max: Int, _ what: StaticString) throws(SFTPViolation) -> Range<Int> {
        let count = Int(try uint32())
        guard count <= left else { throw Self.short }
        guard count <= max else { throw SFTPViolation("sent \(what) of \(count) bytes") }
        defer { position += count }
        return position..<position + count
    }

    mutating func string(max: Int, _ what: StaticString) throws(SFTPViolation) -> [UInt8] {
        Array(bytes[try range(max: max, what)])
    }

    mutating func skipString() throws(SFTPViolation) {
        _ = try range(max: left, "a string")
    }

    /// Everything has been read.
    func end() throws(SFTPViolation) {
        guard left == 0 else { throw SFTPViolation("sent a packet with \(left) bytes too many") }
    }

    private static let short = SFTPViolation("sent a packet that ends in the middle of a field")
}

/// Puts a packet together.
struct WireWriter {
    private(set) var bytes: [UInt8]

    /// - Parameter following: data bytes that are sent behind these and belong to the packet.
    init(_ type: PacketType, id: UInt32?, capacity: Int = 64) {
        bytes = []
        bytes.reserveCapacity(capacity)
        bytes += [0, 0, 0, 0, type.rawValue]
        if let id { add(id) }
    }

    mutating func add(_ value: UInt32) {
        withUnsafeBytes(of: value.bigEndian) { bytes += $0 }
    }

    mutating func add(_ value: UInt64) {
        withUnsafeBytes(of: value.bigEndian) { bytes += $0 }
    }

    mutating func add(_ string: [UInt8]) {
        add(UInt32(string.count))
        bytes += string
    }

    mutating func add(_ string: StaticString) {
        add(UInt32(string.utf8CodeUnitCount))
        string.withUTF8Buffer { bytes += $0 }
    }

    /// The packet with its length in front.
    ///
    /// - Parameter following: how many bytes are sent behind these and belong to the packet.
    consuming func finish(following: Int = 0) -> [UInt8] {
        let length = UInt32(bytes.count - 4 + following).bigEndian
        withUnsafeBytes(of: length) { raw in
            for (index, byte) in raw.enumerated() { bytes[index] = byte }
        }
        return bytes
    }
}
