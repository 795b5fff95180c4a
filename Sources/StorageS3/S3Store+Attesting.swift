internal import HTTPClient
public import Kloset
internal import Storage
internal import Synchronization

extension S3Store {
    /// Only of servers that were seen to refuse a wrong checksum, and only of objects that were put as a whole: of parts there is only a hash
    /// of hashes.
    public func attestedDigests(of keys: [ResourceKey]) async throws -> [Digest?] {
        guard state.withLock({ $0.abilities.checksums }) ?? memory?.known.checksums == true else { return keys.map { _ in nil } }
        return try await inParallel(keys, atMost: Self.callsAtOnce) { [self] key in
            let call = S3Call(.head, objectKey(key)).with("x-amz-checksum-mode", "ENABLED")
            let answer = try await send(call, "cannot look at", key)
            guard answer.isSuccess, let text = answer.response.headers[S3Checksum.header] else { return nil }
            return S3Checksum.digest(text)
        }
    }
}
