import Glibc
import Kloset
import SSHClient
import Storage
import StorageSFTP
import StorageTesting
import Testing

/// How connections through libssh2 end, and that they go on.
@Suite(.withOpenSSH, .serialized) struct LibraryEndTests {
    private func silent(_ port: Int, connecting: Double) throws -> SFTPStore {
        var login = try #require(TestServer.shared).login
        login.port = port
        return SFTPStore(
            SFTPAddress(host: "127.0.0.1", path: "/p"), transport: .library(login), patience: SFTPPatience(connecting: connecting)
        )
    }

    @Test func nobodyListens() async throws {
        let store = try silent(freePort(), connecting: 20)
        let failure = await failing { _ = try await store.presence() }
        #expect(failure?.kind == .unavailable)
        #expect(failure?.reason.contains("Connection refused") == true)
    }

    @Test func nobodySpeaks() async throws {
        let listener = try SilentListener()
        let store = try silent(listener.port, connecting: 1)
        let failure = await failing { _ = try await store.presence() }
        #expect(failure?.kind == .unavailable)
        #expect(failure?.reason == "nothing came for 1 seconds")
    }

    @Test func hangsUpAtOnce() async throws {
        let listener = try SilentListener()
        let store = try silent(listener.port, connecting: 20)
        async let failure = failing { _ = try await store.presence() }
        try await BlockingPool(threadsMax: 1).run { listener.hangUp() }
        #expect(await failure?.kind == .unavailable)
        #expect(await failure?.reason.hasPrefix("no SSH server answered") == true)
    }

    @Test func cancelledWhileSilent() async throws {
        let listener = try SilentListener()
        let store = try silent(listener.port, connecting: 60)
        let task = Task { try await store.presence() }
        task.cancel()
        await #expect(throws: CancellationError.self) { _ = try await task.value }
    }

    /// Sessions that are killed between two steps, and sessions that stand still: another connection carries on.
    @Test(arguments: [SIGKILL, SIGSTOP]) func sessionIsLost(_ signal: Int32) async throws {
        let server = try TestServer.start(beside: "lost\(signal)")
        defer { server.end() }
        let place = try ServedPlace(server, byLibrary: true)
        let store = place.sftp(patience: SFTPPatience(connecting: 20, answering: 1, syncing: 1))
        try await store.prepare()
        try #expect(await store.stage([Scenario.small(1, [1, 2, 3])]) == [nil])
        let sessions = try server.sessions()
        #expect(!sessions.isEmpty)
        for process in sessions { kill(process, signal) }
        defer { for process in sessions { kill(process, SIGKILL) } }
        try #expect(await store.stage([Scenario.small(2, [4, 5])]) == [nil])
        try await store.makeDurable()
        try #expect(await store.publish([Scenario.key(1), Scenario.key(2)]) == [.published, .published])
    }

    @Test func serverStandsStill() async throws {
        let server = try TestServer.start(beside: "still")
        defer {
            kill(server.process, SIGCONT)
            server.end()
        }
        kill(server.process, SIGSTOP)
        let store = try ServedPlace(server, byLibrary: true).sftp(patience: SFTPPatience(connecting: 1))
        let failure = await failing { _ = try await store.presence() }
        #expect(failure?.kind == .unavailable)
        #expect(failure?.reason == "nothing came for 1 seconds")
    }

    /// New keys in the middle of traffic both ways.
    @Test func keysAreRenewed() async throws {
        let server = try TestServer.start(beside: "renewing", settings: "RekeyLimit 1M")
        defer { server.end() }
        let place = try ServedPlace(server, byLibrary: true)
        let store = place.sftp()
        try await store.prepare()
        let bytes = SeededRandom.bytes(8 * ChunkLayout.chunkByteCount)
        let key = Scenario.key(1)
        let upload = try await store.upload(key, size: Int64(bytes.count), modified: Timestamp(seconds: 9))
        let piece = Piece()
        for index in 0..<8 {
            let range = ChunkLayout.range(index, size: Int64(bytes.count))
            piece.memory.copyBytes(from: bytes[Int(range.lowerBound)..<Int(range.upperBound)])
            try await upload.write(chunk: index, from: piece, count: range.count)
        }
        try await upload.finish()
        try await store.makeDurable()
        try #expect(await store.publish([key]) == [.published])
        var found: [UInt8] = []
        for index in 0..<8 {
            let range = ChunkLayout.range(index, size: Int64(bytes.count))
            let count = try await store.read(key, from: .published, at: range.lowerBound, count: range.count, into: piece)
            found += piece.bytes(0..<count)
        }
        #expect(found == bytes)
    }

    /// The connection is gone when its store is, and so is every file that it had.
    @Test func nothingIsLeftBehind() async throws {
        let server = try TestServer.start(beside: "left")
        defer { server.end() }
        let place = try ServedPlace(server, byLibrary: true)
        do {
            let store = place.sftp()
            try await store.prepare()
            #expect(try !server.sessions().isEmpty)
        }
        for _ in 0..<500 where try !server.sessions().isEmpty { try await Task.sleep(for: .milliseconds(20)) }
        #expect(try server.sessions().isEmpty)
    }
}
