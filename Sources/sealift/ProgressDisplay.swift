internal import Glibc
internal import Replication

/// Shows what a run is doing: a line for each place, redrawn in place on a terminal, now and then a plain line elsewhere. On standard error.
struct ProgressDisplay: Sendable {
    let progress: Progress
    let isTerminal: Bool
    /// The places that the run will begin a line for.
    let expected: @Sendable () -> [String]

    /// Five times a second looks alive and costs nothing.
    private static let redraw = Duration.milliseconds(200)
    /// A log wants to show that something moves, not each step.
    private static let plain = Duration.seconds(10)

    /// Draws until cancelled; leaves no line half-drawn.
    func run() async {
        var pace = ProgressPace()
        var (drawn, shown, printed) = (0, [String](), ContinuousClock.now)
        while true {
            try? await Task.sleep(for: Self.redraw)
            if isTerminal { erase(drawn) }
            if Task.isCancelled { return }
            let now = ContinuousClock.now
            pace.observe(progress.snapshot, at: now)
            let texts = texts(pace, now, columns: isTerminal ? Self.columns : .max)
            if isTerminal {
                for text in texts { Output.line(text) }
                drawn = texts.count
            } else if now - printed >= Self.plain {
                if texts != shown { for text in texts { Output.line(text) } }
                (shown, printed) = (texts, now)
            }
        }
    }

    private func texts(_ pace: ProgressPace, _ now: ContinuousClock.Instant, columns: Int) -> [String] {
        let lines = pace.lines
        let begun = Set(lines.map(\.place))
        return lines.indices.map { Self.text(lines[$0], rate: pace.rate($0, at: now), columns: columns) }
            + expected().filter { !begun.contains($0) }.map { "looking at \(Self.shortened($0, to: columns - 12))" }
    }

    /// Moves up and clears: the next drawing takes the same place.
    private func erase(_ count: Int) {
        guard count > 0 else { return }
        Output.control("\u{1b}[\(count)A\u{1b}[J")
    }

    /// A line that wraps would be two to erase, so one column stays free.
    private static var columns: Int {
        var size = winsize()
        let usual = 80  // what a terminal that does not tell most likely has
        return (ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 0 ? Int(size.ws_col) : usual) - 1
    }

    /// `copying /mnt/b  1204 of 8000 resources  1.2 GiB of 7.9 GiB  15%  310.0 MiB/s  ETA 0:22`, and where that is too wide
    /// `copying …/mnt/b  1204/8000  1.2 GiB/7.9 GiB  310.0 MiB/s  ETA 0:22`.
    ///
    /// - Parameter rate: bytes a second, nil when nothing moved yet.
    static func text(_ line: Progress.Line, rate: Double?, columns: Int = .max) -> String {
        var pace = ""
        if let rate, rate > 0 {
            pace = "  \(byteText(Int64(rate)))/s"
            if line.bytesTotal > line.bytesDone { pace += "  ETA \(duration(Double(line.bytesTotal - line.bytesDone) / rate))" }
        }
        let (done, total) = (byteText(line.bytesDone), byteText(line.bytesTotal))
        var rest = "  \(line.resourcesDone) of \(line.resourcesTotal) resources  \(done)"
        if line.bytesTotal > 0 { rest += " of \(total)  \(Int(Double(line.bytesDone) * 100 / Double(line.bytesTotal)))%" }
        var width = columns - line.phase.count - 1 - rest.count - pace.count
        if width < placeCountMin {
            rest = "  \(line.resourcesDone)/\(line.resourcesTotal)  \(done)" + (line.bytesTotal > 0 ? "/\(total)" : "")
            width = columns - line.phase.count - 1 - rest.count - pace.count
        }
        return String("\(line.phase) \(shortened(line.place, to: width))\(rest)\(pace)".prefix(max(columns, 0)))
    }

    /// Of less nobody recognises a place.
    private static let placeCountMin = 8

    /// The end of a path says more than its beginning.
    private static func shortened(_ place: String, to count: Int) -> String {
        let place = printable(place)
        let count = max(count, placeCountMin)
        return place.count <= count ? place : "…\(place.suffix(count - 1))"
    }

    /// `0:22`, `1:02:07`
    static func duration(_ seconds: Double) -> String {
        // Beyond a year nobody plans by the second, and a rate near zero would not fit an integer.
        let whole = Int(min(seconds, 366 * 86_400).rounded())
        let (hours, minutes, rest) = (whole / 3600, whole / 60 % 60, whole % 60)
        func two(_ number: Int) -> String { number < 10 ? "0\(number)" : "\(number)" }
        return hours > 0 ? "\(hours):\(two(minutes)):\(two(rest))" : "\(minutes):\(two(rest))"
    }
}

/// How fast each line moves, counted from where its phase began: what came before says nothing about it.
struct ProgressPace {
    private struct Phase {
        var name: String
        var began: ContinuousClock.Instant
        var bytesBefore: Int64
    }

    private(set) var lines: [Progress.Line] = []
    private var phases: [Phase] = []
    private var observed: ContinuousClock.Instant?

    /// Takes note of how far everything is. A new line began after the last look; where a phase changed, nobody knows what of the bytes since
    /// then belongs to it.
    mutating func observe(_ now: [Progress.Line], at instant: ContinuousClock.Instant) {
        let before = observed ?? instant
        for (number, line) in now.enumerated() {
            if number >= phases.count {
                phases.append(Phase(name: line.phase, began: before, bytesBefore: 0))
            } else if phases[number].name != line.phase {
                phases[number] = Phase(name: line.phase, began: instant, bytesBefore: line.bytesDone)
            }
        }
        (lines, observed) = (now, instant)
    }

    /// Bytes a second of a line in its phase; nil while none moved.
    func rate(_ number: Int, at instant: ContinuousClock.Instant) -> Double? {
        let (phase, elapsed) = (phases[number], instant - phases[number].began)
        let bytes = lines[number].bytesDone - phase.bytesBefore
        guard bytes > 0, elapsed > .zero else { return nil }
        return Double(bytes) / (Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) / 1e18)
    }
}
