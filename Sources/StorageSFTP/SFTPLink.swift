internal import SFTPProtocol
internal import Storage

/// Keeps connections to a server open: one at first, more while those that are there are full, and others in place of those that were lost.
///
/// A further one that is refused or lost while others live is no error: fewer are used then, and after a while one more is tried.
actor SFTPLink {
    private let transport: SFTPTransport
    private let place: String
    private let patience: SFTPPatience
    private let connectionsMax: Int
    private var live: [SFTPConnection] = []
    private var opening: Task<SFTPConnection, any Error>?
    private var hasConnected = false
    private var isGrowing = false
    /// Before this moment no further connection is tried, and how long the next refusal puts it off.
    private var growsFrom = ContinuousClock.now
    private var pause = pauseFirst

    /// Seconds before each attempt to get a lost connection back: a server that restarts takes a few. A first connection is tried once:
    /// somebody waits for it, and what is wrong with it rarely goes away.
    private static let pauses: [Double] = [0.2, 1, 3, 8]
    /// A minute after a refusal somebody else may have left the server; then twice as long, for it costs the server a login each time.
    private static let pauseFirst = Duration.seconds(60)
    /// With more than this under way on each connection a further one has something to do: one chunk.
    private static let byteCountBusy = 1 << 20
    /// A login over 20 ms takes 0.3 s and two cores' work: as long as this takes to move, so less is not worth one.
    private static let byteCountToGrow = 12 << 20
    /// Calls without data go over the first connection as long as it has not this much more to do than another, so that they keep their order and
    /// what they open is found again.
    private static let byteCountEven = 64 << 10

    init(_ transport: SFTPTransport, place: String, patience: SFTPPatience, connectionsMax: Int) {
        self.transport = transport
        self.place = place
        self.patience = patience
        self.connectionsMax = connectionsMax
    }

    /// Runs work on a live connection; work that a lost one cut is run again on another, so it must bear that.
    ///
    /// - Parameter body: gets the connection, and how often it was called before.
    nonisolated func perform<Value: Sendable>(
        _ body: @Sendable (SFTPConnection, Int) async throws -> Value
    ) async throws -> Value {
        var attempt = 0
        while true {
            let connection: SFTPConnection
            do { connection = try await self.connection() } catch {
                try Task.checkCancellation()  // else the connection that was closed for it would be the reason
                // Somebody else was stopped while both waited for the same connection.
                if error is CancellationError { continue }
                throw error
            }
            do {
                return try await body(connection, attempt)
            } catch {
                // Only what ended the connection is worth another one, and only if that may help. The others may be lost too and not know it yet.
                guard let ending = connection.failure, ending.retryable, attempt < Self.pauses.count + connectionsMax else {
                    throw connection.failure ?? error
                }
                try Task.checkCancellation()
                attempt += 1
            }
        }
    }

    /// How many connections are open.
    var count: Int { live.count }

    /// The connections with these numbers that still answer: nothing that they acknowledged can be lost by a restart of the server meanwhile.
    func answering(_ numbers: Set<Int>) async -> Set<Int> {
        let asked = live.filter { numbers.contains($0.number) }
        return await withTaskGroup(of: Int?.self) { group in
            for connection in asked {
                group.addTask {
                    let replies = try? await connection.send(.realpath(path: ".".bytes))
                    return replies == nil ? nil : connection.number
                }
            }
            var found: Set<Int> = []
            for await number in group { if let number { found.insert(number) } }
            return found
        }
    }

    /// The live connection that has about the least under way.
    private func connection() async throws -> SFTPConnection {
        dropLost()
        if let least = live.map(\.load).min() {
            if least > Self.byteCountBusy { grow() }
            if let best = live.first(where: { $0.load <= least + Self.byteCountEven }) { return best }
        }
        let task = opening ?? open()
        opening = task
        return try await withTaskCancellationHandler {
            try await task.value
        } onCancel: {
            task.cancel()
        }
    }

    private func dropLost() {
        let count = live.count
        live.removeAll { $0.failure != nil }
        guard live.count < count, !live.isEmpty else { return }
        // Those that wait for nothing would not notice that they are lost too, and are opened again as soon as there is something to do.
        for idle in live where idle.load == 0 { idle.close() }
        live.removeAll { $0.failure != nil || $0.load == 0 }
        putOff()
    }

    private func open() -> Task<SFTPConnection, any Error> {
        let pauses = hasConnected ? Self.pauses : []
        return Task { try await self.connect(pauses) }
    }

    private func connect(_ pauses: [Double]) async throws -> SFTPConnection {
        defer { opening = nil }
        var pauses = pauses[...]
        while true {
            if hasConnected, let pause = pauses.popFirst() { try await Task.sleep(for: .seconds(pause)) }
            do {
                let connection = try await SFTPConnection.open(transport, place: place, patience: patience)
                live.append(connection)
                hasConnected = true
                return connection
            } catch let failure as Failure where failure.retryable && !pauses.isEmpty {
                continue
            }
        }
    }

    // MARK: - more than one

    /// Opens a further connection beside the work, if there may be one.
    private func grow() {
        let moved = live.reduce(0) { $0 + $1.moved }
        guard !isGrowing, opening == nil, live.count < connectionsMax, moved >= Self.byteCountToGrow, .now >= growsFrom
        else { return }
        isGrowing = true
        // Not kept: it looks after itself, and ends with the link.
        Task { [weak self, transport, place, patience] in
            var patience = patience
            patience.connecting = patience.connecting ?? Self.secondsToLogIn
            let connection = try? await SFTPConnection.open(transport.unattended, place: place, patience: patience)
            await self?.grew(connection)
        }
    }

    /// Nobody is asked anything for a further connection, so nobody needs time to answer.
    private static let secondsToLogIn: Double = 60

    private func grew(_ connection: SFTPConnection?) {
        isGrowing = false
        guard let connection else { return putOff() }
        live.append(connection)
    }

    private func putOff() {
        growsFrom = .now + pause
        pause *= 2
    }
}
