import HTTPClient
import Kloset
import S3Testing
import Storage
import StorageTesting
import Synchronization
import Testing

@testable import StorageS3

private func listing(_ keys: [String], token: String? = nil) -> HTTPResponse {
    let rows = keys.map { "<Contents><Key>\($0)</Key><Size>48</Size></Contents>" }.joined()
    let end = token.map { "<IsTruncated>true</IsTruncated><NextContinuationToken>\($0)</NextContinuationToken>" } ?? ""
    return .text(200, "<ListBucketResult>\(rows)\(end)</ListBucketResult>")
}

private let hex = String(repeating: "ab", count: 32)
private let id = ResourceID(hex: hex) ?? .zero

private func failure(_ body: () async throws -> some Sendable) async -> Failure? {
    do { _ = try await body() } catch let failure as Failure { return failure } catch { Issue.record("\(error)") }
    return nil
}

/// Servers that lie, loop, or drown their clients: a clear error, bounded work, nothing published wrongly.
@Suite struct HostileServerTests {
    @Test func aListingThatNeverMovesOnEnds() async {
        let server = Scripted { _, _ in listing(["p/packfiles/ab/\(hex)"], token: "same") }
        #expect(await failure { try await server.store().list(.packfile, bucket: 0xab) }?.reason.contains("order") == true)
        let empty = Scripted { _, number in listing([], token: "t\(number)") }
        #expect(await failure { try await empty.store().list(.packfile, bucket: 0xab) }?.reason.contains("circles") == true)
        let same = Scripted { request, number in listing(number == 1 ? ["p/packfiles/a"] : [], token: "same") }
        #expect(await failure { try await same.store().list(.packfile, bucket: 0xab) }?.reason.contains("circles") == true)
    }

    /// A listing without end that does move on: more names than any store has end it.
    @Test func anEndlessListingEnds() async {
        let counter = Mutex(0)
        let server = Scripted { _, _ in
            let start = counter.withLock { count in
                defer { count += 30_000 }
                return count
            }
            let keys = (start..<start + 30_000).map {
                "p/packfiles/ab/x\(String(repeating: "0", count: 9 - String($0).count))\($0)"
            }
            return listing(keys, token: "t\(start)")
        }
        #expect(await failure { try await server.store().list(.packfile, bucket: 0xab) }?.reason.contains("more than") == true)
        #expect(server.requests.count < 40)
    }

    private static let impossible = [
        ["p/packfiles/ab/\(hex)", "p/packfiles/ab/\(hex)"], ["p/packfiles/ab/b", "p/packfiles/ab/a"], ["q/packfiles/ab/\(hex)"],
        ["p/packfiles"], ["/p/packfiles/ab/\(hex)"],
    ]

    @Test(arguments: impossible) func keysThatCannotBeAreRefused(_ keys: [String]) async {
        let server = Scripted { _, _ in listing(keys) }
        #expect(await failure { try await server.store().list(.packfile, bucket: 0xab) }?.kind == .readWrite)
    }

    @Test func oddKeysAreForeign() async throws {
        let keys = [
            "p/packfiles/../ab/\(hex)", "p/packfiles/..", "p/packfiles/ab/..", "p/packfiles/ab/../\(hex)",
            "p/packfiles/ab/\(hex)",
            "p/packfiles/ab/\(hex)/x", "p/packfiles/ac/\(hex)",
        ].sorted()
        let server = Scripted { _, _ in listing(keys) }
        let store = server.store()
        let found = try await store.list(.packfile, bucket: 0xab)
        #expect(found.ids == [id])
        #expect(found.foreign == 3)
        #expect(try await store.list(.packfile, bucket: 0xac).foreign == 1)
    }

    private static let noListings = [
        "", "<", "<html>", "<Error/>", "<ListBucketResult>", "<!DOCTYPE a [<!ENTITY b \"c\">]><ListBucketResult/>",
        "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>",
        "<ListBucketResult><Contents><Size>1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><Contents><Key>p/x</Key><Size>-1</Size></Contents></ListBucketResult>",
        "<ListBucketResult><EncodingType>url</EncodingType><Contents><Key>%zz</Key><Size>1</Size></Contents></ListBucketResult>",
        String(repeating: "<a>", count: 100_000),
        "<ListBucketResult>" + String(repeating: "<a/>", count: 100_000) + "</ListBucketResult>",
    ]

    @Test(arguments: noListings) func whatIsNoListingIsNone(_ text: String) async {
        let server = Scripted { _, _ in .text(200, text) }
        #expect(await failure { try await server.store().list(.packfile, bucket: 0xab) }?.kind == .readWrite)
    }

    /// Lengths and ranges that do not fit what came: never taken for the resource.
    @Test(arguments: [
        ("bytes 0-99/100", 206, 99), ("bytes 0-9/100", 206, 100), ("bytes 1-100/200", 206, 100), ("bytes 0-99/50", 206, 100),
        ("", 206, 100),
        ("bytes 0-99", 206, 100), ("bytes */100", 206, 100), ("bytes 0-99/9999999999999999999", 206, 100),
        ("bytes 50-149/200", 206, 100),
        ("bytes 99-0/100", 206, 100),
    ])
    func rangesThatLie(_ range: String, _ status: Int, _ count: Int) async {
        let server = Scripted { _, _ in .text(status, String(repeating: "x", count: count), [("Content-Range", range)]) }
        let key = ResourceKey(.packfile, id)
        #expect(
            await failure { try await server.store().read(key, from: .published, at: 0, count: 100, into: Piece()) }?.kind
                == .readWrite)
        let reads = try? await server.store().readWhole([key], from: .published, into: Piece())
        if case .bytes? = reads?.first { Issue.record("taken for the whole") }
    }

    @Test func aServerWithoutRanges() async throws {
        let server = Scripted { _, _ in .text(200, String(repeating: "x", count: 100)) }
        let key = ResourceKey(.packfile, id)
        #expect(try await server.store().read(key, from: .published, at: 0, count: 1000, into: Piece()) == 100)
        #expect(await failure { try await server.store().read(key, from: .published, at: 10, count: 10, into: Piece()) } != nil)
        // The transport itself cuts what is longer than the sink.
        #expect(await failure { try await server.store().read(key, from: .published, at: 0, count: 10, into: Piece()) } != nil)
    }

    /// Momentary refusals are asked again, but not for ever, and a server that refuses everything is left alone.
    @Test(arguments: [500, 502, 503, 504, 429, 408]) func refusalsAreRepeated(_ status: Int) async throws {
        let key = ResourceKey(.packfile, id)
        let server = Scripted { _, number in number < 4 ? .error(status, "SlowDown") : .text(200, "", [("Content-Length", "48")])
        }
        #expect(try await server.store().attributes(of: [key]).count == 1)
        #expect(server.requests.count == 4)
        let never = Scripted { _, _ in .error(status, "") }
        let store = never.store()
        for _ in 0..<30 { #expect(await failure { try await store.attributes(of: [key]) }?.kind == .unavailable) }
        #expect(never.requests.count <= 30 + 100)
    }

    @Test(arguments: [
        (403, "SignatureDoesNotMatch", Failure.Kind.permission), (403, "InvalidAccessKeyId", .permission), (403, "", .permission),
        (403, "QuotaExceeded", .readWrite), (404, "NoSuchBucket", .noStore), (403, "InvalidObjectState", .unavailable),
        (501, "", .readWrite),
        (301, "PermanentRedirect", .configuration), (418, "Teapot", .readWrite),
    ])
    func errorsHaveTheirMeaning(_ status: Int, _ code: String, _ kind: Failure.Kind) async {
        let server = Scripted { _, _ in .error(status, code) }
        let found = await failure { try await server.store().list(.packfile, bucket: 1) }
        #expect(found?.kind == kind)
        #expect(found?.place == "s3://h:1/b/p")
    }

    /// What a server says may end up on a terminal.
    @Test func wordsOfServersAreClean() async {
        let server = Scripted { _, _ in .error(400, "Evil\u{1B}[31m Code with spaces") }
        let text = await failure { try await server.store().list(.packfile, bucket: 1) }?.description ?? ""
        #expect(text.unicodeScalars.allSatisfy { $0.value >= 0x20 } && !text.contains("Evil"))
    }

    /// The server's clock and region are learned once; a server that never agrees is no reason to ask for ever.
    @Test func clockAndRegionAreLearned() async throws {
        let key = ResourceKey(.packfile, id)
        let date = [("Date", "Tue, 14 Nov 2023 23:13:20 GMT")]
        let server = Scripted { request, number in
            let isRight = request.headers.contains { $0.name == "x-amz-date" && $0.value.hasPrefix("20231114T2313") }
            return isRight
                ? .text(200, "", [("Content-Length", "48")])
                : .text(403, "<Error><Code>RequestTimeTooSkewed</Code></Error>", date)
        }
        #expect(try await server.store().attributes(of: [key]).count == 1)
        #expect(server.requests.count == 2)
        let region = Scripted { request, _ in
            let isRight = request.headers.contains { $0.name == "Authorization" && $0.value.contains("/eu-9/") }
            return isRight
                ? .text(200, "", [("Content-Length", "48")])
                : .text(400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-9</Region></Error>")
        }
        #expect(try await region.store().attributes(of: [key]).count == 1)
        let never = Scripted { _, number in
            .text(400, "<Error><Code>AuthorizationHeaderMalformed</Code><Region>r\(number)</Region></Error>")
        }
        #expect(await failure { try await never.store().attributes(of: [key]) }?.kind == .configuration)
        #expect(never.requests.count == 2)
    }

    /// A redirect is an answer: nothing signed goes to another host.
    @Test func redirectsAreNotFollowed() async {
        let server = Scripted { _, _ in .text(307, "", [("Location", "http://evil.example/")]) }
        #expect(await failure { try await server.store().attributes(of: [.config]) } != nil)
        #expect(server.requests.allSatisfy { $0.url.hasPrefix("http://h:1/b") })
    }

    /// It says 200 and names other bytes.
    @Test func anETagOfOtherBytesIsDamage() async throws {
        let server = Scripted { request, _ in
            request.url.hasSuffix("/.sealift/probe")
                ? .error(412, "PreconditionFailed")
                : .text(200, "", [("ETag", "\"00000000000000000000000000000000\"")])
        }
        let store = server.store()
        try await store.stage(ResourceKey(.packfile, id), [1, 2, 3])
        guard case .failed(let failure)? = try await store.publish([ResourceKey(.packfile, id)]).first else {
            Issue.record("it was published")
            return
        }
        #expect(failure.kind == .damage)
    }

    /// A server that overwrites whatever it is asked: looked at first, and said so.
    @Test func aServerWithoutConditionsIsLookedAtFirst() async throws {
        let taken = ResourceKey(.packfile, id)
        let server = Scripted { request, _ in
            request.method == .head && request.url.hasSuffix(taken.path)
                ? .text(200, "", [("Content-Length", "5")])
                : request.method == .head ? .error(404, "") : .text(200)
        }
        let store = server.store()
        #expect(store.capabilities.publication == .untried)
        try await store.prepare()
        #expect(store.capabilities.publication == .checkThenWrite)
        try await store.stage(taken, [1])
        try await store.stage(ResourceKey(.state, id), [1])
        #expect(try await store.publish([taken, ResourceKey(.state, id)]) == [.taken, .published])
        #expect(!server.requests.contains { $0.method == .put && $0.url.hasSuffix(taken.path) })
    }

    @Test func inspectKnowsWhatAnEarlierRunFoundOut() async throws {
        for (word, publication) in [
            (S3Names.honoured, StoreCapabilities.Publication.conditional), (S3Names.ignored, .checkThenWrite),
        ] {
            let server = Scripted { request, _ in
                request.url.hasSuffix("/.sealift/probe") ? .text(200, word) : listing([])
            }
            let store = server.store()
            _ = try? await store.standing()
            #expect(store.capabilities.publication == publication)
            #expect(server.requests.allSatisfy { $0.method == .get })
        }
    }

    /// Every byte of every request goes below our prefix, and only `.sealift/` is ever deleted.
    @Test func nothingForeignIsTouched() async throws {
        let server = Scripted { request, _ in
            switch request.method {
            case .get: listing([])
            case .head: .error(404, "")
            default: .text(200)
            }
        }
        let store = server.store()
        try await store.prepare()
        try await store.stage(ResourceKey(.state, id), [1])
        _ = try await store.publish([ResourceKey(.state, id)])
        try await store.createDocument("ledger/1", with: [1])
        try await store.discardStaged { _ in false }
        for request in server.requests where request.method != .get {
            #expect(request.url.hasPrefix("http://h:1/b/p/"))
            if request.method == .delete { #expect(request.url.hasPrefix("http://h:1/b/p/.sealift/")) }
        }
    }
}
