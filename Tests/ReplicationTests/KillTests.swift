import StorageTesting
import Testing

/// A process that is killed loses nothing of what it has written, and does not do the rest (design.md, invariants 1 and 2).
@Suite struct KillTests {
    @Test(arguments: CutScenario.Kind.allCases, CutScenario.Medium.allCases)
    func aRunThatIsKilledAnywhereLeavesAStoreAndTheNextOneCompletes(_ kind: CutScenario.Kind, _ medium: CutScenario.Medium)
        async throws
    {
        let seed = Loops.seed("kill: \(kind), \(medium)")
        var random = SeededRandom(seed: seed)
        let scenario = try await CutScenario(kind, on: medium, seed: random.next())
        for cut in try await scenario.cuts(fast: medium == .full ? 6 : 2, part: medium == .full ? 60 : 20, using: &random) {
            let disk = scenario.disk.afterKill(cut: CutPoint(after: cut, Bool.random(using: &random) ? .before : .torn))
            let machine = try scenario.machine.copy()
            let outcome = await scenario.run(on: disk, machine)
            guard disk.cut.isDead else { continue }  // the run took fewer steps this time
            let story = Comment(rawValue: "seed \(seed), cut \(cut): \(outcome ?? "done"); \(disk.cut.lastOperations.suffix(5))")
            #expect(scenario.violations(disk) == [], story)
            #expect(scenario.stagedByteCount(disk) <= CutScenario.stagedByteCountMax, story)
            let next = disk.afterKill()
            let again = await scenario.run(on: next, machine)
            #expect(again == nil, story)
            let wrong = try await scenario.endViolations(next, machine)
            #expect(wrong == [], story)
        }
    }
}

extension CutScenario {
    /// Where to cut: all operations of the run, or some of them, few while folders are made.
    func cuts(fast: Int, part: Int, using random: inout SeededRandom) async throws -> [Int] {
        let whole = disk.afterKill()
        let machine = try machine.copy()
        #expect(await run(on: whole, machine) == nil)
        let wrong = try await endViolations(whole, machine)
        #expect(wrong == [])
        let end = whole.operationCount
        guard let rounds = Loops.rounds(fast: fast, part: part) else { return Array(0..<end) }
        let early = preparationCount > 0 ? (rounds + 4) / 5 : 0
        // Most of the early ones make one bucket like the other; the first make the place ours.
        return random.choose(early, of: 0..<min(60, preparationCount)) + random.choose(rounds - early, of: preparationCount..<end)
    }
}
