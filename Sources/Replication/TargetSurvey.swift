internal import Catalog
internal import Kloset
internal import Planning
internal import Storage

/// What is found at a target, before anything is written there.
struct TargetSurvey: Sendable {
    var store: any Store
    var facts: TargetFacts
    var marker: ReplicaMarker?
    /// There is a mark that cannot be read, and it is to be replaced.
    var replacesMark = false
    /// What the catalog knows of the replica; nil for one that it never saw.
    var replica: ReplicaRecord?
    /// Listed before the source is: what a client writes to the replica while we run shows up in the second look only.
    var states: KindListing
    /// Why CONFIG is not what it should be; nothing is published then.
    var configDamage: String?
    var access: ReadAccess
    var lock: LockReport?

    /// It may be listed and written, but not read: names, sizes and the catalog stand in.
    var isWriteOnly: Bool { access == .denied }

    /// There is no CONFIG: a first copy begins here, or goes on.
    var isUnfinished: Bool { facts.configRepository == nil }

    /// Looks at a target.
    ///
    /// - Parameter glance: one that nothing of ours has outdated; nil for a new one.
    /// - Throws: `.refused` by a guard, `.damage`, `.cannotWrite`, `.permission`, `.unavailable`.
    static func make(
        of store: any Store, source: OpenedStore, options: SyncOptions, in environment: RunEnvironment,
        glance: TargetSurvey? = nil
    ) async throws -> TargetSurvey {
        var survey: TargetSurvey
        if let glance {
            survey = glance
        } else {
            survey = try await Self.glance(at: store, source: source, options: options, in: environment)
        }
        if survey.facts.isOccupied { survey.states = try await StoreListing.list(.state, of: store, in: environment) }
        return survey
    }

    /// The same without its states.
    static func glance(
        at store: any Store, source: OpenedStore, options: SyncOptions, in environment: RunEnvironment
    ) async throws -> TargetSurvey {
        var lock: LockReport?
        if let wanted = options.lock { lock = LockReport(lock: wanted, until: try await store.lockPublished(wanted)) }
        let presence = try await store.presence()
        let mayBeWriteOnly = store.capabilities.mayBeWriteOnly
        var access: ReadAccess = mayBeWriteOnly ? .unknown : .allowed
        var marker: ReplicaMarker?
        var owner: RepositoryID?
        var config: FoundConfig?
        var (isOccupied, isBegun, replacesMark) = (false, true, false)
        if case .occupied(let names) = presence {
            if mayBeWriteOnly { access = try await store.readAccess() }
            isBegun = try await isBarelyBegun(names, store)
            if access == .denied {
                try refuseReadBack(at: store, options)
                marker = try await ReplicaNameplate.read(from: store)
                if case .regular(let size, _) = try await store.attributes(of: [.config])[0] { config = .unread(size: size) }
            } else {
                let mark = try await ReplicaMark.look(at: store)
                if let damage = mark.damage {
                    guard options.newReplica else { throw damage }
                    replacesMark = true
                    owner = try await LedgerReading.owner(at: store)?.repository
                }
                marker = mark.marker
                config = try await OpenedStore.readConfig(of: store).map { .bytes($0.0) }
            }
            isOccupied = marker != nil || replacesMark || !isBegun
        }
        let place = store.place
        let id = marker.flatMap { ReplicaID(hex: $0.replicaID) }
        let (replica, expected) = try await environment.catalog.read { db in
            (try id.flatMap { try db.replica($0) }, try db.replicas(at: place).last)
        }
        if access == .denied, !isBegun, replica == nil {
            throw Guards.unknownUnread(replica: marker?.replicaID).failure(at: place)
        }
        let (repository, damage) = judge(config, marker: marker, source: source)
        let facts = TargetFacts(
            configRepository: repository, markedRepository: marker?.repository ?? owner, markedReplica: marker?.replicaID,
            isOccupied: isOccupied, expectedReplica: expected?.id.description)
        if let refusal = Guards.target(facts, repository: source.repository, newReplicaAllowed: options.newReplica) {
            throw refusal.failure(at: place)
        }
        if let twin = try await twin(of: replica, at: store, in: environment) {
            throw Guards.twin(replica: facts.markedReplica ?? "", elsewhere: twin).failure(at: place)
        }
        return TargetSurvey(
            store: store, facts: facts, marker: marker, replacesMark: replacesMark, replica: replica,
            states: try await StoreListing.empty(in: environment), configDamage: damage, access: access, lock: lock)
    }

    /// Somebody asked for written bytes to be read back, and they cannot be: said before anything is written.
    static func refuseReadBack(at store: any Store, _ options: SyncOptions) throws {
        guard options.isVerifyDemanded, options.verify != .none else { return }
        throw Guards.unreadable(depth: options.verify).failure(at: store.place)
    }

    /// CONFIG of a target: what it says, or only how long it is.
    private enum FoundConfig {
        case bytes([UInt8])
        case unread(size: Int64)
    }

    /// Another place that carries the same replica id: `cp` or another tool copied a replica with its mark.
    private static func twin(
        of replica: ReplicaRecord?, at store: any Store, in environment: RunEnvironment
    ) async throws -> String? {
        guard let replica, let known = replica.location, known != store.place, let other = environment.openKnown(known) else {
            return nil
        }
        // A place that cannot be looked at is no witness: the disk was moved, or is gone.
        guard let marker = try? await ReplicaMark.look(at: other).marker, marker.replicaID == replica.id.description,
            let there = try? await other.footprint(), try await store.footprint().relation(to: there) == .apart
        else { return nil }
        return known
    }

    /// Whether only the folder for documents of ours is there, without any: a run was cut before it could leave its mark, which comes before
    /// all else, so this is as good as empty.
    private static func isBarelyBegun(_ names: [String], _ store: any Store) async throws -> Bool {
        guard names == [".sealift"] else { return false }
        return try await store.documents(in: ReplicaLedger.folder).isEmpty
    }

    /// Which repository a target's CONFIG names, and what is wrong with it. A CONFIG that nobody can read still counts as the marker's.
    private static func judge(_ found: FoundConfig?, marker: ReplicaMarker?, source: OpenedStore) -> (RepositoryID?, String?) {
        let config: [UInt8]
        switch found {
        case nil: return (nil, nil)
        case .unread(let size):
            let wanted = source.configBytes.count
            return (marker?.repository, size == wanted ? nil : "it is \(size) bytes long, the source's \(wanted)")
        case .bytes(let bytes): config = bytes
        }
        if config == source.configBytes { return (source.repository, nil) }
        let parsed = config.withUnsafeBytes { bytes in try? StoreConfiguration(parsing: bytes) }
        if let found = parsed?.repositoryID, found != source.repository { return (found, nil) }
        return (marker?.repository ?? parsed?.repositoryID, "it differs from the source's CONFIG of the same repository")
    }
}

extension Refusal {
    /// The refusal as the failure that a caller sees, with the ids named.
    ///
    /// - Parameter what: what is not done, as a phrase that the place completes.
    func failure(at place: String, _ what: String = "refusing to touch") -> Failure {
        let names = ids.map(\.description).joined(separator: ", ")
        var failure = Failure(
            .refused, what, place: place, reason: names.isEmpty ? reason : "\(reason) (\(names))", advice: advice)
        failure.resources = ids
        return failure
    }
}
