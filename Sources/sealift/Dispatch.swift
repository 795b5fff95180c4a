internal import Catalog
internal import Kloset
internal import Planning
internal import Replication
internal import Storage

/// Carries out a command: opens what it names, calls the one service that does it.
struct Dispatch: Sendable {
    let command: Command
    let context: RunContext

    /// Commands that write nothing anywhere, not even a state folder.
    static func isReadOnly(_ command: Command) -> Bool {
        switch command {
        case .plan: true
        case .sync(let call): call.isDryRun
        case .cleanup(_, _, let isRehearsal, _): isRehearsal
        default: false
        }
    }

    /// Commands that go by what is there alone: they work where the state folder does not.
    static func needsNoState(_ command: Command) -> Bool {
        if case .inspect = command { true } else { false }
    }

    func run() async throws -> CommandResult {
        var warnings: [String] = []
        var result = try await perform(warnings: &warnings)
        // A place may be named, or looked up, several times.
        var said: Set<String> = []
        result.warnings = warnings.filter { said.insert($0).inserted }.map { Notice($0) } + result.warnings
        return result
    }

    private func perform(warnings: inout [String]) async throws -> CommandResult {
        let places = Places(pool: context.places, options: context.options, catalog: context.answers)
        switch command {
        case .sync(let call):
            let source = try await self.source(call.source, places, &warnings)
            var targets: [any Store] = []
            for target in call.targets { targets.append(try await self.target(target, places, &warnings)) }
            if call.isDryRun {
                return try await PlanCommand(
                    context: context, source: source, targets: targets, options: call.options, output: nil
                ).run()
            }
            return try await SyncCommand(context: context, source: source, targets: targets, options: call.options).run()
        case .plan(let source, let target, let lock, let output, _):
            return try await PlanCommand(
                context: context, source: try await self.source(source, places, &warnings),
                targets: [try await self.target(target, places, &warnings)], options: SyncOptions(lock: lock), output: output
            ).run()
        case .apply(let path, _):
            let plan = PlanFile(path: path)
            let header = try plan.header()
            return try await ApplyCommand(
                context: context, plan: plan, lock: header.lock, source: try await source(header.source, places, &warnings),
                target: try await target(header.target, places, &warnings)
            ).run()
        case .inspect(let text, _): return try await inspect(text, places, &warnings)
        case .verify(let text, let against, let belief, _):
            return try await verify(text, against, belief, places, &warnings)
        case .cleanup(let text, let seconds, let isRehearsal, _):
            return try await CleanupCommand(
                context: context, store: try await target(text, places, &warnings), seconds: seconds, isRehearsal: isRehearsal
            ).run()
        case .repair(let text, let donor, _):
            return try await RepairCommand(
                context: context, store: try await target(text, places, &warnings),
                donor: try await source(donor, places, &warnings)
            ).run()
        case .points(let query, _): return try await points(query, places, &warnings)
        case .help, .version, .completions, .generateManual: preconditionFailure("needs no place and was answered before")
        }
    }

    /// What is read.
    private func source(
        _ text: String, _ places: Places, hashes: Bool = false, _ warnings: inout [String]
    ) async throws -> any Store {
        let store = try await places.store(text, hashes: hashes, warnings: &warnings)
        context.notes.note(source: store.place)
        return store
    }

    /// What is written.
    private func target(_ text: String, _ places: Places, _ warnings: inout [String]) async throws -> any Store {
        let store = try await places.store(text, warnings: &warnings)
        context.notes.note(target: store.place)
        return store
    }

    private func inspect(_ text: String, _ places: Places, _ warnings: inout [String]) async throws -> CommandResult {
        let location = try places.resolve(text, warnings: &warnings)
        if location.scheme == .ptar { return try await InspectPtarCommand(context: context, path: location.path).run() }
        return try await InspectCommand(context: context, store: try await source(text, places, &warnings)).run()
    }

    private func verify(
        _ text: String, _ against: String?, _ belief: Belief, _ places: Places, _ warnings: inout [String]
    ) async throws -> CommandResult {
        let location = try places.resolve(text, warnings: &warnings)
        if location.scheme == .ptar {
            guard against == nil else {
                throw Failure(
                    .usage, "cannot compare", place: text, reason: "--against wants two stores, this is a single-file archive")
            }
            return try await VerifyPtarCommand(context: context, path: location.path).run()
        }
        var other: (any StoreReader)?
        if let against { other = try await places.store(against, warnings: &warnings) }
        return try await VerifyCommand(
            context: context, store: try await source(text, places, hashes: belief == .hashesThere, &warnings), other: other,
            belief: belief
        ).run()
    }

    private func points(_ query: PointsQuery, _ places: Places, _ warnings: inout [String]) async throws -> CommandResult {
        let command = PointsCommand(context: context)
        switch query {
        case .list(let text):
            var store: (any StoreReader)?
            if let text { store = try await places.store(text, warnings: &warnings) }
            return try await command.list(store)
        case .show(let id): return try await command.show(id)
        case .difference(let first, let second): return try await command.diff(first, second)
        }
    }
}

extension Command {
    /// The verb, as messages and JSON name it.
    var name: String {
        switch self {
        case .sync: "sync"
        case .plan: "plan"
        case .apply: "apply"
        case .inspect: "inspect"
        case .verify: "verify"
        case .repair: "repair"
        case .cleanup: "cleanup"
        case .points: "points"
        case .help: "help"
        case .version: "version"
        case .completions: "completions"
        case .generateManual: "generate-manual"
        }
    }

    var wantsJSON: Bool {
        switch self {
        case .sync(let call): call.json
        case .plan(_, _, _, _, let json), .apply(_, let json), .inspect(_, let json), .verify(_, _, _, let json),
            .repair(_, _, let json), .cleanup(_, _, _, let json),
            .points(_, let json):
            json
        case .help, .version, .completions, .generateManual: false
        }
    }

    var isQuiet: Bool {
        if case .sync(let call) = self { call.quiet } else { false }
    }

    /// Whether the run is worth a line in the catalog.
    var isRecorded: Bool {
        switch self {
        case .sync(let call): !call.isDryRun
        case .cleanup(_, _, let isRehearsal, _): !isRehearsal
        case .apply, .verify, .repair: true
        default: false
        }
    }
}
