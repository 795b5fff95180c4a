internal import Catalog
internal import Kloset
public import Planning
public import Storage
internal import Synchronization

/// Brings targets up to date with a source: cut, difference, plan, transfer, publish, record (design.md, "One sync").
public struct SyncRun: Sendable {
    let source: any StoreReader
    private let targets: [any Store]
    let options: SyncOptions
    private let environment: RunEnvironment
    private let limits: BatchLimits
    private let approval: (@Sendable (PlannedTarget) throws -> Void)?

    /// More targets than this would leave less than a piece of memory for each.
    public static let targetsMax = 8
    /// How often a source may be maintained under our hands before the run gives up for now.
    private static let cutsMax = 5

    /// - Parameter approval: sees each target's plan before anything is written there, and refuses it by throwing.
    public init(
        from source: any StoreReader, to targets: [any Store], options: SyncOptions, environment: RunEnvironment,
        limits: BatchLimits = .standard, approval: (@Sendable (PlannedTarget) throws -> Void)? = nil
    ) {
        self.source = source
        self.targets = targets
        self.options = options
        self.environment = environment
        self.limits = limits
        self.approval = approval
    }

    /// Runs until every target is done or has failed.
    ///
    /// - Throws: what is wrong with the call or with the source as a whole; what is wrong with a target is in its report.
    public func run() async throws -> SyncReport {
        let opened = try await OpenedStore.open(source)
        var state = RunState(targets: targets)
        try await checkFootprints { index, error in try state.fail(index, error) }
        try await checkConfig(of: opened)
        let meter = SourceMeter(bytesPerSecond: environment.byteRateMax)
        do {
            try await repeatUntilDone(opened, meter: meter, state: &state)
        } catch {
            await state.releaseLocks()
            throw error
        }
        await state.releaseLocks()
        return SyncReport(
            source: source.place, repository: opened.repository, targets: counted(state.reports), bytesRead: meter.bytesRead,
            requests: source.requestCounts)
    }

    private func counted(_ reports: [TargetReport]) -> [TargetReport] {
        zip(reports, targets).map { report, target in
            var report = report
            report.requests = target.requestCounts
            return report
        }
    }

    /// What a sync would do now, for each target. Writes nothing.
    public func plan() async throws -> [PlannedTarget] {
        let opened = try await OpenedStore.open(source)
        try await checkFootprints { _, error in throw error }
        for _ in 0..<Self.cutsMax {
            do {
                return try await planOnce(opened)
            } catch is Vanished {
                continue
            }
        }
        throw changedTooOften()
    }

    private func planOnce(_ opened: OpenedStore) async throws -> [PlannedTarget] {
        var surveys: [TargetSurvey] = []
        for target in targets {
            surveys.append(try await TargetSurvey.make(of: target, source: opened, options: options, in: environment))
        }
        let (cut, _) = try await cut(of: opened)
        let planner = TargetPlanner(source: opened, cut: cut, environment: environment, options: options)
        var planned: [PlannedTarget] = []
        for survey in surveys {
            let plan = try await planner.plan(survey)
            var target = try PlannedTarget(source: opened, cut: cut, survey: survey, plan: plan, options: options)
            target.cold = try await cold(in: plan, recall: nil)
            planned.append(target)
        }
        return planned
    }

    /// The source at one moment, if it has all that it is known to have had.
    ///
    /// - Returns: also the points of it that no longer hold, by the caller's word.
    /// - Throws: `.refused` when it lost something.
    private func cut(of opened: OpenedStore) async throws -> (SourceCut, renounced: [CatalogPoint]) {
        let history = try await SourceHistory.remembered(of: opened, in: environment.catalog)
        let cut = try await SourceCut.make(of: source, in: environment)
        let renounced = try await history.check(
            cut, of: opened, isAccepted: options.allowLoss, in: environment.catalog)
        // What is known to be lost says more than a folder that is not there.
        try cut.requireFolders(at: source.place)
        return (cut, renounced)
    }

    /// What a ledger has just told may know more of the source than this machine did.
    private func checkAgain(_ planner: TargetPlanner, state: inout RunState) async throws {
        let history = try await SourceHistory.remembered(of: planner.source, in: environment.catalog)
        state.renounced = try await history.check(
            planner.cut, of: planner.source, isAccepted: options.allowLoss, in: environment.catalog)
    }

    private func changedTooOften() -> Failure {
        Failure(
            .tryAgain, "cannot copy", place: source.place,
            reason: "the source was maintained during each of \(Self.cutsMax) attempts",
            advice: "Run again when its maintenance is over.", retryable: true)
    }

    // MARK: - before anything is written

    /// No target may be, contain, or lie in another place of the run. A target that cannot even be looked at is handed to `fail`.
    private func checkFootprints(fail: (Int, any Error) throws -> Void) async throws {
        guard targets.count <= Self.targetsMax else {
            throw Failure(.usage, "cannot sync", reason: "\(targets.count) targets, at most \(Self.targetsMax) at a time")
        }
        var seen: [(String, Footprint)] = [(source.place, try await source.footprint())]
        for (index, target) in targets.enumerated() {
            let footprint: Footprint
            do {
                footprint = try await target.footprint()
            } catch {
                try fail(index, error)
                continue
            }
            for (place, other) in seen {
                let relation: String
                switch footprint.relation(to: other) {
                case .apart: continue
                case .same: relation = "is the same place as"
                case .inside: relation = "lies inside"
                case .around: relation = "contains"
                }
                throw Failure(
                    .usage, "cannot sync to", place: target.place, reason: "it \(relation) \(place)",
                    advice: "Name a place of its own.")
            }
            seen.append((target.place, footprint))
        }
    }

    /// The same repository with another CONFIG than the recorded one is damage or an attack.
    private func checkConfig(of opened: OpenedStore) async throws {
        let repository = opened.repository
        let known = try await environment.catalog.read { db in try db.proof(of: .config, in: repository) }
        guard let known, known.authenticated, let digest = known.digest, digest != opened.configDigest else { return }
        throw Failure(
            .damage, "cannot trust", resource: .config, place: source.place,
            reason: "its bytes are not those that were recorded for this repository",
            advice: "Heal it with: sealift repair \(commandWord(source.place)) --from REPLICA")
    }

    // MARK: - rounds

    /// What is known of each target while the run goes on.
    private struct RunState {
        var reports: [TargetReport]
        var established: [Int: EstablishedTarget] = [:]
        /// Targets whose whole ledger was read.
        var checked: Set<Int> = []
        var locks: [Int: any StoreLock] = [:]
        var lines: [Int: Int] = [:]
        /// Replica ids by target.
        var markers: [Int: String] = [:]
        /// Points that no longer measure the source, by the caller's word.
        var renounced: [CatalogPoint] = []
        var open: [Int]

        init(targets: [any Store]) {
            reports = targets.map { TargetReport(place: $0.place) }
            open = Array(targets.indices)
        }

        mutating func fail(_ index: Int, _ error: any Error) throws {
            if error is CancellationError { throw error }
            reports[index].failure = Failure(wrapping: error, place: reports[index].place)
            open.removeAll { $0 == index }
        }

        func releaseLocks() async {
            for lock in locks.values { await lock.release() }
        }
    }

    private func repeatUntilDone(_ opened: OpenedStore, meter: SourceMeter, state: inout RunState) async throws {
        for _ in 0..<Self.cutsMax {
            do {
                try await round(opened, meter: meter, state: &state)
                return
            } catch is Vanished {
                continue
            }
        }
        for index in state.open { try state.fail(index, changedTooOften()) }
    }

    /// One cut, carried to every target that is still open.
    private func round(_ opened: OpenedStore, meter: SourceMeter, state: inout RunState) async throws {
        var surveys: [Int: TargetSurvey] = [:]
        for index in state.open {
            do {
                surveys[index] = try await survey(index, opened, state: &state)
            } catch { try state.fail(index, error) }
        }
        guard !state.open.isEmpty else { return }
        let cut: SourceCut
        do {
            (cut, state.renounced) = try await self.cut(of: opened)
        } catch let failure as Failure where failure.kind == .refused || failure.kind == .damage {
            for index in state.open { try state.fail(index, failure) }
            return
        }
        let moment = environment.now()
        let planner = TargetPlanner(source: opened, cut: cut, environment: environment, options: options)
        var lanes: [TargetLane] = []
        var indices: [Int] = []
        for index in state.open {
            guard let survey = surveys[index] else { continue }
            do {
                let plan = try await planner.plan(survey)
                try approve(survey, plan, planner)
                try await demandWarm(plan)
                let lane = try await takeIntoUse(index, survey, plan, planner, number: lanes.count, state: &state)
                lanes.append(lane)
                indices.append(index)
            } catch let vanished as Vanished {
                throw vanished
            } catch let failure as Failure where failure.kind == .refused && failure.place == source.place {
                // A ledger that was read just now says that the source lost something: that holds for every target.
                for index in state.open { try state.fail(index, failure) }
                return
            } catch { try state.fail(index, error) }
        }
        guard !lanes.isEmpty else { return }
        let transfer = Transfer(
            source: opened, lanes: lanes, surveys: indices.compactMap { surveys[$0] }, cut: cut, environment: environment,
            meter: meter, moment: moment)
        var vanished: Vanished?
        for ((index, lane), outcome) in zip(zip(indices, lanes), try await transfer.run()) {
            state.reports[index].merge(await lane.report)
            state.reports[index].knowledge = try await lane.knowledge()
            state.reports[index].learned = state.established[index]?.learned ?? 0
            switch outcome {
            case nil: state.open.removeAll { $0 == index }
            // This target stays open for the next cut; others may be done.
            case let gone as Vanished: vanished = gone
            case let error?: try state.fail(index, error)
            }
            // Only now that a point shows what is left: a run that was cut asks again.
            let renounced = state.renounced
            if !renounced.isEmpty, state.reports[index].recoveryPoint != nil {
                try await environment.catalog.write { db in try db.renounce(renounced) }
                state.reports[index].renounced = renounced.map(\.point.id)
            }
        }
        if let vanished { throw vanished }
    }

    private func approve(_ survey: TargetSurvey, _ plan: TargetPlan, _ planner: TargetPlanner) throws {
        guard let approval else { return }
        try approval(
            PlannedTarget(source: planner.source, cut: planner.cut, survey: survey, plan: plan, options: options))
    }

    /// Looks at a target; one that is a replica already is locked first, so that nothing of ours changes under the listing. A glance comes
    /// before the lock, for a wrong disk must be refused before even a lock is written there.
    private func survey(_ index: Int, _ opened: OpenedStore, state: inout RunState) async throws -> TargetSurvey {
        let store = targets[index]
        var unlocked: TargetSurvey?
        if state.locks[index] == nil {
            let glance = try await TargetSurvey.glance(at: store, source: opened, options: options, in: environment)
            if let marker = glance.marker {
                if let twin = state.markers.first(where: { $0.value == marker.replicaID && $0.key != index }) {
                    throw Guards.twin(replica: marker.replicaID, elsewhere: targets[twin.key].place).failure(at: store.place)
                }
                state.markers[index] = marker.replicaID
            }
            if glance.marker != nil {
                state.locks[index] = try await store.lock(holder: environment.holder)
            } else {
                unlocked = glance
            }
        }
        return try await TargetSurvey.make(of: store, source: opened, options: options, in: environment, glance: unlocked)
    }

    private func takeIntoUse(
        _ index: Int, _ survey: TargetSurvey, _ plan: TargetPlan, _ planner: TargetPlanner, number: Int, state: inout RunState
    ) async throws -> TargetLane {
        let opening = TargetOpening(environment: environment, repository: planner.source.repository)
        var survey = survey
        if survey.access == .unknown {
            try await survey.store.prepare()
            survey.access = try await survey.store.readAccess()
            if survey.isWriteOnly { try TargetSurvey.refuseReadBack(at: survey.store, options) }
        }
        let established: EstablishedTarget
        if let known = state.established[index] {
            established = known
        } else {
            established = try await opening.establish(survey, lock: state.locks[index])
            state.established[index] = established
            state.locks[index] = established.lock
        }
        var plan = plan
        if survey.replica == nil {
            // The catalog has just learned of the replica, perhaps all that its ledger says: look at the inventory again with that knowledge.
            let id = established.replica
            survey.replica = try await environment.catalog.read { db in try db.replica(id) }
            if survey.facts.isOccupied {
                try await checkAgain(planner, state: &state)
                plan = try await planner.plan(survey)
                try approve(survey, plan, planner)
            }
        }
        if !plan.isUnchanged, state.checked.insert(index).inserted, !established.isNew {
            try await opening.checkLedger(of: established, at: survey)
        }
        // A run with nothing to do leaves the place as it is.
        if plan.copiesConfig || !plan.toCopy.isEmpty {
            try await survey.store.prepare()
            if let marker = survey.marker { try await ReplicaNameplate.hang(marker, at: survey.store) }
        }
        let line = state.lines[index] ?? environment.progress.begin(place: survey.store.place, phase: "copying")
        state.lines[index] = line
        let (resources, bytes) = (plan.toCopy.resources, plan.toCopy.bytes)
        environment.progress.update(line) { line in
            line.resourcesTotal = line.resourcesDone + resources
            line.bytesTotal = line.bytesDone + bytes
        }
        return TargetLane(
            number: number, survey: survey, plan: plan, replica: established.replica, ledger: established.ledger,
            source: planner.source,
            environment: environment, options: options, progressLine: line, limits: limits,
            origin: try await copyOrigin(for: survey))
    }

    /// Where the source lies for the target's own server; nil where that is not the source's, or cannot copy.
    private func copyOrigin(for survey: TargetSurvey) async throws -> CopyOrigin? {
        guard !survey.isWriteOnly, let there = try await survey.store.copyOrigin(), let here = try await source.copyOrigin(),
            here.server == there.server
        else { return nil }
        return here
    }
}

extension TargetReport {
    /// A later round of the same run adds to what an earlier one did.
    mutating func merge(_ later: TargetReport) {
        let before = self
        self = later
        copied.packfiles += before.copied.packfiles
        copied.states += before.copied.states
        copied.bytes += before.copied.bytes
        attested.packfiles += before.attested.packfiles
        attested.states += before.attested.states
        attested.bytes += before.attested.bytes
        serverCopied.packfiles += before.serverCopied.packfiles
        serverCopied.bytes += before.serverCopied.bytes
        verified.packfiles += before.verified.packfiles
        verified.states += before.verified.states
        verified.bytes += before.verified.bytes
        bytesWritten += before.bytesWritten
        lock?.extended += before.lock?.extended ?? 0
        if before.toCopy != Tally() {
            toCopy = before.toCopy
            alreadyThere = before.alreadyThere
        }
    }
}

extension Failure {
    /// Any error as a failure: ours as it is, everything else as what it says of itself.
    init(wrapping error: any Error, place: String) {
        if let failure = error as? Failure {
            self = failure.at(place)
        } else if error is CancellationError {
            self = Failure(.interrupted, "stopped", place: place, reason: "the run was interrupted")
        } else {
            self = Failure(.readWrite, "failed", place: place, reason: "\(error)")
        }
    }
}
