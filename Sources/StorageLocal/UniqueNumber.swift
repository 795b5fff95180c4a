internal import Glibc
internal import Synchronization

/// Names for short-lived files of ours, different for each process and call.
enum UniqueNumber {
    private static let counter = Atomic<Int>(0)

    static func next() -> String {
        "\(getpid())-\(counter.add(1, ordering: .relaxed).newValue)"
    }
}
