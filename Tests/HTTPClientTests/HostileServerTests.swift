import HTTPClient
import HTTPTesting
import Storage
import Synchronization
import Testing

/// Servers and networks that do not behave: each ends in a clear error, soon, within bounds.
struct HostileServerTests {
    let transport: CurlTransport

    init() throws { transport = try CurlTransport(trust: .system, connectionsMax: 4) }

    /// Sends and expects an error.
    private func failure(
        _ request: HTTPRequest, into sink: HTTPSink = .bytes(max: 1000), _ location: SourceLocation = #_sourceLocation
    ) async throws -> HTTPError {
        do {
            _ = try await transport.send(request, into: sink)
        } catch let error as HTTPError {
            return error
        }
        Issue.record("an answer where none was expected", sourceLocation: location)
        throw CancellationError()
    }

    /// A server that reads a request and then sends `text` and closes.
    private func server(sending text: String, thenReset: Bool = false) throws -> ScriptedServer {
        try ScriptedServer { connection in
            _ = try connection.readRequest()
            try connection.send(text)
            if thenReset { try connection.reset() }
        }
    }

    @Test("a short body is an error for a success and the end of the document for a refusal")
    func short() async throws {
        let short = try server(sending: "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        #expect(try await failure(HTTPRequest(.get, short.url())) == .unclear("the answer's body ended early"))
        let chunks = try server(sending: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")
        #expect(try await failure(HTTPRequest(.get, chunks.url())).kind == .unclear)
        let refusal = try server(sending: "HTTP/1.1 503 Slow Down\r\nContent-Length: 10\r\n\r\nabc")
        let response = try await transport.send(HTTPRequest(.get, refusal.url()), into: .bytes(max: 10))
        #expect(response.status == 503 && response.bytes == Array("abc".utf8) && !response.isWhole)
    }

    @Test("bytes behind the body belong to nobody")
    func long() async throws {
        let server = try ScriptedServer { connection in
            _ = try connection.readRequest()
            try connection.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbad")
            try connection.waitForEnd()
        }
        let first = try await transport.send(HTTPRequest(.get, server.url()), into: .bytes(max: 1000))
        #expect(first.bytes == Array("abc".utf8))
        let second = try await transport.send(HTTPRequest(.get, server.url()), into: .bytes(max: 1000))
        #expect(second.bytes == Array("abc".utf8))
        #expect(server.connectionCount == 2)
    }

    @Test("a body without a length ends with the connection, and says so")
    func undelimited() async throws {
        let server = try server(sending: "HTTP/1.1 200 OK\r\n\r\nabc")
        let response = try await transport.send(HTTPRequest(.get, server.url()), into: .bytes(max: 1000))
        #expect(response.bytes == Array("abc".utf8) && !response.isWhole)
    }

    @Test("a body longer than its sink is refused, announced or not")
    func tooLong() async throws {
        let announced = try server(sending: "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\nabc")
        let endless = try ScriptedServer { connection in
            _ = try connection.readRequest()
            try connection.send("HTTP/1.1 200 OK\r\n\r\n")
            let block = [UInt8](repeating: 7, count: 100_000)
            while true { try connection.send(block) }
        }
        for server in [announced, endless] {
            for sink in [HTTPSink.bytes(max: 1000), .piece(Piece(), max: 1000), .piece(Piece(), max: 9 << 20)] {
                #expect(try await failure(HTTPRequest(.get, server.url()), into: sink).kind == .tooLong)
            }
        }
        let exact = try server(sending: "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
        #expect(try await transport.send(HTTPRequest(.get, exact.url()), into: .bytes(max: 3)).byteCount == 3)
    }

    @Test("an endless error document is cut, its status counts")
    func endlessRefusal() async throws {
        let server = try ScriptedServer { connection in
            _ = try connection.readRequest()
            try connection.send("HTTP/1.1 500 Oops\r\n\r\n")
            while true { try connection.send([UInt8](repeating: 7, count: 100_000)) }
        }
        let response = try await transport.send(HTTPRequest(.get, server.url()), into: .bytes(max: 0))
        #expect(response.status == 500 && response.bytes.count == HTTPResponse.errorByteCountMax && !response.isWhole)
    }

    @Test("heads up to their bounds pass, beyond they do not")
    func head() async throws {
        let status = "HTTP/1.1 200 OK\r\n"
        let end = "Content-Length: 0\r\n\r\n"
        let lines = { (count: Int) in status + String(repeating: "A: b\r\n", count: count) + end }
        let bytes = { (count: Int) in
            status + "A: " + String(repeating: "x", count: count - status.utf8.count - end.utf8.count - 5) + "\r\n" + end
        }
        for text in [lines(CurlTransport.headLinesMax - 3), bytes(CurlTransport.headByteCountMax)] {
            let server = try server(sending: text)
            #expect(try await transport.send(HTTPRequest(.get, server.url()), into: .bytes(max: 0)).status == 200)
        }
        for text in [lines(CurlTransport.headLinesMax - 2), lines(10_000), bytes(CurlTransport.headByteCountMax + 1)] {
            let server = try server(sending: text)
            #expect(try await failure(HTTPRequest(.get, server.url())) == .tooLong("the answer's head is longer than allowed"))
        }
    }

    @Test("endless heads", arguments: ["A: b\r\n", "A", "HTTP/1.1 100 Continue\r\n\r\n", " folded\r\n"])
    func endlessHead(part: String) async throws {
        let server = try ScriptedServer { connection in
            _ = try connection.readRequest()
            if !part.hasPrefix("HTTP") { try connection.send("HTTP/1.1 200 OK\r\nX: y\r\n") }
            let block = Array(String(repeating: part, count: 100).utf8)
            while true { try connection.send(block) }
        }
        #expect(try await failure(HTTPRequest(.get, server.url())).kind == .tooLong)
    }

    @Test("endless trailers")
    func endlessTrailers() async throws {
        let server = try ScriptedServer { connection in
            _ = try connection.readRequest()
            try connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
            while true { try connection.send(Array(String(repeating: "A: b\r\n", count: 100).utf8)) }
        }
        #expect(try await failure(HTTPRequest(.get, server.url())).kind == .tooLong)
    }

    @Test(
        "what is no HTTP is no answer",
        arguments: [
            "", "hello\r\n\r\n", "HTTP/9.9 200 OK\r\n\r\n", "HTTP/1.1 99999 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
            "HTTP/1.1 200 OK\r\nA: b\0c\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
            "SSH-2.0-OpenSSH_9.2p1\r\n", "\0\0\0\0\0\0\0\0\r\n\r\n",
        ])
    func noAnswer(text: String) async throws {
        let server = try server(sending: text)
        #expect(try await failure(HTTPRequest(.put, server.url(), body: .bytes([1]))).kind == .unclear)
    }

    @Test("a reset at any moment after the request is unclear")
    func reset() async throws {
        for text in ["", "HTTP/1.1 200 OK\r\nContent-Le", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"] {
            let server = try server(sending: text, thenReset: true)
            #expect(try await failure(HTTPRequest(.put, server.url(), body: .bytes([1]))).kind == .unclear)
            #expect(server.connectionCount == 1)
        }
    }

    @Test("a kept connection that dies: reading is tried again, writing is not")
    func deadConnection() async throws {
        // Each connection answers once, then meets the next request with a reset.
        let seen = Mutex<[String]>([])
        let server = try ScriptedServer { connection in
            let first = try connection.readRequest()
            seen.withLock { $0.append(first.line) }
            try connection.answer()
            let second = try connection.readHead()
            seen.withLock { $0.append(second.line) }
            try connection.reset()
        }
        _ = try await transport.send(HTTPRequest(.get, server.url("/1")), into: .bytes(max: 0))
        _ = try await transport.send(HTTPRequest(.get, server.url("/2")), into: .bytes(max: 0))
        for request in [HTTPRequest(.put, server.url("/3"), body: .bytes([1])), HTTPRequest(.delete, server.url("/4"))] {
            #expect(try await failure(request).kind == .unclear)
            _ = try await transport.send(HTTPRequest(.get, server.url("/5")), into: .bytes(max: 0))
        }
        let expected = ["GET /1", "GET /2", "GET /2", "PUT /3", "GET /5", "DELETE /4", "GET /5"].map { "\($0) HTTP/1.1" }
        #expect(seen.withLock { $0 } == expected)
    }

    @Test("a server that goes quiet is given up", arguments: ["", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"])
    func stall(text: String) async throws {
        let server = try ScriptedServer { connection in
            _ = try connection.readRequest()
            try connection.send(text)
            try connection.waitForEnd()
        }
        let timeouts = HTTPTimeouts(stall: .milliseconds(900))
        #expect(
            try await failure(HTTPRequest(.get, server.url(), timeouts: timeouts)) == .unclear("nothing moved for 0.9 seconds"))
    }

    @Test("a server that does not take the body is given up")
    func stalledUpload() async throws {
        let server = try ScriptedServer(receiveByteCount: 4096) { connection in
            _ = try connection.readHead()
            try connection.send("HTTP/1.1 100 Continue\r\n\r\n")
            connection.waitWithoutReading()
        }
        let body = HTTPBody.pieces((0..<32).map { _ in PieceSlice(Piece(), 0..<(1 << 20)) })
        let timeouts = HTTPTimeouts(stall: .seconds(1))
        #expect(
            try await failure(HTTPRequest(.put, server.url(), body: body, timeouts: timeouts))
                == .unclear("nothing moved for 1.0 seconds"))
    }

    @Test("nobody listens: nothing was sent")
    func refused() async throws {
        let port = try ScriptedServer { _ in }.port
        let error = try await failure(HTTPRequest(.get, "http://127.0.0.1:\(port)/?signature=geheim"))
        #expect(error == .notSent("no connection: Connection refused"))
        #expect(try await failure(HTTPRequest(.get, "http://name.invalid/")).kind == .notSent)
    }

    @Test("a connection that never stands: nothing was sent")
    func connectTimeout() async throws {
        // TLS against a server that says nothing: the handshake counts as connecting.
        let server = try ScriptedServer { try $0.waitForEnd() }
        let timeouts = HTTPTimeouts(connect: .milliseconds(200))
        #expect(
            try await failure(HTTPRequest(.get, "https://127.0.0.1:\(server.port)/", timeouts: timeouts))
                == .notSent("no connection within 0.2 seconds"))
    }

    @Test(
        "malformed requests are not sent",
        arguments: [
            HTTPRequest(.get, "file:///etc/passwd"), HTTPRequest(.get, "ftp://127.0.0.1/"), HTTPRequest(.get, ""),
            HTTPRequest(.get, "http://"), HTTPRequest(.get, "http://127.0.0.1/a b"),
            HTTPRequest(.get, "http://127.0.0.1/a\r\nX: y"),
            HTTPRequest(.get, "http://user:geheim@127.0.0.1/"), HTTPRequest(.get, "http://127.0.0.1/#x"),
            HTTPRequest(.get, "http://127.0.0.1/", headers: [HTTPField("A", "b\r\nC: d")]),
            HTTPRequest(.get, "http://127.0.0.1/", headers: [HTTPField("A", "b\0c")]),
            HTTPRequest(.get, "http://127.0.0.1/", headers: [HTTPField("A:", "b")]),
            HTTPRequest(.get, "http://127.0.0.1/", headers: [HTTPField("", "b")]),
            HTTPRequest(.get, "http://127.0.0.1/", headers: [HTTPField("content-LENGTH", "3")]),
            HTTPRequest(.get, "http://127.0.0.1:99999/"),
        ])
    func malformed(request: HTTPRequest) async throws {
        let error = try await failure(request)
        #expect(error.kind == .notSent && !error.description.contains("geheim"))
    }

    @Test("no error repeats what may be secret")
    func secrets() async throws {
        let texts = [
            "", "nonsense", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n",
        ]
        var servers: [ScriptedServer] = []
        var addresses = ["http://127.0.0.1:1", "https://127.0.0.1:1", "http://geheim.invalid"]
        for text in texts {
            let server = try server(sending: text)
            servers.append(server)
            addresses += [server.url(""), "https://127.0.0.1:\(server.port)"]
        }
        for address in addresses where address != "http://geheim.invalid" {
            let request = HTTPRequest(
                .put, address + "/geheim?X-Amz-Signature=geheim", headers: [HTTPField("Authorization", "geheim")],
                body: .bytes(Array("geheim".utf8)), timeouts: HTTPTimeouts(connect: .milliseconds(300), stall: .seconds(1)))
            #expect(!"\(request)".contains("geheim"))
            var dumped = ""
            dump(request, to: &dumped)
            #expect(!dumped.contains("geheim"))
            do { _ = try await transport.send(request, into: .bytes(max: 10)) } catch {
                #expect(!"\(error) \(String(reflecting: error))".contains("geheim"))
            }
        }
    }
}

extension HTTPError {
    enum Kind {
        case notSent
        case unclear
        case tls
        case tooLong
    }

    var kind: Kind {
        switch self {
        case .notSent: .notSent
        case .unclear: .unclear
        case .tls: .tls
        case .tooLong: .tooLong
        }
    }
}
