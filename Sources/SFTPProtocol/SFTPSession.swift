/// What a server said about itself in its greeting (draft, section 4).
public struct SFTPServer: Sendable, Equatable {
    /// Names and data of its extensions; for those of OpenSSH the data is a version number.
    public var extensions: [String: String]

    public init(extensions: [String: String] = [:]) {
        self.extensions = extensions
    }

    public func offers(_ name: String) -> Bool { extensions[name] != nil }
}

/// One side of a conversation, as a value: gives bytes for requests, takes packets and says whose answers they are. Does no I/O.
///
/// Answers may come in any order. An answer that nobody waits for, a second one to the same request, and one of another type than was asked
/// for are violations, after which the session is of no more use.
public struct SFTPSession<Token> {
    /// What a packet meant.
    public enum Event {
        /// The greeting; from now on requests may be sent.
        case ready(SFTPServer)
        /// The answer to the request that was sent with this token.
        case answer(Token, SFTPReply)
    }

    private var pending: [UInt32: (request: SFTPRequest, token: Token)] = [:]
    private var nextID: UInt32
    public private(set) var server: SFTPServer?

    /// The first packet that is sent: version 3.
    public static var greeting: [UInt8] { [0, 0, 0, 5, PacketType.initialize.rawValue, 0, 0, 0, 3] }

    /// - Parameter firstID: the id of the first request.
    public init(firstID: UInt32 = 0) {
        nextID = firstID
    }

    /// Requests that have not been answered.
    public var outstanding: Int { pending.count }

    /// The bytes of a request, which the caller sends (and a write's data behind them).
    public mutating func send(_ request: SFTPRequest, _ token: Token) -> [UInt8] {
        // After 2^32 requests ids come round; one that is still waiting is passed over.
        while pending[nextID] != nil { nextID &+= 1 }
        defer { nextID &+= 1 }
        pending[nextID] = (request, token)
        return request.encoded(id: nextID)
    }

    /// Takes in one packet, without its length.
    public mutating func receive(_ packet: UnsafeRawBufferPointer) throws(SFTPViolation) -> Event {
        var reader = WireReader(packet)
        let type = PacketType(rawValue: try reader.byte())
        guard server != nil else {
            guard type == .version else { throw SFTPViolation("did not begin with its version") }
            let found = try Self.greeting(from: &reader)
            server = found
            return .ready(found)
        }
        let id = try reader.uint32()
        guard let (request, token) = pending.removeValue(forKey: id) else {
            throw SFTPViolation("answered a request that was not made, or twice")
        }
        return .answer(token, try SFTPReply(type, answering: request, from: &reader))
    }

    /// The tokens of all requests that will not be answered any more.
    public mutating func abandon() -> [Token] {
        defer { pending = [:] }
        return pending.values.map(\.token)
    }

    private static func greeting(from reader: inout WireReader) throws(SFTPViolation) -> SFTPServer {
        let version = try reader.uint32()
        guard version == 3 else { throw SFTPViolation("speaks version \(version), not 3") }
        var server = SFTPServer()
        var count = 0
        while reader.left > 0 {
            count += 1
            guard count <= SFTPBounds.extensionsMax else { throw SFTPViolation("announced too many extensions") }
            let name = try reader.string(max: SFTPBounds.nameMax, "an extension's name")
            let data = try reader.string(max: SFTPBounds.nameMax, "an extension's data")
            server.extensions[SFTPStatus.printable(name)] = SFTPStatus.printable(data)
        }
        return server
    }
}

/// The entry point for fuzzing: a whole conversation's bytes from a server, split after `split` bytes, against requests of every kind.
/// Returns how many packets were understood before the end or the first violation; the rest of the proof is that it returns at all.
public func understandPackets(_ bytes: UnsafeRawBufferPointer, split: Int, requests: [SFTPRequest]) -> Int {
    var decoder = PacketDecoder()
    var session = SFTPSession<Int>()
    for (index, request) in requests.enumerated() { _ = session.send(request, index) }
    var understood = 0
    var position = 0
    do throws(SFTPViolation) {
        while position < bytes.count {
            let most = position == 0 && split > 0 ? min(split, bytes.count) : bytes.count - position
            let count = decoder.receive { room in
                let count = min(room.count, most)
                room.copyMemory(from: UnsafeRawBufferPointer(rebasing: bytes[position..<position + count]))
                return count
            }
            position += count
            while true {
                let event = try decoder.next { (packet) throws(SFTPViolation) in try session.receive(packet) }
                if event == nil { break }
                understood += 1
            }
        }
    } catch { return understood }
    return understood
}
