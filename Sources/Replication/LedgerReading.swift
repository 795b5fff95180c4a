internal import Catalog
internal import Kloset
internal import Planning
internal import Storage

/// Brings the catalog up to date from a replica's own ledger: after the catalog was lost, or when another machine wrote to the replica.
struct LedgerReading: Sendable {
    var environment: RunEnvironment
    var repository: RepositoryID

    /// Reads the segments that the catalog does not know yet, and the last one that it knows; of the others it looks at the names.
    ///
    /// - Parameter isMarked: whether the place bears the replica's mark, so that a replica which is new to the catalog is expected there from now
    ///   on.
    /// - Returns: what is wrong with the ledger, a failure of the kind `.damage`, or nil: its chain does not hold, or it contradicts what we saw.
    ///   What precedes the damage is known to the catalog then. And how many resources the catalog has learned of.
    func catchUp(
        _ id: ReplicaID, store: any StoreReader, isMarked: Bool = true
    ) async throws -> (damage: Failure?, learned: Int64) {
        let learned = Locked<Int64>(0)
        let damage = try await Self.damage(store) {
            let names = try await Self.legible { try await store.documents(in: ReplicaLedger.folder) }
            let segments = Set(names.compactMap { LedgerFormat.sequence(ofDocument: $0) })
            let place = isMarked ? store.place : nil
            let outcome = try await environment.catalog.importLedger(of: id, repository: repository, location: place) {
                try await Self.segment($0, of: store)
            }
            learned.with { $0 = outcome.newResources }
            if let broken = outcome.broken { return broken }
            if let conflict = outcome.conflicts.first {
                return Failure(
                    .damage, "cannot believe the ledger", resource: conflict,
                    reason: "it names other bytes than this machine saw (\(outcome.conflictCount) such)")
            }
            let last = max(segments.max() ?? 0, outcome.head.sequence)
            guard segments.count < last, let gone = (1...last).first(where: { !segments.contains($0) }) else { return nil }
            return Failure(.damage, "cannot follow the ledger", reason: "segment \(gone) of \(last) is missing")
        }
        return (damage, learned.current)
    }

    /// The same where the ledger may be listed but not read: its end must be one that this machine wrote, by what the catalog kept.
    ///
    /// - Throws: `.refused` when it ends elsewhere.
    func catchUpUnread(_ id: ReplicaID, store: any StoreReader) async throws {
        let segments = Set(
            try await store.documents(in: ReplicaLedger.folder).compactMap { LedgerFormat.sequence(ofDocument: $0) })
        let last = segments.max() ?? 0
        guard segments.count == last else {
            throw Guards.unreadLedger(known: Int64(segments.count), found: last).failure(at: store.place)
        }
        let known = try await environment.catalog.read { db in try db.replica(id)?.ledgerHead ?? .none }
        guard known.sequence < last else {
            if known.sequence == last { return }
            throw Guards.unreadLedger(known: known.sequence, found: last).failure(at: store.place)
        }
        let catalog = environment.catalog
        let outcome = try await catalog.importLedger(
            of: id, repository: repository, location: store.place, trustsKnownEnd: true
        ) { sequence in
            sequence > last ? nil : try await catalog.read { db in try db.keptSegment(sequence, of: id) }
        }
        guard outcome.broken == nil, outcome.conflicts.isEmpty, outcome.head.sequence == last else {
            throw Guards.unreadLedger(known: outcome.head.sequence, found: last).failure(at: store.place)
        }
    }

    /// Reads the whole chain once more, as far as the catalog knows it.
    ///
    /// - Returns: what is wrong with it, a failure of the kind `.damage`, or nil.
    func check(_ id: ReplicaID, store: any StoreReader) async throws -> Failure? {
        let window = SegmentWindow(store: store)
        return try await Self.damage(store) {
            try await environment.catalog.checkLedger(of: id) { try await window.segment($0) }
        }
    }

    /// Whose ledger lies at a place, as its first segment says, or another one where that cannot be read; nil without any.
    static func owner(at store: any StoreReader) async throws -> LedgerHeader? {
        do {
            let numbers = try await store.documents(in: ReplicaLedger.folder).compactMap { LedgerFormat.sequence(ofDocument: $0) }
            for number in numbers.sorted().prefix(Self.segmentsAsked) {
                if let bytes = try? await segment(number, of: store), let header = try? LedgerDecoder(bytes).header {
                    return header
                }
            }
        } catch let failure as Failure where failure.kind == .damage || failure.kind == .readWrite {
            // A ledger that cannot even be listed tells nothing.
        }
        return nil
    }

    /// Where so many are illegible one behind the other, more would hardly say more.
    private static let segmentsAsked = 8

    /// A document that is none, or that cannot be listed: damage of the ledger, not of the catalog.
    private struct Illegible: Error {
        var failure: Failure
    }

    fileprivate static func segment(_ sequence: Int64, of store: any StoreReader) async throws -> [UInt8]? {
        try await legible {
            try await store.document(
                LedgerFormat.documentName(sequence: sequence), byteCountMax: LedgerFormat.storedByteCountMax)
        }
    }

    private static func legible<Value: Sendable>(_ body: () async throws -> Value) async throws -> Value {
        do { return try await body() } catch let failure as Failure where failure.kind == .damage {
            throw Illegible(failure: failure)
        }
    }

    private static func damage(_ store: any StoreReader, _ body: () async throws -> Failure?) async throws -> Failure? {
        var found: Failure?
        do { found = try await body() } catch let illegible as Illegible {
            found = illegible.failure
            found?.reason = "\(illegible.failure.what): \(illegible.failure.reason)"
            found?.what = "cannot read the ledger"
        }
        guard let found else { return nil }
        return Failure(
            .damage, "\(found.what) of the replica", resource: found.resource, place: store.place, reason: found.reason,
            advice:
                "Someone or something changed it. Write it anew with: sealift repair \(commandWord(store.place)) --from SOURCE")
    }
}

/// Reads segments ahead of the one that is asked for, several at once: over a network each costs a round trip.
private actor SegmentWindow {
    private let store: any StoreReader
    private var held: [Int64: [UInt8]] = [:]

    /// A segment of a run is some kilobytes; what is longer than this is read when its turn comes, so that little memory is held.
    private static let byteCountMax = 256 << 10

    init(store: any StoreReader) {
        self.store = store
    }

    func segment(_ sequence: Int64) async throws -> [UInt8]? {
        if held[sequence] == nil {
            held = await Self.small(sequence..<sequence + Int64(store.capabilities.readersInFlight), store)
        }
        if let bytes = held.removeValue(forKey: sequence) { return bytes }
        return try await LedgerReading.segment(sequence, of: store)
    }

    /// Those that are there and short; what is wrong with others is told when their turn comes.
    private static func small(_ sequences: Range<Int64>, _ store: any StoreReader) async -> [Int64: [UInt8]] {
        await withTaskGroup(of: (Int64, [UInt8]?).self) { group in
            for sequence in sequences {
                group.addTask {
                    let name = LedgerFormat.documentName(sequence: sequence)
                    return (sequence, try? await store.document(name, byteCountMax: byteCountMax))
                }
            }
            var found: [Int64: [UInt8]] = [:]
            for await (sequence, bytes) in group { found[sequence] = bytes }
            return found
        }
    }
}
