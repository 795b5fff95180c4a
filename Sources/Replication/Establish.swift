internal import Catalog
internal import Kloset
internal import Storage

/// A target that is ours to write to: locked, marked, known to the catalog.
struct EstablishedTarget: Sendable {
    var replica: ReplicaID
    var ledger: ReplicaLedger
    var lock: any StoreLock
    /// Resources that this machine did not know and takes the replica's word for.
    var learned: Int64
    /// This run began it: its ledger is empty.
    var isNew: Bool
}

/// Takes targets into use.
struct TargetOpening: Sendable {
    var environment: RunEnvironment
    var repository: RepositoryID

    /// Makes a surveyed target ours. The first thing that exists there is our mark; the catalog learns of the replica when the mark is
    /// durable.
    ///
    /// - Parameter lock: one that is held already, if the target was a replica of ours before.
    func establish(_ survey: TargetSurvey, lock held: (any StoreLock)?) async throws -> EstablishedTarget {
        let (store, found) = (survey.store, survey.marker)
        let lock: any StoreLock
        if let held { lock = held } else { lock = try await store.lock(holder: environment.holder) }
        do {
            let marker: ReplicaMarker
            var isNew = false
            let mark = try await present(survey)
            if let damage = mark.damage, !survey.replacesMark { throw damage }
            if let existing = mark.marker {
                guard held != nil || existing == found else {
                    throw Failure(
                        .tryAgain, "cannot use", place: store.place, reason: "another run has begun a replica there",
                        advice: "Run again.", retryable: true)
                }
                marker = existing
            } else {
                isNew = true
                // The ledger of a replica whose mark was taken away: nobody could append to it.
                try await ReplicaLedger.moveAside(at: store)
                if mark.damage != nil { try await store.quarantineDocument(ReplicaMarker.documentName) }
                try await ReplicaNameplate.takeDown(at: store)
                marker = ReplicaMarker(
                    format: ReplicaMarker.formatCurrent,
                    replicaID: hexText((0..<16).map { _ in UInt8.random(in: .min ... .max) }),
                    repositoryID: repository.description)
                try await ReplicaNameplate.hang(marker, at: store)
                try await marker.write(to: store)
                try await store.prepare()
            }
            guard let id = ReplicaID(hex: marker.replicaID) else {
                throw Failure(
                    .damage, "cannot read the mark .sealift/replica of", place: store.place, reason: "its replica id is no id")
            }
            let (ledger, learned) = try await register(id, survey, isNew: isNew)
            return EstablishedTarget(replica: id, ledger: ledger, lock: lock, learned: learned, isNew: isNew)
        } catch {
            await lock.release()
            throw error
        }
    }

    /// Makes sure that the ledger can be continued: all of it, for whoever knows nothing else reads it from its beginning. Nothing is appended
    /// behind damage.
    func checkLedger(of target: EstablishedTarget, at survey: TargetSurvey) async throws {
        // Where it may not be read, its end was compared with what was kept of it.
        guard !survey.isWriteOnly else { return }
        let reading = LedgerReading(environment: environment, repository: repository)
        if let damage = try await reading.check(target.replica, store: survey.store) { throw damage }
    }

    /// What marks the place as a replica by now.
    private func present(_ survey: TargetSurvey) async throws -> ReplicaMark {
        guard survey.isWriteOnly else { return try await ReplicaMark.look(at: survey.store) }
        guard let marker = try await ReplicaNameplate.read(from: survey.store) else { return .none }
        // A run that was cut may have left the nameplate alone.
        if survey.replica == nil { try await marker.write(to: survey.store) }
        return .legible(marker)
    }

    private func register(_ id: ReplicaID, _ survey: TargetSurvey, isNew: Bool) async throws -> (ReplicaLedger, Int64) {
        let store = survey.store
        let (place, repository) = (store.place, repository)
        let isKnownHere = try await environment.catalog.read { db in try db.replica(id)?.location == place }
        if !isKnownHere {
            try await environment.catalog.write { db in
                try db.forgetLocation(place)
                if try db.replica(id) == nil {
                    try db.register(ReplicaRecord(id: id, repository: repository, location: place))
                } else {
                    try db.setLocation(place, of: id)
                }
            }
        }
        let reading = LedgerReading(environment: environment, repository: repository)
        var learned: Int64 = 0
        if isNew {
            // Nothing is there under an id that was thrown a moment ago.
        } else if survey.isWriteOnly {
            try await reading.catchUpUnread(id, store: store)
        } else {
            let read = try await reading.catchUp(id, store: store)
            if let damage = read.damage { throw damage }
            learned = read.learned
        }
        let (head, next) = try await environment.catalog.read { db in
            (try db.replica(id)?.ledgerHead ?? .none, try db.nextPointSequence(of: id))
        }
        let ledger = ReplicaLedger(
            store: store, catalog: environment.catalog, replica: id, repository: repository, head: head, nextPointSequence: next,
            keepsSegments: survey.isWriteOnly)
        return (ledger, learned)
    }
}
