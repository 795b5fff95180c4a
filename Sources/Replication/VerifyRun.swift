internal import Catalog
internal import Kloset
internal import Planning
internal import Reconciliation
public import Storage

/// Reads every byte of a store back and compares it with the ledger of digests.
public struct VerifyRun: Sendable {
    private let reader: any StoreReader
    private let other: (any StoreReader)?
    private let environment: RunEnvironment
    private let believesPlace: Bool

    /// - Parameters:
    ///   - other: a store of the same repository that stands in where no digest is known.
    ///   - believesPlace: whether what the place itself has computed of a resource stands in for reading it.
    public init(
        of reader: any StoreReader, against other: (any StoreReader)?, believesPlace: Bool = false, environment: RunEnvironment
    ) {
        self.reader = reader
        self.believesPlace = believesPlace
        self.other = other
        self.environment = environment
    }

    /// - Throws: `.noStore`, `.refused` when `other` is another repository, `.tryAgain` when a source keeps changing, what reading throws as
    ///   a whole.
    public func run() async throws -> VerifyReport {
        let known: KnownReplica
        do {
            known = try await KnownReplica.openStore(reader, in: environment, readsWholeLedger: true)
        } catch let failure as Failure where failure.kind == .noStore {
            throw try await CoveredResource.removed(at: reader) ?? failure
        }
        guard let other else { return try await run(known) }
        guard try await reader.footprint().relation(to: try await other.footprint()) != .same else {
            throw Failure(
                .usage, "cannot verify", place: reader.place, reason: "\(other.place) is the same place",
                advice: "Name another copy behind --against.")
        }
        try await checkSameRepository(known, other)
        // Packfiles first, and all of it before the other side: what is written at one of the two meanwhile is rather a state that is missing here,
        // which is plain, than a packfile that nothing explains.
        let packfiles = try await StoreListing.list(.packfile, of: other, in: environment)
        let states = try await StoreListing.list(.state, of: other, in: environment)
        return try await run(known, namesThere: SourceCut(states: states, packfiles: packfiles))
    }

    /// The same for a store that has been opened, and an other one of the same repository.
    ///
    /// - Parameter namesThere: what the other one holds, where that is to be compared too.
    func run(_ known: KnownReplica, namesThere: SourceCut? = nil) async throws -> VerifyReport {
        // Before the listing: what a sync brings meanwhile is not missing from it.
        let history = try await history(known)
        let listing = try await listing(known)
        let lostFolders = known.replica == nil ? (listing.states.lostFolders + listing.packfiles.lostFolders) : []
        let report = Locked(VerifyReport(location: reader.place, repository: known.repository, knowledge: known.knowledge))
        report.with { report in
            (report.ledgerDamage, report.markDamage) = (known.ledgerDamage?.reason, known.markDamage)
            report.isSource = known.replica == nil && history?.isEmpty == false
            report.folders = listing.unlisted + lostFolders
            report.comparison = other.map { VerifyReport.Comparison(location: $0.place) }
        }
        let line = environment.progress.begin(place: reader.place, phase: "reading")
        environment.progress.update(line) { $0.resourcesTotal = listing.states.count + listing.packfiles.count }
        let queue = Locked(ChainedCursor(listing.states.spool.cursor(), listing.packfiles.spool.cursor()))
        try await checkConfig(known, report: report)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<(environment.jobs ?? reader.capabilities.readersInFlight) {
                group.addTask {
                    let judge = ResourceJudge(of: reader, isReplica: known.replica != nil, against: other)
                    while let part = try queue.with({ try $0.next(atMost: Self.resourcesAtOnce) }) {
                        try await check(part, known: known, judge: judge, line: line, report: report)
                    }
                }
            }
            try await group.waitForAll()
        }
        try await findLost(history, listing: listing, report: report)
        try await rememberDamage(known, report.current)
        if let namesThere { try await findOnlyThere(namesThere, listing: listing, report: report) }
        let covered = try await CoveredResource.found(below: report.current, at: reader)
        return report.with { report in
            report.covered = covered
            report.sort()
            return report
        }
    }

    /// The next sync reads these again before it calls the replica good.
    private func rememberDamage(_ known: KnownReplica, _ report: VerifyReport) async throws {
        guard let replica = known.replica, let repository = known.repository, !report.damaged.isEmpty else { return }
        let keys = report.damaged.map(\.key)
        try await environment.catalog.write { db in
            guard try db.replica(replica) != nil else { return }
            try db.doubt(keys, in: replica, of: repository)
        }
    }

    /// Resources that one reader takes at a time: what one look at the catalog and one call to the store cost is then nothing beside
    /// opening that many files.
    private static let resourcesAtOnce = 256

    /// Where so many resources may not be read, it is no matter of single ones: a server would be asked a million times in vain.
    private static let forbiddenMax = 1000

    /// Clients write to a source while it is read, so it is cut as for a sync; a replica has only us.
    private func listing(_ known: KnownReplica) async throws -> SourceCut {
        guard known.replica != nil else { return try await SourceCut.make(of: reader, in: environment, passingOver: true) }
        async let states = StoreListing.list(.state, of: reader, in: environment, passingOver: true)
        async let packfiles = StoreListing.list(.packfile, of: reader, in: environment, passingOver: true)
        return SourceCut(states: try await states, packfiles: try await packfiles)
    }

    private func checkSameRepository(_ known: KnownReplica, _ other: any StoreReader) async throws {
        let opened = try await OpenedStore.open(other)
        guard let mine = known.repository, mine != opened.repository else { return }
        throw Failure(
            .refused, "cannot compare", place: reader.place,
            reason: "it is repository \(mine), \(other.place) is \(opened.repository)",
            advice: "Name two stores of one repository.")
    }

    private func checkConfig(_ known: KnownReplica, report: Locked<VerifyReport>) async throws {
        guard known.hasConfig else {
            return report.with { $0.loss.add(.config) }
        }
        if let damage = known.configDamage {
            return report.with { report in
                let judged = DamagedResource(key: .config, reason: damage)
                if known.isConfigForbidden { return report.forbidden.add(judged) }
                report.checkedCount += 1
                report.damage.add(judged)
            }
        }
        let recorded = try await digestsOnRecord([.config], known)
        let judged = try await ResourceJudge(of: reader, isReplica: known.replica != nil, against: other).judge(
            [.config], recorded: recorded)
        report.with { report in
            for one in judged { report.add(one, isReplica: known.replica != nil) }
        }
    }

    private func check(
        _ part: [ListedResource], known: KnownReplica, judge: ResourceJudge, line: Int, report: Locked<VerifyReport>
    ) async throws {
        try Task.checkCancellation()
        let irregular = part.filter(\.isIrregular).map { JudgedResource($0.key, .damaged("it is no regular file"), size: 0) }
        var keys = part.filter { !$0.isIrregular }.map(\.key)
        let recorded = try await digestsOnRecord(keys, known)
        if believesPlace { keys = try await believing(keys, recorded, report: report) }
        let judged = try await judge.judge(keys, recorded: recorded) + irregular
        let forbidden = report.with { report in
            for one in judged { report.add(one, isReplica: known.replica != nil) }
            return (count: report.forbidden.count, first: report.forbidden.first.first)
        }
        if forbidden.count > Self.forbiddenMax, let first = forbidden.first {
            throw Failure(
                .permission, "cannot read", resource: first.key, place: reader.place,
                reason: "\(first.reason), and so it is with more than \(Self.forbiddenMax) others",
                advice: "Run as a user who may read there.")
        }
        environment.progress.update(line) { line in
            line.resourcesDone += part.count
            line.bytesDone += judged.reduce(0) { $0 + $1.size }
        }
    }

    /// Counts what the place attests as recorded.
    ///
    /// - Returns: the others, which are to be read.
    private func believing(
        _ keys: [ResourceKey], _ recorded: [ResourceKey: KnownResource], report: Locked<VerifyReport>
    ) async throws -> [ResourceKey] {
        var rest: [ResourceKey] = []
        for (key, attested) in zip(keys, try await reader.attestedDigests(of: keys)) {
            if let attested, let known = recorded[key], known.digest == attested {
                report.with { $0.attested.add(key.kind, bytes: known.size) }
            } else {
                rest.append(key)
            }
        }
        return rest
    }

    private func digestsOnRecord(_ keys: [ResourceKey], _ known: KnownReplica) async throws -> [ResourceKey: KnownResource] {
        guard let repository = known.repository else { return [:] }
        return try await environment.catalog.read { db in
            var digests: [ResourceKey: KnownResource] = [:]
            for key in keys { digests[key] = try db.proof(of: key, in: repository) }
            return digests
        }
    }

    /// The recovery points that a store is measured by: a replica by its own last one and by those that were taken from it, a source by the latter.
    private func history(_ known: KnownReplica) async throws -> SourceHistory? {
        guard let repository = known.repository else { return nil }
        let anchor = known.replica == nil ? try await reader.footprint().anchor : nil
        return try await SourceHistory.remembered(
            of: known.replica.map { OpenedStore.identity(of: $0) } ?? reader.place, anchor: anchor, replica: known.replica,
            repository, in: environment.catalog)
    }

    /// Lost is what a recovery point names and is not there, as far as no new state explains it: a client that goes on with a replica may maintain it
    /// too. What may be in a folder that could not be listed is not lost.
    private func findLost(_ history: SourceHistory?, listing: SourceCut, report: Locked<VerifyReport>) async throws {
        guard let history else { return }
        let lost = try await environment.catalog.read { db -> Set<ResourceKey> in
            var lost: Set<ResourceKey> = []
            for point in history.points { _ = try history.loss(since: point, in: listing, db) { lost.insert($0) } }
            return lost
        }.sorted()
        let folders = listing.unlisted
        report.with { report in
            for key in lost where !folders.contains(where: { $0.contains(key) }) { report.loss.add(key) }
        }
    }

    /// What the other store has and this one lacks, and no recovery point names: that is no loss as far as anybody can know, for states that were
    /// written since the last sync bring packfiles with them, and a backup that is under way brings packfiles before its state.
    private func findOnlyThere(_ there: SourceCut, listing: SourceCut, report: Locked<VerifyReport>) async throws {
        let lost = Set(report.current.lost)
        var found = report.current.comparison
        var difference = SortedDifference(listing.cursor(), there.cursor())
        while let step = try difference.next() {
            guard case .rightOnly(let resource) = step, !lost.contains(resource.key) else { continue }
            found?.onlyThere.add(resource.key)
            if resource.key.kind == .state { found?.statesOnlyThere += 1 }
        }
        report.with { [found] report in report.comparison = found }
    }
}
