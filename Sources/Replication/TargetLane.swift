internal import Catalog
internal import Hashing
internal import Kloset
internal import Planning
internal import Storage

/// One target during a run: stages what the readers send, makes it durable batch by batch, publishes it.
///
/// Order of a batch (design.md, invariants 1, 2, 6): temporaries → one sync, digests in catalog and ledger → read back → final names. The sync
/// of the next batch, or the last one, makes the names durable; only then are they recorded as confirmed.
actor TargetLane {
    let number: Int
    let store: any Store
    let environment: RunEnvironment
    let source: OpenedStore
    let replica: ReplicaID
    let options: SyncOptions
    /// It may be listed and written, but not read.
    let isWriteOnly: Bool
    var plan: TargetPlan
    let ledger: ReplicaLedger
    var report: TargetReport
    let progressLine: Int

    /// Where the source lies for the target's own server, which copies from there; nil where it does not, or no longer is to.
    nonisolated let origin: Locked<CopyOrigin?>

    /// One resource whose bytes are staged.
    struct Staged: Sendable {
        var resource: ListedResource
        var proof: ResourceProof
        var isChecked: Bool
        /// The server copies it, so that nobody has seen its bytes.
        var isServerCopy = false
        /// It says of its copy what the proof says.
        var isAttested = false

        /// Whether the server's word is all that stands for it.
        var isUnproven: Bool { isServerCopy && !isAttested && !isChecked }
    }

    private var batch: [Staged] = []
    private var batchBytes: Int64 = 0
    /// What the open batch holds in the store's memory.
    private var batchMemory: Int64 = 0
    private var batchBegan = ContinuousClock.now
    private var isCommitting = false
    private var waiting: [CheckedContinuation<Void, Never>] = []
    /// Published, but no sync has covered the names yet.
    private var unconfirmed: [ResourceKey] = []
    /// Published under names that a sync has covered: to be confirmed with the next record.
    private var covered: [ResourceKey] = []
    /// States that are staged; they become visible after everything else.
    private(set) var stagedStates: [Staged] = []
    var postponed: [ListedResource] = []
    private(set) var hasSettled = false
    /// What did not read back once: fetched again, and where it is published already, exchanged.
    var readAgain: Set<ResourceKey> = []
    /// Of what is published and not recorded as confirmed yet: copies that nobody has read.
    var unread: Set<ResourceKey> = []
    /// How many such copies this run made.
    var unreadCount = 0
    /// A copy that the server made was not what it should be.
    var isMistrusted = false
    private var uploads: [ResourceKey: LargeUpload] = [:]
    /// Large resources that will not be completed by the readers; other writers may still be at their chunks.
    private var givenUp: Set<ResourceKey> = []
    private var sample: SampleSelection
    private var generator = SystemRandomNumberGenerator()
    /// Read-back needs memory of its own: the pool may be exhausted by units that wait for this very commit.
    let checkPiece = Piece()
    let limits: BatchLimits

    /// A large resource on its way in.
    private struct LargeUpload {
        var opening: Task<(any Upload, [ChunkHash]), any Error>
        var chunksWritten = 0
        var proof: ResourceProof?
    }

    init(
        number: Int, survey: TargetSurvey, plan: TargetPlan, replica: ReplicaID, ledger: ReplicaLedger, source: OpenedStore,
        environment: RunEnvironment, options: SyncOptions, progressLine: Int, limits: BatchLimits = .standard,
        origin: CopyOrigin? = nil
    ) {
        self.origin = Locked(origin)
        self.number = number
        store = survey.store
        self.environment = environment
        self.source = source
        self.replica = replica
        isWriteOnly = survey.isWriteOnly
        self.options = survey.isWriteOnly ? options.readingNothingBack : options
        self.plan = plan
        self.ledger = ledger
        self.progressLine = progressLine
        self.limits = limits
        report = TargetReport(place: survey.store.place)
        report.toCopy = plan.toCopy
        report.alreadyThere = plan.alreadyThere
        report.targetOnly = plan.targetOnly
        report.restored = plan.restored
        report.lock = survey.lock
        for one in plan.damage { report.add(failed: one) }
        if isWriteOnly, options.verify != .none { report.unverifiedReason = Self.writeOnlyReason }
        let unread = plan.unknown.count
        sample = SampleSelection(
            count: plan.toCopy.resources + unread, bytes: plan.toCopy.bytes + plan.alreadyThere.bytes, depth: self.options.verify)
    }

    private static let writeOnlyReason = "these credentials may list and write there, but not read"

    // MARK: - what the readers tell

    /// A resource of the source could not be read or is damaged.
    func miss(_ failed: FailedResource) {
        if plan.sourceDamage.append(failed) { report.add(failed: failed.on(.source)) }
    }

    /// Whether states may become visible as far as is known now. Damage only grows in a run: what may not be published now never will be.
    ///
    /// - Parameter refused: the source's damage that nobody accepted.
    func mayPublish(without refused: [FailedResource]) -> Bool {
        plan.targetDamage.isEmpty && (options.allowIncomplete || refused.isEmpty)
    }

    /// These were read while this target was behind: to be fetched later.
    func postpone(_ resources: [ListedResource]) {
        postponed += resources
        for resource in resources { dropUpload(resource.key) }
    }

    /// What is to be fetched after the readers are done; whatever they left half-way is let go of.
    func takePostponed() -> [ListedResource] {
        for key in Array(uploads.keys) { dropUpload(key) }
        defer { postponed = [] }
        // What turned out to be damaged after this target was passed over need not be asked for again.
        return postponed.filter { !plan.sourceDamage.contains($0.key) }
    }

    func takeStagedStates() -> [Staged] {
        defer { stagedStates = [] }
        return stagedStates
    }

    /// Everything that the readers sent is published, or will never be: siblings need not wait for it.
    func didSettle() {
        hasSettled = true
    }

    var hasOpenBatch: Bool { !batch.isEmpty }
    var hasUnconfirmed: Bool { !unconfirmed.isEmpty || !covered.isEmpty }

    /// Deals with one unit.
    func process(_ unit: CopyUnit) async throws {
        switch unit {
        case .small(let resources): try await stage(resources)
        case .chunk(let resource, let index, let piece, let count, let hash):
            try await write(resource, index: index, piece: piece, count: count, hash: hash)
        case .complete(let resource, let proof):
            uploads[resource.key]?.proof = proof
            try await finishIfComplete(resource)
        case .copies(let copies): try await stage(copies)
        case .abandoned(let key): dropUpload(key)
        }
    }

    // MARK: - staging

    private func stage(_ resources: [ProvenSmall]) async throws {
        let outcomes = try await store.stage(resources.map(\.resource))
        for (resource, failure) in zip(resources, outcomes) {
            if let failure { throw failure.at(store.place, resource.resource.key) }
        }
        report.bytesWritten += resources.reduce(0) { $0 + $1.proof.size }
        try await add(
            resources.map { small in
                let listed = ListedResource(
                    key: small.resource.key, size: small.proof.size, modified: small.resource.modified)
                return Staged(resource: listed, proof: small.proof, isChecked: false)
            })
    }

    private func write(_ resource: ListedResource, index: Int, piece: Piece, count: Int, hash: ChunkHash) async throws {
        guard !givenUp.contains(resource.key) else { return }
        do {
            let (upload, held) = try await opened(resource)
            // A chunk that an earlier run left is believed only if it is the source's; the digest of the whole is the source's in any case.
            if index >= held.count || held[index] != hash {
                try await upload.write(chunk: index, from: piece, count: count)
                report.bytesWritten += Int64(count)
            }
        } catch  where givenUp.contains(resource.key) {
            return  // the upload was let go of under this writer's hands
        }
        uploads[resource.key]?.chunksWritten += 1
        try await finishIfComplete(resource)
    }

    private func opened(_ resource: ListedResource) async throws -> (any Upload, [ChunkHash]) {
        if let known = uploads[resource.key] { return try await known.opening.value }
        let store = store
        let opening = Task { () -> (any Upload, [ChunkHash]) in
            let upload = try await store.upload(
                resource.key, size: resource.size ?? 0, modified: resource.modified ?? Timestamp(seconds: 0))
            return (upload, try await upload.heldChunks())
        }
        uploads[resource.key] = LargeUpload(opening: opening)
        return try await opening.value
    }

    private func finishIfComplete(_ resource: ListedResource) async throws {
        guard let large = uploads[resource.key], let proof = large.proof,
            large.chunksWritten == ChunkLayout.count(size: proof.size)
        else { return }
        uploads[resource.key] = nil
        try await large.opening.value.0.finish()
        try await add([Staged(resource: resource, proof: proof, isChecked: false)])
    }

    private func dropUpload(_ key: ResourceKey) {
        givenUp.insert(key)
        guard let large = uploads.removeValue(forKey: key) else { return }
        Task { await (try? large.opening.value)?.0.abandon() }
    }

    /// Takes note of staged resources and commits the batch when it is full.
    func add(_ staged: [Staged]) async throws {
        for var one in staged {
            one.isChecked = sample.next(size: one.proof.size, using: &generator) || readAgain.contains(one.resource.key)
            environment.progress.update(progressLine) { line in
                line.resourcesDone += 1
                line.bytesDone += one.proof.size
            }
            if one.resource.key.kind == .state {
                stagedStates.append(one)
                continue
            }
            if batch.isEmpty { batchBegan = .now }
            batch.append(one)
            batchBytes += one.proof.size
            if !one.isServerCopy { batchMemory += store.capabilities.stagedMemory(ofSize: one.proof.size) }
        }
        while isBatchFull { try await commitBatch() }
    }

    /// One batch may fill while another is committed, so each gets half of the store's memory.
    private var isBatchFull: Bool {
        limits.isFull(bytes: batchBytes, resources: batch.count, age: .now - batchBegan)
            || batchMemory >= store.capabilities.stagedMemoryMax / 2
    }

    /// Whether the next unproven resource is one to be read back.
    func samplesNext(size: Int64) -> Bool { sample.next(size: size, using: &generator) }

    // MARK: - committing

    /// Commits what is staged; one commit at a time, others go on staging the next batch meanwhile.
    func commitBatch() async throws {
        if isCommitting {
            await withCheckedContinuation { waiting.append($0) }
            return
        }
        isCommitting = true
        defer {
            isCommitting = false
            for waiter in waiting { waiter.resume() }
            waiting = []
        }
        let current = batch
        batch = []
        (batchBytes, batchMemory) = (0, 0)
        if !current.isEmpty { try await commit(current) }
    }

    /// The sync takes as long as the two records, so they go side by side: none of them makes anything visible.
    private func commit(_ staged: [Staged]) async throws {
        let covered = unconfirmed
        async let recorded: Void = record(staged)
        do {
            try await store.makeDurable()
        } catch {
            try? await recorded
            try? await store.discard(staged.map(\.resource.key))
            throw error
        }
        try await recorded
        didCover(covered)
        let good = try await readBackPublished(try await publish(try await readBack(staged)))
        note(unread: good)
        unconfirmed += good.map(\.resource.key)
    }

    private func didCover(_ keys: [ResourceKey]) {
        unconfirmed.removeFirst(keys.count)
        didMakeDurable(keys)
    }

    /// These names are durable; the next record says so.
    func didMakeDurable(_ keys: [ResourceKey]) {
        covered += keys
    }

    func takeCovered() -> [ResourceKey] {
        defer { covered = [] }
        return covered
    }

    /// The last sync of everything that was published, and of all that earlier runs left. The next record says so.
    func barrier() async throws {
        let covered = unconfirmed
        try await store.makeDurable()
        didCover(covered)
    }
}
