/// What has a name on a server, from the type bits of its permissions.
public enum SFTPFileType: Sendable, Equatable {
    case regular, folder, symlink, other
    /// The server did not say.
    case unknown
}

/// Attributes of a file (draft, section 5). Times are whole seconds since 1970.
public struct SFTPAttributes: Sendable, Equatable {
    /// Bytes, never more than `Int64.max`.
    public var size: Int64?
    public var permissions: UInt32?
    public var accessed: UInt32?
    public var modified: UInt32?

    public init(size: Int64? = nil, permissions: UInt32? = nil, accessed: UInt32? = nil, modified: UInt32? = nil) {
        self.size = size
        self.permissions = permissions
        self.accessed = accessed
        self.modified = modified
    }

    private enum Flag {
        static let size: UInt32 = 1
        static let owner: UInt32 = 2
        static let permissions: UInt32 = 4
        static let times: UInt32 = 8
        static let extended: UInt32 = 0x8000_0000
        static let all = size | owner | permissions | times | extended
    }

    public var type: SFTPFileType {
        switch permissions.map({ $0 & 0o170000 }) {
        case nil, 0: .unknown
        case 0o100000: .regular
        case 0o040000: .folder
        case 0o120000: .symlink
        default: .other
        }
    }

    func write(to writer: inout WireWriter) {
        let times = modified.map { (accessed ?? $0, $0) }
        var flags: UInt32 = 0
        if size != nil { flags |= Flag.size }
        if permissions != nil { flags |= Flag.permissions }
        if times != nil { flags |= Flag.times }
        writer.add(flags)
        if let size { writer.add(UInt64(bitPattern: size)) }
        if let permissions { writer.add(permissions) }
        if let times {
            writer.add(times.0)
            writer.add(times.1)
        }
    }

    init(from reader: inout WireReader) throws(SFTPViolation) {
        let flags = try reader.uint32()
        guard flags & ~Flag.all == 0 else { throw SFTPViolation("sent attributes that version 3 does not have") }
        if flags & Flag.size != 0 {
            guard let size = Int64(exactly: try reader.uint64()) else { throw SFTPViolation("sent a size of 2^63 bytes or more") }
            self.size = size
        }
        if flags & Flag.owner != 0 {
            _ = try reader.uint32()
            _ = try reader.uint32()
        }
        if flags & Flag.permissions != 0 { permissions = try reader.uint32() }
        if flags & Flag.times != 0 {
            accessed = try reader.uint32()
            modified = try reader.uint32()
        }
        guard flags & Flag.extended != 0 else { return }
        let count = Int(try reader.uint32())
        // Two empty strings take eight bytes.
        guard count <= reader.left / 8 else { throw SFTPViolation("announced \(count) attributes and sent fewer") }
        for _ in 0..<count {
            try reader.skipString()
            try reader.skipString()
        }
    }
}

/// One name of a folder. Never empty, without `/` and NUL.
public struct SFTPName: Sendable, Equatable {
    public var name: [UInt8]
    public var attributes: SFTPAttributes

    public init(name: [UInt8], attributes: SFTPAttributes) {
        self.name = name
        self.attributes = attributes
    }
}
