public import HTTPClient
public import S3Signing

/// Where a store lies on an S3 server, and how that is spoken to.
public struct S3Settings: Sendable {
    /// `https` or `http`.
    public var scheme: String
    /// With the port where it is not the scheme's own.
    public var host: String
    public var bucket: String
    /// Without `/` at its ends; may be empty.
    public var prefix: String
    public var region: String
    /// Whether the bucket is part of the host's name instead of the path.
    public var isVirtualHost: Bool
    /// For new objects; nil leaves it to the bucket.
    public var storageClass: String?
    /// 32 bytes that the server encrypts with and forgets (SSE-C).
    public var customerKey: Secret?
    public var trust: TLSTrust

    public init(
        scheme: String, host: String, bucket: String, prefix: String, region: String = "us-east-1", isVirtualHost: Bool = false,
        storageClass: String? = nil, customerKey: Secret? = nil, trust: TLSTrust = .system
    ) {
        self.scheme = scheme
        self.host = host
        self.bucket = bucket
        self.prefix = prefix
        self.region = region
        self.isVirtualHost = isVirtualHost
        self.storageClass = storageClass
        self.customerKey = customerKey
        self.trust = trust
    }

    /// The location, as plakar writes it.
    public var place: String { "s3://\(host)/\(bucket)\(prefix.isEmpty ? "" : "/\(prefix)")" }

    /// The `Host` line of requests.
    func requestHost(_ bucket: String) -> String { isVirtualHost ? "\(bucket).\(host)" : host }

    /// The path of an object, or of the bucket itself; not encoded.
    func path(_ bucket: String, _ key: String?) -> String {
        isVirtualHost ? "/\(key ?? "")" : "/\(bucket)\(key.map { "/\($0)" } ?? "")"
    }

    /// The full key of a name below the store's root.
    func key(_ name: String) -> String { prefix.isEmpty ? name : "\(prefix)/\(name)" }
}
