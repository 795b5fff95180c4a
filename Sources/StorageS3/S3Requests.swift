internal import HTTPClient
internal import Storage
internal import Synchronization

extension S3Call {
    /// The class of a bill that it belongs to.
    var counted: RequestCounts {
        switch method {
        case .put, .post: RequestCounts(puts: 1)
        case .delete: RequestCounts(deletes: 1)
        // What asks the bucket for names is a LIST, and so is what asks for parts.
        case .get where key == nil && query.contains { ["list-type", "uploads"].contains($0.name) }: RequestCounts(lists: 1)
        case .get, .head: RequestCounts(gets: 1)
        }
    }
}

extension S3Store {
    /// How work becomes requests here, as far as it is known what the server does.
    var requestModel: RequestModel {
        let (asked, honours) = state.withLock { ($0.abilities, $0.honoursConditions) }
        let known = asked.checksums == nil ? memory?.known ?? asked : asked
        let isKnown = memory == nil || known.checksums != nil
        return RequestModel(
            partByteCount: Self.partByteCount, keysPerPage: Self.keysPerPageMax,
            refusesPut: honours ?? known.conditionalPut ?? true, refusesParts: known.conditionalComplete ?? false,
            // The canary; else two of it, the checksum, four of the multipart upload, the removal, and Object Lock and versioning.
            questions: isKnown ? RequestCounts(puts: 1) : RequestCounts(puts: 7, gets: 2))
    }
}
