internal import Kloset
public import Storage

/// What tidying up did, or would do.
public struct CleanupReport: Sendable {
    public var location: String
    /// Uploads that were old enough, and were aborted unless it was a rehearsal.
    public var aborted: [UnfinishedUpload] = []
    /// Younger ones, those of unknown age, and those under names that no store has.
    public var kept: [UnfinishedUpload] = []
}

/// Aborts uploads that nobody will end: those of runs that were killed, and other programs'. Only below the names of a store.
public struct CleanupRun: Sendable {
    private let store: any Store
    private let environment: RunEnvironment

    public init(of store: any Store, environment: RunEnvironment) {
        self.store = store
        self.environment = environment
    }

    /// - Parameters:
    ///   - seconds: how old an upload must be.
    ///   - isRehearsal: only says what it would do.
    /// - Throws: `.noStore` when nothing is there, `.permission` when the uploads may not be listed or aborted.
    public func run(uploadsOlderThan seconds: Int64, isRehearsal: Bool) async throws -> CleanupReport {
        _ = try await store.footprint()
        guard let uploads = try await store.standing().uploads else {
            throw Failure(
                .permission, "cannot tidy up", place: store.place, reason: "these credentials may not list unfinished uploads",
                advice: "Let them: s3:ListBucketMultipartUploads, s3:AbortMultipartUpload; or leave it to a lifecycle rule.")
        }
        var report = CleanupReport(location: store.place)
        let before = Timestamp(nanoseconds: environment.now().nanoseconds - seconds * 1_000_000_000)
        for upload in uploads {
            guard let begun = upload.begun, begun < before, Self.isOfStore(upload.name) else {
                report.kept.append(upload)
                continue
            }
            try Task.checkCancellation()
            if !isRehearsal { try await store.abort(upload) }
            report.aborted.append(upload)
        }
        return report
    }

    /// Where a store's own things lie; whatever else shares the prefix is none of ours.
    private static func isOfStore(_ name: String) -> Bool {
        ResourceKey(path: name) != nil || name.hasPrefix(".sealift/")
    }
}
