internal import HTTPClient
public import Kloset
public import Storage
internal import Synchronization

/// Storage classes whose objects must be restored before they can be read. What was asked for is the server's to remember: `x-amz-restore`.
extension S3Store {
    /// Those of S3 that are not read at once. (`GLACIER_IR` is, in spite of its name.)
    static let coldClasses: Set<String> = ["GLACIER", "DEEP_ARCHIVE"]

    /// Listings name the class of each object.
    func noteClasses(of page: S3ListPage) {
        guard page.objects.contains(where: { Self.coldClasses.contains($0.storageClass) }) else { return }
        state.withLock { $0.hasSeenCold = true }
    }

    public func warmth(of keys: [ResourceKey]) async throws -> [Warmth] {
        guard state.withLock({ $0.hasSeenCold }) else { return keys.map { _ in .ready } }
        return try await inParallel(keys, atMost: Self.callsAtOnce) { [self] key in try await warmth(of: key) }
    }

    private func warmth(of key: ResourceKey) async throws -> Warmth {
        guard let head = try await head(objectKey(key), "cannot look at", key),
            let name = head.response.headers["x-amz-storage-class"], Self.coldClasses.contains(name)
        else { return .ready }
        if let restore = head.response.headers["x-amz-restore"] {
            return restore.contains("ongoing-request=\"true\"") ? .recalling(storageClass: name) : .ready
        }
        return try await isReallyCold(key) ? .cold(storageClass: name) : .ready
    }

    /// radosgw takes these names for any pool and gives the bytes at once: one object tells for all.
    private func isReallyCold(_ key: ResourceKey) async throws -> Bool {
        if let known = state.withLock({ $0.isReallyCold }) { return known }
        let answer = try await send(
            S3Call(.get, objectKey(key)).into(.bytes(max: 1)).with("Range", "bytes=0-0"), "cannot look at", key)
        let isCold = S3ErrorDocument(answer.response).code == "InvalidObjectState"
        state.withLock { $0.isReallyCold = isCold }
        return isCold
    }

    public func recall(_ keys: [ResourceKey], _ recall: Recall) async throws {
        let tier = recall.tier.rawValue.prefix(1).uppercased() + recall.tier.rawValue.dropFirst()
        let document = Array(
            """
            <RestoreRequest xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Days>\(recall.days)</Days>\
            <GlacierJobParameters><Tier>\(tier)</Tier></GlacierJobParameters></RestoreRequest>
            """.utf8)
        _ = try await inParallel(keys, atMost: Self.callsAtOnce) { [self] key in
            let call = S3Call(.post, objectKey(key)).asking([("restore", nil)]).with("Content-Type", "application/xml")
                .sendingSummed(document)
            let answer = try await send(call, "cannot recall", key)
            let isUnderway = S3ErrorDocument(answer.response).code == "RestoreAlreadyInProgress"
            guard answer.isSuccess || isUnderway else {
                throw failure(answer, "cannot recall", .reading, key)
            }
        }
    }
}
