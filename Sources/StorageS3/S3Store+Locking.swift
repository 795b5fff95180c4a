internal import HTTPClient
public import Kloset
public import Storage
internal import Synchronization

/// Object Lock. Servers exist that take `PUT ?retention` for an object and overwrite what it should protect, so nothing is asked for before the
/// bucket has told that it has Object Lock, nor of an object that does not answer the question properly; and what was asked for is read back.
extension S3Store {
    public func lockPublished(_ lock: ResourceLock) async throws -> Timestamp? {
        if let known = state.withLock({ $0.lock }), known.wanted == lock { return known.retainedUntil }
        let answer = try await send(S3Call(.get, nil).asking([("object-lock", nil)]), Self.cannotLock)
        let code = S3ErrorDocument(answer.response).code
        if answer.status == 403 || code == "NoSuchBucket" {
            var refusal = failure(answer, Self.cannotLock, .writing)
            if refusal.kind == .permission { refusal.advice = "Let the credentials s3:GetBucketObjectLockConfiguration." }
            throw refusal
        }
        guard let rule = Self.objectLock(answer), rule != "none" else {
            throw failure(
                .refused, Self.cannotLock, nil, "the bucket \(settings.bucket) has no Object Lock",
                "Make a bucket with Object Lock, or leave --object-lock and --legal-hold out.")
        }
        // Rounded up: a server may compare with a part of a second.
        let seconds = client.serverTime.nanoseconds / 1_000_000_000 + 1
        let made = S3Lock(wanted: lock, until: Timestamp(seconds: seconds + Int64(lock.retention?.days ?? 0) * 86_400))
        state.withLock { state in
            state.objectLock = rule
            state.lock = made
        }
        return made.retainedUntil
    }

    public func extendLocks(of keys: [ResourceKey]) async throws -> Int {
        let changed = try await inParallel(keys, atMost: Self.callsAtOnce) { [self] key in try await giveLock(key) }
        return changed.count { $0 }
    }

    /// An object of ours has just been made: whether it has the lock that was asked for with it. radosgw drops those of multipart uploads, and
    /// one that an earlier run began may have another: these get it now.
    func proveLock(_ key: ResourceKey) async throws {
        _ = try await giveLock(key)
    }

    /// - Returns: whether it had less than is wanted.
    private func giveLock(_ key: ResourceKey) async throws -> Bool {
        guard let lock = state.withLock({ $0.lock }) else { return false }
        var hadLess = false
        if let retention = lock.wanted.retention {
            hadLess = try await giveRetention(S3Retention(mode: retention.mode, until: lock.until), key)
        }
        if lock.wanted.isHeld, try await giveHold(key) { hadLess = true }
        return hadLess
    }

    private func giveRetention(_ wanted: S3Retention, _ key: ResourceKey) async throws -> Bool {
        let there = try await retention(of: key)
        if there?.covers(wanted) == true { return false }
        let extended = there?.extended(by: wanted) ?? wanted
        try await ask(.put, "retention", key, extended.document)
        guard try await retention(of: key)?.covers(wanted) == true else { throw notLocked(key) }
        return true
    }

    private func giveHold(_ key: ResourceKey) async throws -> Bool {
        if try await isHeld(key) { return false }
        try await ask(.put, "legal-hold", key, Array("<LegalHold><Status>ON</Status></LegalHold>".utf8))
        guard try await isHeld(key) else { throw notLocked(key) }
        return true
    }

    private func retention(of key: ResourceKey) async throws -> S3Retention? {
        guard let answer = try await ask(.get, "retention", key) else { return nil }
        if let found = S3Retention(parsing: answer.response.bytes) { return found }
        throw failure(.readWrite, Self.cannotRead, key, "the server does not say how long it is kept")
    }

    private func isHeld(_ key: ResourceKey) async throws -> Bool {
        guard let answer = try await ask(.get, "legal-hold", key) else { return false }
        guard let xml = try? S3XML(parsing: answer.response.bytes), xml.rootName == "LegalHold", let word = xml.text("Status")
        else {
            throw failure(.readWrite, Self.cannotRead, key, "the server does not say whether it is held")
        }
        return word == "ON"
    }

    /// - Returns: nil when the object has no such lock.
    @discardableResult
    private func ask(_ method: HTTPMethod, _ question: String, _ key: ResourceKey, _ document: [UInt8]? = nil) async throws
        -> S3Answer?
    {
        var call = S3Call(method, objectKey(key)).asking([(question, nil)])
        if let document { call = call.sendingSummed(document).with("Content-Type", "application/xml") }
        let what = document == nil ? Self.cannotRead : "cannot lock"
        let answer = try await send(call, what, key)
        if answer.isSuccess { return answer }
        // radosgw says of an object what AWS says of a bucket only.
        let none = ["NoSuchObjectLockConfiguration", "ObjectLockConfigurationNotFoundError"]
        if method == .get, answer.status == 404, none.contains(S3ErrorDocument(answer.response).code) { return nil }
        var refusal = failure(answer, what, document == nil ? .reading : .writing, key)
        if refusal.kind == .permission {
            refusal.advice =
                "Let the credentials \(method == .get ? "s3:Get" : "s3:Put")Object\(question == "retention" ? "Retention" : "LegalHold")."
        }
        throw refusal
    }

    private func notLocked(_ key: ResourceKey) -> Failure {
        failure(
            .readWrite, "cannot lock", key, "the server took the lock, but the object does not have it",
            "It is there, but not protected: do not rely on this server's Object Lock.")
    }

    private static let cannotLock = "cannot lock what is copied to"
    private static let cannotRead = "cannot read the lock of"

    // MARK: - what is ours

    /// Sends a call that writes below `.sealift/`. What is rewritten there must not be locked, and a bucket's default rule would lock it: a lock
    /// of its own takes the rule's place, as short as clocks that differ allow.
    func sendOwn(_ call: S3Call, _ what: String) async throws -> S3Answer {
        let brief = lockedBriefly(call)
        let answer = try await send(brief, what)
        guard brief.headers.count > call.headers.count, [400, 403].contains(answer.status) else { return answer }
        // Who may not lock, or a server that knows no such lines: old versions then stay as long as the rule says.
        state.withLock { $0.refusesBriefLocks = true }
        return try await send(call, what)
    }

    /// Whether the bucket locks whatever is put into it, as far as is known: nobody asks only for this.
    var hasDefaultRule: Bool {
        let rule = state.withLock { $0.objectLock } ?? memory?.known.objectLock
        return rule?.contains(" ") == true
    }

    /// The call with the shortest lock, where the bucket has a default rule.
    func lockedBriefly(_ call: S3Call) -> S3Call {
        guard hasDefaultRule, !state.withLock({ $0.refusesBriefLocks }) else { return call }
        let until = Timestamp(seconds: client.serverTime.nanoseconds / 1_000_000_000 + Self.briefSeconds)
        let brief = ResourceLock(retention: .init(mode: .governance, days: 1), isHeld: false)
        return S3Lock(wanted: brief, until: until).on(call)
    }

    /// A date in the server's past is refused, and S3 lets clocks differ by fifteen minutes.
    private static let briefSeconds: Int64 = 1800
}

extension S3Lock {
    fileprivate var retainedUntil: Timestamp? { wanted.retention == nil ? nil : until }
}
