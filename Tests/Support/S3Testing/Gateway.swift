internal import Glibc
public import HTTPClient
public import Kloset
public import S3Signing
internal import Storage
public import StorageS3

/// The one radosgw that all tests share: started when the first test asks, stopped when the process ends.
public actor Gateway {
    public static let shared = Gateway()
    public static let isThere = ServerChild.canCall("radosgw", "ceph-mon", "ceph-osd", "radosgw-admin")
    public static let reason = "no radosgw here (Debian: radosgw, ceph-mon, ceph-osd, ceph-common)"

    public static let bucket = "sealift"
    private var starting: Task<Int, any Error>?

    public struct CannotStart: Error, CustomStringConvertible {
        public var description: String
    }

    /// The port that it answers at.
    public func port() async throws -> Int {
        if let starting { return try await starting.value }
        let task = Task { try await Self.start() }
        starting = task
        return try await task.value
    }

    private static func start() async throws -> Int {
        // SEALIFT_RADOSGW_PORT names one that runs already.
        if let port = getenv("SEALIFT_RADOSGW_PORT").flatMap({ Int(String(cString: $0)) }) {
            try await makeBucket(port)
            return port
        }
        // Below the range that Linux gives to outgoing connections; another process of the tests has another block of a hundred.
        let port = 20_000 + Int(getpid()) % 100 * 100
        _ = try await launch(port, folder: "/tmp/sealift-radosgw-\(getpid())")
        try await makeBucket(port)
        return port
    }

    static func launch(_ port: Int, folder: String) async throws -> ServerChild {
        try await ServerChild.launch("radosgw", port, folder: folder)
    }

    /// An empty prefix: the place's root is the bucket, and a bucket is made by a PUT to it.
    static func makeBucket(_ port: Int, _ bucket: String = bucket) async throws {
        let place = BucketPlace(port: port, prefix: "", bucket: bucket)
        try await place.makeBucket()
    }

    public static let credentials = S3Credentials(accessKey: "testkey", secret: Secret("testsecret1"))
    /// A user who may only list and put in ``writersBucket``.
    public static let writer = S3Credentials(accessKey: "writerkey", secret: Secret("writersecret1"))
    public static let writersBucket = "sealift-writers"

    /// The bucket with the policy of docs/backends/s3.md. On radosgw whoever uploads owns the object and reads it, unless that is denied; and
    /// its bucket's owner does not, unless that is allowed.
    static let writersPolicy = """
        {"Version": "2012-10-17", "Statement": [
            {"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam:::user/writer"]},
             "Action": ["s3:ListBucket"], "Resource": ["arn:aws:s3:::sealift-writers"]},
            {"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam:::user/writer"]},
             "Action": ["s3:PutObject"], "Resource": ["arn:aws:s3:::sealift-writers/*"]},
            {"Effect": "Deny", "Principal": {"AWS": ["arn:aws:iam:::user/writer"]},
             "Action": ["s3:GetObject", "s3:DeleteObject"], "Resource": ["arn:aws:s3:::sealift-writers/*"]},
            {"Effect": "Allow", "Principal": {"AWS": ["arn:aws:iam:::user/test"]},
             "Action": ["s3:*"], "Resource": ["arn:aws:s3:::sealift-writers", "arn:aws:s3:::sealift-writers/*"]}
        ]}
        """
    public static let transport: any HTTPTransport = {
        do { return try CurlTransport(trust: .system, connectionsMax: 64) } catch {
            preconditionFailure("no transport: \(error)")
        }
    }()

    public static func settings(_ port: Int, prefix: String, bucket: String = bucket) -> S3Settings {
        S3Settings(scheme: "http", host: "127.0.0.1:\(port)", bucket: bucket, prefix: prefix)
    }
}

/// Now.
public func wallClock() -> Timestamp {
    var time = timespec()
    clock_gettime(CLOCK_REALTIME, &time)
    return Timestamp(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
}
