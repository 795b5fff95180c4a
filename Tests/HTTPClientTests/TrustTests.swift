import HTTPClient
import HTTPTesting
import StorageTesting
import Testing

/// Whom the transport believes. The servers are `openssl s_server`.
@Suite(.serialized)
struct TrustTests {
    static let authority = Result { try TestAuthority() }

    private func outcome(_ name: String, trust: TLSTrust, host: String = "127.0.0.1", _ server: Int) async throws -> Result<
        HTTPResponse, any Error
    > {
        let transport = try CurlTransport(trust: trust, connectionsMax: 1)
        do {
            return .success(try await transport.send(HTTPRequest(.get, "https://\(host):\(server)/"), into: .bytes(max: 100_000)))
        } catch { return .failure(error) }
    }

    private func tlsReason(_ outcome: Result<HTTPResponse, any Error>) -> String? {
        if case .failure(HTTPError.tls(let reason)) = outcome { reason } else { nil }
    }

    @Test("an authority of one's own")
    func own() async throws {
        let authority = try Self.authority.get()
        try authority.issue("good", for: "IP:127.0.0.1,DNS:localhost")
        let (process, port) = try authority.serve("good")
        for host in ["127.0.0.1", "localhost"] {
            let response = try await outcome("good", trust: .file(authority.file), host: host, port).get()
            #expect(response.status == 200 && response.byteCount > 0)
        }
        #expect(tlsReason(try await outcome("good", trust: .system, port))?.contains("certificate") == true)
        #expect(try await outcome("good", trust: .nobody, port).get().status == 200)
        #expect(tlsReason(try await outcome("good", trust: .file("/no/such/file"), port)) != nil)
        withExtendedLifetime(process) {}
    }

    @Test("an expired certificate")
    func expired() async throws {
        let authority = try Self.authority.get()
        try authority.issue("old", for: "IP:127.0.0.1", until: "200101000000Z")
        let (process, port) = try authority.serve("old")
        #expect(tlsReason(try await outcome("old", trust: .file(authority.file), port))?.contains("expired") == true)
        withExtendedLifetime(process) {}
    }

    @Test("a certificate for another host")
    func wrongHost() async throws {
        let authority = try Self.authority.get()
        try authority.issue("other", for: "DNS:elsewhere.example")
        let (process, port) = try authority.serve("other")
        #expect(tlsReason(try await outcome("other", trust: .file(authority.file), port))?.contains("127.0.0.1") == true)
        withExtendedLifetime(process) {}
    }

    @Test("no TLS on the other side")
    func plain() async throws {
        let server = try ScriptedServer { connection in
            try connection.send("HTTP/1.1 400 Bad Request\r\n\r\n")
        }
        let transport = try CurlTransport(trust: .nobody, connectionsMax: 1)
        await #expect(throws: HTTPError.self) {
            try await transport.send(HTTPRequest(.get, "https://127.0.0.1:\(server.port)/"), into: .bytes(max: 0))
        }
    }
}
