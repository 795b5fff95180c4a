internal import Glibc
public import HTTPClient
public import Kloset
internal import S3Signing
public import Storage
@testable public import StorageS3
public import StorageTesting
internal import Synchronization

/// A prefix of its own in the gateway's bucket.
public struct BucketPlace: StorePlace {
    public let settings: S3Settings
    /// Sees what is there without the store under test.
    let client: S3Client
    private let transport: any HTTPTransport
    private let retry: S3Retry
    static let next = Mutex(0)

    /// Who the store under test is.
    private let user: S3Credentials

    /// A place at any gateway.
    ///
    /// - Parameters:
    ///   - user: who the store under test is.
    ///   - owner: who looks at it from aside.
    init(
        port: Int, prefix: String, bucket: String = Gateway.bucket, user: S3Credentials = Gateway.credentials,
        owner: S3Credentials = Gateway.credentials, transport: any HTTPTransport = Gateway.transport,
        retry: S3Retry = S3Retry()
    ) {
        settings = Gateway.settings(port, prefix: prefix, bucket: bucket)
        self.user = user
        client = S3Client(settings: settings, transport: Gateway.transport, credentials: { owner }, now: { wallClock() })
        (self.transport, self.retry) = (transport, retry)
    }

    /// A fresh place.
    ///
    /// - Parameter patient: false for a store that never really waits before it asks again.
    public init(transport: any HTTPTransport = Gateway.transport, patient: Bool = true) async throws {
        let number = Self.next.withLock { number in
            number += 1
            return number
        }
        var retry = S3Retry()
        if !patient {
            let clock = VirtualClock()
            (retry.sleep, retry.now) = ({ try await clock.sleep($0) }, { clock.now })
        }
        self.init(
            port: try await Gateway.shared.port(), prefix: "tests/\(getpid())-\(number)", transport: transport, retry: retry)
    }

    /// A fresh place where the store under test may only list and put.
    public static func writeOnly(transport: any HTTPTransport = Gateway.transport) async throws -> BucketPlace {
        let fresh = try await BucketPlace()
        let port = try await Gateway.shared.port()
        let place = BucketPlace(
            port: port, prefix: fresh.settings.prefix, bucket: Gateway.writersBucket, user: Gateway.writer, transport: transport)
        try await BucketPlace(port: port, prefix: "", bucket: Gateway.writersBucket).makeBucket()
        let policy = S3Call(.put, nil).asking([("policy", nil)]).sending(.bytes(Array(Gateway.writersPolicy.utf8)))
        let answer = try await place.client.send(policy)
        guard answer.isSuccess else { throw Odd(status: answer.status) }
        return place
    }

    /// The same place through another transport.
    public init(_ other: BucketPlace, transport: any HTTPTransport) {
        (settings, client, retry, user) = (other.settings, other.client, other.retry, other.user)
        self.transport = transport
    }

    /// The same place by another port, where somebody passes on what is said.
    ///
    /// - Parameter attempts: how often a call is sent.
    public init(_ other: BucketPlace, port: Int, attempts: Int = S3Retry().attemptsMax) {
        var (settings, retry) = (other.settings, other.retry)
        settings.host = "127.0.0.1:\(port)"
        retry.attemptsMax = attempts
        (self.settings, client, transport, self.retry, user) = (settings, other.client, other.transport, retry, other.user)
    }

    public func open() -> any Store { s3() }

    /// - Parameter ahead: how far the clock of this machine is ahead.
    public func s3(ahead seconds: Int64 = 0) -> S3Store {
        let client = S3Client(
            settings: settings, transport: transport, credentials: { [user] in user },
            now: { Timestamp(nanoseconds: wallClock().nanoseconds + seconds * 1_000_000_000) }, retry: retry)
        return S3Store(settings, client: client)
    }

    public struct Odd: Error {
        public var status: Int
    }

    func makeBucket() async throws {
        let answer = try await client.send(S3Call(.put, ""))
        guard answer.isSuccess || answer.status == 409 else { throw Odd(status: answer.status) }
    }

    /// Puts an object at a name below the root.
    public func put(_ name: String, _ bytes: [UInt8], _ headers: [(String, String)] = []) async throws {
        var call = S3Call(.put, settings.key(name)).sending(.bytes(bytes))
        for (name, value) in headers { call = call.with(name, value) }
        let answer = try await client.send(call)
        guard answer.isSuccess else { throw Odd(status: answer.status) }
    }

    public func get(_ name: String) async throws -> [UInt8] {
        let answer = try await client.send(S3Call(.get, settings.key(name)).into(.bytes(max: 64 << 20)))
        guard answer.isSuccess else { throw Odd(status: answer.status) }
        return answer.response.bytes
    }

    /// As its head says; nil where it says none.
    public func storageClass(_ name: String) async throws -> String? {
        try await client.send(S3Call(.head, settings.key(name))).response.headers["x-amz-storage-class"]
    }

    public func remove(_ name: String) async throws {
        let answer = try await client.send(S3Call(.delete, settings.key(name)))
        guard answer.isSuccess else { throw Odd(status: answer.status) }
    }

    /// Begins a multipart upload that is none of ours.
    public func beginForeignUpload(_ key: ResourceKey) async throws {
        let answer = try await client.send(S3Call(.post, settings.key(key.path)).asking([("uploads", nil)]))
        guard answer.isSuccess else { throw Odd(status: answer.status) }
    }

    /// What the server says of unfinished uploads below the root.
    public func unfinishedUploads() async throws -> String {
        let query: [(name: String, value: String?)] = [("prefix", settings.prefix), ("uploads", nil)]
        return String(decoding: try await client.send(S3Call(.get, nil).asking(query)).response.bytes, as: UTF8.self)
    }

    /// Full names below the root that begin so.
    public func names(_ prefix: String) async throws -> [String] {
        let store = S3Store(settings, client: client)
        var found: [String] = []
        try await store.list(prefix) { page in
            found += page.objects.map { String(store.name(of: $0.key)) }
            return true
        }
        return found
    }

    public func plant(_ key: ResourceKey, _ bytes: [UInt8], modified: Timestamp) async throws {
        try await put(key.path, bytes, [(S3Names.modifiedHeader, String(modified.nanoseconds))])
    }

    public func plantIrregular(_ key: ResourceKey) -> Bool { false }

    public func plantName(_ path: String) async throws -> Bool {
        try await put(path, [1])
        return true
    }

    public func quarantined(_ key: ResourceKey) async throws -> [[UInt8]] {
        var all: [[UInt8]] = []
        for name in try await names(".sealift/quarantine/\(S3Names.word(key))-") { all.append(try await get(name)) }
        return all
    }

    public func quarantinedDocuments() async throws -> [[UInt8]] {
        var all: [[UInt8]] = []
        for name in try await names(".sealift/quarantine/ledger-") { all.append(try await get(name)) }
        return all
    }

    public func stagedCount() async throws -> Int { try await names(".sealift/uploads/").count }
}
