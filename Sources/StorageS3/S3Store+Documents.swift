internal import HTTPClient
internal import Kloset
internal import S3Signing
internal import Storage

extension S3Store {
    public func document(_ name: String, byteCountMax: Int) async throws -> [UInt8]? {
        try await own(try documentName(name, writing: false), byteCountMax: byteCountMax)
    }

    public func documents(in folder: String) async throws -> [String] {
        let name = try documentName(folder, writing: false)
        do {
            return try await names(in: "\(name)/").filter { !$0.isFolder && S3Names.isSafeWord($0.text) }.map { String($0.text) }
                .sorted()
        } catch let failure as Failure where failure.kind == .noStore {
            return []  // no bucket, no folder
        }
    }

    public func replaceDocument(_ name: String, with bytes: [UInt8]) async throws {
        try await replaceOwn(try documentName(name, writing: true), bytes)
    }

    public func createDocument(_ name: String, with bytes: [UInt8]) async throws {
        let name = try documentName(name, writing: true)
        let taken = failure(.refused, "cannot write \(name)", nil, "it exists already")
        if try await !honoursConditions(), try await head(settings.key(name), "cannot write \(name)") != nil { throw taken }
        let call = unlessTaken(S3Call(.put, settings.key(name)).sendingSummed(bytes))
        let answer = try await sendOwn(call, "cannot write \(name)")
        if answer.isSuccess { return }
        guard answer.status == 412 else { throw failure(answer, "cannot write \(name)", .writing) }
        // Our own, by a call whose answer was lost?
        guard answer.mayHaveRunBefore else { throw taken }
        let isOurs =
            isWriteOnly
            ? try await isListed(settings.key(name), as: .bytes(bytes)) : try await own(name, byteCountMax: bytes.count) == bytes
        guard isOurs else { throw taken }
    }

    public func quarantineDocument(_ name: String) async throws {
        let path = try documentName(name, writing: true)
        let what = "cannot move \(path) aside"
        guard let there = try await head(settings.key(path), what) else { return }
        let kept = name.split(separator: "/").joined(separator: "-")
        let taken = try await names(in: "\(S3Names.quarantine)/").filter { $0.text.hasPrefix("\(kept)-") }
        let number = (taken.compactMap { Int($0.text.dropFirst(kept.count + 1)) }.max() ?? -1) + 1
        try await copy(settings.key(path), to: settings.key("\(S3Names.quarantine)/\(kept)-\(number)"), as: there, what: what)
        try await removeOwn(path)
    }

    // MARK: - whatever lies below `.sealift/`, by its name below the root

    func own(_ name: String, byteCountMax: Int) async throws -> [UInt8]? {
        // One byte more than allowed shows a document that is too long; a range keeps the rest of it away.
        let call = S3Call(.get, settings.key(name)).with("Range", "bytes=0-\(byteCountMax)").into(.bytes(max: byteCountMax + 1))
        let answer = try await send(call, "cannot read \(name)")
        switch answer.status {
        case 404: return nil  // nor is there one where the bucket is missing
        case 416: return []
        case 200, 206: break
        default: throw failure(answer, "cannot read \(name)", .reading)
        }
        guard answer.response.byteCount <= byteCountMax else {
            throw failure(.damage, "cannot read \(name)", nil, "it is longer than \(byteCountMax) bytes")
        }
        return answer.response.bytes
    }

    func replaceOwn(_ name: String, _ bytes: [UInt8]) async throws {
        let answer = try await sendOwn(S3Call(.put, settings.key(name)).sendingSummed(bytes), "cannot write \(name)")
        guard answer.isSuccess else { throw failure(answer, "cannot write \(name)", .writing) }
    }

    /// Nothing there is no error.
    func removeOwn(_ name: String) async throws {
        precondition(name.hasPrefix("\(S3Names.own)/"), "only what is ours is ever removed")
        let answer = try await send(S3Call(.delete, settings.key(name)), "cannot remove \(name)")
        guard answer.isSuccess || answer.status == 404 else { throw failure(answer, "cannot remove \(name)", .writing) }
    }

    /// Where a document lies below the root; a name that could mean anything else is refused.
    private func documentName(_ name: String, writing: Bool) throws -> String {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        // What is ours for other purposes is no place for documents.
        let reserved = writing && ["uploads", "quarantine", "probe"].contains(parts.first)
        guard name.utf8.count <= 200, parts.count <= 4, parts.allSatisfy({ S3Names.isSafeWord($0) }), !reserved else {
            throw failure(.usage, "cannot use a document", nil, "that is no name for one")
        }
        return "\(S3Names.own)/\(name)"
    }
}
