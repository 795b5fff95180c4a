internal import Glibc
internal import HTTPClient
internal import S3Signing
internal import Storage
internal import StorageS3

/// Real S3 servers beside radosgw, each one for all tests of the process: started when the first test asks, stopped when it ends.
public actor OtherServer {
    /// OpenStack Swift with s3api: checks what clients announce, region and checksums.
    public static let swift = OtherServer(
        script: "openstack-swift", offset: 92, accessKey: "test:tester", secret: "testing",
        isThere: ServerChild.canCall(
            "swift-proxy-server", "swift-account-server", "swift-container-server", "swift-object-server", "memcached"),
        reason: "no OpenStack Swift here (Debian: swift-proxy, swift-account, swift-container, swift-object, memcached)")
    /// moto: Amazon's own behaviour, as far as people have rebuilt it; cold classes.
    public static let moto = OtherServer(
        script: "moto", offset: 97, isThere: ServerChild.canCall("moto_server"),
        reason: "no moto here (Debian: python3-moto, python3-flask, python3-flask-cors)")
    /// rclone: believes its clients, and ignores conditions and checksums.
    public static let rclone = OtherServer(
        script: "rclone-s3", offset: 98,
        isThere: ServerChild.canCall("rclone") && system("rclone serve s3 --help 2>&1 | grep -q -e --auth-key") == 0,
        reason: "the rclone here has no `serve s3` (1.65 has; Debian 13 packages 1.60)")

    public nonisolated let accessKey: String
    public nonisolated let secret: String
    public nonisolated let isThere: Bool
    public nonisolated let reason: String
    private nonisolated let script: String
    private nonisolated let port: Int
    private var starting: Task<ServerChild, any Error>?
    private var places = 0

    /// - Parameter offset: where in ``Gateway``'s block of a hundred ports its own begin.
    private init(
        script: String, offset: Int, accessKey: String = "testkey", secret: String = "testsecret1", isThere: Bool, reason: String
    ) {
        (self.script, self.isThere, self.reason) = (script, isThere, reason)
        (self.accessKey, self.secret) = (accessKey, secret)
        port = 20_000 + Int(getpid()) % 100 * 100 + offset
    }

    /// A fresh prefix in its bucket.
    public func place() async throws -> BucketPlace {
        if starting == nil {
            starting = Task { [self] in
                let child = try await ServerChild.launch(script, port, folder: "/tmp/sealift-\(script)-\(getpid())")
                try await at(prefix: "").makeBucket()
                return child
            }
        }
        _ = try await starting?.value
        places += 1
        return at(prefix: "tests/\(getpid())-\(places)")
    }

    private nonisolated func at(prefix: String) -> BucketPlace {
        let user = S3Credentials(accessKey: accessKey, secret: Secret(secret))
        return BucketPlace(port: port, prefix: prefix, user: user, owner: user)
    }
}
