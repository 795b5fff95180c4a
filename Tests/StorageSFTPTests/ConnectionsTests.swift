import Glibc
import Kloset
import Storage
import StorageSFTP
import StorageTesting
import Testing

/// More than one connection: opened when there is more to move than one carries, and no error when there may be none.
@Suite(.withServer) struct ConnectionsTests {
    private static let size: Int64 = 24 << 20

    /// A server behind a program that counts who connects, and lets only so many in at the same time.
    private func place(_ allowed: Int) throws -> (LocalServer, SSHCommand) {
        let place = try LocalServer()
        var command = place.command
        (command.program, command.arguments) = (
            "/bin/sh",
            [
                "-c",
                """
                cd \(place.outer.path); echo >> calls
                for slot in $(seq \(allowed)); do
                    exec 9>slot-$slot
                    flock -n 9 && exec \(LocalServer.program)
                done
                echo 'kex_exchange_identification: Connection closed by remote host' >&2
                exit 255
                """,
            ]
        )
        return (place, command)
    }

    private func store(_ place: LocalServer, _ command: SSHCommand, connections: Int) -> SFTPStore {
        var address = SFTPAddress(host: "localhost", path: place.outer.path("store"))
        address.connectionsMax = connections
        return SFTPStore(address, command: command)
    }

    /// Uploads one large resource, many chunks at a time, and reads it back likewise.
    private func carry(_ store: SFTPStore, _ key: ResourceKey) async throws {
        try await store.prepare()
        let bytes = SeededRandom.bytes(ChunkLayout.chunkByteCount)
        let upload = try await store.upload(key, size: Self.size, modified: Timestamp(seconds: 9))
        try await withThrowingTaskGroup(of: Void.self) { group in
            for chunk in 0..<ChunkLayout.count(size: Self.size) {
                if chunk >= 8 { try await group.next() }
                group.addTask {
                    let piece = Piece()
                    piece.memory.copyBytes(from: bytes)
                    piece.memory[0] = UInt8(chunk)
                    try await upload.write(chunk: chunk, from: piece, count: piece.memory.count)
                }
            }
            try await group.waitForAll()
        }
        try await upload.finish()
        try await store.makeDurable()
        #expect(try await store.publish([key]) == [.published])
        try await store.makeDurable()
        let piece = Piece()
        for chunk in 0..<ChunkLayout.count(size: Self.size) {
            let range = ChunkLayout.range(chunk, size: Self.size)
            let count = try await store.read(key, from: .published, at: range.lowerBound, count: range.count, into: piece)
            #expect(count == range.count)
            #expect(piece.memory[0] == UInt8(chunk) && piece.bytes(1..<count).elementsEqual(bytes[1..<count]))
        }
    }

    private func calls(_ place: LocalServer) -> Int { place.outer.contents(of: "calls")?.count ?? 0 }

    @Test func oneIsOne() async throws {
        let (place, command) = try place(10)
        try await carry(store(place, command, connections: 1), Scenario.key(1))
        #expect(calls(place) == 1)
    }

    @Test func moreAreOpenedWhenTheyAreFull() async throws {
        let (place, command) = try place(10)
        try await carry(store(place, command, connections: 3), Scenario.key(1))
        #expect((2...3).contains(calls(place)))
    }

    /// The second is refused: it is not asked for again at once, and the work goes on over the first.
    @Test func refusedIsNoError() async throws {
        let (place, command) = try place(1)
        let store = store(place, command, connections: 4)
        for number: UInt8 in 1...3 { try await carry(store, Scenario.key(number)) }
        // Asked for again after one minute, then after two more: a busy machine may take so long.
        #expect((2...5).contains(calls(place)))
    }

    /// Channels of one connection that the user's configuration shares, on a server that allows one: ssh opens others by itself.
    @Test(.withOpenSSH) func sharedConnectionWithOneChannel() async throws {
        let server = try #require(TestServer.shared)
        let twin = try server.twin("MaxSessions=1")
        defer { kill(twin.process, SIGTERM) }
        let folder = try TestFolder()
        let control = ["-o", "ControlMaster=auto", "-o", "ControlPath=\(folder.path("control"))"]
        let (address, command) = try reached(server, twin.port, folder, control)
        try await carry(SFTPStore(address, command: command), Scenario.key(1))
    }

    private func reached(
        _ server: TestServer, _ port: Int, _ folder: TestFolder, _ options: [String] = []
    ) throws -> (SFTPAddress, SSHCommand) {
        let known = try server.knownHosts(for: port, at: folder.path("known"))
        var address = try SFTPAddress(parsing: try ServedPlace(server).sftp().place)
        (address.port, address.identity) = (port, server.identity)
        var command = SSHCommand(to: address, isBatch: true)
        command.arguments =
            ["-F", "/dev/null", "-o", "UserKnownHostsFile=\(known)", "-o", "IdentitiesOnly=yes"] + options + command.arguments
        return (address, command)
    }

    /// The whole server stands still in the middle of an upload: noticed, left, and the work goes on over new connections.
    @Test(.withOpenSSH) func standsStill() async throws {
        let server = try #require(TestServer.shared)
        let twin = try server.twin()
        let folder = try TestFolder()
        let (address, command) = try reached(server, twin.port, folder)
        let patience = SFTPPatience(connecting: 30, answering: 2, syncing: 2)
        let store = SFTPStore(address, command: command, patience: patience)
        try await store.prepare()
        let sessions = descendants(of: twin.process)
        defer { for process in sessions + [twin.process] { kill(process, SIGKILL) } }
        #expect(!sessions.isEmpty)
        for process in sessions { kill(process, SIGSTOP) }
        try await carry(store, Scenario.key(1))
        #expect(descendants(of: twin.process).contains { !sessions.contains($0) })
    }
}

/// What does not fit is told before it is written.
@Suite(.withServer) struct FullPlaceTests {
    @Test(.enabled(if: geteuid() == 0, "only root mounts")) func toldEarly() async throws {
        let place = try LocalServer()
        let path = place.outer.path("store")
        try run("mkdir", path)
        try run("mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", path)
        defer { try? run("umount", path) }
        let store = place.sftp()
        try await store.prepare()
        let failure = await failing {
            _ = try await store.upload(Scenario.key(1), size: 9 << 20, modified: Timestamp(seconds: 1))
        }
        #expect(failure?.kind == .readWrite)
        #expect(failure?.reason.hasPrefix("the disk there is full") == true, "\(failure?.description ?? "")")
        #expect(place.stagedCount() == 0)
        // What fits is taken.
        #expect(try await store.stage([Scenario.small(1, [1, 2, 3])]) == [nil])
    }
}

/// All processes that come from one.
func descendants(of process: pid_t) -> [pid_t] {
    var parents: [pid_t: pid_t] = [:]
    guard let folder = opendir("/proc") else { return [] }
    defer { closedir(folder) }
    while let entry = readdir(folder) {
        let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        // pid (name) state parent …: the name may hold anything.
        guard let number = pid_t(name), let text = try? contents("/proc/\(name)/stat"), let end = text.lastIndex(of: ")") else {
            continue
        }
        let fields = text[end...].split(separator: " ")
        if fields.count > 2, let parent = pid_t(fields[2]) { parents[number] = parent }
    }
    var found: [pid_t] = [], last = [process]
    while !last.isEmpty {
        last = parents.filter { last.contains($0.value) }.map(\.key)
        found += last
    }
    return found
}
