/// How a request ended (draft, section 7).
public struct SFTPStatus: Sendable, Equatable {
    public enum Code: Sendable, Equatable {
        case ok, endOfFile, noSuchFile, permissionDenied, failure, badMessage, noConnection, connectionLost, unsupported
        case other(UInt32)
    }

    public var code: Code
    /// What the server says about it: at most ``SFTPBounds/messageMax`` bytes, without control characters; often just `Failure`.
    public var message: String

    public init(code: Code, message: String = "") {
        self.code = code
        self.message = message
    }

    public var isOK: Bool { code == .ok }

    init(from reader: inout WireReader) throws(SFTPViolation) {
        let number = try reader.uint32()
        let known: [Code] = [
            .ok, .endOfFile, .noSuchFile, .permissionDenied, .failure, .badMessage, .noConnection, .connectionLost, .unsupported,
        ]
        code = Int(number) < known.count ? known[Int(number)] : .other(number)
        message = ""
        // Servers of the time before version 3 was settled send neither text nor language.
        guard reader.left > 0 else { return }
        let text = try reader.string(max: SFTPBounds.packetMax, "a message")
        message = Self.printable(text)
        if reader.left > 0 { try reader.skipString() }
    }

    /// Text that is safe on a terminal.
    static func printable(_ bytes: [UInt8]) -> String {
        let text = String(decoding: bytes.prefix(SFTPBounds.messageMax), as: UTF8.self)
        return String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { scalar in
                    switch scalar.properties.generalCategory {
                    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: "\u{FFFD}"
                    default: scalar
                    }
                }))
    }
}

/// `statvfs@openssh.com`, as far as it is used.
public struct SFTPFileSystem: Sendable, Equatable {
    /// Bytes that an ordinary user can still write; `Int64.max` when it is more than that.
    public var freeByteCount: Int64
    public var isReadOnly: Bool

    init(from reader: inout WireReader) throws(SFTPViolation) {
        _ = try reader.uint64()  // block size
        let fragment = try reader.uint64()
        for _ in 0..<2 { _ = try reader.uint64() }  // blocks, free blocks
        let available = try reader.uint64()
        for _ in 0..<4 { _ = try reader.uint64() }  // files, free files, available files, id
        isReadOnly = try reader.uint64() & 1 != 0
        _ = try reader.uint64()  // longest name
        let (bytes, overflow) = fragment.multipliedReportingOverflow(by: available)
        freeByteCount = overflow ? .max : Int64(clamping: bytes)
    }
}

/// `limits@openssh.com`: zero means that the server does not say.
public struct SFTPServerLimits: Sendable, Equatable {
    public var packet: UInt64
    public var read: UInt64
    public var write: UInt64
    public var handles: UInt64

    init(from reader: inout WireReader) throws(SFTPViolation) {
        packet = try reader.uint64()
        read = try reader.uint64()
        write = try reader.uint64()
        handles = try reader.uint64()
    }
}

/// What a server answered to one request.
public enum SFTPReply: Sendable, Equatable {
    case status(SFTPStatus)
    case handle(SFTPHandle)
    /// Where the bytes are in the packet: at least one, at most as many as were asked for.
    case data(Range<Int>)
    case names([SFTPName])
    case attributes(SFTPAttributes)
    case fileSystem(SFTPFileSystem)
    case limits(SFTPServerLimits)
}

extension SFTPReply {
    /// - Parameters:
    ///   - type: the packet's type; `reader` stands behind its id.
    ///   - request: what was asked.
    init(_ type: PacketType?, answering request: SFTPRequest, from reader: inout WireReader) throws(SFTPViolation) {
        switch (type, request.answer) {
        case (.status, let answer):
            let status = try SFTPStatus(from: &reader)
            if case .status = answer {} else if status.isOK { throw SFTPViolation("said OK instead of an answer") }
            self = .status(status)
        case (.handle, .handle):
            let handle = try reader.string(max: SFTPBounds.handleMax, "a handle")
            guard !handle.isEmpty else { throw SFTPViolation("sent an empty handle") }
            self = .handle(SFTPHandle(bytes: handle))
        case (.data, .data(let most)):
            let range = try reader.range(max: Int(most), "data")
            guard !range.isEmpty || most == 0 else { throw SFTPViolation("sent no data instead of the end of the file") }
            self = .data(range)
        case (.name, .names): self = .names(try Self.names(answering: request, from: &reader))
        case (.attrs, .attributes): self = .attributes(try SFTPAttributes(from: &reader))
        case (.extendedReply, .fileSystem): self = .fileSystem(try SFTPFileSystem(from: &reader))
        case (.extendedReply, .limits):
            self = .limits(try SFTPServerLimits(from: &reader))
            return  // later versions may send more
        default: throw SFTPViolation("answered with a packet of another type than was asked for")
        }
        try reader.end()
    }

    private static func names(
        answering request: SFTPRequest, from reader: inout WireReader
    ) throws(SFTPViolation) -> [SFTPName] {
        let count = Int(try reader.uint32())
        // Two empty strings and empty attributes take twelve bytes.
        guard count <= reader.left / 12 else { throw SFTPViolation("announced \(count) names and sent fewer") }
        if !request.listsFolder, count != 1 { throw SFTPViolation("gave \(count) names for one path") }
        var names: [SFTPName] = []
        names.reserveCapacity(count)
        for _ in 0..<count {
            let name = try reader.string(max: SFTPBounds.nameMax, "a name")
            guard !name.isEmpty, !name.contains(0) else { throw SFTPViolation("sent a name that is empty or holds a NUL") }
            if request.listsFolder, name.contains(UInt8(ascii: "/")) {
                throw SFTPViolation("sent a name in a folder that holds a slash")
            }
            try reader.skipString()  // the long form is for people
            names.append(SFTPName(name: name, attributes: try SFTPAttributes(from: &reader)))
        }
        return names
    }
}
