import HTTPClient
import Hashing
import Kloset
import S3Testing
import Storage
import StorageTesting
import Synchronization
import Testing

@testable import StorageS3

/// Resources that the server copies from one place to another, on real servers.
@Suite struct CopyTests {
    struct Server: Sendable, CustomTestStringConvertible {
        var testDescription: String
        var isThere: Bool
        var place: @Sendable () async throws -> BucketPlace
    }

    static let servers = [
        Server(testDescription: "radosgw", isThere: Gateway.isThere) { try await BucketPlace() },
        Server(testDescription: "OpenStack Swift", isThere: OtherServer.swift.isThere) { try await OtherServer.swift.place() },
        Server(testDescription: "moto", isThere: OtherServer.moto.isThere) { try await OtherServer.moto.place() },
    ].filter(\.isThere)

    static let (small, large) = (
        ResourceKey(.packfile, ResourceID(hex: String(repeating: "ab", count: 32))!),
        ResourceKey(.packfile, ResourceID(hex: String(repeating: "cd", count: 32))!)
    )

    /// Two places with two packfiles in the first.
    struct Scene {
        var source: S3Store
        var target: S3Store
        var bytes: [ResourceKey: [UInt8]]
        var origin: CopyOrigin

        /// - Parameter ofParts: the larger one was uploaded in parts.
        init(_ from: BucketPlace, _ to: BucketPlace, ofParts: Bool = false) async throws {
            (source, target) = (from.s3(), to.s3())
            var random = SeededRandom(seed: 4)
            bytes = [small: random.bytes(5000), large: random.bytes(9_500_000)]
            for (key, bytes) in bytes { try await from.plant(key, bytes, modified: Timestamp(nanoseconds: 1_600_000_000_123)) }
            if ofParts {
                try await from.remove(large.path)
                try await Self.upload(bytes[large] ?? [], to: source)
                #expect(try await source.publish([large]) == [.published])
            }
            origin = try #require(try await source.copyOrigin())
            #expect(try await target.copyOrigin()?.server == origin.server)
            try await target.prepare()
        }

        func resource(_ key: ResourceKey) -> CopiedResource {
            let bytes = bytes[key] ?? []
            return CopiedResource(key: key, size: Int64(bytes.count), digest: SHA256.digest(of: bytes))
        }

        static func upload(_ bytes: [UInt8], to store: S3Store) async throws {
            let (size, piece) = (Int64(bytes.count), Piece())
            let upload = try await store.upload(large, size: size, modified: Timestamp(nanoseconds: 1_600_000_000_123))
            for index in 0..<ChunkLayout.count(size: size) {
                let range = ChunkLayout.range(index, size: size)
                piece.memory.copyBytes(from: bytes[Int(range.lowerBound)..<Int(range.upperBound)])
                try await upload.write(chunk: index, from: piece, count: range.count)
            }
            try await upload.finish()
        }

        func stage(_ keys: [ResourceKey]) async throws -> [StagedCopy] {
            try await target.stage(copiesOf: keys.map(resource), from: origin)
        }
    }

    @Test(arguments: servers, [true, false]) func copiesWithoutReading(_ server: Server, _ ofParts: Bool) async throws {
        let (from, to) = (try await server.place(), try await server.place())
        let scene = try await Scene(from, to, ofParts: ofParts)
        let reads = scene.source.requestCounts
        let staged = try await scene.stage([Self.small, Self.large])
        #expect(staged == Array(repeating: .staged(modified: Timestamp(nanoseconds: 1_600_000_000_123)), count: 2))
        #expect(try await to.names("packfiles/") == [])
        let outcomes = try await scene.target.publish([Self.small, Self.large])
        #expect(outcomes.allSatisfy { $0 == .published || $0 == .attested }, "\(outcomes)")
        #expect(scene.source.requestCounts == reads)
        for (key, bytes) in scene.bytes {
            #expect(try await to.get(key.path) == bytes)
            let attributes = try await to.s3().attributes(of: [key])
            #expect(
                attributes == [
                    .regular(size: Int64(bytes.count), modified: Timestamp(nanoseconds: 1_600_000_000_123))
                ])
        }
        #expect(try await to.stagedCount() == 0)
    }

    @Test(arguments: servers) func replacesNothing(_ server: Server) async throws {
        let (from, to) = (try await server.place(), try await server.place())
        let scene = try await Scene(from, to)
        _ = try await scene.stage([Self.small, Self.large])
        for key in [Self.small, Self.large] { try await to.plant(key, [1, 2, 3], modified: Timestamp(seconds: 1)) }
        #expect(try await scene.target.publish([Self.small, Self.large]) == [.taken, .taken])
        for key in [Self.small, Self.large] { #expect(try await to.get(key.path) == [1, 2, 3]) }
        try await scene.target.discard([Self.small, Self.large])
        #expect(try await to.stagedCount() == 0)
    }

    @Test(arguments: servers) func whatIsMissingOrOfAnotherLengthIsNotCopied(_ server: Server) async throws {
        let (from, to) = (try await server.place(), try await server.place())
        let scene = try await Scene(from, to)
        try await from.plant(Self.small, [1], modified: Timestamp(seconds: 1))
        guard case .refused(let reason) = try await scene.stage([Self.small])[0] else {
            Issue.record("it was staged")
            return
        }
        #expect(reason.contains("1 bytes"))
        try await from.remove(Self.large.path)
        await #expect(throws: Vanished(Self.large)) { try await scene.stage([Self.large]) }
    }

    /// moto ignores the condition, so that only the ETags tell.
    @Test(arguments: servers) func anOriginalThatChangesIsNotCopied(_ server: Server) async throws {
        let (from, to) = (try await server.place(), try await server.place())
        let scene = try await Scene(from, to)
        _ = try await scene.stage([Self.small])
        try await from.plant(Self.small, [UInt8](repeating: 7, count: 5000), modified: Timestamp(seconds: 1))
        guard case .uncopied = try await scene.target.publish([Self.small])[0] else {
            Issue.record("it was published")
            return
        }
    }

    /// An upload of copies that was cut is no obstacle: neither for the next copy nor for bytes.
    @Test(arguments: servers) func aCutUploadIsBegunAnew(_ server: Server) async throws {
        let (from, to) = (try await server.place(), try await server.place())
        var scene = try await Scene(from, to)
        for round in 0..<2 {
            _ = try await scene.stage([Self.large])
            scene.target = to.s3()
            try await scene.target.prepare()
            guard round == 1 else { continue }
            try await Scene.upload(scene.bytes[Self.large] ?? [], to: scene.target)
        }
        #expect(try await scene.target.publish([Self.large]) == [.published])
        #expect(try await to.get(Self.large.path) == scene.bytes[Self.large])
        #expect(try await to.stagedCount() == 0)
    }

    // MARK: - servers that do it badly

    /// Changes what is asked of the real server, or what it answers.
    private struct Meddling: HTTPTransport {
        var asks: @Sendable (inout HTTPRequest) -> Void = { _ in }
        var answers: @Sendable (HTTPRequest, inout HTTPResponse) -> Void = { _, _ in }

        func send(_ request: HTTPRequest, into sink: HTTPSink) async throws -> HTTPResponse {
            var asked = request
            let isCopy = request.headers.contains { $0.name == "x-amz-copy-source" }
            if isCopy { asks(&asked) }
            var response = try await Gateway.transport.send(asked, into: sink)
            if isCopy { answers(request, &response) }
            return response
        }
    }

    private func outcomes(_ meddling: Meddling) async throws -> (staged: [StagedCopy], published: [PublishOutcome], BucketPlace) {
        let (from, to) = (try await BucketPlace(), try await BucketPlace(transport: meddling, patient: false))
        let scene = try await Scene(from, to)
        let staged = try await scene.stage([Self.small, Self.large])
        let there = zip([Self.small, Self.large], staged).filter { if case .staged = $0.1 { true } else { false } }.map(\.0)
        return (staged, try await scene.target.publish(there), to)
    }

    private static let inBody = "<Error><Code>InternalError</Code><Message/></Error>"

    @Test(.enabled(if: Gateway.isThere, Comment(rawValue: Gateway.reason)))
    func aSuccessWithAnErrorInItIsNone() async throws {
        let (staged, published, to) = try await outcomes(
            Meddling(answers: { _, response in response.bytes = Array(Self.inBody.utf8) }))
        guard case .refused(let reason) = staged[1], case .uncopied(let other)? = published.first else {
            Issue.record("\(staged) \(published)")
            return
        }
        #expect(reason.contains("InternalError") && other.contains("InternalError"))
        #expect(try await to.stagedCount() == 0)
        #expect(try await to.s3().copyOrigin() != nil)
    }

    @Test(.enabled(if: Gateway.isThere, Comment(rawValue: Gateway.reason)), arguments: [400, 403, 404, 405, 501])
    func aRefusalIsRemembered(_ status: Int) async throws {
        let refusing = Meddling(answers: { _, response in
            response = HTTPResponse(status: status, headers: response.headers, bytes: [])
        })
        let (from, to) = (try await BucketPlace(), try await BucketPlace(transport: refusing, patient: false))
        let scene = try await Scene(from, to)
        guard case .refused = try await scene.stage([Self.large])[0] else {
            Issue.record("it was staged")
            return
        }
        #expect(try await scene.target.copyOrigin() == nil)
        #expect(try await to.stagedCount() == 0)
    }

    /// Another object of the same length.
    @Test(.enabled(if: Gateway.isThere, Comment(rawValue: Gateway.reason)))
    func otherBytesOfTheSameLengthAreSeen() async throws {
        let (from, to) = (try await BucketPlace(), try await BucketPlace())
        let scene = try await Scene(from, to)
        _ = try await scene.stage([Self.small])
        // The copy is made, and before anybody looks it is another one.
        let wrong = [UInt8](repeating: 9, count: 5000)
        let meddled = BucketPlace(to, transport: Replacing(place: to, name: Self.small.path, bytes: wrong))
        let target = meddled.s3()
        try await target.prepare()
        _ = try await target.stage(copiesOf: [scene.resource(Self.small)], from: scene.origin)
        guard case .uncopied = try await target.publish([Self.small])[0] else {
            Issue.record("it was believed")
            return
        }
        // What was read takes its place, and what is there is kept.
        let piece = Piece()
        piece.memory.copyBytes(from: scene.bytes[Self.small] ?? [])
        _ = try await target.stage([
            SmallResource(key: Self.small, piece: piece, range: 0..<5000, modified: Timestamp(seconds: 1))
        ])
        try await target.exchange(Self.small)
        #expect(try await to.get(Self.small.path) == scene.bytes[Self.small])
        #expect(try await to.quarantined(Self.small) == [wrong])
    }

    /// After each copy of a name it puts other bytes there.
    private struct Replacing: HTTPTransport {
        var place: BucketPlace
        var name: String
        var bytes: [UInt8]

        func send(_ request: HTTPRequest, into sink: HTTPSink) async throws -> HTTPResponse {
            let response = try await Gateway.transport.send(request, into: sink)
            let source = request.headers.first { $0.name == "x-amz-copy-source" }?.value
            if let source, source.hasSuffix(name), request.url.hasSuffix(name) { try await place.put(name, bytes) }
            return response
        }
    }

    /// A server that computes digests names that of its copy.
    @Test(arguments: [true, false]) func whatItNamesOfItsCopyCounts(_ isRight: Bool) async throws {
        let double = BucketDouble()
        let store = double.store(memory: S3Memory(known: S3Abilities(), keep: { _ in }))
        let bytes = [UInt8](repeating: 5, count: 100)
        double.put("from/\(Self.small.path)", BucketDouble.Object(bytes: bytes))
        if !isRight { double.habits.claimedCopy = S3Checksum.text(SHA256.digest(of: [1])) }
        try await store.prepare()
        let origin = CopyOrigin(server: "", root: "b/from")
        let resource = CopiedResource(key: Self.small, size: 100, digest: SHA256.digest(of: bytes))
        guard case .staged = try await store.stage(copiesOf: [resource], from: origin)[0] else {
            Issue.record("it was not staged")
            return
        }
        let outcome = try await store.publish([Self.small])[0]
        if isRight {
            #expect(outcome == .attested)
        } else {
            guard case .uncopied = outcome else {
                Issue.record("\(outcome)")
                return
            }
        }
    }
}
