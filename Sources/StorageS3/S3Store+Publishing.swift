internal import HTTPClient
public import Kloset
public import Storage
internal import Synchronization

extension S3Store {
    /// An acknowledged object is durable, as far as the server's word goes; parts are sent before ``Upload/finish()`` returns.
    public func makeDurable() async throws {}

    public func makeDurable(namesOf keys: [ResourceKey]) async throws {}

    public func publish(_ keys: [ResourceKey]) async throws -> [PublishOutcome] {
        await listings.forget()
        return try await inParallel(keys, atMost: Self.callsAtOnce) { [self] key in
            do {
                return try await publish(key)
            } catch let failure as Failure {
                return .failed(failure.at(place, key))
            }
        }
    }

    private func publish(_ key: ResourceKey) async throws -> PublishOutcome {
        guard let staged = state.withLock({ $0.staged[key] }) else {
            throw failure(.readWrite, "cannot publish", key, "nothing is staged for it")
        }
        if try await isTakenWithoutCondition(key, staged) { return .taken }
        let outcome: PublishOutcome
        switch staged.content {
        case .body(let body): outcome = try await put(key, body, staged)
        case .parts(let upload): outcome = try await complete(key, upload, staged)
        case .copy(let original): outcome = try await copy(key, original, staged)
        }
        if outcome == .published || outcome == .attested {
            try await proveLock(key)
            state.withLock { $0.staged[key] = nil }
        }
        return outcome
    }

    /// Where a condition may not be honoured, somebody else's object is looked for first.
    private func isTakenWithoutCondition(_ key: ResourceKey, _ staged: S3Staged) async throws -> Bool {
        if case .body = staged.content, try await honoursConditions() { return false }
        if case .parts = staged.content, state.withLock({ $0.abilities.conditionalComplete == true }) { return false }
        return try await head(objectKey(key), "cannot publish", key) != nil
    }

    private func put(_ key: ResourceKey, _ body: HTTPBody, _ staged: S3Staged) async throws -> PublishOutcome {
        let sum = MD5.digest(of: body)
        let call = unlessTaken(writing(S3Call(.put, objectKey(key)), key, modified: staged.modified)).sending(body)
            .with("Content-MD5", Base64.text(sum))
        let checksum = S3Checksum.text(call.payload)
        var answer = try await send(sendsChecksums ? call.with(S3Checksum.header, checksum) : call, "cannot publish", key)
        // One that does not know the line and says so.
        if answer.status == 501, sendsChecksums {
            state.withLock { $0.refusesChecksums = true }
            answer = try await send(call, "cannot publish", key)
        }
        if answer.isSuccess {
            try checkTag(answer, sum, key)
            return try isAttested(answer, checksum, key) ? .attested : .published
        }
        guard answer.status == 412 else { throw failure(answer, "cannot publish", .writing, key) }
        if isWriteOnly { return try await isListed(objectKey(key), as: body) ? .published : .taken }
        guard answer.mayHaveRunBefore else { return .taken }
        return try await holds(key, body) ? .published : .taken
    }

    /// Where the ETag is the MD5 of something, it must be that of what was sent. Others (encryption with keys of the server's) tell nothing.
    private func checkTag(_ answer: S3Answer, _ sum: [UInt8], _ key: ResourceKey) throws {
        guard let tag = answer.entityTag, isPlain(answer), tag.utf8.count == 32, !tag.contains("-") else { return }
        guard tag == hexText(sum) else {
            throw failure(
                .damage, "cannot store", key, "the server took other bytes than were sent: it names the MD5 \(tag)",
                "Look at it with: sealift verify \(commandWord(place))")
        }
    }

    /// Whether to announce the SHA-256 of what is sent.
    var sendsChecksums: Bool { state.withLock { !$0.refusesChecksums } }

    /// Whether a server that computes checksums says that what it stored has this one. Another one is damage, whoever says so.
    func isAttested(_ answer: S3Answer, _ checksum: String, _ key: ResourceKey) throws -> Bool {
        guard let agrees = S3Checksum.agrees(answer, with: checksum) else { return false }
        guard agrees else {
            throw failure(
                .damage, "cannot store", key, "the server took other bytes than were sent: it names another SHA-256",
                "Look at it with: sealift verify \(commandWord(place))")
        }
        return state.withLock { $0.abilities.checksums == true }
    }

    func isPlain(_ answer: S3Answer) -> Bool {
        let encryption = answer.response.headers["x-amz-server-side-encryption"]
        return settings.customerKey == nil && (encryption == nil || encryption == "AES256")
    }

    /// Whether an object is what was to be put there.
    func holds(_ key: ResourceKey, _ body: HTTPBody) async throws -> Bool {
        let wanted = S3Call(.put, nil).sending(body)
        var sum = S3BodySum()
        let piece = Piece()
        do {
            while true {
                let count = try await read(
                    key, from: .publishedOnMedium, at: sum.byteCount, count: piece.memory.count, into: piece)
                guard count > 0, sum.byteCount <= Int64(body.byteCount) else { break }
                sum.update(piece.bytes(0..<count))
            }
        } catch is Vanished {
            return false
        }
        guard sum.byteCount == Int64(body.byteCount) else { return false }
        return sum.finalize() == wanted.payload
    }

    private func complete(_ key: ResourceKey, _ upload: S3Multipart, _ staged: S3Staged) async throws -> PublishOutcome {
        let call = S3Call(.post, objectKey(key)).asking([("uploadId", upload.uploadID)]).with("Content-Type", "application/xml")
            .sending(.bytes(upload.completion))
        var answer = try await send(call.with("If-None-Match", "*"), "cannot publish", key)
        // One that does not know the condition here and says so; the name was looked for before.
        if answer.status == 501 { answer = try await send(call, "cannot publish", key) }
        let code = S3ErrorDocument(answer.response).code
        switch (answer.status, code) {
        case (200...299, ""): break
        case (412, _): return .taken
        // Completed before, by a call whose answer was lost, in this run or an earlier one.
        case (_, "NoSuchUpload"): break
        default: throw failure(answer, "cannot publish", .writing, key)
        }
        // Some servers answer without an ETag, some with 200 and an error in the body: only the object itself tells.
        guard let head = try await head(objectKey(key), "cannot publish", key) else {
            throw failure(
                .readWrite, "cannot publish", key, "the server has no such upload any more, and no object either",
                "Run again: it will be sent anew.")
        }
        guard head.objectByteCount == staged.size else { return .taken }
        if isPlain(head), let tag = head.entityTag, tag.contains("-"), let ours = upload.entityTag, tag != ours { return .taken }
        try await forgetUpload(key)
        let stored = (try? S3XML(parsing: answer.response.bytes))?.text("ChecksumSHA256") ?? ""
        if answer.isSuccess, let checksums = upload.checksums, stored.contains("-"), stored != S3Checksum.text(ofParts: checksums)
        {
            throw failure(
                .damage, "cannot store", key, "the server put other parts together than were sent: it names another SHA-256",
                "Look at it with: sealift verify \(commandWord(place))")
        }
        return upload.isAttested ? .attested : .published
    }
}
