internal import Catalog
internal import Kloset
internal import Planning
internal import Reconciliation
internal import Storage

/// What this machine remembers of a source: the newest recovery point that each replica has of it, and its own if it is a replica.
///
/// All of them, for each saw the source at another time: what only an older point names and nothing explains is as lost as what the newest names.
struct SourceHistory: Sendable {
    /// Newest first.
    let points: [CatalogPoint]
    /// What somebody said is no measure any more: it still tells which states are not new.
    private let renounced: [CatalogPoint]
    /// The replica that the source is itself.
    private let own: ReplicaID?

    var isEmpty: Bool { points.isEmpty && renounced.isEmpty }

    /// Looked up before the source is cut: what another run records meanwhile may be newer than the cut.
    static func remembered(of source: OpenedStore, in catalog: StateCatalog) async throws -> SourceHistory {
        try await remembered(
            of: source.identity, anchor: source.anchor, replica: source.replica, source.repository, in: catalog)
    }

    static func remembered(
        of identity: String, anchor: String?, replica: ReplicaID?, _ repository: RepositoryID, in catalog: StateCatalog
    ) async throws -> SourceHistory {
        try await catalog.read { db in
            var points = try db.latestPoints(ofSource: identity, anchor: anchor, in: repository)
            if let replica, let own = try db.latestPoint(of: replica) { points.insert(own, at: 0) }
            let renounced = try points.filter { try db.isRenounced($0) }
            return SourceHistory(points: try points.filter { try !db.isRenounced($0) }, renounced: renounced, own: replica)
        }
    }

    /// Whether a state that the source has and a point does not name was written after it. One that was out of sight and came back is older, and
    /// so is one that a sync brought to a replica: neither says why a packfile is gone.
    private func isNews(_ state: ResourceKey, since point: CatalogPoint, _ db: CatalogReading) throws -> Bool {
        if let own, point.replica == own, try db.holding(of: state, in: own) != nil { return false }
        return try !renounced.contains { try $0.point.created <= point.point.created && db.names(state, in: $0) }
    }

    /// Walks along a point and a cut of its source.
    ///
    /// - Parameter gone: called for each resource that is gone and that nothing explains; those that the point names as missing come last.
    func loss(
        since point: CatalogPoint, in cut: SourceCut, _ db: CatalogReading, gone: (ResourceKey) throws -> Void = { _ in }
    ) throws -> SourceLoss {
        var loss = SourceLoss()
        guard point.point.namesDigest != cut.names else { return loss }
        // The source had what a copy of it had to leave out; a replica never had what its own point lacks.
        var leftOut = point.replica == own ? [] : Set(point.point.missing)
        var difference = try SortedDifference(db.members(of: point), cut.cursor())
        while let step = try difference.next() {
            // States come first: with a new one among them any packfile may rightly be gone.
            if loss.mayDropPackfiles, step.key.kind == .packfile { break }
            switch step {
            case .leftOnly(let member):
                guard member.key.kind != .config else { continue }
                loss.add(member.key)
                try gone(member.key)
            case .rightOnly(let resource):
                guard leftOut.remove(resource.key) == nil, resource.key.kind == .state else { continue }
                if try isNews(resource.key, since: point, db) { loss.newStates += 1 }
            case .both: continue
            }
        }
        for key in leftOut.sorted() where key.kind == .state || !loss.mayDropPackfiles {
            loss.add(key)
            try gone(key)
        }
        return loss
    }

    /// Refuses to copy a source that lost something, for a target that does not know it would make a point of what is left.
    ///
    /// - Parameter isAccepted: somebody said that the loss is known.
    /// - Returns: the points that no longer hold then.
    func check(_ cut: SourceCut, of source: OpenedStore, isAccepted: Bool, in catalog: StateCatalog) async throws
        -> [CatalogPoint]
    {
        let contradicted = try await catalog.read { db in
            try points.map { ($0, try loss(since: $0, in: cut, db)) }.filter { !$0.1.isEmpty }
        }
        guard !isAccepted, let (point, loss) = contradicted.first else { return contradicted.map(\.0) }
        let place = source.reader.place
        let donor = point.replica == own ? nil : point.location
        let repair = "sealift repair \(commandWord(place)) --from \(donor.map { commandWord($0) } ?? "REPLICA")"
        if let refusal = Guards.loss(loss, since: point.point.id, repair: repair) {
            throw refusal.failure(at: place, "refusing to copy")
        }
        return []
    }
}

extension SourceCut {
    /// Refuses a source that lacks folders which clients make when they create a store: what was in them would be missing in the copy without a word.
    func requireFolders(at place: String) throws {
        guard let folder = (states.lostFolders + packfiles.lostFolders).first else { return }
        throw Failure(
            .damage, "refusing to copy", place: place, reason: folder.reason(ending: ", with all that it held"),
            advice:
                "Is all of the store mounted? Clients make all folders when they create a store. Where a replica has what it held: sealift repair "
                + "\(commandWord(place)) --from REPLICA; a folder that is known to have been empty can be made by hand.")
    }
}
