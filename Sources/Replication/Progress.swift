internal import Synchronization

/// What a run is doing, for whoever watches: counters that the run adds to and a display reads whenever it likes.
public final class Progress: Sendable {
    /// One line of a display.
    public struct Line: Sendable, Equatable {
        public var place: String
        public var phase: String
        public var resourcesDone = 0
        public var resourcesTotal = 0
        public var bytesDone: Int64 = 0
        public var bytesTotal: Int64 = 0
    }

    private let lines = Mutex<[Line]>([])

    public init() {}

    /// All lines, in the order in which they began.
    public var snapshot: [Line] { lines.withLock { $0 } }

    /// Begins a line and returns its number.
    func begin(place: String, phase: String) -> Int {
        lines.withLock { lines in
            lines.append(Line(place: place, phase: phase))
            return lines.count - 1
        }
    }

    func update(_ number: Int, _ change: (inout Line) -> Void) {
        lines.withLock { change(&$0[number]) }
    }
}
