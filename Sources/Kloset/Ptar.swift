/// Why a file cannot be a single-file archive: a phrase that completes "the archive …".
public struct PtarDamage: Error, Sendable, Equatable, CustomStringConvertible {
    public var reason: String

    public init(_ reason: String) {
        self.reason = reason
    }

    public var description: String { reason }
}

/// Where the parts of a ptar lie: one file with a CONFIG, one packfile and one state (kloset-format 4).
///
/// The parts' own ids are not in it, so it can be looked at and verified, but not unpacked into a store without the key.
public struct Ptar: Sendable, Equatable {
    /// How many first bytes of the file ``init(fileByteCount:head:trailer:)`` wants: magic and version, and four of CONFIG's.
    public static let headByteCount = 16
    /// How many last bytes of the file it wants: six little-endian 64-bit numbers.
    public static let trailerByteCount = 48
    /// Magic and version; CONFIG can begin behind them.
    private static let prefixByteCount: Int64 = 12

    public var version: FormatVersion
    /// Bytes of the file. Each part is at least ``ResourceFace/byteCountMin`` long; none reaches into another, the head or the trailer.
    public var config: Range<Int64>
    public var packfile: Range<Int64>
    public var state: Range<Int64>

    /// Checks head and trailer of a file and says where its parts are. What the parts hold is for ``ResourceFace`` to judge.
    ///
    /// - Parameters:
    ///   - fileByteCount: the length of the whole file.
    ///   - head: its first ``headByteCount`` bytes, fewer if it has fewer.
    ///   - trailer: its last ``trailerByteCount`` bytes, fewer if it has fewer.
    public init(
        fileByteCount: Int64, head: UnsafeRawBufferPointer, trailer: UnsafeRawBufferPointer
    ) throws(PtarDamage) {
        guard head.count >= Self.prefixByteCount, trailer.count == Self.trailerByteCount,
            fileByteCount >= Self.prefixByteCount + 3 * ResourceFace.byteCountMin + Int64(Self.trailerByteCount)
        else { throw PtarDamage("is only \(fileByteCount) bytes long") }
        guard head.prefix(8).elementsEqual("_PLATAR_".utf8) else { throw PtarDamage("does not begin with a ptar's magic") }
        version = FormatVersion(rawValue: UInt32(littleEndian: head.loadUnaligned(fromByteOffset: 8, as: UInt32.self)))

        let inside = Self.prefixByteCount..<(fileByteCount - Int64(Self.trailerByteCount))
        config = try Self.part("CONFIG", 0, of: trailer, inside: inside)
        packfile = try Self.part("packfile", 16, of: trailer, inside: inside)
        state = try Self.part("state", 32, of: trailer, inside: inside)
        guard !config.overlaps(packfile), !config.overlaps(state), !packfile.overlaps(state) else {
            throw PtarDamage("has parts that reach into each other")
        }
    }

    private static func part(
        _ name: String, _ place: Int, of trailer: UnsafeRawBufferPointer, inside: Range<Int64>
    ) throws(PtarDamage) -> Range<Int64> {
        let offset = Int64(littleEndian: trailer.loadUnaligned(fromByteOffset: place, as: Int64.self))
        let length = Int64(littleEndian: trailer.loadUnaligned(fromByteOffset: place + 8, as: Int64.self))
        guard inside.contains(offset), length >= 0, length <= inside.upperBound - offset else {
            throw PtarDamage("says its \(name) lies outside the file")
        }
        guard length >= ResourceFace.byteCountMin else { throw PtarDamage("says its \(name) is only \(length) bytes long") }
        return offset..<(offset + length)
    }
}
