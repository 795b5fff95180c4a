internal import Glibc

/// A request as it came.
public struct ReceivedRequest: Sendable, Equatable {
    /// `PUT /key HTTP/1.1`
    public var line: String
    /// `Name: value`, in the order of the wire.
    public var fields: [String]
    public var body: [UInt8]

    /// The value of the first line with this name, in any case.
    public func value(_ name: String) -> String? {
        let start = name.lowercased() + ":"
        return fields.first { $0.lowercased().hasPrefix(start) }.map { field in
            String(field.dropFirst(start.count).drop { $0 == " " })
        }
    }
}

/// The server's end of a connection, for a script.
public final class ServerConnection: @unchecked Sendable {
    // @unchecked: used by its script's thread alone
    /// 0 for a server's first.
    public let number: Int
    private let socket: Int32
    private var pending: [UInt8] = []

    init(socket: Int32, number: Int) {
        self.socket = socket
        self.number = number
        var on: Int32 = 1
        setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &on, socklen_t(MemoryLayout<Int32>.size))
    }

    /// The next bytes, at least one.
    private func receive() throws {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        let count = recv(socket, &buffer, buffer.count, 0)
        guard count > 0 else { throw ScriptedServer.Gone() }
        pending += buffer[..<count]
    }

    /// The head of a request, without its body.
    public func readHead() throws -> ReceivedRequest {
        while true {
            if let end = Self.endOfHead(pending) {
                let lines = String(decoding: pending[..<end], as: UTF8.self).split(separator: "\r\n").map { String($0) }
                pending.removeFirst(end)
                return ReceivedRequest(line: lines.first ?? "", fields: Array(lines.dropFirst()), body: [])
            }
            try receive()
        }
    }

    public func readBytes(_ count: Int) throws -> [UInt8] {
        while pending.count < count { try receive() }
        defer { pending.removeFirst(count) }
        return Array(pending[..<count])
    }

    /// A request with as much body as its Content-Length says.
    public func readRequest() throws -> ReceivedRequest {
        var request = try readHead()
        request.body = try readBytes(request.value("Content-Length").flatMap { Int($0) } ?? 0)
        return request
    }

    public func send(_ text: String) throws { try send(Array(text.utf8)) }

    public func send(_ bytes: [UInt8]) throws {
        var done = 0
        while done < bytes.count {
            let count = bytes[done...].withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
            guard count > 0 else { throw ScriptedServer.Gone() }
            done += count
        }
    }

    /// `HTTP/1.1 200 OK` with a Content-Length and a body.
    public func answer(_ status: String = "200 OK", _ fields: [String] = [], body: [UInt8] = []) throws {
        let lines = ["HTTP/1.1 \(status)", "Content-Length: \(body.count)"] + fields
        try send(Array((lines.joined(separator: "\r\n") + "\r\n\r\n").utf8) + body)
    }

    /// From here on the other side sees an end, ours still reads.
    public func endSending() { shutdown(socket, Int32(SHUT_WR)) }

    /// Does nothing until the other side, or the test, is done with the connection.
    public func waitForEnd() throws {
        while true {
            pending = []
            try receive()
        }
    }

    /// Takes nothing in until the other side is gone.
    public func waitWithoutReading() {
        var watched = pollfd(fd: socket, events: 0x2000, revents: 0)  // POLLRDHUP, which the overlay does not offer
        poll(&watched, 1, -1)
    }

    /// Cuts the connection with a TCP reset; ends the script.
    public func reset() throws -> Never {
        var hard = linger(l_onoff: 1, l_linger: 0)
        setsockopt(socket, SOL_SOCKET, SO_LINGER, &hard, socklen_t(MemoryLayout<linger>.size))
        throw ScriptedServer.Gone()
    }

    /// Everything up to the other side's end.
    func readToEnd() -> [UInt8] {
        while (try? receive()) != nil {}
        defer { pending = [] }
        return pending
    }

    static func endOfHead(_ bytes: [UInt8]) -> Int? {
        guard bytes.count >= 4 else { return nil }
        for index in 0...(bytes.count - 4)
        where bytes[index] == 13 && bytes[index + 1] == 10 && bytes[index + 2] == 13 && bytes[index + 3] == 10 {
            return index + 4
        }
        return nil
    }
}
