/// What anyone can check of a resource without a key: magic, type and length (kloset-format 1).
public enum ResourceFace {
    /// Magic, type and version.
    public static let headerByteCount = 16
    /// The MAC over all that precedes it.
    public static let trailerByteCount = 32
    /// Header and trailing MAC: nothing whole is shorter.
    public static let byteCountMin: Int64 = 48

    /// A reason why these cannot be the bytes of a resource, or nil when they look whole.
    ///
    /// A higher version is no damage: a replicator copies what it does not understand.
    ///
    /// - Parameters:
    ///   - header: the first bytes of the resource, 16 when there are as many.
    ///   - size: the length of the whole resource in bytes.
    ///   - kind: what it should be.
    public static func damage(header: UnsafeRawBufferPointer, size: Int64, kind: ResourceKind) -> String? {
        if let reason = damage(size: size) { return reason }
        guard header.count >= headerByteCount else { return "its header could not be read" }
        let magic = header.prefix(8)
        guard magic.elementsEqual("_KLOSET_".utf8) || magic.elementsEqual("_PLAKAR_".utf8) else {
            return "it does not begin with a store's magic"
        }
        let type = UInt32(littleEndian: header.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        guard type == UInt32(kind.rawValue) else {
            return "its header says type \(type), a \(kind.name) is type \(kind.rawValue)"
        }
        return nil
    }

    /// The same as far as the length alone tells, in bytes.
    public static func damage(size: Int64) -> String? {
        size >= byteCountMin ? nil : "it is \(size) bytes long, a whole one has at least \(byteCountMin)"
    }
}
