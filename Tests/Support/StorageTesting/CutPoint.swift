public import StorageLocal
internal import Synchronization

/// Ends the world at a counted operation: that one is not done, and every call after it fails as if the process were gone.
///
/// Shared by everything that a simulated process changes (disks, catalog), so that one number means one instant.
public final class CutPoint: Sendable {
    /// What the operation at the cut still does.
    public enum Manner: Sendable {
        /// Nothing.
        case before
        /// A write does its first half; everything else does nothing.
        case torn
    }

    private struct State {
        var passed = 0
        var dead = false
        var seen: [String] = []
    }

    private let state = Mutex(State())
    private let number: Int
    public let manner: Manner

    /// - Parameter number: how many operations are done before the cut; by default it never comes.
    public init(after number: Int = .max, _ manner: Manner = .before) {
        self.number = number
        self.manner = manner
    }

    /// How many operations were done.
    public var operationCount: Int { state.withLock { $0.passed } }

    /// Whether the cut has come.
    public var isDead: Bool { state.withLock { $0.dead } }

    /// The last operations that were done or cut, at most 20: what to print when a test fails.
    public var lastOperations: [String] { state.withLock { $0.seen.suffix(20) } }

    /// What every call throws from the cut on.
    public static let death = SystemError("cut", 5)  // EIO

    /// Counts one operation.
    ///
    /// - Returns: false when this is the cut: do what ``manner`` says and throw ``death``.
    /// - Throws: ``death`` after the cut.
    public func pass(_ what: @autoclosure () -> String) throws(SystemError) -> Bool {
        let verdict: Bool? = state.withLock { state in
            guard !state.dead else { return nil }
            if state.seen.count > 200 { state.seen.removeFirst(180) }
            state.seen.append("\(state.passed) \(what())")
            guard state.passed < number else {
                state.dead = true
                return false
            }
            state.passed += 1
            return true
        }
        guard let verdict else { throw Self.death }
        return verdict
    }

    /// Counts one operation that is done whole or not at all.
    public func passWhole(_ what: @autoclosure () -> String) throws(SystemError) {
        guard try pass(what()) else { throw Self.death }
    }

    /// Fails after the cut; counts nothing.
    public func live() throws(SystemError) {
        if isDead { throw Self.death }
    }
}
