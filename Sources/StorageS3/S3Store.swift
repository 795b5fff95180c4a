public import HTTPClient
public import Kloset
public import S3Signing
public import Storage
internal import Synchronization

/// A store in a bucket, under plakar's own keys (kloset-format 4); ours lie under `.sealift/`.
///
/// There is no rename on S3, so what is staged is hidden: small resources wait in memory, large ones as parts of a multipart upload. No
/// answer of the server counts as proof; whoever wants proof reads what was published.
public final class S3Store: Store {
    let settings: S3Settings
    let client: S3Client
    let state = Mutex(S3State())
    let listings = S3Listings()
    /// What earlier runs found out; nil for a store that asks no more than it must.
    let memory: S3Memory?

    /// Larger resources travel as parts of this size; a part is hashed and signed as a whole before it is sent.
    static let partByteCount: Int64 = 8 << 20
    /// S3's own bound.
    static let partsMax = 10_000
    /// Staged small resources in memory: two batches of two parts each.
    static let stagedMemoryMax: Int64 = 32 << 20

    /// A link of 1 Gbit/s and 20 ms holds 2.5 MB.
    static let chunksInFlight = 6

    /// - Parameters:
    ///   - credentials: asked before each request; temporary ones are renewed there.
    ///   - renewal: told what a server said has expired.
    ///   - now: the wall clock; the server's is learned.
    ///   - memory: what earlier runs found out about the server.
    public convenience init(
        _ settings: S3Settings, transport: any HTTPTransport, credentials: @escaping @Sendable () async throws -> S3Credentials,
        renewal: @escaping @Sendable (S3Credentials) async -> Void = { _ in }, now: @escaping @Sendable () -> Timestamp,
        memory: S3Memory? = nil
    ) {
        self.init(
            settings,
            client: S3Client(settings: settings, transport: transport, credentials: credentials, renewal: renewal, now: now),
            memory: memory)
    }

    init(_ settings: S3Settings, client: S3Client, memory: S3Memory? = nil) {
        self.memory = memory
        self.settings = settings
        self.client = client
    }

    public var place: String { settings.place }

    public var capabilities: StoreCapabilities {
        let publication: StoreCapabilities.Publication =
            switch state.withLock({ $0.honoursConditions ?? $0.honouredConditions }) {
            case true?: .conditional
            case false?: .checkThenWrite
            case nil: .untried
            }
        var capabilities = StoreCapabilities(
            publication: publication, durability: .acknowledged, exchange: .copyThenReplace,
            staging: .hidden(small: Self.partByteCount, memory: Self.stagedMemoryMax), locking: .none, bucketsInFlight: 32,
            readersInFlight: 8, mayBeWriteOnly: true)
        capabilities.chunksInFlight = Self.chunksInFlight
        capabilities.requests = requestModel
        return capabilities
    }

    public func footprint() async throws -> Footprint {
        var steps = [settings.bucket]
        for part in settings.prefix.split(separator: "/") { steps.append("\(steps[steps.count - 1])/\(part)") }
        return Footprint(realm: "s3 \(settings.host)", steps: steps)
    }
}

/// What an ``S3Store`` remembers.
struct S3State {
    /// Staged resources that wait to be published.
    var staged: [ResourceKey: S3Staged] = [:]
    /// Whether a PUT with `If-None-Match: *` is refused where it should be; nil before it was tried.
    var honoursConditions: Bool?
    /// It answers 501 to `If-None-Match` on PUT.
    var refusesConditions = false
    /// It compares the ETag of an object of parts with another one than it shows.
    var mistakesTagsOfParts = false
    /// A listing has named a class that must be recalled.
    var hasSeenCold = false
    /// Whether such objects are really not to be read; nil before anybody tried.
    var isReallyCold: Bool?
    /// It copied nothing when it was asked to.
    var refusesCopies = false
    /// ``honoursConditions`` of an earlier run, as its probe tells.
    var honouredConditions: Bool?
    /// Uploads that earlier runs left: the resources that have a document. Nil before anybody looked.
    var leftUploads: Set<ResourceKey>?
    /// Whether what is there may be read; nil before anybody asked.
    var access: ReadAccess?
    /// Modification times that reads told.
    var times: [ResourceKey: Timestamp] = [:]
    /// It takes no checksums of parts.
    var refusesChecksumsOfParts = false
    /// The server answers 501 to a checksum.
    var refusesChecksums = false
    /// What the bucket says of Object Lock, as ``S3Abilities/objectLock``; nil before this run asked.
    var objectLock: String?
    /// Whether the bucket keeps what is overwritten; nil before anybody asked.
    var keepsVersions: Bool?
    /// What everything that is published gets.
    var lock: S3Lock?
    /// The server takes no lock of our own making on what is rewritten.
    var refusesBriefLocks = false
    /// What this run knows of the server.
    var abilities = S3Abilities()
}

extension S3Store {
    /// The key of a resource in the bucket.
    func objectKey(_ key: ResourceKey) -> String { settings.key(key.path) }

    func failure(_ kind: Failure.Kind, _ what: String, _ key: ResourceKey? = nil, _ reason: String, _ advice: String = "")
        -> Failure
    {
        Failure(kind, what, resource: key, place: place, reason: reason, advice: advice)
    }

    func failure(_ answer: S3Answer, _ what: String, _ purpose: S3Errors.Purpose, _ key: ResourceKey? = nil) -> Failure {
        S3Errors.failure(answer, what, purpose, resource: key, settings: settings)
    }

    /// Sends a call; a failure gets the resource.
    func send(_ call: S3Call, _ what: String, _ key: ResourceKey? = nil) async throws -> S3Answer {
        do {
            return try await client.send(call)
        } catch var failure as Failure {
            if failure.kind == .unavailable { failure.what = what }
            throw failure.at(place, key)
        }
    }

    /// The head of an object; nil when it is not there.
    func head(_ objectKey: String, _ what: String, _ key: ResourceKey? = nil) async throws -> S3Answer? {
        if isWriteOnly { return try await listedHead(objectKey) }
        let answer = try await send(S3Call(.head, objectKey), what, key)
        if answer.status == 404 { return nil }
        guard answer.isSuccess else { throw failure(answer, what, .reading, key) }
        return answer
    }
}
