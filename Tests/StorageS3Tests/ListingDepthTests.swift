import HTTPClient
import Kloset
import Storage
import StorageTesting
import Testing

@testable import StorageS3

/// A store is listed in the way that takes fewest requests for its size, and every way gives the same.
struct ListingDepthTests {
    /// A bucket with so many packfiles, their ids spread as digests are; pages of a thousand keys.
    private static func server(_ ids: [ResourceID]) -> Scripted {
        let keys = ids.sorted().map { "p/packfiles/\(hexText([$0.firstByte]))/\($0.hex)" }
        return Scripted { request, _ in
            let query = request.url.split(separator: "?").last.map(String.init) ?? ""
            func value(_ name: String) -> String? {
                query.split(separator: "&").first { $0.hasPrefix("\(name)=") }
                    .map { String($0.dropFirst(name.count + 1).replacing("%2F", with: "/")) }
            }
            let prefix = value("prefix") ?? ""
            // Most requests are for one bucket of 256: a search, for a debug build is slow.
            var (low, high) = (0, keys.count)
            while low < high {
                let middle = (low + high) / 2
                if keys[middle] < prefix { low = middle + 1 } else { high = middle }
            }
            let below = keys[low...].prefix { $0.hasPrefix(prefix) }
            let start = value("continuation-token").flatMap { Int($0) } ?? 0
            let page = below.dropFirst(start).prefix(S3Store.keysPerPageMax)
            let isCut = start + page.count < below.count
            let contents = page.map { "<Contents><Key>\($0)</Key><Size>64</Size></Contents>" }.joined()
            let next = isCut ? "<NextContinuationToken>\(start + page.count)</NextContinuationToken>" : ""
            return .text(200, "<ListBucketResult><IsTruncated>\(isCut)</IsTruncated>\(next)\(contents)</ListBucketResult>")
        }
    }

    private static func ids(_ count: Int, in buckets: ClosedRange<UInt8> = 0...255, seed: UInt64) -> [ResourceID] {
        var generator = SeededRandom(seed: seed)
        return (0..<count).map { _ in
            var bytes = (0..<32).map { _ in UInt8.random(in: 0...255, using: &generator) }
            bytes[0] = UInt8.random(in: buckets, using: &generator)
            return ResourceID(hex: hexText(bytes)) ?? .zero
        }
    }

    /// Requests of the first and of a second listing, which knows how large the store is.
    @Test(arguments: [
        (count: 0, first: 1, second: 1), (900, 1, 1), (5000, 17, 16), (25_000, 33, 32), (45_000, 257, 256),
    ])
    func requestsGoWithTheSize(_ count: Int, _ first: Int, _ second: Int) async throws {
        let ids = Self.ids(count, seed: 5)
        let server = Self.server(ids)
        let store = server.store()
        for most in [first, second] {
            let before = server.requests.count
            var found: [ResourceID] = []
            for bucket in UInt8.min...UInt8.max { found += try await store.list(.packfile, bucket: bucket).ids }
            #expect((found == ids.sorted()) as Bool)
            #expect(server.requests.count - before == most, "\(count)")
        }
    }

    /// The estimate is wrong for ids that are not spread: the listing is right all the same.
    @Test(arguments: [UInt8(0)...0, 255...255, 16...31])
    func idsThatAreNotSpread(_ buckets: ClosedRange<UInt8>) async throws {
        let ids = Self.ids(5000, in: buckets, seed: 6)
        let store = Self.server(ids).store()
        var found: [ResourceID] = []
        for bucket in UInt8.min...UInt8.max { found += try await store.list(.packfile, bucket: bucket).ids }
        #expect((found == ids.sorted()) as Bool)
    }
}
