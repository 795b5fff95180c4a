internal import Kloset
internal import Storage

/// What was there before the run keeps the lock that it has, with two exceptions.
extension TargetLane {
    /// Locks what a run published that was cut before it could look, and with `--relist` everything that the cut names.
    func extendLocks(_ cut: SourceCut) async throws {
        guard options.lock != nil else { return }
        guard options.relist else { return try await extend(plan.pending) }
        let missing = Set(plan.damage.map(\.key))
        var cursor = cut.cursor()
        while let part = try cursor.next(atMost: Self.recordsAtOnce) {
            try await extend(part.map(\.key).filter { !missing.contains($0) })
        }
        try await extend([.config])
    }

    private func extend(_ keys: [ResourceKey]) async throws {
        guard !keys.isEmpty else { return }
        let extended = try await store.extendLocks(of: keys)
        report.lock?.extended += extended
    }
}
