internal import Hashing
public import Kloset
public import Storage

/// What an import of a replica's ledger brought.
public struct LedgerImport: Sendable, Equatable {
    /// How far the catalog now knows the ledger.
    public var head: LedgerHead
    /// Segments that were applied.
    public var segments = 0
    /// Resources whose bytes were not known before.
    public var newResources: Int64 = 0
    /// Resources of which this machine saw other bytes itself: damage or attack. The first hundred; what it saw stays. While there
    /// are any, the catalog does not take note of how far it read, so that the next import tells them again.
    public var conflicts: [ResourceKey] = []
    /// All conflicts, also those that are not listed.
    public var conflictCount: Int64 = 0
    /// Why the import ended before the ledger did: a segment that is illegible or does not continue the chain. Nil when it went
    /// to the end.
    public var broken: Failure?
}

extension StateCatalog {
    /// Reads a replica's ledger into the catalog, from where the catalog knows it, one transaction a segment.
    ///
    /// The chain proves only what precedes a head that we noted ourselves; whatever is new here was written by whoever could
    /// write to the replica. So new digests are recorded as unauthenticated, and so is a replica that was not known or gets such
    /// a digest; what it is said to hold is unproven until somebody reads it. Where the ledgers of two replicas contradict each
    /// other, neither is believed. Importing again, or after a run of ours that died behind its last ledger segment, takes no
    /// trust away.
    ///
    /// - Parameters:
    ///   - location: where the replica is, for a replica that is not known; without secrets.
    ///   - trustsKnownEnd: the last segment that is known is not asked for: those who may not read cannot compare it.
    ///   - segment: gives the stored bytes of a segment by number, or nil when there is none; asked in ascending order.
    /// - Returns: how far it got. A broken chain is no error: what precedes it was imported.
    /// - Throws: what `segment` throws, ``Failure`` of the catalog itself, and `.tryAgain` when another process imports the same.
    public func importLedger(
        of replica: ReplicaID, repository: RepositoryID, location: String?, trustsKnownEnd: Bool = false,
        segment: @Sendable (Int64) async throws -> [UInt8]?
    ) async throws -> LedgerImport {
        let head = try await read { try $0.replica(replica)?.ledgerHead } ?? .none
        var progress = ImportProgress(result: LedgerImport(head: head))
        if head != .none, !trustsKnownEnd {
            progress.result.broken = Self.damageOfKnownEnd(head, bytes: try await segment(head.sequence))
        }
        progress.nextPoint = try await firstPoint(of: replica, behind: head, segment)
        while progress.result.broken == nil {
            let sequence = progress.result.head.sequence + 1
            guard let bytes = try await segment(sequence) else {
                if try await segment(sequence + 1) != nil {
                    progress.result.broken = Self.cannotFollow("segment \(sequence) is gone")
                }
                break
            }
            let before = progress
            do {
                progress = try await write { catalog in
                    try catalog.prepareImport(of: replica, repository, location, expecting: before.result.head)
                    let head = LedgerHead(sequence: sequence, digest: SHA256.digest(of: bytes))
                    return try LedgerApplication(catalog, replica, repository, before).apply(bytes, head: head)
                }
            } catch let broken as BrokenLedger {
                progress.result.broken = broken.failure
            }
        }
        if progress.result.conflictCount > 0, progress.result.head != head {
            try await write { try $0.setLedgerHead(head, of: replica) }
        }
        return progress.result
    }

    /// The number of the first point that the ledger has behind `head`: the catalog knows it already when a run of ours died
    /// between writing the ledger and noting so.
    private func firstPoint(
        of replica: ReplicaID, behind head: LedgerHead, _ segment: @Sendable (Int64) async throws -> [UInt8]?
    ) async throws -> Int64 {
        let next = try await read { try $0.nextPointSequence(of: replica) }
        guard next > 1 else { return next }
        var sequence = head.sequence + 1
        while let bytes = try await segment(sequence) {
            sequence += 1
            // What is wrong with a segment is told when it is applied.
            guard let point = try? Self.firstPoint(in: bytes) else { continue }
            return try await read { try $0.sequence(ofPoint: point, of: replica) } ?? next
        }
        return next
    }

    private static func firstPoint(in bytes: [UInt8]) throws -> String? {
        let decoder = try LedgerDecoder(bytes)
        while let entry = try decoder.next() {
            if case .point(let point) = entry { return point.id }
        }
        return nil
    }

    /// The segment that the catalog knows as the last one must still be there as it was: ledgers only grow.
    private static func damageOfKnownEnd(_ head: LedgerHead, bytes: [UInt8]?) -> Failure? {
        guard let bytes else { return cannotFollow("segment \(head.sequence) is gone, which was its last one") }
        guard SHA256.digest(of: bytes) == head.digest else {
            return cannotFollow("segment \(head.sequence) is another one than was written")
        }
        return nil
    }

    static func cannotFollow(_ reason: String) -> Failure {
        Failure(.damage, "cannot follow the ledger", reason: reason)
    }
}

extension CatalogWriting {
    /// Makes an unknown replica known, and checks that nobody else has brought the catalog further meanwhile.
    fileprivate func prepareImport(
        of replica: ReplicaID, _ repository: RepositoryID, _ location: String?, expecting head: LedgerHead
    ) throws {
        let known = try self.replica(replica)
        guard known?.ledgerHead ?? .none == head else {
            throw Failure(
                .tryAgain, "cannot import the ledger", place: database.place, reason: "another process is doing it",
                retryable: true)
        }
        if let known {
            guard known.repository != repository else { return }
            throw BrokenLedger(
                failure: StateCatalog.cannotFollow("the replica is known as one of repository \(known.repository)"))
        }
        try register(ReplicaRecord(id: replica, repository: repository, location: location, authenticated: false))
    }
}

/// Undoes the transaction of a segment that is no good.
private struct BrokenLedger: Error {
    var failure: Failure
}

/// What goes from one segment's transaction to the next.
private struct ImportProgress: Sendable {
    var result: LedgerImport
    /// The number of the next point that the ledger will tell of.
    var nextPoint: Int64 = 1
}

/// Applies one segment inside a transaction.
///
/// The catalog may be ahead of the ledger: what it knows of a copy at the time of the entry, or later, stays.
private struct LedgerApplication {
    private static let conflictsListedMax = 100

    private let catalog: CatalogWriting
    private let replica: ReplicaID
    private let repository: RepositoryID
    private var progress: ImportProgress

    init(_ catalog: CatalogWriting, _ replica: ReplicaID, _ repository: RepositoryID, _ before: ImportProgress) {
        self.catalog = catalog
        self.replica = replica
        self.repository = repository
        progress = before
    }

    /// - Throws: ``BrokenLedger`` when the segment is illegible or no continuation.
    consuming func apply(_ bytes: [UInt8], head: LedgerHead) throws -> ImportProgress {
        do {
            let decoder = try LedgerDecoder(bytes)
            try check(decoder.header, head: head)
            while let entry = try decoder.next() { try apply(entry) }
        } catch let failure as Failure where failure.place == nil {
            // A failure of the catalog itself has its place; what is wrong with the bytes handed to us has none.
            throw BrokenLedger(failure: failure)
        }
        if progress.result.newResources > 0 { try catalog.setAuthenticated(false, replica) }
        try catalog.setLedgerHead(head, of: replica)
        progress.result.head = head
        progress.result.segments += 1
        return progress
    }

    private func check(_ header: LedgerHeader, head: LedgerHead) throws {
        let expected = LedgerHeader(after: progress.result.head, replica: replica, repository: repository)
        if let reason = header.difference(from: expected) { throw BrokenLedger(failure: StateCatalog.cannotFollow(reason)) }
    }

    private mutating func apply(_ entry: LedgerEntry) throws {
        switch entry {
        case .resource(let key, let size, let digest, let chunks):
            try apply(KnownResource(size: size, digest: digest, chunks: chunks, authenticated: false), for: key)
        case .gone(let key):
            if let held = try catalog.holding(of: key, in: replica), held.firstPoint > progress.nextPoint { return }
            try catalog.endMembership(of: key, in: replica, at: progress.nextPoint - 1)
        case .point(let point):
            try apply(point)
        }
    }

    private mutating func apply(_ known: KnownResource, for key: ResourceKey) throws {
        switch try catalog.record(known, for: key, in: repository) {
        case .recorded: if known.digest != nil { progress.result.newResources += 1 }
        case .known: break
        case .conflict(let other): try settle(known, against: other, for: key)
        }
        let held = try catalog.holding(of: key, in: replica)
        if let held {
            let isLater = held.firstPoint > progress.nextPoint
            let isMember = held.firstPoint <= progress.nextPoint && progress.nextPoint <= held.lastPoint ?? .max
            if isLater || isMember { return }
        }
        // Whatever the ledger says of the bytes: unless we knew them before, nobody here has read them.
        try catalog.hold(key, in: replica, status: held?.status ?? .unproven, from: progress.nextPoint)
    }

    private mutating func settle(_ told: KnownResource, against other: KnownResource, for key: ResourceKey) throws {
        guard !other.authenticated else {
            progress.result.conflictCount += 1
            if progress.result.conflicts.count < Self.conflictsListedMax { progress.result.conflicts.append(key) }
            return
        }
        guard told.digest != nil else { return }
        progress.result.newResources += 1
        if try catalog.isHeld(key, in: repository, byOthersThan: replica) {
            try catalog.forgetDigest(of: key, in: repository)
        } else {
            try catalog.replaceUnauthenticated(with: told, for: key, in: repository)
        }
    }

    private mutating func apply(_ point: RecoveryPoint) throws {
        if let known = try catalog.point(id: point.id, of: replica) {
            guard known == point else {
                throw BrokenLedger(
                    failure: StateCatalog.cannotFollow("its recovery point \(point.id) is another one than is known"))
            }
        } else {
            try catalog.insertPoint(point, of: replica, isTold: true)
        }
        progress.nextPoint = try catalog.sequence(ofPoint: point.id, of: replica).map { $0 + 1 } ?? progress.nextPoint
    }
}
