internal import Catalog
internal import Configuration
internal import HTTPClient
internal import Kloset
internal import S3Identity
internal import S3Signing
internal import Storage
internal import StorageS3

/// From a location on an S3 server and its options to a store.
struct S3Opening {
    private let located: LocatedStore
    private let options: StoreOptions
    private let variables: [String: String]
    private var place: String { located.location.printable }

    /// Requests under way at a time; the store itself adapts below that.
    private static let connectionsMax = 64

    init(_ located: LocatedStore, variables: [String: String]) {
        self.located = located
        self.options = located.options
        self.variables = variables
    }

    /// - Parameter catalog: knows what servers were found to do.
    func store(catalog: StateCatalog) async throws -> S3Store {
        let identity = CredentialProvider(
            options: try named { () throws(Failure) in try CredentialOptions(options.values(named: CredentialOptions.names)) },
            environment: variables, transport: try CurlTransport(trust: .system, connectionsMax: 2), now: { RunContext.now() })
        var settings = try settings(region: try options.text("region") ?? identity.region())
        let memory = await Self.memory(of: "s3 \(settings.host)/\(settings.bucket)", in: catalog)
        // The server told once; whoever names a region means it.
        if options.text("region") == nil, try identity.region() == nil, let known = memory.known.region {
            settings.region = known
        }
        let transport = try CurlTransport(trust: settings.trust, connectionsMax: Self.connectionsMax)
        return S3Store(
            settings, transport: transport, credentials: { try await identity.credentials() },
            renewal: { await identity.forget($0) }, now: { RunContext.now() }, memory: memory)
    }

    /// Servers are replaced: what was found out a month ago is asked again.
    private static let answersAgeMax: Int64 = 30 * 86_400 * 1_000_000_000

    /// Memory saves questions and no more: where there is none to be had, that is for those to say who cannot do without.
    private static func memory(of endpoint: String, in catalog: StateCatalog) async -> S3Memory {
        let oldest = Timestamp(nanoseconds: RunContext.now().nanoseconds - answersAgeMax)
        let words = try? await catalog.read { db in try db.answers(of: endpoint, since: oldest) }
        return S3Memory(known: S3Abilities(words: words ?? [:])) { found in
            let now = RunContext.now()
            try await catalog.write { db in try db.keepAnswers(found.words, of: endpoint, asked: now) }
        }
    }

    /// A failure that does not know the place gets it.
    private func named<Value>(_ body: () throws(Failure) -> Value) throws(Failure) -> Value {
        do throws(Failure) { return try body() } catch { throw error.at(place) }
    }

    /// - Parameter region: what options, environment and profile say.
    func settings(region: String?) throws -> S3Settings {
        let parts = located.location.path.split(separator: "/").map { String($0) }
        let usesTLS = try options.flag("use_tls", place: place) ?? true
        let trustsAnybody = try options.flag("tls_insecure_no_verify", place: place) ?? false
        var (host, rest): (String, ArraySlice<String>)
        var isVirtualHost = try options.flag("virtual_host", place: place) ?? false
        if isEndpoint(parts[0]) {
            (host, rest) = (options.text("endpoint").map { Self.host(ofEndpoint: $0) } ?? parts[0], parts[1...])
        } else if let endpoint = options.text("endpoint") {
            (host, rest) = (Self.host(ofEndpoint: endpoint), parts[...])
        } else {
            guard let known = region else {
                throw Failure(
                    .usage, "cannot use the location", place: place,
                    reason: "it names neither an endpoint with a port nor a region",
                    advice: "Write s3://endpoint:port/bucket/prefix, or give a region: --option region=…")
            }
            (host, rest) = ("s3.\(known).amazonaws.com", parts[...])
            // A bucket with dots fits no certificate of the form *.s3.….
            isVirtualHost = try options.flag("virtual_host", place: place) ?? !parts[0].contains(".")
        }
        if let port = options.text("port") { host = "\(host.prefix { $0 != ":" }):\(port)" }
        if let root = options.text("root") { rest = root.split(separator: "/").map { String($0) }[...] }
        guard let bucket = rest.first else {
            throw Failure(
                .usage, "cannot use the location", place: place, reason: "no bucket stands behind the endpoint",
                advice: "Write s3://endpoint:port/bucket/prefix.")
        }
        return S3Settings(
            scheme: usesTLS ? "https" : "http", host: host, bucket: bucket, prefix: rest.dropFirst().joined(separator: "/"),
            region: region ?? "us-east-1", isVirtualHost: isVirtualHost, storageClass: options.text("storage_class"),
            customerKey: try customerKey(), trust: trustsAnybody ? .nobody : trust)
    }

    private var trust: TLSTrust {
        variables["AWS_CA_BUNDLE"].flatMap { $0.isEmpty ? nil : .file($0) } ?? .system
    }

    /// No request is ever signed for a host that was guessed.
    private func isEndpoint(_ first: String) -> Bool {
        first.contains(":") || first == "localhost" || options.text("endpoint").map { Self.host(ofEndpoint: $0) } == first
            || located.isNamed && first.contains(".")
    }

    /// `https://host:port/` and `host:port` mean the same.
    private static func host(ofEndpoint text: String) -> String {
        var rest = text[...]
        for scheme in ["https://", "http://"] where rest.hasPrefix(scheme) { rest = rest.dropFirst(scheme.count) }
        return String(rest.prefix { $0 != "/" })
    }

    private func customerKey() throws -> Secret? {
        guard let key = options["sse_customer_key"] else { return nil }
        guard key.byteCount == 32 else {
            throw Failure(
                .configuration, "cannot use", place: place, reason: "the option sse_customer_key has \(key.byteCount) bytes",
                advice: "A key for SSE-C has 32.")
        }
        return key
    }
}
