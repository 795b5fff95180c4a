import HTTPClient
import HTTPTesting
import Storage
import Synchronization
import Testing

/// What a server gets and what comes back, with a server that behaves.
struct ExchangeTests {
    let transport: CurlTransport

    init() throws { transport = try CurlTransport(trust: .system, connectionsMax: 4) }

    /// Fills a piece with bytes that differ from place to place.
    private func filled(_ byteCount: Int, _ start: Int = 0) -> Piece {
        let piece = Piece()
        for index in 0..<byteCount { piece.memory[index] = UInt8(truncatingIfNeeded: (start + index) &* 31 >> 3) }
        return piece
    }

    @Test("one connection serves requests one after another")
    func reuse() async throws {
        let server = try ScriptedServer { connection in
            while true { try connection.answer(body: Array(try connection.readRequest().line.utf8)) }
        }
        for number in 0..<20 {
            let response = try await transport.send(HTTPRequest(.get, server.url("/\(number)")), into: .bytes(max: 100))
            #expect(response.bytes == Array("GET /\(number) HTTP/1.1".utf8))
            #expect(response.status == 200 && response.isWhole)
        }
        #expect(server.connectionCount == 1)
    }

    @Test("no more connections than allowed, and everybody gets a turn")
    func limit() async throws {
        let server = try ScriptedServer { connection in
            while true {
                _ = try connection.readRequest()
                try connection.answer(body: [UInt8(connection.number)])
            }
        }
        let used = try await withThrowingTaskGroup(of: UInt8.self) { group in
            for _ in 0..<100 {
                group.addTask { [transport] in
                    try await transport.send(HTTPRequest(.get, server.url()), into: .bytes(max: 1)).bytes[0]
                }
            }
            return try await group.reduce(into: Set<UInt8>()) { $0.insert($1) }
        }
        #expect(server.connectionCount <= 4)
        #expect(used.allSatisfy { $0 < 4 })
    }

    @Test("the address and the lines of the head go out as they stand, and nothing else does")
    func head() async throws {
        let seen = Mutex<ReceivedRequest?>(nil)
        let server = try ScriptedServer { connection in
            let request = try connection.readRequest()
            seen.withLock { $0 = request }
            try connection.answer()
        }
        let headers = [HTTPField("Host", "somewhere.example:99"), HTTPField("X-Empty", ""), HTTPField("x-Two", "a  b")]
        _ = try await transport.send(
            HTTPRequest(.get, server.url("/a/../b%2F//c?x=%20&y"), headers: headers), into: .bytes(max: 0))
        let request = try #require(seen.withLock { $0 })
        #expect(request.line == "GET /a/../b%2F//c?x=%20&y HTTP/1.1")
        #expect(
            request.fields.map { String($0.drop { $0 == " " }) } == ["Host: somewhere.example:99", "X-Empty:", "x-Two: a  b"])
    }

    @Test("a body arrives exactly, from pieces", arguments: [0, 1, 100_000, 1 << 20])
    func put(last: Int) async throws {
        let seen = Mutex<ReceivedRequest?>(nil)
        let server = try ScriptedServer { connection in
            while true {
                let request = try connection.readRequest()
                seen.withLock { $0 = request }
                try connection.answer("200 OK", ["ETag: \"x\""])
            }
        }
        let slices = [
            PieceSlice(filled(1 << 20), 5..<(1 << 20)), PieceSlice(Piece(), 7..<7), PieceSlice(filled(1 << 20, 9), 0..<(1 << 20)),
            PieceSlice(filled(last, 77), 0..<last),
        ]
        let response = try await transport.send(HTTPRequest(.put, server.url("/k"), body: .pieces(slices)), into: .bytes(max: 0))
        #expect(response.headers["etag"] == "\"x\"")
        let request = try #require(seen.withLock { $0 })
        #expect(request.line == "PUT /k HTTP/1.1")
        #expect(request.fields.map { $0.prefix { $0 != ":" } } == ["Host", "Content-Length"])
        #expect(request.body == slices.flatMap { Array($0.piece.bytes($0.range)) })
        _ = try await transport.send(HTTPRequest(.put, server.url("/k"), body: .bytes([1, 2, 3])), into: .bytes(max: 0))
        #expect(seen.withLock { $0?.body } == [1, 2, 3])
        #expect(server.connectionCount == 1)
    }

    @Test("methods with and without a body", arguments: HTTPMethod.allCases)
    func methods(method: HTTPMethod) async throws {
        let seen = Mutex<[ReceivedRequest]>([])
        let server = try ScriptedServer { connection in
            while true {
                let request = try connection.readRequest()
                seen.withLock { $0.append(request) }
                try connection.send("HTTP/1.1 200 OK\r\nContent-Length: \(method == .head ? 5000 : 0)\r\n\r\n")
            }
        }
        let response = try await transport.send(HTTPRequest(method, server.url()), into: .bytes(max: 0))
        #expect(response.bytes.isEmpty && response.isWhole)
        let hasLength = method == .put || method == .post
        var request = try #require(seen.withLock { $0.first })
        #expect(request.line == "\(method.rawValue) / HTTP/1.1")
        #expect(request.value("Content-Length") == (hasLength ? "0" : nil))
        #expect(request.fields.count == (hasLength ? 2 : 1))
        guard method != .get, method != .head else { return }
        _ = try await transport.send(HTTPRequest(method, server.url(), body: .bytes([65, 66])), into: .bytes(max: 0))
        request = try #require(seen.withLock { $0.last })
        #expect(request.line == "\(method.rawValue) / HTTP/1.1" && request.body == [65, 66])
        #expect(server.connectionCount == 1)
    }

    @Test("a large body goes straight into pieces", arguments: [0, 1, (1 << 20) - 1, 1 << 20, (5 << 20) / 2, 3 << 20])
    func get(byteCount: Int) async throws {
        let source = [filled(1 << 20), filled(1 << 20, 3), filled(1 << 20, 8)]
        let body = Array(source.flatMap { Array($0.bytes(0..<(1 << 20))) }.prefix(byteCount))
        let server = try ScriptedServer { connection in
            _ = try connection.readRequest()
            try connection.answer(body: body)
        }
        let pieces = [Piece(), Piece(), Piece()]
        let response = try await transport.send(HTTPRequest(.get, server.url()), into: .pieces(pieces, max: 3 << 20))
        #expect(response.byteCount == byteCount && response.isWhole && response.bytes.isEmpty)
        #expect(Array(pieces.flatMap { Array($0.bytes(0..<(1 << 20))) }.prefix(byteCount)) == body)
    }

    @Test("chunks, trailers and interim answers")
    func chunked() async throws {
        let server = try ScriptedServer { connection in
            _ = try connection.readRequest()
            try connection.send("HTTP/1.1 100 Continue\r\nX-Interim: 1\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
            try connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Late\r\nA:  1 \r\nA:\t2\r\n\r\n")
            try connection.send("3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\nX-Late: 1\r\n\r\n")
            try connection.waitForEnd()
        }
        let response = try await transport.send(HTTPRequest(.get, server.url()), into: .bytes(max: 7))
        #expect(response.bytes == Array("abcdefg".utf8) && response.isWhole)
        #expect(response.headers.all("a") == ["1", "2"])
        #expect(response.headers["x-interim"] == nil && response.headers["x-late"] == nil)
    }

    @Test("204 and 304 have no body, whatever they say")
    func noContent() async throws {
        let server = try ScriptedServer { connection in
            _ = try connection.readRequest()
            try connection.send("HTTP/1.1 204 No Content\r\n\r\n")
            _ = try connection.readRequest()
            try connection.send("HTTP/1.1 304 Not Modified\r\nContent-Length: 77\r\n\r\n")
            try connection.waitForEnd()
        }
        for status in [204, 304] {
            let response = try await transport.send(HTTPRequest(.get, server.url()), into: .bytes(max: 0))
            #expect(response.status == status && response.byteCount == 0 && response.isWhole)
        }
        #expect(server.connectionCount == 1)
    }

    @Test("a redirect is an answer")
    func redirect() async throws {
        let server = try ScriptedServer { connection in
            while true {
                _ = try connection.readRequest()
                try connection.answer("307 Temporary Redirect", ["Location: /elsewhere"], body: Array("go".utf8))
            }
        }
        let piece = Piece()
        piece.memory[0] = 42
        let response = try await transport.send(HTTPRequest(.get, server.url()), into: .piece(piece, max: 10))
        #expect(response.status == 307 && response.headers["Location"] == "/elsewhere")
        // The document of anything but a success is not what the caller wants in its piece.
        #expect(response.bytes == Array("go".utf8) && piece.memory[0] == 42)
    }

    @Test("a refusal while the body is still on its way is seen")
    func earlyRefusal() async throws {
        let server = try ScriptedServer { connection in
            _ = try connection.readHead()
            try connection.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!")
            try connection.waitForEnd()
        }
        let slices = (0..<16).map { _ in PieceSlice(Piece(), 0..<(1 << 20)) }
        let response = try await transport.send(HTTPRequest(.put, server.url(), body: .pieces(slices)), into: .bytes(max: 0))
        #expect(response.status == 403 && response.bytes == Array("no!".utf8))
    }
}
