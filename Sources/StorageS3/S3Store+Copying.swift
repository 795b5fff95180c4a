internal import HTTPClient
internal import Kloset
public import Storage
internal import Synchronization

/// What the server copies by itself, from another prefix or bucket of the same account: CopyObject up to one part, UploadPartCopy above.
///
/// Nothing that it says is proof. Before, the original's length and ETag are looked at, and the copy is asked for under the condition that it
/// still has that ETag; not every server honours it, so that the ETags are compared afterwards.
extension S3Store {
    public func copyOrigin() async throws -> CopyOrigin? {
        // A customer's key would have to be the same on both sides, and who may not read may not copy.
        guard settings.customerKey == nil, !isWriteOnly, !state.withLock({ $0.refusesCopies }) else { return nil }
        return CopyOrigin(
            server: "s3 \(settings.scheme)://\(settings.host) \(try await client.accessKey())",
            root: settings.prefix.isEmpty ? settings.bucket : "\(settings.bucket)/\(settings.prefix)")
    }

    public func stage(copiesOf resources: [CopiedResource], from origin: CopyOrigin) async throws -> [StagedCopy] {
        try await inParallel(resources, atMost: Self.callsAtOnce) { [self] resource in
            try await stage(resource, S3Original(origin, resource))
        }
    }

    private func stage(_ resource: CopiedResource, _ original: S3Original) async throws -> StagedCopy {
        var original = original
        guard let head = try await head(original, resource.key) else { throw Vanished(resource.key) }
        guard head.isSuccess, let size = head.objectByteCount, let tag = head.entityTag, Self.isSafe(tag) else {
            return refuse("the server does not show the original to this account")
        }
        guard size == resource.size else { return .refused(reason: "it has \(size) bytes there, not \(resource.size)") }
        (original.tag, original.isPlain) = (tag, isPlain(head))
        guard size > Self.partByteCount else {
            hold(resource.key, S3Staged(content: .copy(original), size: size, modified: head.modified))
            return .staged(modified: head.modified)
        }
        return try await copyParts(resource, original, modified: head.modified)
    }

    /// Tags go into headers and documents.
    private static func isSafe(_ tag: String) -> Bool {
        tag.utf8.count <= 128 && tag.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && !"<>&\"".utf8.contains($0) }
    }

    /// Nil when it is not there.
    private func head(_ original: S3Original, _ key: ResourceKey) async throws -> S3Answer? {
        var call = S3Call(.head, original.key)
        call.bucket = original.bucket
        let answer = try await send(call, "cannot copy", key)
        return answer.status == 404 ? nil : answer
    }

    private func refuse(_ reason: String) -> StagedCopy {
        state.withLock { $0.refusesCopies = true }
        return .refused(reason: reason)
    }

    /// Has the server copy, as long as the original has the ETag that was seen. OpenStack Swift shows one for objects of parts and compares with
    /// another: where nothing has changed, it is asked without the condition.
    private func sendCopy(_ call: S3Call, of original: S3Original, _ what: String, _ key: ResourceKey) async throws -> S3Answer {
        let call = call.with("x-amz-copy-source", S3Names.percentEncoded("/\(original.bucket)/\(original.key)"))
        let isOfParts = original.tag.contains("-")
        if isOfParts, state.withLock({ $0.mistakesTagsOfParts }) { return try await send(call, what, key) }
        let answer = try await send(call.with("x-amz-copy-source-if-match", "\"\(original.tag)\""), what, key)
        guard answer.status == 412, isOfParts, try await isUnchanged(original, key) else { return answer }
        let again = try await send(call, what, key)
        if again.isSuccess { state.withLock { $0.mistakesTagsOfParts = true } }
        return again
    }

    /// What a 200 really says: some answer so, and tell of the error in the body.
    private func result(_ answer: S3Answer, _ root: String) -> S3XML? {
        guard answer.isSuccess, let xml = try? S3XML(parsing: answer.response.bytes), xml.rootName == root else { return nil }
        return xml
    }

    private func words(_ answer: S3Answer) -> String {
        let code = S3ErrorDocument(answer.response).code
        return "the server made no copy (\(answer.status)\(code.isEmpty ? "" : " \(code)"))"
    }

    // MARK: - up to one part

    /// No server that was met honours a condition on the target here, so the name was looked for before.
    func copy(_ key: ResourceKey, _ original: S3Original, _ staged: S3Staged) async throws -> PublishOutcome {
        var call = unlessTaken(writing(S3Call(.put, objectKey(key)), key, modified: staged.modified)).with(
            "x-amz-metadata-directive", "REPLACE")
        let computes = state.withLock { $0.abilities.checksums == true }
        if computes { call = call.with("x-amz-checksum-algorithm", "SHA256") }
        let answer = try await sendCopy(call, of: original, "cannot publish", key)
        guard let result = result(answer, "CopyObjectResult") else {
            if answer.status == 412, try await head(objectKey(key), "cannot publish", key) != nil { return .taken }
            state.withLock { $0.refusesCopies = true }
            return .uncopied(reason: words(answer))
        }
        guard let made = try await head(objectKey(key), "cannot publish", key), made.objectByteCount == staged.size else {
            state.withLock { $0.refusesCopies = true }
            return .uncopied(reason: "the server's copy has another length")
        }
        if computes, let shown = result.text("ChecksumSHA256"), let digest = S3Checksum.digest(shown) {
            return digest == original.digest ? .attested : .uncopied(reason: "the server names another SHA-256 of its copy")
        }
        guard try await isLike(made, original, key) else {
            return .uncopied(reason: "the server's copy, or the original, is not what it was: their ETags differ")
        }
        return .published
    }

    /// Whether copy and original are the same by what the server shows. Where their ETags are of different kinds, the original must at least
    /// be what it was.
    private func isLike(_ made: S3Answer, _ original: S3Original, _ key: ResourceKey) async throws -> Bool {
        if original.isPlain, isPlain(made), let tag = made.entityTag, !tag.contains("-"), !original.tag.contains("-") {
            return tag == original.tag
        }
        return try await isUnchanged(original, key)
    }

    private func isUnchanged(_ original: S3Original, _ key: ResourceKey) async throws -> Bool {
        try await head(original, key)?.entityTag == original.tag
    }

    // MARK: - above

    /// Parts as long as ours, so that a copy of what we have sent gets the same ETag.
    private func copyParts(_ resource: CopiedResource, _ original: S3Original, modified: Timestamp) async throws -> StagedCopy {
        let (key, size) = (resource.key, resource.size)
        let count = Int((size + Self.partByteCount - 1) / Self.partByteCount)
        guard count <= Self.partsMax else { return .refused(reason: "it has more than \(Self.partsMax) parts") }
        // What an earlier run began has parts that nothing here can be compared with.
        if try await leftUploads().contains(key) { try await abortLeft(key) }
        let begun = try await beginUpload(key, modified: modified, ofCopies: true)
        try await note(begun, key, size: size, modified: modified)
        let answers = try await inParallel(Array(0..<count), atMost: Self.partCopiesAtOnce) { [self] number in
            let first = Int64(number) * Self.partByteCount
            let call = S3Call(.put, objectKey(key)).asking([("partNumber", "\(number + 1)"), ("uploadId", begun.id)])
                .with("x-amz-copy-source-range", "bytes=\(first)-\(min(first + Self.partByteCount, size) - 1)")
            return try await sendCopy(call, of: original, "cannot write", key)
        }
        var tags: [String] = []
        for answer in answers {
            guard let tag = result(answer, "CopyPartResult")?.text("ETag")?.filter({ $0 != "\"" }), !tag.isEmpty, Self.isSafe(tag)
            else {
                try await abort(key, begun.id)
                return refuse(words(answer))
            }
            tags.append(tag)
        }
        // radosgw honours no condition here.
        guard try await isUnchanged(original, key) else {
            try await abort(key, begun.id)
            return .refused(reason: "it was changed while the server copied it")
        }
        let sums = tags.compactMap { S3Original.sum($0) }
        let parts = S3Multipart(uploadID: begun.id, parts: sums, tags: tags)
        hold(key, S3Staged(content: .parts(parts), size: size, modified: modified))
        return .staged(modified: modified)
    }

    /// Several resources are copied at a time.
    private static let partCopiesAtOnce = 8
}

/// Where the server copies from.
struct S3Original: Sendable, Equatable {
    var bucket: String
    /// The full key.
    var key: String
    var digest: Digest
    /// ETag, without quotes, when it was looked at.
    var tag = ""
    /// The tag is the MD5 of something.
    var isPlain = false

    init(_ origin: CopyOrigin, _ resource: CopiedResource) {
        let parts = origin.root.split(separator: "/", maxSplits: 1)
        bucket = parts.first.map(String.init) ?? ""
        key = parts.count > 1 ? "\(parts[1])/\(resource.key.path)" : resource.key.path
        digest = resource.digest
    }

    /// The MD5 that a part's tag stands for; nil for any other tag.
    static func sum(_ tag: String) -> [UInt8]? {
        let digits = tag.utf8.compactMap {
            Unicode.Scalar($0).properties.isASCIIHexDigit ? Character(Unicode.Scalar($0)).hexDigitValue : nil
        }
        guard tag.utf8.count == 32, digits.count == 32 else { return nil }
        return stride(from: 0, to: 32, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }
}
