internal import Catalog
internal import Kloset
internal import Planning
internal import Storage

/// A store that is looked at by itself: what it is, and whose digests its bytes are compared with.
struct KnownReplica: Sendable {
    var reader: any StoreReader
    /// Nil when neither CONFIG nor a marker tells.
    var repository: RepositoryID?
    /// The replica id of its marker; nil for a store that is no replica of ours. Where the marker cannot be read, that of its ledger.
    var replica: ReplicaID?
    /// What is wrong with its marker.
    var markDamage: Failure?
    /// Whether the marker can be written anew: see ``remembered(at:as:in:)``.
    var mayRestoreMark = false
    /// Where the digests come from.
    var knowledge: LedgerSource
    /// Why CONFIG cannot be understood; nil when it can, or when there is none.
    var configDamage: String?
    /// The damage is only that we may not read it.
    var isConfigForbidden = false
    var hasConfig: Bool
    /// What is wrong with its ledger; what is known then comes from the catalog and from what precedes the damage.
    var ledgerDamage: Failure?

    /// Looks at a store and reads its ledger where the catalog does not know it.
    ///
    /// - Parameters:
    ///   - readsWholeLedger: also checks what the catalog knows of the ledger already.
    ///   - healer: whose CONFIG a store is about to get that lost its own.
    /// - Throws: `.noStore` when there is nothing that could be a store.
    static func open(
        _ reader: any StoreReader, in environment: RunEnvironment, readsWholeLedger: Bool = false, healer: OpenedStore? = nil
    ) async throws -> KnownReplica {
        try await reader.requirePlace()
        let mark = try await ReplicaMark.look(at: reader)
        let replica = mark.marker.flatMap { ReplicaID(hex: $0.replicaID) }
        var known = KnownReplica(
            reader: reader, repository: mark.marker?.repository, replica: replica, markDamage: mark.damage, knowledge: .nothing,
            configDamage: nil, hasConfig: false)
        try await known.readConfig()
        if mark.damage != nil { try await known.askLedger(in: environment) }
        if case .none = mark, !known.hasConfig {
            guard let healer else { throw try await reader.noConfig() }
            try await LostConfig(reader: reader, donor: healer, environment: environment).check()
            known.repository = healer.repository
        }
        try await known.learn(in: environment, readsWholeLedger: readsWholeLedger)
        return known
    }

    /// Who it is that lost its mark: its ledger says so in each segment.
    ///
    /// The mark may be written anew only where this machine remembers that replica, and no other, at this very place, and where the last segment
    /// that it knows of that ledger is there: then it is the disk that it was, as far as a mark could tell.
    private mutating func askLedger(in environment: RunEnvironment) async throws {
        guard let owner = try await LedgerReading.owner(at: reader), repository == nil || owner.repository == repository else {
            return
        }
        (replica, repository) = (owner.replica, owner.repository)
        let place = reader.place
        let remembered = try await environment.catalog.read { db in try db.replicas(at: place) }
        mayRestoreMark =
            remembered.count == 1 && remembered[0].id == owner.replica && remembered[0].repository == owner.repository
            && remembered[0].ledgerHead.sequence > 0
    }

    /// The same for those who go by what is there: CONFIG must be there, or must have been.
    ///
    /// Every recovery point names CONFIG, so without one it has never been there: the place is a first copy that was cut, and no store.
    /// - Throws: `.noStore` for that too.
    static func openStore(
        _ reader: any StoreReader, in environment: RunEnvironment, readsWholeLedger: Bool = false, healer: OpenedStore? = nil
    ) async throws -> KnownReplica {
        let known = try await open(reader, in: environment, readsWholeLedger: readsWholeLedger, healer: healer)
        if known.hasConfig || (known.replica == nil && known.markDamage == nil) { return known }
        let replica = known.replica
        let last = try await environment.catalog.read { db in try replica.flatMap { try db.latestPoint(of: $0) } }
        guard last != nil else {
            throw Failure(
                .noStore, "no store", place: reader.place, reason: "it is an unfinished copy: CONFIG comes last",
                advice: "Unless a sync to it is running, finish it with: sealift sync SOURCE \(commandWord(reader.place))")
        }
        return known
    }

    private mutating func readConfig() async throws {
        do {
            guard let (bytes, _) = try await OpenedStore.readConfig(of: reader) else { return }
            hasConfig = true
            let parsed = bytes.withUnsafeBytes { bytes in
                Result { () throws(ConfigurationDamage) in try StoreConfiguration(parsing: bytes) }
            }
            switch parsed {
            case .success(let configuration): repository = repository ?? configuration.repositoryID
            case .failure(let damage): configDamage = damage.reason
            }
        } catch let failure as Failure where [.damage, .readWrite, .permission].contains(failure.kind) {
            hasConfig = true
            (configDamage, isConfigForbidden) = (failure.reason, failure.kind == .permission)
        } catch is Vanished {
            hasConfig = false
        }
    }

    private mutating func learn(in environment: RunEnvironment, readsWholeLedger: Bool) async throws {
        guard let repository else { return }
        if let replica {
            let reading = LedgerReading(environment: environment, repository: repository)
            // A place whose mark cannot be read is not where that replica is to be expected from now on.
            ledgerDamage = try await reading.catchUp(replica, store: reader, isMarked: markDamage == nil).damage
            if ledgerDamage == nil, readsWholeLedger { ledgerDamage = try await reading.check(replica, store: reader) }
            mayRestoreMark = mayRestoreMark && ledgerDamage == nil
        }
        let replica = replica
        knowledge = try await environment.catalog.read { db in try LedgerSource(of: replica, repository, in: db) }
    }
}

/// Where the digests come from that bytes are compared with.
public enum LedgerSource: String, Sendable {
    /// This machine's own record.
    case catalog
    /// The replica's ledger alone: whoever could change the replica could have changed it too.
    case replicaLedger = "replica (unauthenticated)"
    /// Nobody recorded anything.
    case nothing

    /// What stands behind what is known of a replica, or of a store that is none.
    init(of replica: ReplicaID?, _ repository: RepositoryID, in db: CatalogReading) throws {
        let isOwn: Bool
        if let replica, let record = try db.replica(replica) {
            isOwn = try record.authenticated || !db.holdsUnauthenticated(replica)
        } else {
            isOwn = try db.hasDigests(of: repository, authenticated: true)
        }
        // The likely answer first: it is found in the first row.
        let isAnything =
            try db.hasDigests(of: repository, authenticated: isOwn) || db.hasDigests(of: repository, authenticated: !isOwn)
        self = isAnything ? isOwn ? .catalog : .replicaLedger : .nothing
    }
}
