internal import HTTPClient
internal import Kloset
public import Storage
internal import Synchronization

/// Accounts that may list and put, and no more: listings stand in for heads, and nothing is asked for that only readers get.
extension S3Store {
    /// Asks for heads of names that mostly exist: whoever may not read is refused. Some servers refuse it for missing names, too, others say
    /// that they are missing.
    public func readAccess() async throws -> ReadAccess {
        if let known = state.withLock({ $0.access }) { return known }
        for name in ["CONFIG", "\(S3Names.own)/replica", S3Names.probe] {
            let answer = try await send(S3Call(.head, settings.key(name)), "cannot look at the store")
            if answer.status == 404 { continue }
            guard answer.isSuccess || answer.status == 403 else { throw failure(answer, "cannot look at the store", .reading) }
            let access: ReadAccess = answer.isSuccess ? .allowed : .denied
            state.withLock { $0.access = access }
            return access
        }
        return .unknown
    }

    var isWriteOnly: Bool { state.withLock { $0.access == .denied } }

    /// What a listing says of one object, in the form of its head; nil when it is not there.
    ///
    /// Whether the ETag is an MD5 cannot be seen there, so the answer looks like one of an encrypted object.
    func listedHead(_ objectKey: String) async throws -> S3Answer? {
        var found: S3ListPage.Object?
        try await list(String(name(of: objectKey)), keysMax: 1) { page in
            found = page.objects.first { $0.key == objectKey }
            return false
        }
        guard let found else { return nil }
        let headers = HTTPHeaders([
            HTTPField("Content-Length", String(found.size)), HTTPField("ETag", found.tag),
            HTTPField("x-amz-server-side-encryption", "unknown"),
        ])
        return S3Answer(response: HTTPResponse(status: 200, headers: headers, bytes: []), mayHaveRunBefore: false)
    }

    /// Whether a listing shows an object to be just these bytes, by length and MD5.
    func isListed(_ objectKey: String, as body: HTTPBody) async throws -> Bool {
        guard let there = try await listedHead(objectKey) else { return false }
        return there.objectByteCount == Int64(body.byteCount) && there.entityTag == hexText(MD5.digest(of: body))
    }
}
