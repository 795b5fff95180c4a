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

/// On a server that keeps versions.
@Suite(.enabled(if: Gateway.isThere, Comment(rawValue: Gateway.reason))) struct VersionTests {
    @Test func allThatHadANameIsListedNewestFirst() async throws {
        let place = try await BucketPlace.locked()
        let store = place.s3()
        try await place.put(key(1).path, [1])
        try await place.put(key(1).path, [1, 2])
        try await place.remove(key(1).path)
        try await place.put(key(1).path + "x", [9])
        let versions = try #require(try await store.versions(of: key(1)))
        #expect(versions.map(\.size) == [nil, 2, 1] && versions[0].isRemoval)
        #expect(versions.allSatisfy { $0.made != nil })
        let piece = Piece()
        for (version, bytes) in [(versions[1], [1, 2]), (versions[2], [1])] as [(ResourceVersion, [UInt8])] {
            let count = try await store.read(key(1), version: version, at: 0, count: 100, into: piece)
            #expect(Array(piece.bytes(0..<count)) == bytes)
            #expect(try await store.read(key(1), version: version, at: Int64(bytes.count), count: 1, into: piece) == 0)
        }
        #expect(try await store.read(key(1), version: versions[1], at: 1, count: 1, into: piece) == 1)
        let gone = ResourceVersion(id: versions[1].id + "x", size: 2, made: nil)
        await #expect(throws: (any Error).self) { try await store.read(key(1), version: gone, at: 0, count: 2, into: piece) }
        #expect(try await store.versions(of: key(2)) == [])
        #expect(try await BucketPlace().s3().versions(of: key(1)) == nil, "without versioning nothing is kept")
    }

    @Test func whatMakesAReplicaComesBack() async throws {
        let place = try await BucketPlace.locked()
        let store = place.s3()
        try await store.replaceDocument("replica", with: [1])
        try await store.replaceDocument("replica", with: [2])
        try await store.createDocument("ledger/1", with: [3])
        try await store.createDocument("ledger/2", with: [4])
        try await store.createDocument("nameplate/x", with: [5])
        #expect(try await store.recoverDocuments() == 0)
        for name in ["replica", "ledger/1", "ledger/2", "nameplate/x"] { try await place.remove(".sealift/\(name)") }
        #expect(try await store.recoverDocuments() == 3)
        #expect(try await store.document("replica", byteCountMax: 10) == [2])
        #expect(try await store.documents(in: "ledger") == ["1", "2"])
        // One segment that is gone may have been moved aside: its ledger tells.
        try await place.remove(".sealift/ledger/1")
        #expect(try await store.recoverDocuments() == 0)
        #expect(try await store.documents(in: "ledger") == ["2"])
    }
}

/// Lists of versions from servers that mean no good.
@Suite struct HostileVersionListTests {
    private static func list(_ rows: String, _ more: String = "") -> String {
        "<ListVersionsResult>\(rows)\(more)</ListVersionsResult>"
    }

    private static func row(_ id: String = "v", _ size: String = "1") -> String {
        "<Version><Key>p/\(key(1).path)</Key><VersionId>\(id)</VersionId><Size>\(size)</Size></Version>"
    }

    private func versions(_ text: String) async throws -> [ResourceVersion]? {
        let server = Scripted { request, _ in
            request.url.contains("versions")
                ? .text(200, text) : .text(200, "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>")
        }
        let found = try await server.store().versions(of: key(1))
        #expect(server.requests.count < 20)
        return found
    }

    @Test(arguments: [
        "", "<ListBucketResult/>", list(row("")), list(row("a b")), list(row("\u{7}")), list(row("v", "-1")), list(row("v", "")),
        list(row(), "<IsTruncated>true</IsTruncated>"),
    ])
    func whatIsNoListIsNone(_ text: String) async throws {
        #expect(try await versions(text) == nil)
    }

    @Test func aListThatGoesInCirclesEnds() async throws {
        let circle =
            "<IsTruncated>true</IsTruncated><NextKeyMarker>p/a</NextKeyMarker><NextVersionIdMarker>1</NextVersionIdMarker>"
        #expect(try await versions(Self.list(Self.row(), circle))?.count == 2)
        #expect(try await versions(Self.list("", circle))?.count == 0)
    }

    @Test func onlyTheNameThatWasAskedForCounts() async throws {
        let other = "<Version><Key>elsewhere</Key><VersionId>v</VersionId><Size>1</Size></Version>"
        #expect(try await versions(Self.list(other + Self.row("mine") + other))?.map(\.id) == ["mine"])
    }
}
