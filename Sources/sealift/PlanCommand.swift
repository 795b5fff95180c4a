internal import Kloset
internal import Planning
internal import Replication
internal import Storage

/// `sealift plan SOURCE TARGET`, also `sealift sync --dry-run`
struct PlanCommand: Sendable {
    let context: RunContext
    let source: any StoreReader
    let targets: [any Store]
    let options: SyncOptions
    let output: String?

    func run() async throws -> CommandResult {
        let plans = try await SyncRun(from: source, to: targets, options: options, environment: context.environment).plan()
        // Plans lie in files, and so does what they are written to.
        try await context.environment.blocking.run { [self] in
            if let output, let plan = plans.first { try PlanFile(path: output).write(plan) }
            if context.output.form == .text { for plan in plans { try printText(plan) } }
        }
        var standings: [PlaceStanding] = []
        for target in targets { standings.append(try await target.standing()) }
        if context.output.form == .text {
            for (plan, standing) in zip(plans, standings) { printProtection(plan, standing, context.output) }
        }
        let damage = plans.flatMap(\.damage)
        return CommandResult(
            exitCode: damage.isEmpty ? .done : .damage,
            json: [("source", .string(source.place)), ("targets", .array(zip(plans, standings).map { json(of: $0, $1) }))],
            summary: [],
            complaints: plans.filter { !$0.damage.isEmpty }.map { complaint($0) })
    }

    private func complaint(_ plan: PlannedTarget) -> Notice {
        Notice(
            "found damage on the way from \(plan.source) to \(plan.target): sync would publish no new state there, "
                + "and list this", listing: plan.damage.lazy.map(\.line), of: plan.damage.count)
    }

    private func printText(_ plan: PlannedTarget) throws {
        let result = context.output
        result.line(summary(of: plan))
        if output == nil { try plan.forEachCopy { key, bytes in result.line("  copy \(key) (\(bytes) bytes)") } }
        if !plan.cold.isEmpty { for line in plan.cold.lines { result.line("  \(line)") } }
        if let counts = plan.requests.target { result.line("  about \(counts.line) there") }
        if let counts = plan.requests.source { result.line("  about \(counts.line) at the source") }
        if plan.copiesConfig { result.line("  copy CONFIG (\(plan.configByteCount) bytes), last of all") }
    }

    private func summary(of plan: PlannedTarget) -> String {
        if plan.toCopy.isEmpty {
            return "\(plan.target): nothing to copy; \(plan.alreadyThere.resources) resources already there"
        }
        return
            "\(plan.target): would copy \(counted(plan.toCopy.packfiles, "packfile")), \(counted(plan.toCopy.states, "state")), "
            + "\(byteText(plan.toCopy.bytes)); \(plan.alreadyThere.resources) resources already there"
    }

    /// What keeps things there from being removed, where the place is a server's.
    private func printProtection(_ plan: PlannedTarget, _ standing: PlaceStanding, _ result: ResultWriter) {
        if let lock = plan.lock { result.line("\(plan.target): what is copied would be \(lock.words)") }
        guard let lock = standing.protection.objectLock else { return }
        let text =
            ["none": "no Object Lock", "enabled": "Object Lock without a default rule"][lock]
            ?? "Object Lock, default rule: \(lock)"
        result.line("\(plan.target): the bucket has \(text)")
    }

    private func json(of plan: PlannedTarget, _ standing: PlaceStanding) -> JSONText {
        [
            "location": .string(plan.target), "exit_code": .init(plan.damage.isEmpty ? 0 : Int(ExitCode.damage.rawValue)),
            "repository_id": .string(plan.repository.description), "replica_id": .init(plan.replica),
            "to_copy": .init(plan.toCopy),
            "already_there": .init(plan.alreadyThere), "target_only": .init(plan.targetOnly),
            "requests": .init(plan.requests.target), "source_requests": .init(plan.requests.source),
            "object_lock": .init(standing.protection.objectLock), "versioning": .init(standing.protection.versioning),
            "cold": plan.cold.json, "lock": plan.lock?.json ?? .null, "copies_config": .boolean(plan.copiesConfig),
            "failed": .array(plan.damage.map(\.json)),
        ]
    }
}

/// `sealift apply plan.json`
struct ApplyCommand {
    let context: RunContext
    let plan: PlanFile
    /// What the plan says that is copied gets.
    let lock: ResourceLock?
    let source: any StoreReader
    let target: any Store

    func run() async throws -> CommandResult {
        let plan = plan
        let report = try await SyncRun(
            from: source, to: [target], options: SyncOptions(lock: lock),
            environment: context.environment.writing(to: [target]),
            approval: { planned in
                guard try plan.says(planned) else {
                    throw Failure(
                        .refused, "refusing to apply", place: plan.path, reason: "the plan of this moment is another one",
                        advice: "Look at it with: sealift plan \(commandWord(planned.source)) \(commandWord(planned.target))")
                }
            }
        ).run()
        return SyncCommand.result(of: report)
    }
}
