internal import Kloset
public import Planning
internal import Storage

/// What of a plan must be recalled before it can be carried out.
public struct ColdReport: Sendable, Equatable {
    /// Nobody has asked for these.
    public var cold = Tally()
    /// These were asked for and are not there yet.
    public var recalling = Tally()
    /// Storage classes, as the place names them.
    public var classes: Set<String> = []

    public init() {}

    public var isEmpty: Bool { cold.isEmpty && recalling.isEmpty }
}

extension SyncRun {
    /// Resources that are asked about at once.
    private static let askedAtOnce = 1000

    /// Looks at what is to be copied, and recalls what is cold if that was asked for.
    func cold(in plan: TargetPlan, recall: Recall?) async throws -> ColdReport {
        var report = ColdReport()
        var cursor = plan.copies.cursor()
        while let part = try cursor.next(atMost: Self.askedAtOnce) {
            var wanted: [ResourceKey] = []
            for (resource, warmth) in zip(part, try await source.warmth(of: part.map(\.key))) {
                let (kind, bytes) = (resource.key.kind, resource.size ?? 0)
                switch warmth {
                case .ready: continue
                case .cold(let name):
                    report.classes.insert(name)
                    if recall == nil { report.cold.add(kind, bytes: bytes) } else { report.recalling.add(kind, bytes: bytes) }
                    wanted.append(resource.key)
                case .recalling(let name):
                    report.classes.insert(name)
                    report.recalling.add(kind, bytes: bytes)
                }
            }
            if let recall, !wanted.isEmpty { try await source.recall(wanted, recall) }
        }
        return report
    }

    /// Nothing is copied while any of it is cold: recalled copies cost money each day, so the run is to be short.
    ///
    /// - Throws: `.tryAgain` when all of it was asked for, `.unavailable` when not.
    func demandWarm(_ plan: TargetPlan) async throws {
        let report = try await cold(in: plan, recall: options.recall)
        guard !report.isEmpty else { return }
        let classes = report.classes.sorted().joined(separator: ", ")
        func amount(_ tally: Tally) -> String {
            "\(tally.packfiles) packfiles and \(tally.states) states (\(tally.bytes) bytes)"
        }
        guard report.cold.isEmpty else {
            throw Failure(
                .unavailable, "cannot copy from", place: source.place,
                reason: "\(amount(report.cold)) lie in \(classes) and must be recalled first",
                advice: "Ask for them with: sealift sync … --recall standard,\(Recall.daysStandard)")
        }
        throw Failure(
            .tryAgain, "cannot copy yet from", place: source.place,
            reason: "\(amount(report.recalling)) are being recalled from \(classes)",
            advice: "Run it again in some hours; the server knows what it was asked for.", retryable: true)
    }
}
