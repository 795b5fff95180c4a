internal import Configuration
internal import FoundationEssentials
internal import Storage
internal import StorageLocal

/// Nothing of ours lies in a store: neither the state of this machine, nor a plan. Looked at before anything is made.
struct OwnFiles {
    let resolver: LocationResolver
    let pool: BlockingPool

    /// - Throws: `.usage` when the state folder, or the file that a plan is to be written to, is a store that the call names, or lies in it. What
    ///   else may be wrong with them is for others to say.
    static func check(_ command: Command) async throws {
        let own = OwnFiles(resolver: Places.resolver(), pool: BlockingPool(threadsMax: 1))
        if let state = try? RunContext.stateFolder() {
            try await own.check("the state of this machine", at: state, "Set SEALIFT_STATE to a folder elsewhere.", command)
        }
        if case .plan(_, _, _, let output?, _) = command {
            try await own.check("the plan", at: output, "Name a file elsewhere.", command)
        }
    }

    private func check(_ what: String, at path: String, _ advice: String, _ command: Command) async throws {
        let absolute = path.hasPrefix("/") ? path : "\(FileManager.default.currentDirectoryPath)/\(path)"
        guard let mine = await footprint(absolute) else { return }
        for text in command.locations {
            guard let store = try? resolver.locate(text).location, store.scheme == .folder,
                let theirs = await footprint(store.path)
            else { continue }
            let relation = mine.relation(to: theirs)
            guard relation == .inside || relation == .same else { continue }
            throw Failure(
                .usage, "cannot keep \(what) in", place: path, reason: "it lies in the store \(store.printable)", advice: advice)
        }
    }

    private func footprint(_ path: String) async -> Footprint? {
        try? await LocalStore(path: LocalStore.canonicalPath(path), pool: pool).footprint()
    }
}

extension Command {
    /// The stores that the call names; those of a plan are read out of its file.
    fileprivate var locations: [String] {
        switch self {
        case .sync(let call): return [call.source] + call.targets
        case .plan(let source, let target, _, _, _): return [source, target]
        case .apply(let plan, _):
            guard let header = try? PlanFile(path: plan).header() else { return [] }
            return [header.source, header.target]
        case .inspect(let location, _), .cleanup(let location, _, _, _): return [location]
        case .verify(let location, let against, _, _): return [location] + (against.map { [$0] } ?? [])
        case .repair(let location, let donor, _): return [location, donor]
        case .points(.list(let location?), _): return [location]
        case .points, .help, .version, .completions, .generateManual: return []
        }
    }
}
