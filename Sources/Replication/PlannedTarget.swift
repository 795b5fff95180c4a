public import Kloset
public import Planning
internal import Reconciliation
public import Storage

/// What a sync would do to one target: a value that can be printed, written to a file, and compared with itself later.
public struct PlannedTarget: Sendable {
    public let source: String
    public let target: String
    public let repository: RepositoryID
    /// The replica that the target is; nil for one that does not exist yet.
    public let replica: String?
    public let toCopy: Tally
    public let alreadyThere: Tally
    public let targetOnly: Tally
    /// CONFIG comes last of all: the target is no store yet.
    public let copiesConfig: Bool
    /// The CONFIG's bytes.
    public let configByteCount: Int64
    /// What of it the source must bring back first.
    public internal(set) var cold = ColdReport()
    /// What everything that is copied gets; nil leaves it to the place.
    public let lock: ResourceLock?
    /// What cannot be copied, or must not be leant on.
    public let damage: [FailedResource]
    /// About how many requests it takes there and at the source; nil where they cost nothing.
    public let requests: (source: RequestCounts?, target: RequestCounts?)
    private let copies: InventorySpool

    init(source: OpenedStore, cut: SourceCut, survey: TargetSurvey, plan: TargetPlan, options: SyncOptions) throws {
        self.source = source.reader.place
        target = survey.store.place
        repository = source.repository
        replica = survey.marker?.replicaID
        toCopy = plan.toCopy
        alreadyThere = plan.alreadyThere
        targetOnly = plan.targetOnly
        copiesConfig = plan.copiesConfig
        configByteCount = Int64(source.configBytes.count)
        damage = plan.damage
        lock = options.lock
        copies = plan.copies
        requests = try Self.requests(source, cut, survey, plan, options)
    }

    private static func requests(
        _ source: OpenedStore, _ cut: SourceCut, _ survey: TargetSurvey, _ plan: TargetPlan, _ options: SyncOptions
    ) throws -> (source: RequestCounts?, target: RequestCounts?) {
        let (here, there) = (source.reader.capabilities.requests, survey.store.capabilities.requests)
        guard here != nil || there != nil else { return (nil, nil) }
        let scene = RequestEstimate.Scene(
            source: (cut.states.count, cut.packfiles.count),
            target: (survey.states.count, plan.alreadyThere.packfiles + plan.targetOnly.packfiles),
            common: plan.alreadyThere.resources, segments: Int(survey.replica?.ledgerHead.sequence ?? 0),
            isReplica: survey.marker != nil, isUnfinished: plan.copiesConfig,
            isWriteOnly: survey.isWriteOnly, verify: options.verify)
        var estimate = RequestEstimate(scene, model: there)
        var cursor = plan.copies.cursor()
        while let resource = try cursor.next() { estimate.add(resource.key, resource.size ?? 0) }
        return (here.map { estimate.source($0) }, there.map { estimate.target($0) })
    }

    /// Calls `body` for each resource that is to be copied, with its size in bytes, in ascending order.
    public func forEachCopy(_ body: (ResourceKey, Int64) throws -> Void) throws {
        var cursor = copies.cursor()
        while let resource = try cursor.next() { try body(resource.key, resource.size ?? 0) }
    }
}
