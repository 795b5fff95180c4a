import HTTPClient
import Hashing
import Kloset
import S3Testing
import Storage
import StorageTesting
import Testing

@testable import StorageS3

private func key(_ number: UInt8, _ kind: ResourceKind = .packfile) -> ResourceKey {
    ResourceKey(kind, Array(repeating: number, count: 32).withUnsafeBytes { ResourceID(bytes: $0) })
}

private func bytes(_ count: Int, _ seed: UInt64 = 1) -> [UInt8] {
    var random = SeededRandom(seed: seed)
    return random.bytes(count)
}

extension S3Store {
    func stage(_ key: ResourceKey, _ bytes: [UInt8]) async throws {
        let piece = Piece()
        piece.memory.copyBytes(from: bytes)
        let small = SmallResource(key: key, piece: piece, range: 0..<bytes.count, modified: Timestamp(nanoseconds: 5))
        #expect(try await stage([small]) == [nil])
    }

    func stageLarge(_ key: ResourceKey, _ bytes: [UInt8], chunks: [Int]? = nil) async throws {
        let upload = try await upload(key, size: Int64(bytes.count), modified: Timestamp(nanoseconds: 7))
        let piece = Piece()
        for index in chunks ?? Array(0..<ChunkLayout.count(size: Int64(bytes.count))) {
            let range = ChunkLayout.range(index, size: Int64(bytes.count))
            piece.memory.copyBytes(from: bytes[Int(range.lowerBound)..<Int(range.upperBound)])
            try await upload.write(chunk: index, from: piece, count: range.count)
        }
        if chunks == nil { try await upload.finish() } else { await upload.abandon() }
    }
}

/// Each type of request is carried out and its answer lost, on a real server: what was asked for is done once, and known to be done.
@Suite(.enabled(if: Gateway.isThere, Comment(rawValue: Gateway.reason))) struct LostAnswerTests {
    private func place(_ count: Int = 1, _ loses: @escaping @Sendable (HTTPRequest) -> Bool) async throws -> (BucketPlace, Losing)
    {
        let losing = Losing(Gateway.transport, count: count, loses)
        return (try await BucketPlace(transport: losing, patient: false), losing)
    }

    @Test func ofAPut() async throws {
        let (place, losing) = try await place { $0.method == .put && $0.url.contains("/packfiles/") }
        let store = place.s3()
        try await store.stage(key(1), bytes(5000))
        #expect(try await store.publish([key(1)]) == [.published])
        #expect(try await place.get(key(1).path) == bytes(5000))
        #expect(losing.remaining == 0)
    }

    /// The first answer is lost, and somebody else's bytes are there when we look: never success.
    @Test func ofAPutThatDidNotWin() async throws {
        let (place, losing) = try await place { $0.method == .put && $0.url.contains("/packfiles/") }
        let store = place.s3()
        try await place.put(key(1).path, bytes(5000, 9))
        try await store.stage(key(1), bytes(5000))
        #expect(try await store.publish([key(1)]) == [.taken])
        #expect(try await place.get(key(1).path) == bytes(5000, 9))
        #expect(losing.remaining == 0)
    }

    @Test(arguments: ["uploads", "partNumber=2", "uploadId"]) func ofAMultipartUpload(_ mark: String) async throws {
        let (place, losing) = try await place {
            ($0.method == .post || $0.method == .put) && $0.url.contains("/packfiles/")
                && $0.url.split(separator: "?").last?.hasPrefix(mark) == true
        }
        let store = place.s3()
        let all = bytes(20 << 20)
        try await store.stageLarge(key(1), all)
        #expect(try await store.publish([key(1)]) == [.published])
        #expect(SHA256.digest(of: try await place.get(key(1).path)) == SHA256.digest(of: all))
        #expect(try await place.stagedCount() == 0)
        #expect(losing.remaining == 0)
    }

    @Test func ofADocument() async throws {
        let (place, losing) = try await place(2) { $0.method == .put && $0.url.contains("/ledger/") }
        let store = place.s3()
        try await store.createDocument("ledger/1", with: bytes(100))
        #expect(try await store.document("ledger/1", byteCountMax: 100) == bytes(100))
        await #expect(throws: Failure.self) { try await store.createDocument("ledger/1", with: bytes(100, 2)) }
        try await store.replaceDocument("ledger/1", with: bytes(50))
        try await store.quarantineDocument("ledger/1")
        #expect(try await place.quarantinedDocuments() == [bytes(50)])
        #expect(losing.remaining == 0)
    }

    @Test(arguments: [0, 1, 2]) func ofAnExchange(_ which: Int) async throws {
        let (place, losing) = try await place {
            switch which {
            case 0: $0.method == .put && $0.url.contains("/quarantine/")
            case 1: $0.method == .put && $0.url.contains("/packfiles/")
            default: $0.method == .head
            }
        }
        let store = place.s3()
        try await place.put(key(1).path, bytes(5000, 9))
        try await store.stage(key(1), bytes(6000))
        try await store.exchange(key(1))
        #expect(try await place.get(key(1).path) == bytes(6000))
        #expect(try await place.quarantined(key(1)) == [bytes(5000, 9)])
        #expect(losing.remaining == 0)
    }

    @Test func ofReadingAndListing() async throws {
        let (place, losing) = try await place(6) { $0.method == .get || $0.method == .head }
        let store = place.s3()
        try await place.put(key(1).path, bytes(5000))
        #expect(try await store.list(.packfile, bucket: 1).ids == [key(1).id])
        #expect(try await store.attributes(of: [key(1)]).count == 1)
        let piece = Piece()
        #expect(try await store.read(key(1), from: .published, at: 100, count: 50, into: piece) == 50)
        #expect(piece.bytes(0..<50).elementsEqual(bytes(5000)[100..<150]))
        _ = try await store.readWhole([key(1)], from: .published, into: piece)
        #expect(piece.bytes(0..<5000).elementsEqual(bytes(5000)))
        #expect(losing.remaining <= 3)
    }

    @Test func ofRemoving() async throws {
        let (place, losing) = try await place(2) { $0.method == .delete }
        let store = place.s3()
        try await store.stageLarge(key(1), bytes(9 << 20), chunks: [0])
        #expect(try await place.stagedCount() == 1)
        try await store.discard([key(1)])
        #expect(try await place.stagedCount() == 0)
        #expect(losing.remaining == 0)
    }
}

/// Clocks, on a real server that checks them.
@Suite(.enabled(if: Gateway.isThere, Comment(rawValue: Gateway.reason))) struct ClockTests {
    @Test(arguments: [3600, -3600] as [Int64]) func anHourOff(_ seconds: Int64) async throws {
        let place = try await BucketPlace()
        try await place.put(key(1).path, bytes(500))
        let store = place.s3(ahead: seconds)
        #expect(try await store.list(.packfile, bucket: 1).ids == [key(1).id])
        try await store.stage(key(3), bytes(100))
        #expect(try await store.publish([key(3)]) == [.published])
    }
}

/// Uploads in parts, on a real server.
@Suite(.enabled(if: Gateway.isThere, Comment(rawValue: Gateway.reason))) struct MultipartTests {
    /// A later run, on another machine for all it knows, sends only the parts that are not there, or that are not what they should be.
    @Test func continuesWhatWasLeft() async throws {
        let place = try await BucketPlace()
        let all = bytes(26 << 20)
        try await place.s3().stageLarge(key(2), all, chunks: Array(0..<20))
        let sent = Recording(Gateway.transport)
        let later = BucketPlace(place, transport: sent).s3()
        try await later.stageLarge(key(2), all)
        #expect(sent.count { $0.method == .put && $0.url.contains("partNumber") } == 2)
        #expect(try await later.publish([key(2)]) == [.published])
        #expect(SHA256.digest(of: try await place.get(key(2).path)) == SHA256.digest(of: all))
        #expect(try await later.attributes(of: [key(2)]) == [.regular(size: 26 << 20, modified: Timestamp(nanoseconds: 7))])
        #expect(try await place.stagedCount() == 0)
    }

    @Test func otherBytesAreSentAgain() async throws {
        let place = try await BucketPlace()
        try await place.s3().stageLarge(key(2), bytes(26 << 20, 5), chunks: Array(0..<20))
        let all = bytes(26 << 20)
        let later = place.s3()
        try await later.stageLarge(key(2), all)
        #expect(try await later.publish([key(2)]) == [.published])
        #expect(SHA256.digest(of: try await place.get(key(2).path)) == SHA256.digest(of: all))
    }

    @Test func whatIsTakenStays() async throws {
        let place = try await BucketPlace()
        let store = place.s3()
        try await place.put(key(2).path, bytes(10))
        try await store.stageLarge(key(2), bytes(9 << 20))
        #expect(try await store.publish([key(2)]) == [.taken])
        #expect(try await place.get(key(2).path) == bytes(10))
        try await store.exchange(key(2))
        #expect(try await place.get(key(2).path) == bytes(9 << 20))
        #expect(try await place.quarantined(key(2)) == [bytes(10)])
        #expect(try await place.stagedCount() == 0)
    }

    /// What was left and nobody continues is aborted; what has no document of ours is somebody else's, and stays.
    @Test func onlyOursAreAborted() async throws {
        let place = try await BucketPlace()
        try await place.s3().stageLarge(key(2), bytes(9 << 20), chunks: [0])
        try await place.beginForeignUpload(key(3))
        try await place.s3().discardStaged { _ in false }
        #expect(try await place.stagedCount() == 0)
        let text = try await place.unfinishedUploads()
        #expect(text.contains(key(3).id.hex) && !text.contains(key(2).id.hex))
    }
}
