internal import HTTPClient
public import Kloset
public import Storage
internal import Synchronization

extension S3Store {
    public func stage(_ resources: [SmallResource]) async throws -> [Failure?] {
        for resource in resources {
            // A copy: the caller's memory is needed for the next read.
            let body = HTTPBody.bytes(Array(resource.piece.bytes(resource.range)))
            hold(resource.key, S3Staged(content: .body(body), size: Int64(resource.range.count), modified: resource.modified))
        }
        return resources.map { _ in nil }
    }

    func hold(_ key: ResourceKey, _ staged: S3Staged) {
        state.withLock { $0.staged[key] = staged }
    }

    public func upload(_ key: ResourceKey, size: Int64, modified: Timestamp) async throws -> any Upload {
        guard size > 0 else { throw failure(.usage, "cannot write", key, "an upload has at least one byte") }
        let parts = (size + Self.partByteCount - 1) / Self.partByteCount
        guard parts <= Self.partsMax else {
            throw failure(
                .readWrite, "cannot write", key,
                "it is \(size) bytes long; an upload has at most \(Self.partsMax) parts of \(Self.partByteCount) bytes")
        }
        guard parts > 1 else { return S3Upload(store: self, key: key, size: size, modified: modified, multipart: nil) }
        let left = try await leftUpload(key, size: size, modified: modified)
        if let left, let parts = try await heldParts(of: left, key) {
            return S3Upload(store: self, key: key, size: size, modified: modified, multipart: parts)
        }
        let begun = try await beginUpload(key, modified: modified)
        // Without reading nobody could continue it, and without deleting the document would stay for ever.
        if !isWriteOnly { try await note(begun, key, size: size, modified: modified) }
        return S3Upload(store: self, key: key, size: size, modified: modified, multipart: begun)
    }

    /// Notes an upload before its first part is sent.
    func note(_ begun: S3Begun, _ key: ResourceKey, size: Int64, modified: Timestamp) async throws {
        try await replaceOwn(
            "\(S3Names.uploads)/\(S3Names.word(key))",
            S3UploadRecord(uploadID: begun.id, size: size, modified: modified).bytes)
        _ = state.withLock { $0.leftUploads?.insert(key) }
    }

    /// What an earlier run noted about an upload of the same resource.
    private func leftUpload(_ key: ResourceKey, size: Int64, modified: Timestamp) async throws -> S3UploadRecord? {
        guard try await leftUploads().contains(key) else { return nil }
        guard let bytes = try await own("\(S3Names.uploads)/\(S3Names.word(key))", byteCountMax: S3UploadRecord.byteCountMax),
            let record = S3UploadRecord(bytes)
        else { return nil }
        if record.size == size, record.modified == modified { return record }
        try await abort(key, record.uploadID)
        return nil
    }

    /// Resources whose uploads earlier runs left; asked once.
    func leftUploads() async throws -> Set<ResourceKey> {
        if isWriteOnly { return [] }
        if let known = state.withLock({ $0.leftUploads }) { return known }
        let found = Set(try await names(in: "\(S3Names.uploads)/").compactMap { S3Names.key(word: $0.text) })
        return state.withLock { state in
            let known = state.leftUploads ?? found
            state.leftUploads = known
            return known
        }
    }

    /// - Parameter ofCopies: its parts are copied by the server, and nobody here knows their checksums.
    func beginUpload(_ key: ResourceKey, modified: Timestamp, ofCopies: Bool = false) async throws -> S3Begun {
        let call = writing(S3Call(.post, objectKey(key)).asking([("uploads", nil)]), key, modified: modified)
        // With checksums each part must have one, which not every server that knows them for whole objects can do.
        var hasChecksums = !ofCopies && state.withLock { $0.abilities.checksums == true && !$0.refusesChecksumsOfParts }
        var answer = try await send(hasChecksums ? call.with("x-amz-checksum-algorithm", "SHA256") : call, "cannot write", key)
        if hasChecksums, [400, 501].contains(answer.status) {
            state.withLock { $0.refusesChecksumsOfParts = true }
            hasChecksums = false
            answer = try await send(call, "cannot write", key)
        }
        guard answer.isSuccess else { throw failure(answer, "cannot write", .writing, key) }
        guard let xml = try? S3XML(parsing: answer.response.bytes), let uploadID = xml.text("UploadId"),
            (1...2048).contains(uploadID.utf8.count), uploadID.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
        else { throw failure(.readWrite, "cannot write", key, "the server began an upload without a proper id") }
        // One that does not say so has not understood.
        let isUnderstood = answer.response.headers["x-amz-checksum-algorithm"] == "SHA256"
        return S3Begun(id: uploadID, held: [:], hasChecksums: hasChecksums && isUnderstood)
    }

    /// What every new object gets beside its bytes.
    ///
    /// CONFIG is never cold: clients read it whenever they open the store. plakar keeps a second one beside it as `CONFIG.frozen`.
    func writing(_ call: S3Call, _ key: ResourceKey, modified: Timestamp) -> S3Call {
        let dated = call.with(S3Names.modifiedHeader, String(modified.nanoseconds)).with(
            "Content-Type", "application/octet-stream")
        let wanted = settings.storageClass.flatMap { key.kind == .config && Self.coldClasses.contains($0) ? nil : $0 }
        let classed = wanted.map { dated.with("x-amz-storage-class", $0) } ?? dated
        return state.withLock { $0.lock }?.on(classed) ?? classed
    }

    /// The parts that the server says it has: size and ETag by number; nil when it knows no such upload.
    private func heldParts(of left: S3UploadRecord, _ key: ResourceKey) async throws -> S3Begun? {
        var begun = S3Begun(id: left.uploadID, held: [:], hasChecksums: false)
        var marker = 0
        while true {
            let query: [(name: String, value: String?)] = [("uploadId", left.uploadID), ("part-number-marker", "\(marker)")]
            let answer = try await send(S3Call(.get, objectKey(key)).asking(query), "cannot write", key)
            if answer.status == 404 { return nil }
            guard answer.isSuccess else { throw failure(answer, "cannot write", .writing, key) }
            guard let xml = try? S3XML(parsing: answer.response.bytes), xml.rootName == "ListPartsResult" else { return nil }
            for index in xml.children(named: "Part") {
                guard let number = xml.text("PartNumber", of: index).flatMap({ Int($0) }), (1...Self.partsMax).contains(number),
                    let size = xml.text("Size", of: index).flatMap({ Int64($0) }), let tag = xml.text("ETag", of: index)
                else { return nil }
                begun.held[number - 1] = S3HeldPart(
                    size: size, tag: tag.filter { $0 != "\"" }, checksum: xml.text("ChecksumSHA256", of: index))
            }
            begun.hasChecksums = xml.text("ChecksumAlgorithm") == "SHA256"
            guard xml.text("IsTruncated") == "true" else { return begun }
            guard let next = xml.text("NextPartNumberMarker").flatMap({ Int($0) }), next > marker else { return nil }
            marker = next
        }
    }

    public func discard(_ keys: [ResourceKey]) async throws {
        let known = try await leftUploads()
        for key in keys {
            let staged = state.withLock { $0.staged.removeValue(forKey: key) }
            if case .parts(let upload)? = staged?.content {
                try await abort(key, upload.uploadID)
            } else if known.contains(key) {
                try await abortLeft(key)
            }
        }
    }

    public func discardStaged(except keep: @Sendable (ResourceKey) -> Bool) async throws {
        let held = state.withLock { Array($0.staged.keys) }
        state.withLock { $0.leftUploads = nil }
        try await discard(held.filter { !keep($0) })
        for key in try await leftUploads() where !keep(key) && state.withLock({ $0.staged[key] }) == nil {
            try await abortLeft(key)
        }
    }

    func abortLeft(_ key: ResourceKey) async throws {
        let bytes = try await own("\(S3Names.uploads)/\(S3Names.word(key))", byteCountMax: S3UploadRecord.byteCountMax)
        try await abort(key, bytes.flatMap { S3UploadRecord($0) }?.uploadID)
    }

    /// Ends an upload of ours without an object; the document that names it goes last.
    func abort(_ key: ResourceKey, _ uploadID: String?) async throws {
        if let uploadID {
            let answer = try await send(
                S3Call(.delete, objectKey(key)).asking([("uploadId", uploadID)]), "cannot remove what was staged", key)
            // Who may only write leaves it to whoever tidies up there.
            if isWriteOnly, answer.status == 403 { return }
            guard answer.isSuccess || answer.status == 404 else {
                throw failure(answer, "cannot remove what was staged", .writing, key)
            }
        }
        try await forgetUpload(key)
    }

    /// The upload has ended: so does the document that names it.
    func forgetUpload(_ key: ResourceKey) async throws {
        if isWriteOnly { return }
        try await removeOwn("\(S3Names.uploads)/\(S3Names.word(key))")
        _ = state.withLock { $0.leftUploads?.remove(key) }
    }
}

/// A part that a server says it has.
struct S3HeldPart: Sendable, Equatable {
    var size: Int64
    var tag: String
    var checksum: String?

    /// Whether it has these bytes, by what the server shows of it: their MD5, or their SHA-256 where the tag is none.
    func isSame(_ sum: [UInt8], _ checksum: String) -> Bool {
        if let shown = self.checksum, !shown.isEmpty { return shown == checksum }
        return tag == hexText(sum)
    }
}

/// A multipart upload that has begun.
struct S3Begun: Sendable {
    var id: String
    /// Parts that an earlier run left, by number from 0.
    var held: [Int: S3HeldPart]
    var hasChecksums: Bool
}
