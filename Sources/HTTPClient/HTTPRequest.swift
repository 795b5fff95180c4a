public import Storage

/// The methods that object stores and token services are asked with.
public enum HTTPMethod: String, Sendable, CaseIterable {
    case get = "GET"
    case head = "HEAD"
    case put = "PUT"
    case post = "POST"
    case delete = "DELETE"
}

/// One line of a request's head.
public struct HTTPField: Sendable, Equatable {
    public var name: String
    /// Without CR, LF and NUL: a request that has one is never sent. May be empty.
    public var value: String

    public init(_ name: String, _ value: String) {
        self.name = name
        self.value = value
    }
}

/// Some bytes of a piece.
public struct PieceSlice: Sendable {
    public var piece: Piece
    public var range: Range<Int>

    /// - Parameter range: within the piece's memory.
    public init(_ piece: Piece, _ range: Range<Int>) {
        precondition(range.lowerBound >= 0 && range.upperBound <= piece.memory.count, "a slice reaches beyond its piece")
        self.piece = piece
        self.range = range
    }
}

/// What a request carries. Pieces are sent from their own memory: nobody may write to them until the call returns.
public enum HTTPBody: Sendable {
    case none
    case bytes([UInt8])
    /// The slices one after another.
    case pieces([PieceSlice])

    /// The bytes at `range` of one piece.
    public static func piece(_ piece: Piece, _ range: Range<Int>) -> HTTPBody { .pieces([PieceSlice(piece, range)]) }

    /// In bytes; sent as `Content-Length` with PUT and POST, also when it is 0.
    public var byteCount: Int {
        switch self {
        case .none: 0
        case .bytes(let bytes): bytes.count
        case .pieces(let slices): slices.reduce(0) { $0 + $1.range.count }
        }
    }
}

/// How long a request may take where nothing happens. There is no limit on the whole: a large body on a slow link takes its time.
public struct HTTPTimeouts: Sendable, Equatable {
    /// For the name look-up, the connection and TLS together. From 1 ms.
    public var connect: Duration
    /// A transfer that moves fewer than ``CurlTransport/byteRateMin`` bytes a second for so long is given up; the time that a server thinks
    /// counts. Noticed up to a second late.
    public var stall: Duration

    /// The defaults: ten seconds are three lost SYN packets (1 + 2 + 4 s); a minute is what large stores take for a Complete with many parts.
    public init(connect: Duration = .seconds(10), stall: Duration = .seconds(60)) {
        self.connect = connect
        self.stall = stall
    }
}

/// A request. Everything in it may be a secret, so it is never printed.
public struct HTTPRequest: Sendable {
    public var method: HTTPMethod
    /// `http://` or `https://` with a host, a path and a query that are percent-encoded already: sent exactly as it stands, without any
    /// normalisation (`..` stays). Printable ASCII without spaces, `#` and user information.
    public var url: String
    /// Sent in this order, in this spelling. `Host` is made out of the URL when there is none: `host`, or `host:port` when the URL has a port
    /// that is not its scheme's own. `Content-Length`, `Transfer-Encoding`, `Connection` and `Expect` belong to the transport; a request with one
    /// is refused. `Accept` and `User-Agent` are sent only when they are here.
    public var headers: [HTTPField]
    public var body: HTTPBody
    public var timeouts: HTTPTimeouts

    public init(
        _ method: HTTPMethod, _ url: String, headers: [HTTPField] = [], body: HTTPBody = .none,
        timeouts: HTTPTimeouts = HTTPTimeouts()
    ) {
        self.method = method
        self.url = url
        self.headers = headers
        self.body = body
        self.timeouts = timeouts
    }
}

extension HTTPRequest: CustomStringConvertible, CustomReflectable {
    /// The method alone.
    public var description: String { "\(method.rawValue) request" }
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}
