/// Why bytes cannot be a store's CONFIG: a phrase that completes "CONFIG …".
public struct ConfigurationDamage: Error, Sendable, Equatable, CustomStringConvertible {
    public var reason: String

    public init(_ reason: String) {
        self.reason = reason
    }

    public var description: String { reason }
}

/// Reads MessagePack (its specification of 2017-08-09) from memory, value by value, believing nothing.
///
/// Nothing is allocated for what a length claims: texts and binaries are ranges of the input, and a count that the remaining bytes cannot
/// hold is refused where it is read. Copy the reader to look ahead.
struct MessagePackReader {
    /// Containers within containers. CONFIG has four levels.
    static let nestingMax = 32

    /// The next value; for a container only its head, whose elements follow.
    enum Token: Equatable {
        case null
        case bool(Bool)
        case unsigned(UInt64)
        case negative(Int64)
        case float(Double)
        /// A range of the input; UTF-8 is checked by whoever makes a string of it.
        case text(Range<Int>)
        case binary(Range<Int>)
        case array(count: Int)
        /// `count` keys, each followed by its value.
        case map(count: Int)
        case extended(type: Int8, Range<Int>)
    }

    private let bytes: UnsafeRawBufferPointer
    private var position = 0

    /// - Parameter bytes: must outlive the reader.
    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    var isAtEnd: Bool { position == bytes.count }

    /// Reads one value or the head of a container.
    mutating func next() throws(ConfigurationDamage) -> Token {
        let format = UInt8(try integer(byteCount: 1))
        switch format {
        case 0x00...0x7f: return .unsigned(UInt64(format))
        case 0x80...0x8f: return try map(UInt64(format & 0x0f))
        case 0x90...0x9f: return try array(UInt64(format & 0x0f))
        case 0xa0...0xbf: return .text(try range(UInt64(format & 0x1f)))
        case 0xc0: return .null
        case 0xc2, 0xc3: return .bool(format == 0xc3)
        case 0xc4...0xc6: return .binary(try range(try integer(byteCount: 1 << Int(format - 0xc4))))
        case 0xc7...0xc9: return try extended(try integer(byteCount: 1 << Int(format - 0xc7)))
        case 0xca: return .float(Double(Float(bitPattern: UInt32(try integer(byteCount: 4)))))
        case 0xcb: return .float(Double(bitPattern: try integer(byteCount: 8)))
        case 0xcc...0xcf: return .unsigned(try integer(byteCount: 1 << Int(format - 0xcc)))
        case 0xd0...0xd3: return try signed(byteCount: 1 << Int(format - 0xd0))
        case 0xd4...0xd8: return try extended(1 << UInt64(format - 0xd4))
        case 0xd9...0xdb: return .text(try range(try integer(byteCount: 1 << Int(format - 0xd9))))
        case 0xdc, 0xdd: return try array(try integer(byteCount: format == 0xdc ? 2 : 4))
        case 0xde, 0xdf: return try map(try integer(byteCount: format == 0xde ? 2 : 4))
        case 0xe0...0xff: return .negative(Int64(Int8(bitPattern: format)))
        default: throw ConfigurationDamage("holds a byte that begins no value")  // 0xc1
        }
    }

    /// Passes over one value with all that it contains, without recursion.
    mutating func skip() throws(ConfigurationDamage) {
        var open: [Int] = []  // how many values each open container still has; never longer than nestingMax
        repeat {
            while let last = open.last, last == 0 { open.removeLast() }
            if !open.isEmpty { open[open.count - 1] -= 1 }
            switch try next() {
            case .array(let count): open.append(count)
            case .map(let count): open.append(2 * count)
            default: break
            }
            guard open.count <= Self.nestingMax else { throw ConfigurationDamage("is nested more than \(Self.nestingMax) deep") }
        } while open.contains { $0 > 0 }
    }

    /// The bytes of a range that ``next()`` gave.
    subscript(range: Range<Int>) -> UnsafeRawBufferPointer { UnsafeRawBufferPointer(rebasing: bytes[range]) }

    private var remaining: Int { bytes.count - position }

    /// A big-endian unsigned integer of 1, 2, 4 or 8 bytes.
    private mutating func integer(byteCount: Int) throws(ConfigurationDamage) -> UInt64 {
        guard byteCount <= remaining else { throw ConfigurationDamage("is cut short") }
        var value: UInt64 = 0
        for index in position..<(position + byteCount) { value = value << 8 | UInt64(bytes[index]) }
        position += byteCount
        return value
    }

    private mutating func signed(byteCount: Int) throws(ConfigurationDamage) -> Token {
        let unused = UInt64(64 - 8 * byteCount)
        let value = Int64(bitPattern: try integer(byteCount: byteCount) << unused) >> Int64(unused)
        return value < 0 ? .negative(value) : .unsigned(UInt64(value))
    }

    private mutating func range(_ byteCount: UInt64) throws(ConfigurationDamage) -> Range<Int> {
        guard byteCount <= UInt64(remaining) else { throw ConfigurationDamage("claims a length beyond its end") }
        position += Int(byteCount)
        return (position - Int(byteCount))..<position
    }

    private mutating func extended(_ byteCount: UInt64) throws(ConfigurationDamage) -> Token {
        let type = Int8(bitPattern: UInt8(try integer(byteCount: 1)))
        return .extended(type: type, try range(byteCount))
    }

    private func array(_ count: UInt64) throws(ConfigurationDamage) -> Token {
        guard count <= UInt64(remaining) else { throw ConfigurationDamage("claims more elements than it has bytes") }
        return .array(count: Int(count))
    }

    private func map(_ count: UInt64) throws(ConfigurationDamage) -> Token {
        guard count <= UInt64(remaining / 2) else { throw ConfigurationDamage("claims more elements than it has bytes") }
        return .map(count: Int(count))
    }
}
