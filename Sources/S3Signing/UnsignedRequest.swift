/// What is asked, before it is signed. Nothing in it is encoded yet: encoding it once, in one place, is what makes signature and wire agree.
public struct UnsignedRequest: Sendable {
    public var method: String
    /// `https` or `http`.
    public var scheme: String
    /// As the `Host` line has it: with the port where it is not the scheme's own (443, 80).
    public var host: String
    /// From the `/` on, with the bucket where it is part of the path. `..` and `//` are parts of a key like any others.
    public var path: String
    /// A value of nil is a bare name (`?uploads`); an empty one keeps its `=`. In any order.
    public var query: [(name: String, value: String?)]
    /// All are signed. `Host`, `Authorization` and the `x-amz-` lines of the signature itself are made by the signer.
    public var headers: [(name: String, value: String)]

    public init(
        _ method: String, scheme: String = "https", host: String, path: String, query: [(name: String, value: String?)] = [],
        headers: [(name: String, value: String)] = []
    ) {
        self.method = method
        self.scheme = scheme
        self.host = host
        self.path = path
        self.query = query
        self.headers = headers
    }

    func checked() throws(SigningError) {
        for (name, value) in headers {
            let isToken = !name.isEmpty && name.utf8.allSatisfy { Self.isTokenByte($0) }
            // A line break would begin a line of its own on the wire that nobody signed; other control characters are told apart by servers.
            let isClean = value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f || $0 == UInt8(ascii: "\t") }
            guard isToken && isClean else { throw .malformedHeader }
            guard !Self.reserved.contains(name.lowercased()) else { throw .reservedHeader(name.lowercased()) }
        }
        guard path.utf8.first == UInt8(ascii: "/") else { throw .malformedTarget }
        guard !host.isEmpty, host.utf8.allSatisfy({ Self.isHostByte($0) }) else { throw .malformedTarget }
    }

    private static let reserved: Set<String> = [
        "host", "authorization", "x-amz-date", "x-amz-content-sha256", "x-amz-security-token", "content-length", "connection",
        "expect",
        "transfer-encoding",
    ]

    /// RFC 9110, section 5.6.2.
    private static func isTokenByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
        }
    }

    private static func isHostByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "-._[]:".utf8.contains(byte)
        }
    }
}

/// A request that the signer does not sign.
public enum SigningError: Error, Sendable, Equatable {
    /// A name that is no token, or a value with control characters (it may come from a server).
    case malformedHeader
    /// A line that the signer or the transport makes itself: its name in lower case.
    case reservedHeader(String)
    /// The host holds anything but letters, digits and `-._[]:`, or the path does not begin with `/`.
    case malformedTarget
    /// The region or the access key is empty, longer than 128 bytes, or holds a space, `/`, `,` or what is not ASCII.
    case malformedScope
}

/// What goes on the wire.
public struct SignedRequest: Sendable {
    public var method: String
    /// Encoded; holds a signature when it was presigned.
    public var url: String
    /// In the order of the request, then those of the signature, `Authorization` last.
    public var headers: [(name: String, value: String)]
}
