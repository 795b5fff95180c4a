internal import Catalog
internal import Kloset
internal import Storage

/// The replica's own ledger: append-only segments under `.sealift/ledger/`, each naming the one before it by digest.
///
/// Only the holder of the target's lock appends.
actor ReplicaLedger {
    private let store: any Store
    private let catalog: StateCatalog
    private let replica: ReplicaID
    private let repository: RepositoryID
    /// The last segment that is durable.
    private(set) var head: LedgerHead
    /// The number that the next recovery point will have.
    private(set) var nextPointSequence: Int64
    /// Whether names that are taken are moved aside instead of being respected.
    private var isRebuilding = false
    /// What is written cannot be read: the catalog keeps it until the next segment is there.
    private let keepsSegments: Bool

    static let folder = "ledger"

    init(
        store: any Store, catalog: StateCatalog, replica: ReplicaID, repository: RepositoryID, head: LedgerHead,
        nextPointSequence: Int64, keepsSegments: Bool = false
    ) {
        self.store = store
        self.catalog = catalog
        self.replica = replica
        self.repository = repository
        self.head = head
        self.nextPointSequence = nextPointSequence
        self.keepsSegments = keepsSegments
    }

    /// Appends a segment, several when there is much to say; durable when it returns.
    func append(_ entries: [LedgerEntry]) async throws {
        try await write(entries)
        try await noteHead()
    }

    /// The same, but the catalog is left to be told of the new ``head``: until then it reads what it knows already once more.
    func write(_ entries: [LedgerEntry]) async throws {
        var rest = entries[...]
        while !rest.isEmpty {
            var encoder = LedgerEncoder(LedgerHeader(after: head, replica: replica, repository: repository))
            while let entry = rest.first, try encoder.append(entry) { rest.removeFirst() }
            let (bytes, next) = encoder.finish()
            let name = LedgerFormat.documentName(sequence: next.sequence)
            if isRebuilding { try await store.quarantineDocument(name) }
            try await create(name, bytes, sequence: next.sequence)
            head = next
        }
    }

    private func create(_ name: String, _ bytes: [UInt8], sequence: Int64) async throws {
        guard keepsSegments else { return try await store.createDocument(name, with: bytes) }
        let replica = replica
        try await catalog.write { db in try db.keepSegment(sequence, bytes, of: replica) }
        do {
            try await store.createDocument(name, with: bytes)
        } catch let failure as Failure where failure.kind == .refused {
            // Somebody else's: what was kept must never be taken for it.
            try await catalog.write { db in try db.dropSegment(sequence, of: replica) }
            throw failure
        }
    }

    private func noteHead() async throws {
        let (replica, head) = (replica, head)
        try await catalog.write { db in try db.setLedgerHead(head, of: replica) }
    }

    /// Writes a ledger anew from what the catalog knows of the replica, after moving aside what is there: for the holder of the lock.
    ///
    /// A run that is cut leaves a ledger that everybody finds damaged, to be written anew again.
    static func rebuild(
        of replica: ReplicaID, repository: RepositoryID, at store: any Store, in catalog: StateCatalog
    ) async throws {
        let place = store.place
        try await catalog.write { db in
            if try db.replica(replica) == nil {
                try db.register(ReplicaRecord(id: replica, repository: repository, location: place, authenticated: false))
            }
            // No segment has this digest, so none is taken for the last one before the new ledger is complete.
            try db.setLedgerHead(LedgerHead(sequence: 1, digest: .zero), of: replica)
        }
        try await moveAside(at: store)
        let ledger = ReplicaLedger(
            store: store, catalog: catalog, replica: replica, repository: repository, head: .none, nextPointSequence: 1)
        try await ledger.writeAll()
    }

    private func writeAll() async throws {
        isRebuilding = true
        defer { isRebuilding = false }
        var position: LedgerPosition?
        repeat {
            let (replica, begin) = (replica, position)
            let (entries, next) = try await catalog.read { db in
                try db.ledgerEntries(of: replica, after: begin, limit: Self.entriesAtOnce)
            }
            try await write(entries)
            position = next
        } while position != nil
        try await noteHead()
    }

    /// 2.5 MiB of small resources. Each part sorts all that the replica holds, so there should be few of them.
    private static let entriesAtOnce = 16_384

    /// Moves a ledger that cannot be followed into quarantine, the last segment first: what is left is a shorter ledger at every moment.
    static func moveAside(at store: any Store) async throws {
        let names = try await store.documents(in: folder)
        let segments = names.compactMap { name in LedgerFormat.sequence(ofDocument: name).map { (name, $0) } }
        for (name, _) in segments.sorted(by: { $0.1 > $1.1 }) { try await store.quarantineDocument("\(folder)/\(name)") }
    }

    func pointMade() {
        nextPointSequence += 1
    }
}
