internal import Glibc
public import HTTPClient
internal import Storage
internal import StorageS3

/// A second radosgw, for tests that kill it, hang it and limit it: never two of them at a time. Started when the first asks, stopped when the
/// process ends.
public actor OwnGateway {
    public static let shared = OwnGateway()
    /// Another block of a hundred ports than ``Gateway``'s.
    public static let port = 10_000 + Int(getpid()) % 100 * 100

    private var starting: Task<ServerChild, any Error>?
    private var places = 0
    private var buckets: Set<String> = []
    private let pool = BlockingPool(threadsMax: 1)

    private func child() async throws -> ServerChild {
        if let starting { return try await starting.value }
        let task = Task { try await Gateway.launch(Self.port, folder: "/tmp/sealift-radosgw-own-\(getpid())") }
        starting = task
        return try await task.value
    }

    /// A fresh prefix in a bucket, which is made where it is missing.
    public func place(bucket: String = Gateway.bucket, transport: any HTTPTransport = Gateway.transport) async throws
        -> BucketPlace
    {
        _ = try await child()
        if buckets.insert(bucket).inserted { try await Gateway.makeBucket(Self.port, bucket) }
        places += 1
        return BucketPlace(port: Self.port, prefix: "own/\(getpid())-\(places)", bucket: bucket, transport: transport)
    }

    private func tell(_ command: String) async throws {
        let child = try await child()
        let answer = try await pool.run { child.answer(to: command) }
        guard answer == "done" else {
            throw Gateway.CannotStart(description: "radosgw did not \(command): \(answer ?? "it is gone")")
        }
    }

    /// With SIGKILL; what it has acknowledged stays.
    public func kill() async throws { try await tell("kill") }

    /// After ``kill()``.
    ///
    /// - Parameter options: radosgw's own.
    public func start(_ options: [String] = []) async throws {
        try await tell((["start"] + options.map { $0.replacing(" ", with: "+") }).joined(separator: " "))
    }

    /// Everything that is asked of it waits, until ``go()``.
    public func hang() async throws { try await tell("hang") }
    public func go() async throws { try await tell("go") }

    /// What `radosgw-admin` does.
    public func administer(_ words: String...) async throws { try await tell((["admin"] + words).joined(separator: " ")) }
}
