public import Storage

/// Where the body of an answer goes.
public enum HTTPSink: Sendable {
    /// Into ``HTTPResponse/bytes``, at most `max` bytes.
    case bytes(max: Int)
    /// Into the pieces, one after another from the start of each, at most `max` bytes and no more than they hold. Only the bodies of
    /// successful answers (200 to 299) go there; other bodies come as ``HTTPResponse/bytes``.
    case pieces([Piece], max: Int)

    /// Into one piece.
    public static func piece(_ piece: Piece, max: Int) -> HTTPSink { .pieces([piece], max: max) }
}

/// The lines of an answer's head.
public struct HTTPHeaders: Sendable, Equatable {
    /// In the order and spelling of the server. Bytes that are not UTF-8 appear as U+FFFD.
    public private(set) var fields: [HTTPField]

    public init(_ fields: [HTTPField] = []) {
        self.fields = fields
    }

    public mutating func append(_ field: HTTPField) { fields.append(field) }

    /// The value of the first line with this name, in any case; nil without one.
    public subscript(name: String) -> String? {
        fields.first { $0.name.isSameHeaderName(as: name) }?.value
    }

    /// The values of all lines with this name, in any case.
    public func all(_ name: String) -> [String] {
        fields.filter { $0.name.isSameHeaderName(as: name) }.map(\.value)
    }
}

extension String {
    /// RFC 9110, section 5.1: field names are ASCII and compared without case.
    func isSameHeaderName(as other: String) -> Bool {
        func lower(_ byte: UInt8) -> UInt8 { (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(byte) ? byte | 0x20 : byte }
        return utf8.lazy.map(lower).elementsEqual(other.utf8.lazy.map(lower))
    }
}

/// An answer that arrived. Any status is an answer, not an error; redirects are not followed.
public struct HTTPResponse: Sendable, Equatable {
    /// At most this many bytes of a body are kept when the status is not 200 to 299: error documents take some hundred bytes.
    public static let errorByteCountMax = 64 << 10

    /// 200 to 599 from a sane server; interim answers (1xx) are passed over.
    public var status: Int
    public var headers: HTTPHeaders
    /// The body, unless it went into pieces.
    public var bytes: [UInt8]
    /// The length of the body, wherever it went, in bytes.
    public var byteCount: Int
    /// Whether the body certainly ended where the server meant it to: by `Content-Length`, by chunks, or because there never is one. False
    /// when only the end of the connection ended it (compare lengths yourself), and for an error document cut at ``errorByteCountMax``.
    public var isWhole: Bool

    public init(
        status: Int, headers: HTTPHeaders = HTTPHeaders(), bytes: [UInt8] = [], byteCount: Int? = nil, isWhole: Bool = true
    ) {
        self.status = status
        self.headers = headers
        self.bytes = bytes
        self.byteCount = byteCount ?? bytes.count
        self.isWhole = isWhole
    }
}
