internal import Kloset
internal import Planning
internal import Storage

/// The copying of one round: readers and targets at work side by side.
struct Transfer: Sendable {
    var source: OpenedStore
    var lanes: [TargetLane]
    var surveys: [TargetSurvey]
    var cut: SourceCut
    var environment: RunEnvironment
    var meter: SourceMeter
    var moment: Timestamp

    /// Each holds a piece, and half of the pieces are for what is on its way to targets.
    private var readers: Int {
        min(environment.jobs ?? source.reader.capabilities.readersInFlight, max(1, environment.pieces.capacity / 2))
    }

    /// Copies everything that any target misses and brings each target to its end.
    ///
    /// - Returns: for each target why it failed, or nil; ``Vanished`` when the source lost a packfile before this target had it, so that it has
    ///   to be cut again.
    /// - Throws: `CancellationError`.
    func run() async throws -> [(any Error)?] {
        // Readers hold one piece each outside the queues.
        let units = max(1, (environment.pieces.capacity - readers) / lanes.count)
        let fanOut = FanOut(lanes: lanes.count, unitsPerLaneMax: units)
        let trouble = Locked<(any Error)?>(nil)
        let outcomes = try await withThrowingTaskGroup(of: (Int, (any Error)?).self) { group in
            for (number, lane) in lanes.enumerated() {
                group.addTask { (number, await run(lane, number: number, fanOut: fanOut, trouble: trouble)) }
            }
            group.addTask {
                await readAll(fanOut: fanOut, trouble: trouble)
                return (-1, nil)
            }
            var outcomes: [(any Error)?] = Array(repeating: nil, count: lanes.count)
            for try await (number, error) in group where number >= 0 { outcomes[number] = error }
            return outcomes
        }
        try Task.checkCancellation()
        return outcomes
    }

    /// Packfiles, then states, which are of no use where damage has been found that keeps them from becoming visible.
    private func readAll(fanOut: FanOut, trouble: Locked<(any Error)?>) async {
        for kind in [ResourceKind.packfile, .state] where trouble.current == nil {
            do {
                var plans: [Int: InventorySpool] = [:]
                for (number, lane) in lanes.enumerated() {
                    if kind == .state {
                        // Where nothing shows before it is published, states are fetched one by one in the end.
                        guard await lane.mayPublish(without: try await lane.refusedSource()), lane.store.capabilities.showsStaged
                        else { continue }
                    }
                    plans[number] = await lane.plan.copies
                }
                await read(try CopyQueue(kind, of: plans), fanOut: fanOut, trouble: trouble)
            } catch {
                trouble.with { $0 = $0 ?? error }
            }
        }
        fanOut.finish()
    }

    private func read(_ queue: CopyQueue, fanOut: FanOut, trouble: Locked<(any Error)?>) async {
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<readers {
                group.addTask {
                    do {
                        try await SourceReading(
                            source: source, environment: environment, meter: meter, lanes: lanes, fanOut: fanOut
                        ).run(queue)
                    } catch {
                        trouble.with { $0 = $0 ?? error }
                        queue.stop()
                    }
                }
            }
        }
    }

    /// One target from the first unit to the recovery point. A failure here ends this target only.
    private func run(_ lane: TargetLane, number: Int, fanOut: FanOut, trouble: Locked<(any Error)?>) async -> (any Error)? {
        do {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<lane.store.capabilities.writersInFlight {
                    group.addTask {
                        while let unit = try await fanOut.next(number) {
                            do { try await lane.process(unit) } catch {
                                fanOut.close(number)
                                throw error
                            }
                            fanOut.done(number)
                        }
                    }
                }
                try await group.waitForAll()
            }
            try Task.checkCancellation()
            if let error = trouble.current {
                try await lane.pause()
                return error
            }
            let siblings = lanes.enumerated().filter { $0.offset != number && !$0.element.isWriteOnly }.map(\.element)
            try await lane.finish(
                cut: cut, survey: surveys[number], siblings: siblings, meter: meter, moment: moment)
            return nil
        } catch {
            fanOut.close(number)
            await lane.didSettle()
            return error
        }
    }
}
