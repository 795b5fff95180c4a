import HTTPClient
import Kloset
import S3Testing
import Storage
import StorageTesting
import Testing

@testable import StorageS3

private func key(_ number: UInt8, _ kind: ResourceKind = .packfile) -> ResourceKey {
    ResourceKey(kind, Array(repeating: number, count: 32).withUnsafeBytes { ResourceID(bytes: $0) })
}

/// An account that may list and put, on a real server that refuses everything else.
@Suite(.enabled(if: Gateway.isThere, Comment(rawValue: Gateway.reason))) struct WriteOnlyAccountTests {
    private func prepared(_ transport: any HTTPTransport = Gateway.transport) async throws -> (BucketPlace, S3Store) {
        let place = try await BucketPlace.writeOnly(transport: transport)
        let store = place.s3()
        try await store.prepare()
        #expect(try await store.readAccess() == .denied)
        return (place, store)
    }

    @Test func isFoundOutByAskingOnly() async throws {
        let place = try await BucketPlace.writeOnly()
        #expect(try await place.s3().readAccess() == .unknown)
        #expect(try await place.names("") == [])
        try await place.put("CONFIG", [1])
        #expect(try await place.s3().readAccess() == .denied)
        let other = try await BucketPlace()
        #expect(try await other.s3().readAccess() == .unknown)
        try await other.put(".sealift/replica", [1])
        #expect(try await other.s3().readAccess() == .allowed)
    }

    @Test func listingsStandInForHeads() async throws {
        let (place, store) = try await prepared()
        try await place.put("CONFIG.frozen", [1, 2])
        #expect(try await store.attributes(of: [.config]) == [.absent])
        try await place.put(key(1).path, [1, 2, 3])
        guard case .regular(3, _) = try await store.attributes(of: [key(1)])[0] else {
            Issue.record("not seen")
            return
        }
        #expect(try await store.list(.packfile, bucket: 1).ids == [key(1).id])
        try await place.put(".sealift/replica", [1])
        await #expect(throws: Failure.self) { try await store.document("replica", byteCountMax: 10) }
    }

    @Test func whatIsPutIsThere() async throws {
        let (place, store) = try await prepared()
        try await store.stage(key(1), [1, 2, 3])
        let large = [UInt8](repeating: 7, count: 9 << 20)
        try await store.stageLarge(key(2), large)
        #expect(try await store.publish([key(1), key(2)]) == [.published, .published])
        #expect(try await place.get(key(1).path) == [1, 2, 3])
        let stored = try await place.get(key(2).path)
        #expect(stored.elementsEqual(large))
        #expect(try await place.names(".sealift/") == [S3Names.probe], "nothing is left that nobody may remove")
        try await store.discardStaged { _ in false }
        try await store.createDocument("ledger/1", with: [5])
        await #expect(throws: Failure.self) { try await store.createDocument("ledger/1", with: [6]) }
        #expect(try await store.documents(in: "ledger") == ["1"])
    }

    /// Our own bytes, put by a run that was killed, are known by their MD5; others are not taken for ours.
    @Test func aTakenNameIsCompared() async throws {
        let (place, store) = try await prepared()
        try await place.put(key(1).path, [1, 2, 3])
        try await place.put(key(3).path, [1, 2, 4])
        try await store.stage(key(1), [1, 2, 3])
        try await store.stage(key(3), [1, 2, 3])
        #expect(try await store.publish([key(1), key(3)]) == [.published, .taken])
        #expect(try await place.get(key(3).path) == [1, 2, 4])
    }

    @Test(arguments: ["PUT packfiles", "PUT ledger", "POST complete", "POST create", "PUT part"])
    func answersMayBeLost(_ which: String) async throws {
        let losing = Losing(Gateway.transport) { request in
            switch which {
            case "PUT packfiles": request.method == .put && request.url.hasSuffix(key(1).path)
            case "PUT ledger": request.method == .put && request.url.contains("/ledger/")
            case "POST complete": request.method == .post && request.url.contains("uploadId=")
            case "POST create": request.method == .post && request.url.contains("?uploads")
            default: request.url.contains("partNumber=")
            }
        }
        let (place, store) = try await prepared(losing)
        try await store.stage(key(1), [1, 2, 3])
        try await store.stageLarge(key(2), [UInt8](repeating: 7, count: 9 << 20))
        #expect(try await store.publish([key(1), key(2)]) == [.published, .published])
        try await store.createDocument("ledger/1", with: [5])
        #expect(losing.remaining == 0)
        #expect(try await place.get(key(2).path).count == 9 << 20)
    }

    /// Leftovers stay: nobody here may remove them, and nothing fails for that.
    @Test func whatIsLeftIsNoError() async throws {
        let (place, store) = try await prepared()
        try await store.stageLarge(key(2), [UInt8](repeating: 7, count: 9 << 20), chunks: [0, 1, 2, 3, 4, 5, 6, 7])
        try await store.stageLarge(key(3), [UInt8](repeating: 7, count: 9 << 20))
        try await store.discard([key(2), key(3)])
        #expect(try await place.unfinishedUploads().contains(key(2).id.hex))
        try await place.s3().discardStaged { _ in false }
    }
}
