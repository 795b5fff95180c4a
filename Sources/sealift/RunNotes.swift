internal import Synchronization

/// What a run is about, as far as it has found out: for its record, and for the object that a run prints which came to nothing.
final class RunNotes: Sendable {
    /// Locations without secrets.
    struct Places: Sendable {
        var source: String?
        var targets: [String] = []
    }

    private let noted = Mutex(Places())

    var places: Places { noted.withLock { $0 } }

    func note(source: String) { noted.withLock { $0.source = source } }
    func note(target: String) { noted.withLock { $0.targets.append(target) } }
}
