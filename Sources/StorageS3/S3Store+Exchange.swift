internal import HTTPClient
public import Kloset
internal import Storage
internal import Synchronization

extension S3Store {
    public func exchange(_ key: ResourceKey) async throws {
        guard let staged = state.withLock({ $0.staged[key] }) else {
            throw failure(.readWrite, "cannot replace", key, "nothing is staged for it")
        }
        guard let there = try await head(objectKey(key), "cannot replace", key) else {
            switch try await publish([key])[0] {
            case .published, .attested: return
            case .taken: throw failure(.tryAgain, "cannot replace", key, "something has taken its name meanwhile")
            case .failed(let failure): throw failure
            case .uncopied(let reason): throw failure(.readWrite, "cannot replace", key, reason)
            }
        }
        try await keep(key, there)
        await listings.forget()
        switch staged.content {
        case .body(let body): try await replace(key, body, staged, over: there)
        case .parts(let upload): try await replace(key, upload, staged)
        case .copy: throw failure(.readWrite, "cannot replace", key, "only what was read takes the place of anything")
        }
        try await proveLock(key)
        state.withLock { $0.staged[key] = nil }
    }

    /// Copies the damaged object into quarantine, beside earlier ones.
    private func keep(_ key: ResourceKey, _ there: S3Answer) async throws {
        let word = S3Names.word(key)
        let taken = try await names(in: "\(S3Names.quarantine)/").filter { $0.text.hasPrefix("\(word)-") }
        let number = (taken.compactMap { Int($0.text.dropFirst(word.count + 1)) }.max() ?? -1) + 1
        try await copy(
            objectKey(key), to: settings.key("\(S3Names.quarantine)/\(word)-\(number)"), as: there, what: "cannot replace", key)
    }

    /// Copies an object at the server and looks that the copy has its length. It is read nowhere, so more proof would buy nothing.
    func copy(_ source: String, to target: String, as there: S3Answer, what: String, _ key: ResourceKey? = nil) async throws {
        let path = "/\(settings.bucket)/\(source)"
        var call = S3Call(.put, target).with("x-amz-copy-source", S3Names.percentEncoded(path))
        if let tag = there.entityTag { call = call.with("x-amz-copy-source-if-match", "\"\(tag)\"") }
        if let customerKey = settings.customerKey {
            for (name, value) in S3CustomerKey.headers(customerKey) {
                call = call.with(name.replacingPrefix("x-amz-", with: "x-amz-copy-source-"), value)
            }
        }
        let answer = try await send(call, what, key)
        guard answer.isSuccess, S3ErrorDocument(answer.response).code.isEmpty else { throw failure(answer, what, .writing, key) }
        guard try await head(target, what, key)?.objectByteCount == there.objectByteCount else {
            throw failure(.readWrite, what, key, "the server's copy of what is there has another length")
        }
    }

    private func replace(_ key: ResourceKey, _ body: HTTPBody, _ staged: S3Staged, over there: S3Answer) async throws {
        let call = writing(S3Call(.put, objectKey(key)), key, modified: staged.modified).sending(body)
            .with("Content-MD5", Base64.text(MD5.digest(of: body)))
        var conditions: [String?] = [nil]
        // radosgw compares with the quotes, which its tags do not have: where nothing has changed, the bare tag is tried.
        if try await honoursConditions(), let tag = there.entityTag { conditions = ["\"\(tag)\"", tag] }
        for condition in conditions {
            let answer = try await send(condition.map { call.with("If-Match", $0) } ?? call, "cannot replace", key)
            if answer.isSuccess { return }
            guard answer.status == 412 || answer.status == 409 else { throw failure(answer, "cannot replace", .writing, key) }
            let now = try await head(objectKey(key), "cannot replace", key)
            // Our own, by a call whose answer was lost?
            if answer.mayHaveRunBefore, try await holds(key, body) { return }
            guard now?.entityTag == there.entityTag else { break }
        }
        throw failure(.tryAgain, "cannot replace", key, "it was changed by somebody else meanwhile", "Run again.")
    }

    /// No condition is honoured on Complete where one is needed: between the look and the call another writer could be overwritten.
    private func replace(_ key: ResourceKey, _ upload: S3Multipart, _ staged: S3Staged) async throws {
        let call = S3Call(.post, objectKey(key)).asking([("uploadId", upload.uploadID)]).with("Content-Type", "application/xml")
            .sending(.bytes(upload.completion))
        let answer = try await send(call, "cannot replace", key)
        let code = S3ErrorDocument(answer.response).code
        guard answer.isSuccess && code.isEmpty || code == "NoSuchUpload" && answer.mayHaveRunBefore else {
            throw failure(answer, "cannot replace", .writing, key)
        }
        guard try await head(objectKey(key), "cannot replace", key)?.objectByteCount == staged.size else {
            throw failure(.readWrite, "cannot replace", key, "the object has another length than was sent")
        }
        try await forgetUpload(key)
    }
}

extension String {
    fileprivate func replacingPrefix(_ prefix: String, with other: String) -> String {
        hasPrefix(prefix) ? other + dropFirst(prefix.count) : self
    }
}
