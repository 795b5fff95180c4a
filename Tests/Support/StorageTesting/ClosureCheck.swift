internal import Glibc
internal import Kloset

/// Checks a copy of a ``GeneratedStore``, finished or not, against design.md, invariants 1 and 2, and against cleanliness (7).
public struct ClosureCheck: Sendable {
    private let store: GeneratedStore
    private let config: [UInt8]

    public init(_ store: GeneratedStore, config: [UInt8] = GeneratedStore.config) {
        self.store = store
        self.config = config
    }

    /// Everything that is wrong with the files of a copy, in words; empty when it is a usable store of some moment.
    ///
    /// Without CONFIG it is no store yet, and its states may have come in any order: then only wholeness is looked at.
    ///
    /// - Parameters:
    ///   - files: path relative to the root, and bytes; `.sealift/` is left alone.
    ///   - stateCountWithConfig: where CONFIG is there, at least so many states must be: on a new target it comes last. Nil checks nothing.
    ///   - allowsStrangers: whether temporary files of clients and foreign names may be there.
    public func violations(
        in files: [String: [UInt8]], stateCountWithConfig: Int? = nil, allowsStrangers: Bool = false
    ) -> [String] {
        var found: [String] = []
        var visible: Set<Int> = []
        for (path, bytes) in files.sorted(by: { $0.key < $1.key }) where !path.hasPrefix(".sealift/") {
            guard let key = ResourceKey(storePath: path) else {
                if !allowsStrangers, !path.hasPrefix("locks/") { found.append("\(path) belongs to no store") }
                continue
            }
            let expected = key == .config ? config : store.bytes(of: key)
            guard let expected else {
                found.append("\(path) was never in the source")
                continue
            }
            if !Self.areEqual(expected, bytes) {
                found.append("\(path) is not whole: \(bytes.count) bytes of \(expected.count), or others")
            }
            if key.kind == .state, let number = store.number(ofState: key.id) { visible.insert(number) }
        }
        if files["CONFIG"] != nil { found += prefixViolations(visible) + packfileViolations(visible, files) }
        if let wanted = stateCountWithConfig, files["CONFIG"] != nil, visible.count < wanted {
            found.append("CONFIG is there with \(visible.count) states, \(wanted) had to come first")
        }
        return found
    }

    /// Without optimization `==` looks at each byte through a witness table: a hundred times slower.
    public static func areEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        guard left.count == right.count else { return false }
        return left.withUnsafeBytes { left in
            right.withUnsafeBytes { right in
                guard let start = left.baseAddress, let other = right.baseAddress else { return true }
                return memcmp(start, other, left.count) == 0
            }
        }
    }

    /// How many states a copy shows.
    public func stateCount(in files: [String: [UInt8]]) -> Int {
        files.keys.reduce(0) { $0 + ($1.hasPrefix("states/") ? 1 : 0) }
    }

    private func prefixViolations(_ visible: Set<Int>) -> [String] {
        guard let newest = visible.max() else { return [] }
        let missing = (0...newest).filter { !visible.contains($0) }
        return missing.isEmpty ? [] : ["state \(newest) is visible without the earlier \(missing)"]
    }

    private func packfileViolations(_ visible: Set<Int>, _ files: [String: [UInt8]]) -> [String] {
        let states = visible.sorted().map { store.states[$0] }
        let dropped = Set(states.flatMap(\.drops))
        return states.flatMap { state in
            state.adds.filter { !dropped.contains($0) }.map { ResourceKey(.packfile, $0) }
                .filter { files[$0.path] == nil }
                .map { "state \(state.id.hex) is visible, \($0) that it names is not there" }
        }
    }
}
