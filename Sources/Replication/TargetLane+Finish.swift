internal import Catalog
internal import Hashing
internal import Kloset
internal import Planning
internal import Reconciliation
internal import Storage

/// What happens at a target after the readers are done: the rest of the packfiles, the barrier, states, CONFIG, the recovery point.
extension TargetLane {
    /// Resources in one transaction and one ledger segment.
    static let recordsAtOnce = 2048

    /// Brings everything to an end that the cut named.
    ///
    /// - Parameter siblings: other targets of the run; what was passed over here is fetched from one that has it, so that the source is read once.
    /// - Throws: a ``Failure``; nothing is visible then that leans on what is missing.
    func finish(
        cut: SourceCut, survey: TargetSurvey, siblings: [TargetLane], meter: SourceMeter, moment: Timestamp
    ) async throws {
        setPhase("committing")
        try await fetchPostponed(from: siblings, meter: meter)
        if isMistrusted {
            try await readCopiesBack()
            try await fetchPostponed(from: [], meter: meter)
        }
        try await settlePending()
        try await settleUnknown(meter: meter)
        let isNew = survey.isUnfinished
        let refusedSource = try await refusedSource()
        if report.copied != Tally() || !stagedStates.isEmpty || hasUnconfirmed || !plan.pending.isEmpty { try await barrier() }
        if !plan.targetDamage.isEmpty { try await rememberDamage() }
        guard mayPublish(without: refusedSource) else {
            try await record([])
            throw try await damageFailure(refusedSource)
        }
        if options.allowIncomplete { try await accept(refusedSource) }
        if store.capabilities.showsStaged {
            try await publishStates(isNew: isNew, listed: survey.states, meter: meter)
        } else {
            try await publishLateStates(isNew: isNew, listed: survey.states, meter: meter, accepted: try await acceptedKeys())
        }
        if isNew { try await publishConfig() } else { try await recordConfig() }
        try await extendLocks(cut)
        try await makePoint(cut: cut, moment: moment)
        // What runs that were cut short left behind: everything is published, so nobody will ask for it again.
        try await store.discardStaged { _ in false }
        if !plan.sourceDamage.isEmpty { throw incompleteFailure() }
    }

    /// The source was maintained while it was read: publish the packfiles that are complete, leave the rest to the next cut.
    func pause() async throws {
        _ = takePostponed()
        _ = takeStagedStates()
        while hasOpenBatch { try await commitBatch() }
        if hasUnconfirmed { try await barrier() }
        try await record([])
    }

    func setPhase(_ phase: String) {
        environment.progress.update(progressLine) { $0.phase = phase }
    }

    // MARK: - what was there before

    /// A run that ended between a name and its confirmation: the bytes are read once before anything leans on them.
    private func settlePending() async throws {
        var good: [LedgerEntry] = []
        var keys: [ResourceKey] = []
        for key in plan.pending {
            guard let known = try await knownResource(key), let digest = known.digest else { continue }
            guard try await isSettled(key, known, digest) else {
                damaged(key, "its bytes are not those that were recorded")
                continue
            }
            // That run may not have come to tell the ledger; to be told twice does no harm.
            good.append(.resource(key, size: known.size, digest: digest, chunks: known.chunks))
            keys.append(key)
        }
        guard !keys.isEmpty else { return }
        try await store.makeDurable()
        try await ledger.append(good)
        let (replica, confirmed) = (replica, keys)
        try await environment.catalog.write { db in try db.confirm(confirmed, in: replica) }
    }

    /// Whether a name whose confirmation is missing has the bytes that were recorded. Where they may not be read, its length must do: our own
    /// call published it whole or not at all.
    private func isSettled(_ key: ResourceKey, _ known: KnownResource, _ digest: Digest) async throws -> Bool {
        if isWriteOnly {
            guard case .regular(let size, _) = try await store.attributes(of: [key])[0] else { return false }
            return size == known.size
        }
        guard try await proof(of: key, size: known.size, from: .publishedOnMedium)?.digest == digest else { return false }
        report.verified.add(key.kind, bytes: known.size)
        return true
    }

    /// What another tool brought is adopted; the sample, or all of it, is read and compared.
    private func settleUnknown(meter: SourceMeter) async throws {
        report.unproven = plan.unprovenBefore + unreadCount
        var cursor = plan.unknown.cursor()
        while let part = try cursor.next(atMost: Self.recordsAtOnce) {
            var adopted: [ListedResource] = []
            var proven: [(ResourceKey, ResourceProof)] = []
            for resource in part {
                guard samplesNext(size: resource.size ?? 0) else {
                    report.unproven += 1
                    if !resource.isAdopted { adopted.append(resource) }
                    continue
                }
                if let proof = try await compare(resource, meter: meter) { proven.append((resource.key, proof)) }
            }
            try await record(adopted: adopted, proven: proven)
        }
    }

    /// Reads a resource that nobody read yet and compares it with what this machine recorded itself, or else with the source's bytes: what a
    /// ledger says of it condemns neither side, and no side that is damaged on its face condemns the other.
    private func compare(_ resource: ListedResource, meter: SourceMeter) async throws -> ResourceProof? {
        let (key, size) = (resource.key, resource.size ?? 0)
        guard
            let found = try await ReadResource.reading(
                key, size: size, of: store, from: .publishedOnMedium, piece: checkPiece)
        else {
            damaged(key, "it could not be read to its end")
            return nil
        }
        if let reason = found.faceDamage { damaged(key, reason) }
        let known = try await knownResource(key)
        var wanted = known?.digest
        if wanted == nil || known?.authenticated == false {
            guard let theirs = try await readAtSource(key, size: size, meter: meter) else { return nil }
            wanted = theirs.digest
            // Where they are the same, the caller records it with the others. Where nobody said anything before, nobody can tell which is right.
            if theirs != found.proof, known?.digest != nil { try await recordSource(key, theirs) }
        }
        guard found.faceDamage == nil else { return nil }
        guard wanted == found.proof.digest else {
            let isAsTold = known?.digest == found.proof.digest
            damaged(key, "its bytes differ from the source's" + (isAsTold ? ", although a replica's ledger names them" : ""))
            return nil
        }
        report.verified.add(key.kind, bytes: size)
        return found.proof
    }

    /// What the source has of a resource that the target has too; nil when that is no good, which is noted.
    private func readAtSource(_ key: ResourceKey, size: Int64, meter: SourceMeter) async throws -> ResourceProof? {
        try await meter.take(Int(size))
        do {
            let found = try await ReadResource.reading(
                key, size: size, of: source.reader, from: .published, piece: checkPiece)
            guard let found else {
                miss(FailedResource(key: key, reason: "its length changed since it was looked at", retryable: true))
                return nil
            }
            guard let reason = found.faceDamage else { return found.proof }
            miss(FailedResource(key: key, reason: reason, retryable: false))
        } catch let failure as Failure where failure.place == source.reader.place {
            miss(FailedResource(key, failure))
        }
        return nil
    }

    /// What we saw at the source outranks what a ledger told: `repair` goes by it.
    private func recordSource(_ key: ResourceKey, _ proof: ResourceProof) async throws {
        let repository = source.repository
        try await environment.catalog.write { db in
            _ = try db.record(proof, for: key, in: repository, authenticated: true)
        }
    }

    /// Wherever a run may be cut, the next one tells catalog and ledger what is missing there: what is adopted stands in the ledger first, what is
    /// proven is pending in the catalog until the ledger has it.
    private func record(adopted: [ListedResource], proven: [(ResourceKey, ResourceProof)]) async throws {
        guard !adopted.isEmpty || !proven.isEmpty else { return }
        let (replica, repository, point) = (replica, source.repository, await ledger.nextPointSequence)
        let known = try await environment.catalog.write { db -> [KnownResource?] in
            for (key, proof) in proven {
                _ = try db.record(proof, for: key, in: repository, authenticated: true)
                try db.hold(key, in: replica, status: .pending, from: point)
            }
            return try adopted.map { try db.proof(of: $0.key, in: repository) }
        }
        try await ledger.append(
            proven.map { .resource($0.0, size: $0.1.size, digest: $0.1.digest, chunks: $0.1.chunks) }
                + zip(adopted, known).map { resource, known in
                    .resource(resource.key, size: resource.size ?? 0, digest: known?.digest, chunks: known?.chunks ?? [])
                })
        try await environment.catalog.write { db in
            try db.confirm(proven.map(\.0), in: replica)
            // What another replica's ledger told stays told when a new replica adopts it.
            if known.contains(where: { $0.map { $0.digest != nil && !$0.authenticated } ?? false }) {
                try db.setAuthenticated(false, replica)
            }
            for resource in adopted {
                let size = KnownResource(size: resource.size ?? 0, digest: nil, authenticated: true)
                _ = try db.record(size, for: resource.key, in: repository)
                try db.hold(resource.key, in: replica, status: .unproven, from: point)
            }
        }
    }

    // MARK: - states and CONFIG

    private func publishStates(isNew: Bool, listed: KindListing, meter: SourceMeter) async throws {
        var states = try await readBack(takeStagedStates())
        while !postponed.isEmpty {
            try await fetchPostponed(from: [], meter: meter)
            try await store.makeDurable()
            states += try await readBack(takeStagedStates())
        }
        guard !states.isEmpty else { return }
        if !isNew { try await lookAgain(at: listed) }
        let order = publicationOrder(
            states.map {
                DatedState(key: $0.resource.key, modified: $0.resource.modified ?? Timestamp(seconds: 0), size: $0.proof.size)
            })
        let byKey = Dictionary(uniqueKeysWithValues: states.map { ($0.resource.key, $0) })
        setPhase("publishing states")
        let ordered = order.compactMap { byKey[$0.key] }
        for start in stride(from: 0, to: ordered.count, by: Self.recordsAtOnce) {
            let part = Array(ordered[start..<min(start + Self.recordsAtOnce, ordered.count)])
            try await record(part)
            if isNew {
                try await publish(part)
                try await store.makeDurable()
            } else {
                for state in part {
                    try await publish([state])
                    try await store.makeDurable(namesOf: [state.resource.key])
                }
            }
            didMakeDurable(part.map(\.resource.key))
        }
    }

    /// The second look: a client that wrote to the replica since the run began is a reason to stop.
    func lookAgain(at listed: KindListing) async throws {
        let now = try await StoreListing.list(.state, of: store, in: environment)
        guard now.names != listed.names else { return }
        var difference = SortedDifference(listed.spool.cursor(), now.spool.cursor())
        var appeared: [ResourceKey] = []
        var count = 0
        while let step = try difference.next() {
            guard case .rightOnly(let state) = step else { continue }
            count += 1
            if appeared.count < Refusal.idsMax { appeared.append(state.key) }
        }
        if let refusal = Guards.divergence(targetOnlyStates: appeared, count: count) {
            throw refusal.failure(at: store.place, "refusing to publish states at")
        }
    }

    private func configStaged() -> Staged {
        let listed = ListedResource(key: .config, size: Int64(source.configBytes.count), modified: source.configModified)
        return Staged(
            resource: listed, proof: source.configBytes.withUnsafeBytes { ResourceProof(ofSmall: $0) },
            isChecked: options.verify != .none)
    }

    /// The last step of a first copy: from now on it is a store.
    private func publishConfig() async throws {
        setPhase("publishing CONFIG")
        let bytes = source.configBytes
        checkPiece.memory.copyBytes(from: bytes)
        let staged = configStaged()
        let small = SmallResource(key: .config, piece: checkPiece, range: 0..<bytes.count, modified: source.configModified)
        if let failure = try await store.stage([small]).compactMap({ $0 }).first { throw failure.at(store.place, .config) }
        report.bytesWritten += Int64(bytes.count)
        try await store.makeDurable()
        let good = try await readBack([staged])
        try await record(good)
        try await publish(good)
        guard try await !readBackPublished(good).isEmpty else {
            throw Failure(
                .damage, "cannot store", resource: .config, place: store.place,
                reason: "what was read back is not what was written")
        }
        try await store.makeDurable(namesOf: [.config])
        didMakeDurable([.config])
    }

    /// CONFIG is there already and equals the source's: make sure that its digest is on record.
    private func recordConfig() async throws {
        let staged = configStaged()
        let replica = replica
        let held = try await environment.catalog.read { db in try db.holding(of: .config, in: replica) }
        guard held?.status != .confirmed else { return }
        try await record([staged])
        didMakeDurable([.config])
    }
}
