import StorageTesting
import Testing

/// What a power loss leaves of the unsynced is a store, whichever part that is, and the next run completes (design.md, invariants 1 and 2).
@Suite struct PowerLossTests {
    @Test(arguments: CutScenario.Kind.allCases, CutScenario.Medium.allCases)
    func whateverReachedTheMediumIsAStoreAndTheNextRunCompletes(_ kind: CutScenario.Kind, _ medium: CutScenario.Medium)
        async throws
    {
        let seed = Loops.seed("power loss: \(kind), \(medium)")
        var random = SeededRandom(seed: seed)
        let scenario = try await CutScenario(kind, on: medium, seed: random.next())
        for cut in try await scenario.cuts(fast: medium == .full ? 3 : 1, part: medium == .full ? 40 : 12, using: &random) {
            let disk = scenario.disk.afterKill(cut: CutPoint(after: cut))
            let machine = try scenario.machine.copy()
            let outcome = await scenario.run(on: disk, machine)
            let story = "seed \(seed), cut \(cut): \(outcome ?? "done"); \(disk.cut.lastOperations.suffix(5))"
            let losses = Self.losses(pending: disk.pendingCount, using: &random)
            for (index, loss) in losses.enumerated() {
                let found = disk.afterPowerLoss(loss)
                #expect(scenario.violations(found) == [], "\(story); \(loss)")
                // All are looked at, three go on: with nothing, with some of the unsynced, and with whatever comes.
                guard index == 0 || index == losses.count - 1 || index == cut % losses.count else { continue }
                let isCatalogLost = Bool.random(using: &random)
                let next = isCatalogLost ? try Machine() : try machine.copy()
                let again = await scenario.run(on: found, next)
                #expect(again == nil, "\(story); \(loss), catalog lost: \(isCatalogLost)")
                let wrong = try await scenario.endViolations(found, next)
                #expect(wrong == [], "\(story); \(loss), catalog lost: \(isCatalogLost)")
            }
        }
    }

    /// None, all, each one, and random parts of so many unsynced changes.
    private static func losses(pending: Int, using random: inout SeededRandom) -> [PowerLoss] {
        let singles = random.choose(Loops.rounds(fast: 4, part: 16), of: 0..<pending)
        let parts = (0..<(Loops.rounds(fast: 3, part: 8) ?? 16)).map { _ in PowerLoss.random(random.next()) }
        return [.none, .all] + singles.map { .only($0) } + parts
    }
}
