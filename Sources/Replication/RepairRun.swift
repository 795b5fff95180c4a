public import Kloset
public import Storage

/// What a repair did.
public struct RepairReport: Sendable {
    public var location: String
    public var donor: String
    /// Now whole; what was there is in quarantine.
    public var repaired: [ResourceKey] = []
    /// Not repaired; nothing of them was touched.
    public var failed: [FailedResource] = []
    public var bytesFromDonor: Int64 = 0
    /// Resources that were looked at.
    public var checked = 0
    /// What was wrong with the replica's own ledger, which was written anew; nil when nothing was.
    public var ledgerDamage: String?
    /// What was wrong with the replica's mark, and what to do where it was not written anew; nil when nothing was.
    public var markDamage: Failure?
    /// The mark was written anew.
    public var isMarkRestored = false
}

/// Replaces damaged or lost resources of a store with proven bytes: chunks that are still good stay, only the others are read from the donor.
public struct RepairRun: Sendable {
    private let store: any Store
    private let donor: any StoreReader
    private let environment: RunEnvironment

    public init(of store: any Store, from donor: any StoreReader, environment: RunEnvironment) {
        self.store = store
        self.donor = donor
        self.environment = environment
    }

    /// - Throws: `.noStore` for a place that is none, `.usage` when both are one place, `.refused` when they are different repositories,
    ///   `.tryAgain` when the place is in use.
    public func run() async throws -> RepairReport {
        let relation = try await store.footprint().relation(to: try await donor.footprint())
        if relation == .same, let versions = try await VersionDonor.open(store, in: environment) {
            return try await run(versions)
        }
        guard relation == .apart else {
            throw Failure(
                .usage, "cannot repair", place: store.place, reason: "it overlaps with the donor \(donor.place)",
                advice: "Name another copy as the donor.")
        }
        return try await run(donor)
    }

    private func run(_ donor: any StoreReader) async throws -> RepairReport {
        let opened = try await OpenedStore.open(donor)
        let repository = opened.repository
        // Before the lock, so that a place that is refused stays as it is.
        _ = try await open(opened)
        let lock = try await store.lock(holder: environment.holder)
        do {
            // Again under the lock: until then a sync may have written to the place, its ledger included.
            let known = try await open(opened, readsWholeLedger: true)
            let found = try await VerifyRun(of: store, against: donor, environment: environment).run(known)
            if let first = found.forbidden.first.first {
                throw Failure(
                    .permission, "cannot repair", resource: first.key, place: store.place, reason: first.reason,
                    advice: "Run as a user who may read and write there; nothing is known to be wrong with it.")
            }
            var work = RepairWork(of: store, from: donor, known: known, repository: repository, environment: environment)
            work.report.checked = found.checkedCount + found.unknown
            if !found.isGood { try await work.heal(found) }
            try await work.healMark(known)
            try await work.tidy()
            await lock.release()
            return work.report
        } catch {
            await lock.release()
            throw error
        }
    }

    private func open(_ donor: OpenedStore, readsWholeLedger: Bool = false) async throws -> KnownReplica {
        let known = try await KnownReplica.openStore(
            store, in: environment, readsWholeLedger: readsWholeLedger, healer: donor)
        if let mine = known.repository, mine != donor.repository {
            throw Failure(
                .refused, "cannot repair", place: store.place,
                reason: "it is repository \(mine), the donor is \(donor.repository)",
                advice: "Name a donor of the same repository.")
        }
        return known
    }
}
