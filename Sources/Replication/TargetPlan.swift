internal import Catalog
internal import Kloset
internal import Planning
internal import Reconciliation
internal import Storage

/// What one target misses and has, to the resource and the byte.
struct TargetPlan: Sendable {
    /// What is to be copied, with size and time: states, then packfiles, ascending.
    var copies: InventorySpool
    var toCopy = Tally()
    var alreadyThere = Tally()
    var targetOnly = Tally()
    /// There, but nobody saw the bytes come: `cp` or another tool brought them.
    var unknown: InventorySpool
    /// What only the target has.
    var extra: InventorySpool
    /// How many are unproven in a run that does not list them in ``unknown`` because nothing has changed.
    var unprovenBefore = 0
    /// Published by a run that ended before it could say so: read back once.
    var pending: [ResourceKey] = []
    /// Resources of the source that cannot be copied.
    var sourceDamage: DamageList = []
    /// Resources of the target that are not what they should be.
    var targetDamage: DamageList = []
    var copiesConfig: Bool
    /// Digest of all names at the target.
    var targetNames: Digest
    var sourceNames: Digest
    /// To be copied although the replica held them once: lost there.
    var restored = 0
    /// Both sides are as the last run left them.
    var isUnchanged = false

    var hasNewStates: Bool { toCopy.states > 0 }

    /// All that is damaged, and on which side.
    var damage: [FailedResource] { sourceDamage.map { $0.on(.source) } + targetDamage.map { $0.on(.target) } }
}

/// Makes plans. Reads both sides and the catalog, writes nothing.
struct TargetPlanner: Sendable {
    var source: OpenedStore
    var cut: SourceCut
    var environment: RunEnvironment
    var options: SyncOptions

    /// Resources in one bulk call for attributes.
    private static let attributesAtOnce = 2048

    /// Compares the cut with what the target holds.
    ///
    /// - Throws: `.refused` by a guard.
    func plan(_ survey: TargetSurvey) async throws -> TargetPlan {
        let packfiles =
            survey.facts.isOccupied
            ? try await StoreListing.list(.packfile, of: survey.store, in: environment)
            : try await StoreListing.empty(in: environment)
        let names = InventoryNames.joined(survey.states.names, packfiles.names)
        let irregular = (survey.states.irregular + packfiles.irregular).map {
            FailedResource(key: $0, reason: "the name is taken by something that is no regular file", retryable: false)
        }
        let irregularAtSource = cut.states.irregular + cut.packfiles.irregular
        if let summary = survey.replica?.summary, !options.relist, irregular.isEmpty, irregularAtSource.isEmpty,
            survey.configDamage == nil,
            !survey.isUnfinished,
            summary.sourceNames == cut.names, summary.targetNames == names,
            summary.unproven == 0 || options.verify == .none || survey.isWriteOnly
        {
            return try await unchanged(survey, summary: summary, targetNames: names, packfiles: packfiles)
        }
        var plan = TargetPlan(
            copies: try await environment.makeSpool(), unknown: try await environment.makeSpool(),
            extra: try await environment.makeSpool(), copiesConfig: survey.isUnfinished,
            targetNames: names, sourceNames: cut.names)
        plan.targetDamage = DamageList(irregular)
        if let damage = survey.configDamage {
            plan.targetDamage.append(FailedResource(key: .config, reason: damage, retryable: false))
        }
        let target = ChainedCursor(survey.states.spool.cursor(), packfiles.spool.cursor())
        let (missing, common) = try await compare(with: target, place: survey.store.place, plan: &plan)
        var cursor = plan.extra.cursor()
        while let part = try cursor.next(atMost: Self.attributesAtOnce) {
            plan.targetOnly.bytes += try await survey.store.byteCount(of: part)
        }
        try await measure(missing, plan: &plan)
        for key in irregularAtSource {
            plan.sourceDamage.append(
                FailedResource(key: key, reason: "the name is taken by something that is no regular file", retryable: false))
        }
        if let summary = survey.replica?.summary, !options.relist, summary.targetNames == names, summary.unproven == 0,
            summary.targetOnlyPackfiles == plan.targetOnly.packfiles
        {
            // The target is as the last run left it, and the source has all that it had: what both have is what was confirmed then.
            plan.alreadyThere = Tally(
                packfiles: Int(summary.packfiles), states: Int(summary.states),
                bytes: summary.bytes - Int64(source.configBytes.count))
            try await glance(at: common.cursor(), survey: survey, plan: &plan)
            try plan.unknown.seal()
        } else {
            try await classify(common, missing: missing, survey: survey, plan: &plan)
        }
        if plan.copiesConfig { plan.toCopy.bytes += Int64(source.configBytes.count) }
        return plan
    }

    /// Both sides name what they named when the last run ended: nothing to compare, a look at one size in a hundred.
    private func unchanged(
        _ survey: TargetSurvey, summary: ReplicaSummary, targetNames: Digest, packfiles: KindListing
    ) async throws -> TargetPlan {
        var plan = TargetPlan(
            copies: try await environment.makeSpool(), unknown: try await environment.makeSpool(),
            extra: try await environment.makeSpool(), copiesConfig: false,
            targetNames: targetNames, sourceNames: cut.names)
        plan.alreadyThere = Tally(packfiles: Int(summary.packfiles), states: Int(summary.states), bytes: summary.bytes)
        plan.targetOnly = Tally(packfiles: Int(summary.targetOnlyPackfiles), states: 0, bytes: summary.targetOnlyBytes)
        plan.unprovenBefore = Int(summary.unproven)
        plan.isUnchanged = true
        try await glance(at: cut.cursor(), survey: survey, plan: &plan)
        try plan.copies.seal()
        try plan.unknown.seal()
        try plan.extra.seal()
        return plan
    }

    /// Looks at the size of one resource in a hundred.
    private func glance(
        at resources: consuming some SortedCursor<ListedResource>, survey: TargetSurvey, plan: inout TargetPlan
    ) async throws {
        var sample: [ResourceKey] = []
        var turn = RandomTurn()
        while let resource = try resources.next() {
            if turn.isDue() { sample.append(resource.key) }
            if sample.count >= Self.attributesAtOnce {
                try await compareSizes(of: sample, survey: survey, plan: &plan)
                sample = []
            }
        }
        try await compareSizes(of: sample, survey: survey, plan: &plan)
    }

    /// Compares the sizes on both sides with the recorded ones.
    private func compareSizes(of keys: [ResourceKey], survey: TargetSurvey, plan: inout TargetPlan) async throws {
        guard !keys.isEmpty else { return }
        let repository = source.repository
        let recorded = try await environment.catalog.read { db in try keys.map { try db.proof(of: $0, in: repository)?.size } }
        try await compareSizes(of: keys, recorded: recorded, survey: survey, plan: &plan)
    }

    private func compareSizes(
        of keys: [ResourceKey], recorded: [Int64?], survey: TargetSurvey, plan: inout TargetPlan
    ) async throws {
        let (there, here) = (try await survey.store.attributes(of: keys), try await source.reader.attributes(of: keys))
        for (index, key) in keys.enumerated() {
            if let reason = Self.mismatch(there[index], recorded: recorded[index]) {
                plan.targetDamage.append(FailedResource(key: key, reason: reason, retryable: false))
            }
            // It was listed a moment ago: a maintenance took it away.
            if here[index] == .absent { throw Vanished(key) }
            if let reason = Self.mismatch(here[index], recorded: recorded[index]) {
                plan.sourceDamage.append(FailedResource(key: key, reason: reason, retryable: false))
            }
        }
    }

    private static func mismatch(_ found: ResourceAttributes, recorded: Int64?) -> String? {
        switch found {
        case .regular(let size, _):
            guard let recorded, recorded != size else { return nil }
            return "it is \(size) bytes long, \(recorded) were recorded"
        case .irregular(let what): return "it is \(what), no regular file"
        case .absent: return "it was listed and cannot be found"
        }
    }

    /// Splits the cut into what the target misses and what it has; counts what only the target has.
    private func compare(
        with target: ChainedCursor, place: String, plan: inout TargetPlan
    ) async throws -> (missing: InventorySpool, common: InventorySpool) {
        let missing = try await environment.makeSpool()
        let common = try await environment.makeSpool()
        var difference = SortedDifference(cut.cursor(), target)
        var divergent: [ResourceKey] = []
        while let step = try difference.next() {
            switch step {
            case .leftOnly(let resource): try missing.append(resource)
            case .both(let resource, _): try common.append(resource)
            case .rightOnly(let resource):
                plan.targetOnly.add(resource.key.kind, bytes: 0)
                try plan.extra.append(resource)
                if resource.key.kind == .state, divergent.count < Refusal.idsMax { divergent.append(resource.key) }
            }
        }
        try missing.seal()
        try common.seal()
        try plan.extra.seal()
        if let refusal = Guards.divergence(targetOnlyStates: divergent, count: plan.targetOnly.states) {
            throw refusal.failure(at: place)
        }
        var cursor = missing.cursor()
        while let resource = try cursor.next() {
            if resource.key.kind == .state { plan.toCopy.states += 1 }
        }
        return (missing, common)
    }

    /// Asks the source for size and time of what is missing.
    private func measure(_ missing: InventorySpool, plan: inout TargetPlan) async throws {
        plan.toCopy.states = 0
        var cursor = missing.cursor()
        while let chunk = try cursor.next(atMost: Self.attributesAtOnce) {
            let asked = chunk.filter { !Self.isMeasured($0) }
            let found = Dictionary(
                uniqueKeysWithValues: zip(asked.map(\.key), try await source.reader.attributes(of: asked.map(\.key))))
            for resource in chunk {
                switch found[resource.key] {
                case nil:
                    try plan.copies.append(resource)
                    plan.toCopy.add(resource.key.kind, bytes: resource.size ?? 0)
                case .regular(let size, let modified):
                    if let reason = ResourceFace.damage(size: size) {
                        plan.sourceDamage.append(FailedResource(key: resource.key, reason: reason, retryable: false))
                        continue
                    }
                    try plan.copies.append(ListedResource(key: resource.key, size: size, modified: modified))
                    plan.toCopy.add(resource.key.kind, bytes: size)
                case .irregular(let what):
                    plan.sourceDamage.append(
                        FailedResource(key: resource.key, reason: "it is \(what), no regular file", retryable: false))
                case .absent: throw Vanished(resource.key)
                }
            }
        }
        try plan.copies.seal()
    }

    /// Whether the listing has told enough: of packfiles, whose order does not matter, the time comes with the bytes.
    private static func isMeasured(_ resource: ListedResource) -> Bool {
        resource.size != nil && resource.key.kind == .packfile && !resource.isIrregular
    }

    /// Finds out what is known of the resources that both sides have.
    private func classify(
        _ common: InventorySpool, missing: InventorySpool, survey: TargetSurvey, plan: inout TargetPlan
    ) async throws {
        let replica = survey.replica?.id
        let relist = options.relist
        let start = plan
        let checks = try await environment.makeSpool()
        plan = try await environment.catalog.read { db -> TargetPlan in
            var plan = start
            guard let replica else {
                var cursor = common.cursor()
                while let resource = try cursor.next() { try plan.unknown.append(resource) }
                return plan
            }
            var turn = RandomTurn()
            var lost = AscendingSearch(missing.cursor())
            var difference = try SortedDifference(common.cursor(), db.holdings(of: replica))
            while let step = try difference.next() {
                switch step {
                case .rightOnly(let holding):
                    // What was pending may never have had its name.
                    if holding.status != .pending, try lost.contains(holding.key) { plan.restored += 1 }
                case .leftOnly(let resource): try plan.unknown.append(resource)
                case .both(let resource, let holding):
                    if holding.status == .pending { plan.pending.append(resource.key) }
                    if holding.status == .unproven {
                        try plan.unknown.append(ListedResource(key: resource.key, size: holding.size, isAdopted: true))
                        continue
                    }
                    plan.alreadyThere.add(resource.key.kind, bytes: holding.size)
                    if relist || turn.isDue() {
                        try checks.append(ListedResource(key: resource.key, size: holding.size))
                    }
                }
            }
            return plan
        }
        try plan.unknown.seal()
        try checks.seal()
        var cursor = checks.cursor()
        while let part = try cursor.next(atMost: Self.attributesAtOnce) {
            try await compareSizes(of: part.map(\.key), recorded: part.map(\.size), survey: survey, plan: &plan)
        }
        try await compareUnknown(survey, plan: &plan)
    }

    /// What nobody recorded must at least have the source's size.
    private func compareUnknown(_ survey: TargetSurvey, plan: inout TargetPlan) async throws {
        let sized = try await environment.makeSpool()
        var cursor = plan.unknown.cursor()
        while let chunk = try cursor.next(atMost: Self.attributesAtOnce) {
            let theirs = try await survey.store.attributes(of: chunk.map(\.key))
            let ours = try await source.reader.attributes(of: chunk.map(\.key))
            for ((resource, there), here) in zip(zip(chunk, theirs), ours) {
                let key = resource.key
                guard case .regular(let size, let modified) = there else { continue }
                plan.alreadyThere.add(key.kind, bytes: size)
                if try await hasDamagedSize(key, here: here, there: size, plan: &plan) { continue }
                try sized.append(ListedResource(key: key, size: size, modified: modified, isAdopted: resource.isAdopted))
            }
        }
        try sized.seal()
        plan.unknown = sized
    }

    /// Names the side whose size shows that its bytes are no good: both, where neither can be whole.
    private func hasDamagedSize(
        _ key: ResourceKey, here: ResourceAttributes, there size: Int64, plan: inout TargetPlan
    ) async throws -> Bool {
        guard case .regular(let wanted, _) = here else { return false }
        let (ofSource, ofTarget) = (ResourceFace.damage(size: wanted), ResourceFace.damage(size: size))
        if let ofSource { plan.sourceDamage.append(FailedResource(key: key, reason: ofSource, retryable: false)) }
        if let ofTarget { plan.targetDamage.append(FailedResource(key: key, reason: ofTarget, retryable: false)) }
        guard ofSource == nil, ofTarget == nil else { return true }
        guard wanted != size else { return false }
        let repository = source.repository
        let known = try await environment.catalog.read { db in try db.proof(of: key, in: repository) }
        if known?.authenticated == true, known?.digest != nil, known?.size == size {
            plan.sourceDamage.append(
                FailedResource(key: key, reason: "it is \(wanted) bytes long, \(size) were recorded", retryable: false))
        } else {
            plan.targetDamage.append(
                FailedResource(key: key, reason: "it is \(size) bytes long, the source's \(wanted)", retryable: false))
        }
        return true
    }
}

/// Chooses one resource in a hundred to have its size looked at: random gaps instead of a random number for each, which would cost more than
/// the listing.
private struct RandomTurn {
    /// One in a hundred on average.
    private static let gaps = 1...199
    private var wait = Int.random(in: gaps)

    mutating func isDue() -> Bool {
        wait -= 1
        guard wait == 0 else { return false }
        wait = Int.random(in: Self.gaps)
        return true
    }
}

/// Answers whether a spool holds a key, for keys that are asked for in ascending order.
private struct AscendingSearch {
    private var cursor: InventorySpool.Cursor
    private var head: ListedResource?

    init(_ cursor: InventorySpool.Cursor) {
        self.cursor = cursor
    }

    mutating func contains(_ key: ResourceKey) throws -> Bool {
        while head.map({ $0.key < key }) ?? true {
            guard let next = try cursor.next() else { return false }
            head = next
        }
        return head?.key == key
    }
}
