public import Kloset
public import Storage

/// A fresh place for one rule of the conformance suite, and the means to do there what a client or an attacker would.
public protocol StorePlace: Sendable {
    /// Another store object on the place, as a later run has it.
    func open() -> any Store
    /// Puts a resource under its final name behind the store's back.
    func plant(_ key: ResourceKey, _ bytes: [UInt8], modified: Timestamp) async throws
    /// Gives a resource's final name to something that is no regular file.
    ///
    /// - Returns: false where there is nothing else than files.
    func plantIrregular(_ key: ResourceKey) async throws -> Bool
    /// Puts a file at a path below the root.
    ///
    /// - Returns: false where the place knows no such paths.
    func plantName(_ path: String) async throws -> Bool
    /// What `exchange` has kept of a resource.
    func quarantined(_ key: ResourceKey) async throws -> [[UInt8]]
    /// The documents that were moved aside.
    func quarantinedDocuments() async throws -> [[UInt8]]
    /// Names of ours that are no published resource, lock or document: what is staged.
    func stagedCount() async throws -> Int
}

/// A promise of the contract was broken.
public struct RuleBroken: Error, CustomStringConvertible {
    public var description: String
}

/// What every rule works with.
struct RuleContext: Sendable {
    let place: any StorePlace
    let store: any Store
    let random: SeededRandom

    /// A resource id in a bucket, different for each number.
    func key(_ kind: ResourceKind = .packfile, bucket: UInt8 = 0xab, _ number: Int = 0) -> ResourceKey {
        var random = SeededRandom(seed: UInt64(number) &+ UInt64(bucket) << 32)
        let bytes = [bucket] + random.bytes(ResourceID.byteCount - 1)
        return ResourceKey(kind, bytes.withUnsafeBytes { ResourceID(bytes: $0) })
    }

    func bytes(_ count: Int, _ number: Int = 0) -> [UInt8] {
        var random = random
        _ = random.next()
        var other = SeededRandom(seed: random.next() &+ UInt64(number))
        return other.bytes(count)
    }

    func expect(_ condition: Bool, _ what: @autoclosure () -> String, line: Int = #line) throws {
        guard condition else { throw RuleBroken(description: "\(what()) (line \(line))") }
    }

    func equal<Value: Equatable>(_ found: Value, _ wanted: Value, line: Int = #line) throws {
        guard found == wanted else {
            throw RuleBroken(
                description:
                    "\(String(describing: found).prefix(300)), expected \(String(describing: wanted).prefix(300)) (line \(line))")
        }
    }

    /// Expects a ``Failure`` of a kind.
    @discardableResult
    func fails(_ kind: Failure.Kind, line: Int = #line, _ body: () async throws -> Void) async throws -> Failure {
        do { try await body() } catch let failure as Failure {
            try expect(failure.kind == kind, "\(failure.kind), expected \(kind): \(failure)", line: line)
            return failure
        }
        throw RuleBroken(description: "nothing failed, expected \(kind) (line \(line))")
    }

    /// Stages one resource and expects that it works.
    func stage(_ key: ResourceKey, _ bytes: [UInt8], modified: Timestamp = Timestamp(seconds: 1_600_000_000)) async throws {
        let outcome = try await store.stage([small(key, bytes, modified)])
        try equal(outcome, [nil])
    }

    func small(_ key: ResourceKey, _ bytes: [UInt8], _ modified: Timestamp = Timestamp(seconds: 1)) -> SmallResource {
        let piece = Piece()
        piece.memory.copyBytes(from: bytes)
        return SmallResource(key: key, piece: piece, range: 0..<bytes.count, modified: modified)
    }

    func publish(_ key: ResourceKey, _ bytes: [UInt8]) async throws {
        try await stage(key, bytes)
        try await store.makeDurable()
        try equal(try await store.publish([key]), [.published])
        try await store.makeDurable(namesOf: [key])
    }

    /// All bytes of a resource, read by ranges.
    func read(_ key: ResourceKey, from view: ResourceView = .published) async throws -> [UInt8] {
        let piece = Piece()
        var bytes: [UInt8] = []
        while true {
            let count = try await store.read(key, from: view, at: Int64(bytes.count), count: piece.memory.count, into: piece)
            if count == 0 { return bytes }
            bytes += piece.bytes(0..<count)
        }
    }

    /// What was staged is what should be there, as far as the place shows it.
    func showsStaged(_ key: ResourceKey, _ wanted: [UInt8], line: Int = #line) async throws {
        guard store.capabilities.showsStaged else { return try await vanishes(line: line, key, .stagedOnMedium) }
        try equal(try await read(key, from: .stagedOnMedium), wanted, line: line)
    }

    func vanishes(line: Int = #line, _ key: ResourceKey, _ view: ResourceView = .published) async throws {
        do { _ = try await read(key, from: view) } catch let vanished as Vanished {
            try expect(vanished.key == key, "another key vanished", line: line)
            return
        }
        throw RuleBroken(description: "\(key) was still there (line \(line))")
    }
}
