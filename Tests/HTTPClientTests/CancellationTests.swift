import HTTPClient
import HTTPTesting
import Storage
import Synchronization
import Testing

struct CancellationTests {
    /// A server that tells when a request came, and never answers.
    private func silentServer() throws -> (server: ScriptedServer, arrivals: AsyncStream<Void>, ends: AsyncStream<Void>) {
        let (arrivals, arrived) = AsyncStream<Void>.makeStream()
        let (ends, ended) = AsyncStream<Void>.makeStream()
        let server = try ScriptedServer { connection in
            _ = try connection.readHead()
            arrived.yield()
            try? connection.waitForEnd()
            ended.yield()
        }
        return (server, arrivals, ends)
    }

    @Test("a cancelled request ends at once and lets its connection go")
    func underWay() async throws {
        let (server, arrivals, ends) = try silentServer()
        let transport = try CurlTransport(trust: .system, connectionsMax: 2)
        let task = Task { try await transport.send(HTTPRequest(.get, server.url()), into: .bytes(max: 0)) }
        for await _ in arrivals { break }
        task.cancel()
        await #expect(throws: CancellationError.self) { try await task.value }
        for await _ in ends { break }
    }

    @Test("cancelled before, while waiting for a turn, and while sending")
    func earlier() async throws {
        let (server, arrivals, ends) = try silentServer()
        let transport = try CurlTransport(trust: .system, connectionsMax: 1)
        let pieces = (0..<32).map { _ in PieceSlice(Piece(), 0..<(1 << 20)) }
        let first = Task {
            try await transport.send(HTTPRequest(.put, server.url(), body: .pieces(pieces)), into: .bytes(max: 0))
        }
        for await _ in arrivals { break }
        let waiting = (0..<10).map { _ in Task { try await transport.send(HTTPRequest(.get, server.url()), into: .bytes(max: 0)) }
        }
        for task in waiting { task.cancel() }
        for task in waiting { await #expect(throws: CancellationError.self) { try await task.value } }
        #expect(server.connectionCount == 1)
        first.cancel()
        await #expect(throws: CancellationError.self) { try await first.value }
        for await _ in ends { break }
    }

    @Test("the transport goes while a request is on its way: the request still gets its answer")
    func lastUse() async throws {
        let server = try ScriptedServer { connection in
            _ = try connection.readRequest()
            try connection.answer(body: [1])
        }
        var transport: CurlTransport? = try CurlTransport(trust: .system, connectionsMax: 1)
        let request = HTTPRequest(.get, server.url())
        let task = Task { [transport] in try await transport?.send(request, into: .bytes(max: 1)) }
        transport = nil
        #expect(try await task.value?.bytes == [1])
    }

    @Test("many requests cancelled at any moment: each ends once, the transport goes on")
    func storm() async throws {
        let server = try ScriptedServer { connection in
            while true {
                _ = try connection.readRequest()
                try connection.answer(body: Array("answer".utf8))
            }
        }
        let transport = try CurlTransport(trust: .system, connectionsMax: 8)
        let (answered, cancelled) = await withTaskGroup(of: Bool.self) { group in
            for number in 0..<2000 {
                group.addTask {
                    let task = Task { try await transport.send(HTTPRequest(.get, server.url()), into: .bytes(max: 6)) }
                    if number % 2 == 0 {
                        for _ in 0..<(number % 50) { await Task.yield() }
                        task.cancel()
                    }
                    switch await task.result {
                    case .success(let response): return response.bytes == Array("answer".utf8)
                    case .failure(let error): return !(error is CancellationError) || number % 2 == 1
                    }
                }
            }
            return await group.reduce(into: (0, 0)) { sums, isAnswer in if isAnswer { sums.0 += 1 } else { sums.1 += 1 } }
        }
        #expect(answered >= 1000 && answered + cancelled == 2000)
        let last = try await transport.send(HTTPRequest(.get, server.url()), into: .bytes(max: 6))
        #expect(last.bytes == Array("answer".utf8))
    }
}
