import Kloset
import Storage
import StorageSFTP
import StorageTesting
import Testing

/// Servers that lie, and servers that do not keep to the protocol.
@Suite(.withServer) struct HostileServerTests {
    /// A conversation that makes no sense ends with one clear failure, at once: another connection would not help.
    @Test(arguments: ["wrong:7", "twice:17", "long:17", "named:2e2e2f78", "named:610062", "wrong:11"])
    func brokenProtocolIsNamed(_ wish: String) async throws {
        let place = try LocalServer([wish])
        try place.plant(Scenario.key(1), [1, 2, 3], modified: Timestamp(seconds: 5))
        let failure = await failing {
            let store = place.sftp()
            _ = try await store.presence()
            _ = try await store.list(.packfile, bucket: Scenario.key(1).id.firstByte)
        }
        #expect(failure?.kind == .unavailable)
        #expect(failure?.what == "cannot understand", "\(failure?.description ?? "")")
        #expect(failure?.place?.hasPrefix("sftp://localhost") == true)
    }

    @Test func endlessFoldersEnd() async throws {
        let place = try LocalServer(["endless"])
        try place.plant(Scenario.key(1), [1], modified: Timestamp(seconds: 5))
        let failure = await failing {
            _ = try await place.sftp().list(.packfile, bucket: Scenario.key(1).id.firstByte)
        }
        #expect(failure?.kind == .readWrite)
        #expect(failure?.reason.contains("more than 1000000 names") == true)
    }

    /// A rename that is said to be done and is not never counts as published; a server with links is found out before it is used.
    @Test func renameThatWasNotDoneIsFoundOut() async throws {
        let linking = try LocalServer(["ok:18"]).sftp()
        try await linking.prepare()
        #expect(linking.capabilities.publication == .linkThenUnlink)
        let place = try LocalServer(["ok:18", "hide:hardlink@openssh.com"])
        let store = place.sftp()
        try await store.prepare()
        _ = try await store.stage([Scenario.small(1, [1, 2, 3])])
        let outcomes = try await store.publish([Scenario.key(1)])
        guard case .failed? = outcomes.first else {
            #expect(Bool(false), "\(outcomes)")
            return
        }
        #expect(place.contents(of: Scenario.key(1).path) == nil)
    }

    /// A write that is said to be done and is not leaves a file that is too short: it gets no final name that counts.
    @Test func writeThatWasNotDoneIsFoundOut() async throws {
        let place = try LocalServer(["ok:6"])
        let store = place.sftp()
        try await store.prepare()
        _ = try await store.stage([Scenario.small(1, [1, 2, 3])])
        let outcomes = try await store.publish([Scenario.key(1)])
        guard case .failed? = outcomes.first else {
            #expect(Bool(false), "\(outcomes)")
            return
        }
    }

    /// A server that does not sync says so in what it promises.
    @Test func refusedSyncIsNotPromised() async throws {
        let store = try LocalServer(["refuse:fsync@openssh.com"]).sftp()
        try await store.prepare()
        #expect(store.capabilities.durability == .unproven)
        try await store.makeDurable()
    }

    @Test(arguments: ["6", "3"]) func refusedWritesAreFailures(_ type: String) async throws {
        let place = try LocalServer()
        try await place.sftp().prepare()
        let refusing = try LocalServer(["refuse:6"])
        let store = refusing.sftp()
        try await store.prepare()
        let outcomes = try await store.stage([Scenario.small(1, [1, 2, 3])])
        #expect(outcomes.first??.kind == .readWrite)
        #expect(outcomes.first??.resource == Scenario.key(1))
        #expect(refusing.stagedCount() == 0)
    }
}

/// The failure that `body` ends with; nil, and a failed test, when it ends with anything else.
func failing(_ body: () async throws -> Void, at location: SourceLocation = #_sourceLocation) async -> Failure? {
    do {
        try await body()
        Issue.record("nothing failed", sourceLocation: location)
    } catch let failure as Failure {
        return failure
    } catch {
        Issue.record(error, sourceLocation: location)
    }
    return nil
}

/// What a run does with a store, once through.
enum Scenario {
    static func key(_ number: UInt8, _ kind: ResourceKind = .packfile) -> ResourceKey {
        ResourceKey(kind, [UInt8](repeating: number, count: 32).withUnsafeBytes { ResourceID(bytes: $0) })
    }

    static func small(_ number: UInt8, _ bytes: [UInt8], _ kind: ResourceKind = .packfile) -> SmallResource {
        let piece = Piece()
        piece.memory.copyBytes(from: bytes)
        return SmallResource(
            key: key(number, kind), piece: piece, range: 0..<bytes.count,
            modified: Timestamp(nanoseconds: 1_600_000_000_000_000_001))
    }

    static let large = SeededRandom.bytes(2 * ChunkLayout.chunkByteCount + 1000)

    /// Stages, uploads, publishes, replaces, lists and reads; throws at the first thing that is not as it should be.
    static func run(_ store: any Store) async throws {
        guard case .absent = try await store.presence() else { throw Wrong(what: "something is there") }
        let lock = try await store.lock(holder: "a test")
        try await store.prepare()
        try await store.createDocument("replica", with: [7])
        try await store.replaceDocument("plan", with: [8])
        let smalls = [small(1, [1, 2, 3]), small(2, [4, 5]), small(3, [6], .state)]
        try equal(try await store.stage(smalls), [nil, nil, nil])
        let upload = try await store.upload(key(9), size: Int64(large.count), modified: Timestamp(seconds: 9))
        let piece = Piece()
        for index in 0..<3 {
            let range = ChunkLayout.range(index, size: Int64(large.count))
            piece.memory.copyBytes(from: large[Int(range.lowerBound)..<Int(range.upperBound)])
            try await upload.write(chunk: index, from: piece, count: range.count)
        }
        try await upload.finish()
        try await store.makeDurable()
        let keys = smalls.map(\.key) + [key(9)]
        try equal(try await store.publish(keys), [.published, .published, .published, .published])
        try await store.makeDurable(namesOf: keys)
        try equal(try await store.stage([small(1, [9, 9, 9, 9])]), [nil])
        try await store.makeDurable()
        try await store.exchange(key(1))
        try await check(store)
        await lock.release()
    }

    private static func check(_ store: any Store) async throws {
        try equal(try await store.list(.packfile, bucket: 9).ids, [key(9).id])
        try equal(
            try await store.attributes(of: [key(1), key(3, .state), key(5)]),
            [
                .regular(size: 4, modified: Timestamp(seconds: 1_600_000_000)),
                .regular(size: 1, modified: Timestamp(nanoseconds: 1_600_000_000_000_000_001)), .absent,
            ])
        let piece = Piece()
        let reads = try await store.readWhole([key(1), key(2)], from: .published, into: piece)
        guard reads.count == 2, case .bytes(0..<4, _) = reads[0], case .bytes(4..<6, _) = reads[1] else {
            throw Wrong(what: "\(reads)")
        }
        try equal(Array(piece.bytes(0..<6)), [9, 9, 9, 9, 4, 5])
        var found: [UInt8] = []
        for index in 0..<3 {
            let range = ChunkLayout.range(index, size: Int64(large.count))
            let count = try await store.read(key(9), from: .published, at: range.lowerBound, count: range.count, into: piece)
            found += piece.bytes(0..<count)
        }
        guard found == large else { throw Wrong(what: "other bytes came back") }
        try equal(try await store.document("replica", byteCountMax: 10), [7])
        try equal(try await store.document("plan", byteCountMax: 10), [8])
    }

    struct Wrong: Error {
        var what: String
    }

    private static func equal<Value: Equatable>(_ found: Value, _ wanted: Value, line: Int = #line) throws {
        guard found == wanted else { throw Wrong(what: "\(found), expected \(wanted) (line \(line))") }
    }
}

extension SeededRandom {
    static func bytes(_ count: Int) -> [UInt8] {
        var random = SeededRandom(seed: 0x5F7B)
        return random.bytes(count)
    }
}
