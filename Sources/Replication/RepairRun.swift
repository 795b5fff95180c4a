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
    /// Folders that could not be listed: what is in them was not looked at.
    public var folders: [UnlistedFolder] = []
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
            var found = try await VerifyRun(of: store, against: donor, environment: environment).run(known)
            if let first = found.forbidden.first.first {
                throw Failure(
                    .permission, "cannot repair", resource: first.key, place: store.place, reason: first.reason,
                    advice: "Run as a user who may read and write there; nothing is known to be wrong with it.")
            }
            try refuse(found.folders)
            let named = Set(found.lost)
            for key in try await held(by: found.folders, donor) where !named.contains(key) { found.loss.add(key) }
            var work = RepairWork(of: store, from: donor, known: known, repository: repository, environment: environment)
            work.report.checked = found.checkedCount + found.unknown
            if !found.isGood { try await work.heal(found) }
            work.report.folders = found.folders.filter { $0.failure != nil }
            try await work.healMark(known)
            try await work.tidy()
            await lock.release()
            return work.report
        } catch {
            await lock.release()
            throw error
        }
    }

    /// What folders that are gone held, as far as the donor has it: whether a recovery point names it or not.
    private func held(by folders: [UnlistedFolder], _ donor: any StoreReader) async throws -> [ResourceKey] {
        let gone = folders.filter { $0.failure == nil }
        var keys: [ResourceKey] = []
        for kind in Set(gone.map(\.kind)) {
            var cursor = try await StoreListing.list(kind, of: donor, in: environment).spool.cursor()
            while let resource = try cursor.next() {
                if gone.contains(where: { $0.contains(resource.key) }) { keys.append(resource.key) }
            }
        }
        return keys
    }

    /// What is in a folder that we may not look into is not known to be lost, and nothing can be put where something else has a folder's name.
    private func refuse(_ folders: [UnlistedFolder]) throws {
        for folder in folders {
            guard let failure = folder.failure else { continue }
            if folder.isForbidden {
                throw Failure(
                    .permission, "cannot repair", place: store.place, reason: "\(folder.path): \(failure.reason)",
                    advice: "Run as a user who may read and write there; nothing is known to be wrong with it.")
            }
            guard failure.kind == .damage else { continue }
            throw Failure(
                .damage, "cannot repair", place: store.place, reason: "\(folder.path) is no folder: \(failure.reason)",
                advice:
                    "Nothing was touched. Move aside what has that name, then repair again: what the folder held is fetched anew."
            )
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
