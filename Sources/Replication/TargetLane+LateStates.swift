internal import Kloset
internal import Planning
internal import Storage

/// States of a place that shows nothing before it is published: what is staged there waits in memory, so states are not staged by the readers
/// but fetched when everything that they lean on is confirmed.
extension TargetLane {
    /// Publishes what the plan names, oldest first, each read back before the next where that was asked for.
    func publishLateStates(isNew: Bool, listed: KindListing, meter: SourceMeter, accepted: Set<ResourceKey>) async throws {
        let states = try plannedStates()
        guard !states.isEmpty else { return }
        if !isNew { try await lookAgain(at: listed) }
        setPhase("publishing states")
        var (part, memory): ([Staged], Int64) = ([], 0)
        for state in states {
            guard let staged = try await fetchState(state, meter: meter, accepted: accepted) else { continue }
            part.append(staged)
            memory += store.capabilities.stagedMemory(ofSize: staged.proof.size)
            guard part.count == Self.recordsAtOnce || memory >= store.capabilities.stagedMemoryMax / 2 else { continue }
            try await publishLate(part, isNew: isNew, meter: meter, accepted: accepted)
            (part, memory) = ([], 0)
        }
        if !part.isEmpty { try await publishLate(part, isNew: isNew, meter: meter, accepted: accepted) }
    }

    private func plannedStates() throws -> [ListedResource] {
        var states: [ResourceKey: ListedResource] = [:]
        var cursor = plan.copies.cursor()
        while let resource = try cursor.next(), resource.key.kind == .state { states[resource.key] = resource }
        let order = publicationOrder(
            states.values.map { DatedState(key: $0.key, modified: $0.modified ?? Timestamp(seconds: 0), size: $0.size ?? 0) })
        return order.compactMap { states[$0.key] }
    }

    /// Stages a state; nil when it is damaged and the damage is accepted.
    ///
    /// - Throws: `.damage` otherwise: what is visible then is a prefix of the history.
    private func fetchState(_ state: ListedResource, meter: SourceMeter, accepted: Set<ResourceKey>) async throws -> Staged? {
        let missed = plan.sourceDamage.count
        try await fetch(state, from: [], until: .now, meter: meter)
        if let staged = takeStagedStates().first { return staged }
        let damage = Array(plan.sourceDamage.dropFirst(missed))
        if accepted.contains(state.key) { return nil }
        guard options.allowIncomplete else { throw try await damageFailure(damage) }
        try await accept(damage)
        return nil
    }

    private func publishLate(_ part: [Staged], isNew: Bool, meter: SourceMeter, accepted: Set<ResourceKey>) async throws {
        try await store.makeDurable()
        try await record(part)
        // Nobody looks at a store before its CONFIG is there.
        for step in isNew ? [part] : part.map({ [$0] }) {
            try await publish(step)
            let good = Set(try await readBackPublished(step).map(\.resource.key))
            for bad in takePostponed() where !good.contains(bad.key) {
                guard let again = try await fetchState(bad, meter: meter, accepted: accepted) else { continue }
                try await record([again])
                try await publish([again])
                _ = try await readBackPublished([again])
            }
            try await store.makeDurable(namesOf: step.map(\.resource.key))
        }
        didMakeDurable(part.map(\.resource.key))
    }
}
