internal import Catalog
internal import Hashing
internal import Kloset
internal import Storage

/// What the readers could not bring: resources that passed this target by because it was behind, or that did not read back.
extension TargetLane {
    /// Fetches what this target was too slow for, or what did not read back, until nothing is left; then commits the rest.
    func fetchPostponed(from siblings: [TargetLane], meter: SourceMeter) async throws {
        while hasOpenBatch { try await commitBatch() }
        didSettle()
        let deadline = ContinuousClock.now + limits.age
        while true {
            let resources = takePostponed()
            for resource in resources { try await fetch(resource, from: siblings, until: deadline, meter: meter) }
            while hasOpenBatch { try await commitBatch() }
            if postponed.isEmpty { return }
        }
    }

    /// How often a sibling that is still committing is asked again.
    private static let siblingPause = Duration.milliseconds(20)

    /// Fetches from a sibling that has published the resource, waiting for one that is about to; from the source when none has it by `deadline`,
    /// for a slow sibling must delay nobody.
    func fetch(
        _ resource: ListedResource, from siblings: [TargetLane], until deadline: ContinuousClock.Instant, meter: SourceMeter
    ) async throws {
        var known = try await knownResource(resource.key)
        while true {
            var isSomeoneBusy = false
            for sibling in siblings {
                if await !sibling.hasSettled { isSomeoneBusy = true }
                guard let known, known.digest != nil, known.authenticated else { continue }
                if try await fetch(resource, from: sibling.store, expecting: known, meter: nil) { return }
            }
            guard isSomeoneBusy, .now < deadline else { break }
            try await Task.sleep(for: Self.siblingPause)
            known = try await knownResource(resource.key)
        }
        do {
            if try await fetch(resource, from: source.reader, expecting: known, meter: meter) { return }
            miss(FailedResource(key: resource.key, reason: "its bytes are not those that were recorded", retryable: false))
        } catch let failure as Failure where failure.place == source.reader.place {
            miss(FailedResource(resource.key, failure))
        }
    }

    /// Copies one resource by itself, chunk by chunk.
    ///
    /// - Returns: false when the place has no such resource, or not the expected bytes; nothing is staged then.
    private func fetch(
        _ resource: ListedResource, from place: any StoreReader, expecting known: KnownResource?, meter: SourceMeter?
    ) async throws -> Bool {
        let size = resource.size ?? 0
        if meter == nil {
            // A sibling is asked before anything is staged for it.
            guard case .regular(size, _)? = try? await place.attributes(of: [resource.key]).first else { return false }
        }
        var modified = resource.modified
        if modified == nil { modified = try await place.modified(of: resource.key) }
        let upload = try await store.upload(resource.key, size: size, modified: modified ?? Timestamp(seconds: 0))
        var hasher = ResourceHasher()
        for index in 0..<ChunkLayout.count(size: size) {
            let range = ChunkLayout.range(index, size: size)
            try await meter?.take(range.count)
            guard try await readChunk(range, of: resource.key, from: place, isSource: meter != nil) == range.count else {
                await upload.abandon()
                return false
            }
            let bytes = checkPiece.bytes(0..<range.count)
            if index == 0, let reason = ResourceFace.damage(header: bytes, size: size, kind: resource.key.kind) {
                await upload.abandon()
                throw Failure(.damage, "cannot copy", resource: resource.key, place: place.place, reason: reason)
            }
            hasher.update(chunk: bytes)
            try await upload.write(chunk: index, from: checkPiece, count: range.count)
            report.bytesWritten += Int64(range.count)
        }
        let proof = hasher.finalize()
        // A sibling is only a copy: what it has counts only if it is what was recorded.
        let isExpected = known?.digest == proof.digest
        guard isExpected || meter != nil && (known?.digest == nil || known?.authenticated == false) else {
            await upload.abandon()
            try await store.discard([resource.key])
            return false
        }
        try await upload.finish()
        try await add([Staged(resource: resource, proof: proof, isChecked: false)])
        return true
    }

    /// Bytes read; fewer, or none, when a sibling cannot give them. What the source says is thrown on.
    private func readChunk(_ range: Range<Int64>, of key: ResourceKey, from place: any StoreReader, isSource: Bool) async throws
        -> Int
    {
        do {
            return try await place.read(key, from: .published, at: range.lowerBound, count: range.count, into: checkPiece)
        } catch  where !isSource && !(error is CancellationError) {
            return 0
        }
    }

    func knownResource(_ key: ResourceKey) async throws -> KnownResource? {
        let repository = source.repository
        return try await environment.catalog.read { db in try db.proof(of: key, in: repository) }
    }

    /// What the bytes at the target are; nil when they are not even there or of that size.
    func proof(of key: ResourceKey, size: Int64, from view: ResourceView) async throws -> ResourceProof? {
        do {
            return try await ResourceProof.reading(key, size: size, of: store, from: view, piece: checkPiece)
        } catch is Vanished {
            return nil
        }
    }
}
