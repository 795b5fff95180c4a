internal import Glibc
public import HTTPClient
@testable internal import StorageS3

/// Buckets that keep versions, and what protects them.
extension BucketPlace {
    /// A fresh bucket with Object Lock, and so with versioning.
    ///
    /// - Parameter rule: its default rule: `COMPLIANCE`, and days.
    public static func locked(
        rule: (mode: String, days: Int)? = nil, transport: any HTTPTransport = Gateway.transport
    ) async throws -> BucketPlace {
        let number = next.withLock { number in
            number += 1
            return number
        }
        let place = BucketPlace(
            port: try await Gateway.shared.port(), prefix: "p", bucket: "sealift-lock-\(getpid())-\(number)", transport: transport
        )
        try await place.expectSuccess(S3Call(.put, "").with("x-amz-bucket-object-lock-enabled", "true"))
        if let rule {
            let document = """
                <ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled><Rule><DefaultRetention>\
                <Mode>\(rule.mode)</Mode><Days>\(rule.days)</Days></DefaultRetention></Rule></ObjectLockConfiguration>
                """
            try await place.expectSuccess(
                S3Call(.put, nil).asking([("object-lock", nil)]).sendingSummed(Array(document.utf8)))
        }
        return place
    }

    private func expectSuccess(_ call: S3Call) async throws {
        let answer = try await client.send(call)
        guard answer.isSuccess else { throw Odd(status: answer.status) }
    }

    /// `GOVERNANCE 2026-12-21T…`, or nil without a retention.
    public func retention(_ name: String) async throws -> String? {
        let answer = try await client.send(S3Call(.get, settings.key(name)).asking([("retention", nil)]))
        guard answer.isSuccess, let xml = try? S3XML(parsing: answer.response.bytes) else { return nil }
        return "\(xml.text("Mode") ?? "") \(xml.text("RetainUntilDate") ?? "")"
    }

    /// Whether a legal hold is on.
    public func isHeld(_ name: String) async throws -> Bool {
        let answer = try await client.send(S3Call(.get, settings.key(name)).asking([("legal-hold", nil)]))
        return answer.isSuccess && (try? S3XML(parsing: answer.response.bytes))?.text("Status") == "ON"
    }

    /// What the server says to removing the newest version for good: 204 or 403.
    public func removingVersion(_ name: String) async throws -> Int {
        let head = try await client.send(S3Call(.head, settings.key(name)))
        let call = S3Call(.delete, settings.key(name)).asking([("versionId", head.response.headers["x-amz-version-id"])])
        return try await client.send(call).status
    }

    /// How many versions and delete markers a name has.
    public func versionCount(_ name: String) async throws -> Int {
        let query: [(name: String, value: String?)] = [("prefix", settings.key(name)), ("versions", nil)]
        let answer = try await client.send(S3Call(.get, nil).asking(query))
        let xml = try S3XML(parsing: answer.response.bytes)
        return xml.children(named: "Version").count + xml.children(named: "DeleteMarker").count
    }
}
