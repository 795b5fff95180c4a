internal import Kloset

/// What is wrong on one side, each resource once, in the order in which it was found.
struct DamageList: Sendable, RandomAccessCollection, ExpressibleByArrayLiteral {
    private var found: [FailedResource] = []
    private var keys: Set<ResourceKey> = []

    init(arrayLiteral elements: FailedResource...) { self.init(elements) }

    init(_ elements: [FailedResource]) {
        for element in elements { append(element) }
    }

    /// - Returns: whether it is news.
    @discardableResult
    mutating func append(_ failed: FailedResource) -> Bool {
        guard keys.insert(failed.key).inserted else { return false }
        found.append(failed)
        return true
    }

    func contains(_ key: ResourceKey) -> Bool { keys.contains(key) }

    var startIndex: Int { found.startIndex }
    var endIndex: Int { found.endIndex }
    subscript(index: Int) -> FailedResource { found[index] }
}
