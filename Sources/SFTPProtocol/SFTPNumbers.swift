/// Packet types of SFTP version 3 (draft-ietf-secsh-filexfer-02, section 3).
enum PacketType: UInt8 {
    case initialize = 1
    case version = 2
    case open = 3
    case close = 4
    case read = 5
    case write = 6
    case lstat = 7
    case fstat = 8
    case setstat = 9
    case fsetstat = 10
    case opendir = 11
    case readdir = 12
    case remove = 13
    case mkdir = 14
    case rmdir = 15
    case realpath = 16
    case stat = 17
    case rename = 18
    case status = 101
    case handle = 102
    case data = 103
    case name = 104
    case attrs = 105
    case extended = 200
    case extendedReply = 201
}

/// Bounds of what is sent and accepted, in bytes unless said otherwise.
public enum SFTPBounds {
    /// OpenSSH's longest packet (256 KiB) and room for a header: no server that keeps to the draft or to `limits@openssh.com` sends more.
    public static let packetMax = (256 << 10) + 1024
    /// Every server takes packets of 34,000 bytes (draft, section 3), so this much data fits into one.
    public static let dataStandard = 32 << 10
    /// OpenSSH reads and writes 255 KiB at most; more than this is never asked for, whatever a server offers.
    public static let dataMax = 255 << 10
    /// A handle is at most this long (draft, section 6.2).
    public static let handleMax = 256
    /// PATH_MAX of Linux; a longer name belongs to no file.
    public static let nameMax = 4096
    /// Extension pairs of a server's greeting, at most; OpenSSH 9 sends eleven.
    public static let extensionsMax = 256
    /// How much of a server's message is kept: enough for one sentence.
    public static let messageMax = 256
}

/// How a file is opened (draft, section 6.3).
public struct OpenFlags: OptionSet, Sendable {
    public let rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    public static let read = OpenFlags(rawValue: 1)
    public static let write = OpenFlags(rawValue: 2)
    public static let append = OpenFlags(rawValue: 4)
    public static let create = OpenFlags(rawValue: 8)
    public static let truncate = OpenFlags(rawValue: 16)
    /// Fails when the name is taken; only together with `create`.
    public static let exclusive = OpenFlags(rawValue: 32)
}

/// A server broke the protocol: nothing more of what it says on this connection can be understood.
public struct SFTPViolation: Error, Sendable, Equatable {
    /// What it did, as a phrase.
    public var reason: String

    init(_ reason: String) {
        self.reason = reason
    }
}

/// What a server calls an open file or folder: any bytes, at most ``SFTPBounds/handleMax``.
public struct SFTPHandle: Sendable, Hashable {
    public var bytes: [UInt8]

    public init(bytes: [UInt8]) {
        self.bytes = bytes
    }
}
