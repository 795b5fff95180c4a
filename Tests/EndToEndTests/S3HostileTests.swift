internal import HTTPTesting
internal import Kloset
internal import S3Testing
internal import StorageTesting
internal import Synchronization
internal import Testing

/// Servers that lie, as the command line meets them.
@Suite("Hostile S3 servers", .serialized, .enabled(if: Binary.isThere, Binary.reason))
struct S3HostileTests {
    /// A debug build's own share is about 40 MiB.
    private static let mostKiB = 200 << 10

    /// What a server sends to every request: its name, its beginning, and what it repeats until the client goes.
    private static let endless: [(name: String, start: String, more: String)] = [
        ("a head without end", "HTTP/1.1 200 OK\r\n", "X-Padding: \(String(repeating: "x", count: 1000))\r\n"),
        ("a line without end", "HTTP/1.1 200 OK\r\nX-Padding: ", String(repeating: "x", count: 1000)),
        ("an exabyte", "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000000\r\n\r\n<ListBucketResult>", " "),
        (
            "chunks without end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "3e8\r\n\(String(repeating: "<", count: 1000))\r\n"
        ),
        (
            "a body without end", "HTTP/1.1 200 OK\r\n\r\n<ListBucketResult>",
            "<Contents><Key>packfiles/00/x</Key><Size>1</Size></Contents>"
        ),
        ("an error without end", "HTTP/1.1 403 No\r\n\r\n<Error><Code>", "x"),
    ]

    private static let documents: [(name: String, body: String)] = [
        (
            "a bomb",
            "<!DOCTYPE b [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;\">]><ListBucketResult><Name>&b;</Name></ListBucketResult>"
        ),
        ("nesting", String(repeating: "<a>", count: 1_000_000)),
        ("elements", "<ListBucketResult>" + String(repeating: "<a/>", count: 900_000)),
        ("nothing", ""), ("a page", "<html><body>Sign in</body></html>"),
        (
            "keys that go backwards",
            "<ListBucketResult><Contents><Key>b</Key><Size>1</Size></Contents><Contents><Key>a</Key><Size>1</Size></Contents></ListBucketResult>"
        ),
    ]

    private func refused(_ name: String, _ server: ScriptedServer) async throws {
        let place = try Workplace()
        try S3Tests.name(["liar": "s3://127.0.0.1:\(server.port)/bucket/prefix"], in: place)
        try GeneratedStore(seed: 21, Shape.small(states: 1)).place(in: FolderSink(place.folder, "source"))
        for words in [["inspect", "@liar"], ["sync", "@liar", place("copy")], ["sync", place("source"), "@liar"]] {
            let ended = try await place.run([Binary.path] + words, expect: nil)
            #expect([66, 69, 73, 74, 77].contains(ended.code), "\(name), \(words): \(ended.code) \(ended.err)")
            #expect(ended.err.hasPrefix("sealift: "), "\(name), \(words): \(ended.err)")
            #expect((1..<Self.mostKiB).contains(ended.peakKiB), "\(name), \(words): \(ended.peakKiB) KiB")
        }
        #expect(place.resources("copy") == [:], "\(name)")
    }

    @Test("What never ends is ended", arguments: endless.indices) func endless(_ index: Int) async throws {
        let (name, start, more) = Self.endless[index]
        let block = Array(String(repeating: more, count: 64).utf8)
        try await refused(
            name,
            try ScriptedServer { connection in
                _ = try connection.readHead()
                try connection.send(start)
                while true { try connection.send(block) }
            })
    }

    @Test("What is no listing is none", arguments: documents.indices) func documents(_ index: Int) async throws {
        let (name, body) = Self.documents[index]
        try await refused(
            name,
            try ScriptedServer { connection in
                while true {
                    _ = try connection.readRequest()
                    try connection.answer(body: Array(body.utf8))
                }
            })
    }
}

/// A real server behind somebody who gives other bytes every other time.
@Suite(
    "S3 servers that change their mind", .serialized, .enabled(if: Binary.isThere, Binary.reason),
    .enabled(if: Gateway.isThere, Comment(rawValue: Gateway.reason)))
struct S3ChangingTests {
    /// Flips a bit of the packfiles that are read, the first time, the second time, or always.
    private func liar(_ bucket: BucketPlace, lies: @escaping @Sendable (Int) -> Bool) throws -> Proxy {
        let reads = Times()
        return try Proxy(to: try #require(bucket.settings.host.split(separator: ":").last.flatMap { Int($0) })) { request in
            guard request.line.hasPrefix("GET"), request.line.contains("/packfiles/"), lies(reads.count(request.line)) else {
                return nil
            }
            return .change { body in
                if !body.isEmpty { body[body.startIndex + body.count / 2] ^= 4 }
            }
        }
    }

    private final class Times: Sendable {
        private let counts = Mutex<[String: Int]>([:])
        func count(_ line: String) -> Int {
            counts.withLock { counts in
                counts[line, default: 0] += 1
                return counts[line, default: 0]
            }
        }
    }

    @Test("Other bytes at the first, the second, or each look", arguments: 0..<3) func otherBytes(_ which: Int) async throws {
        let store = GeneratedStore(seed: 22, Shape.heavy(states: 3))
        let bucket = try await BucketPlace()
        let place = try Workplace()
        let proxy = try liar(bucket) { [{ $0 == 1 }, { $0 == 2 }, { _ in true }][which]($0) }
        try S3Tests.name(
            [
                "direct": bucket.settings.place,
                "liar": BucketPlace(bucket, port: proxy.port).settings.place,
            ], in: place)
        try store.place(in: FolderSink(place.folder, "source"))
        // What is read back is not what was sent: read once more, and damage the second time.
        let written = try await place.run([Binary.path, "sync", place("source"), "@liar", "--verify", "all"], expect: nil)
        #expect(written.code == (which == 2 ? 65 : 0), "\(written.code) \(written.err)")
        try await S3Tests.closed(bucket, store, "written through a liar")
        try await place.sealift("sync", place("source"), "@direct", "--verify", "all", expect: nil)
        // Read from there: what is copied is right or missing.
        for name in ["first", "second"] {
            let read = try await place.run([Binary.path, "sync", "@liar", place(name)], expect: nil)
            #expect([0, 1, 65].contains(read.code), "\(read.code) \(read.err)")
            if read.code == 0 { #expect(place.resources(name) == place.resources("source")) }
            #expect(ClosureCheck(store).violations(in: place, name) == [])
        }
        let found = try await place.run([Binary.path, "verify", "@liar"], expect: nil)
        if which == 2 { #expect(found.code == 65, "\(found.err)") }
    }
}
