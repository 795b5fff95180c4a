internal import Catalog
internal import Hashing
internal import Kloset
internal import Planning
internal import Storage

/// The healing of what a verification found, under the lock of the place.
///
/// The order keeps the rule that every packfile that a visible state names is there: packfiles first; a state that is lost becomes visible
/// only when all of them are whole and durable. A state that is damaged is visible already, so it may be exchanged at any time.
struct RepairWork: Sendable {
    let store: any Store
    let donor: any StoreReader
    let environment: RunEnvironment
    private let repository: RepositoryID
    private let replica: ReplicaID?
    /// Nothing may be appended to a ledger that cannot be followed.
    private let ledgerIsSound: Bool
    var report: RepairReport
    let piece = Piece()

    /// What is staged before one sync makes it durable: a sync costs as much as writing some megabytes, and as much as some hundred files.
    static let resourcesAtOnce = 256
    private static let bytesAtOnce: Int64 = 64 << 20

    init(
        of store: any Store, from donor: any StoreReader, known: KnownReplica, repository: RepositoryID,
        environment: RunEnvironment
    ) {
        self.store = store
        self.donor = donor
        self.environment = environment
        self.repository = repository
        // Nothing is written in the name of a replica whose mark is not there to say so.
        replica = known.markDamage == nil || known.mayRestoreMark ? known.replica : nil
        ledgerIsSound = known.ledgerDamage == nil
        report = RepairReport(location: store.place, donor: donor.place)
    }

    /// A resource that is to be healed.
    struct Patient: Sendable {
        var key: ResourceKey
        /// Nothing is under its name.
        var isLost: Bool
        var recorded: KnownResource?
        /// Bytes that it should have.
        var size: Int64
        /// The donor's time.
        var modified: Timestamp

        /// Nobody knew its digest.
        var isNews: Bool { recorded?.digest == nil }

        /// Why what the donor has cannot be taken.
        var objection: String {
            recorded?.authenticated ?? true
                ? "the donor's bytes are not those that were recorded either"
                : "the donor's bytes are not those that a replica's ledger names, and nobody here knows better; "
                    + "a sync from the source with --verify all settles it"
        }

        func accepts(_ proof: ResourceProof) -> Bool {
            recorded?.digest.map { $0 == proof.digest } ?? (proof.size == size)
        }
    }

    /// Proven bytes that are staged and durable.
    struct Healed: Sendable {
        var patient: Patient
        var proof: ResourceProof

        var key: ResourceKey { patient.key }
    }

    /// Heals what can be healed; the report says what could not.
    mutating func heal(_ found: VerifyReport) async throws {
        try await store.prepare()
        let damaged = found.damaged.map(\.key)
        func of(_ kind: ResourceKind, _ keys: [ResourceKey]) -> [ResourceKey] { keys.filter { $0.kind == kind }.sorted() }
        try await heal(of(.packfile, damaged), isLost: false)
        try await heal(of(.packfile, found.lost), isLost: true)
        let missing = report.failed.first { $0.key.kind == .packfile }
        try await heal(of(.state, damaged), isLost: false)
        let lostStates = of(.state, found.lost)
        if let missing {
            withhold(lostStates, "its packfiles must come first, and \(missing.key) could not be healed")
        } else if found.damage.isCutShort || found.loss.isCutShort {
            withhold(lostStates, "more packfiles may be damaged or lost than one run heals: repair again")
        } else {
            try await healStates(lostStates)
        }
        try await heal(of(.config, damaged), isLost: false)
        try await heal(of(.config, found.lost), isLost: true)
        if let damage = found.ledgerDamage, let replica {
            try await ReplicaLedger.rebuild(of: replica, repository: repository, at: store, in: environment.catalog)
            report.ledgerDamage = damage
        }
    }

    /// Writes a mark anew that cannot be read, where it is known beyond doubt which replica this is.
    mutating func healMark(_ known: KnownReplica) async throws {
        guard let damage = known.markDamage else { return }
        report.markDamage = damage
        guard known.mayRestoreMark, let replica else { return }
        try await store.quarantineDocument(ReplicaMarker.documentName)
        try await ReplicaMarker(
            format: ReplicaMarker.formatCurrent, replicaID: replica.description, repositoryID: repository.description
        ).write(to: store)
        report.isMarkRestored = true
    }

    /// Removes what runs that were cut left in `.sealift/uploads`: probes, documents, and what is staged of a resource that is published. A
    /// publish by link and unlink leaves that where a power loss keeps the one and not the other; then nothing is damaged, so it has to go also
    /// when there is nothing to heal. What is not published may be an upload that a sync will continue.
    func tidy() async throws {
        let staged = Locked<[ResourceKey]>([])
        try await store.discardStaged { key in
            staged.with { if $0.count < Self.tidiedMax { $0.append(key) } }
            return true
        }
        let keys = staged.current
        for start in stride(from: 0, to: keys.count, by: Self.resourcesAtOnce) {
            let part = Array(keys[start..<min(start + Self.resourcesAtOnce, keys.count)])
            var published: [ResourceKey] = []
            for (key, attributes) in zip(part, try await store.attributes(of: part)) {
                if case .regular = attributes { published.append(key) }
            }
            try await store.discard(published)
        }
    }

    /// Far more than any run leaves, in 3 MiB; the next repair or sync sees to the rest.
    private static let tidiedMax = 65_536

    private mutating func heal(_ keys: [ResourceKey], isLost: Bool) async throws {
        for start in stride(from: 0, to: keys.count, by: Self.resourcesAtOnce) {
            let part = Array(keys[start..<min(start + Self.resourcesAtOnce, keys.count)])
            for batch in batches(try await examine(part, isLost: isLost)) {
                let healed = try await stageProven(batch)
                try await isLost ? publish(healed) : exchange(healed)
            }
        }
    }

    /// Lost states, oldest first, each durable before the next, so that what is visible grows along the source's history.
    private mutating func healStates(_ keys: [ResourceKey]) async throws {
        var patients: [ResourceKey: Patient] = [:]
        for start in stride(from: 0, to: keys.count, by: Self.resourcesAtOnce) {
            let part = Array(keys[start..<min(start + Self.resourcesAtOnce, keys.count)])
            // What the donor does not have is newer than all that it has: a copy holds a prefix of the history.
            for patient in try await examine(part, isLost: true) { patients[patient.key] = patient }
        }
        let order = publicationOrder(
            patients.values.map { DatedState(key: $0.key, modified: $0.modified, size: $0.size) })
        var missing: ResourceKey?
        for batch in batches(order.compactMap { patients[$0.key] }) {
            if let missing {
                withhold(batch.map(\.key), Self.behind(missing))
                continue
            }
            let healed = try await stageProven(batch)
            for one in healed.prefix(zip(batch, healed).prefix { $0.key == $1.key }.count) {
                try await publish([one])
                guard report.repaired.last == one.key else { break }
            }
            let done = Set(report.repaired)
            let left = batch.map(\.key).filter { !done.contains($0) }
            missing = left.first
            guard let missing else { continue }
            let failed = Set(report.failed.map(\.key))
            try await store.discard(left)
            withhold(left.filter { !failed.contains($0) }, Self.behind(missing))
        }
    }

    private static func behind(_ missing: ResourceKey) -> String {
        "older states must come first, and \(missing) could not be healed"
    }

    private func batches(_ patients: [Patient]) -> [[Patient]] {
        var batches: [[Patient]] = []
        var bytes: Int64 = 0
        let bytesMax = min(Self.bytesAtOnce, store.capabilities.stagedMemoryMax)
        for patient in patients {
            let isFull = batches.last.map { $0.count >= Self.resourcesAtOnce || bytes + patient.size > bytesMax } ?? true
            if isFull {
                batches.append([])
                bytes = 0
            }
            batches[batches.count - 1].append(patient)
            bytes += patient.size
        }
        return batches
    }

    // MARK: - what moves

    private mutating func exchange(_ healed: [Healed]) async throws {
        var done: [Healed] = []
        for one in healed {
            do {
                try await store.exchange(one.key)
                done.append(one)
            } catch let failure as Failure where failure.kind == .damage {
                fail(one.key, failure.reason)
            }
        }
        try await record(try await readBackPublished(done))
    }

    /// What has its name now, less what does not read back under it where that could not be found out before.
    private mutating func readBackPublished(_ done: [Healed]) async throws -> [Healed] {
        guard !store.capabilities.showsStaged, !done.isEmpty else { return done }
        let good = try await readBack(done, from: .publishedOnMedium)
        for one in done where !good.contains(one.key) {
            fail(one.key, "what was read back after the exchange is not what was written")
        }
        return done.filter { good.contains($0.key) }
    }

    private mutating func publish(_ healed: [Healed]) async throws {
        guard !healed.isEmpty else { return }
        var done: [Healed] = []
        var failure: Failure?
        for (one, outcome) in zip(healed, try await store.publish(healed.map(\.key))) {
            switch outcome {
            case .published, .attested: done.append(one)
            case .taken:
                fail(one.key, "something has taken its name meanwhile", retryable: true)
                try await store.discard([one.key])
            case .uncopied(let reason): fail(one.key, reason)
            case .failed(let cause): failure = failure ?? cause.at(store.place, one.key)
            }
        }
        try await store.makeDurable(namesOf: done.map(\.key))
        try await record(try await readBackPublished(done))
        if let failure { throw failure }
    }

    /// What was healed is whole again on the record too, and what nobody had recorded is known now.
    private mutating func record(_ healed: [Healed]) async throws {
        guard !healed.isEmpty else { return }
        report.repaired += healed.map(\.key)
        let (replica, repository, place, ledgerIsSound) = (replica, repository, store.place, ledgerIsSound)
        let (next, head) = try await environment.catalog.write { db -> (Int64, LedgerHead) in
            // One whose ledger was still empty taught us nothing of itself.
            if let replica, try db.replica(replica) == nil {
                try db.register(ReplicaRecord(id: replica, repository: repository, location: place))
            }
            let next = try replica.map { try db.nextPointSequence(of: $0) } ?? 0
            for one in healed {
                _ = try db.record(one.proof, for: one.key, in: repository, authenticated: true)
                // Pending until the ledger knows it too: if we are cut between the two, the next sync tells it.
                let isPending = one.patient.isNews && ledgerIsSound
                if let replica { try db.hold(one.key, in: replica, status: isPending ? .pending : .confirmed, from: next) }
            }
            return (next, try replica.flatMap { try db.replica($0)?.ledgerHead } ?? .none)
        }
        let news = healed.filter(\.patient.isNews).map { LedgerEntry.resource($0.key, $0.proof) }
        guard let replica, !news.isEmpty, ledgerIsSound else { return }
        let ledger = ReplicaLedger(
            store: store, catalog: environment.catalog, replica: replica, repository: repository, head: head,
            nextPointSequence: next)
        try await ledger.append(news)
        try await environment.catalog.write { db in try db.confirm(healed.map(\.key), in: replica) }
    }

    // MARK: - what does not

    mutating func fail(_ key: ResourceKey, _ reason: String, retryable: Bool = false) {
        report.failed.append(FailedResource(key: key, reason: reason, retryable: retryable))
    }

    private mutating func withhold(_ keys: [ResourceKey], _ reason: String) {
        for key in keys { fail(key, reason) }
    }

    /// Looks up what is known of resources, here and at the donor. What has no chance fails.
    private mutating func examine(_ keys: [ResourceKey], isLost: Bool) async throws -> [Patient] {
        let repository = repository
        let recorded = try await environment.catalog.read { db in try keys.map { try db.proof(of: $0, in: repository) } }
        let attributes = try await donor.attributes(of: keys)
        var patients: [Patient] = []
        for (key, (recorded, attributes)) in zip(keys, zip(recorded, attributes)) {
            guard case .regular(let size, let modified) = attributes else {
                fail(key, Self.donorHasNone)
                continue
            }
            let wanted = recorded.flatMap { $0.digest == nil ? nil : $0.size } ?? size
            let patient = Patient(key: key, isLost: isLost, recorded: recorded, size: wanted, modified: modified)
            if patient.isNews, let objection = try await objection(to: key, isLost: isLost) {
                fail(key, objection)
            } else {
                patients.append(patient)
            }
        }
        return patients
    }

    static let donorHasNone = "the donor does not have it"

    /// Nobody knows the digest: unless exactly one side is whole on its face, it is not for us to say which is right.
    private func objection(to key: ResourceKey, isLost: Bool) async throws -> String? {
        guard try await donor.looksWhole(key, piece: piece) else {
            return "no digest is on record, and the donor's is damaged on its face"
        }
        if isLost { return nil }
        guard try await store.looksWhole(key, piece: piece) else { return nil }
        return "no digest is on record, both sides look whole, and they differ"
    }
}
