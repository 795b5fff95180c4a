internal import Synchronization

/// A value that several tasks change, each for a moment.
final class Locked<Value: Sendable>: Sendable {
    private let mutex: Mutex<Value>

    init(_ value: Value) {
        mutex = Mutex(value)
    }

    /// Changes or reads the value; nobody else does meanwhile.
    func with<Result: Sendable>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        try mutex.withLock { try body(&$0) }
    }

    var current: Value { mutex.withLock { $0 } }
}
