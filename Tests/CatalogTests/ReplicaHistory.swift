import Kloset
import Testing

@testable import Catalog

/// A random history of one replica, as a catalog is told it and as a ledger tells it, with the naive model of what must come out.
struct ReplicaHistory: Sendable {
    enum Step: Sendable {
        case copied(ResourceKey, ResourceProof)
        case adopted(ResourceKey, size: Int64)
        case proven(ResourceKey, ResourceProof)
        case gone(ResourceKey)
        case point(RecoveryPoint)
    }

    let replica: ReplicaID
    let repository: RepositoryID
    private(set) var steps: [Step] = []
    /// The members of each point, in the order of the points.
    private(set) var members: [[ResourceKey]] = []
    private(set) var proofs: [ResourceKey: ResourceProof] = [:]
    private(set) var sizes: [ResourceKey: Int64] = [:]

    init(_ random: inout Seeded, points: Int, keys: Int) {
        replica = random.replica()
        repository = random.repository()
        let keys = [.config] + (1..<keys).map { _ in random.key() }
        var present: Set<ResourceKey> = []
        while members.count < points {
            guard let key = keys.randomElement(using: &random) else { return }
            switch Int.random(in: 0..<100, using: &random) {
            case ..<50 where !present.contains(key):
                appear(key, &random)
                present.insert(key)
            case ..<50 where proofs[key] == nil:
                let proof = random.proof(large: true)
                proofs[key] = proof
                sizes[key] = proof.size
                steps.append(.proven(key, proof))
            case ..<85 where present.remove(key) != nil: steps.append(.gone(key))
            case 85...:
                steps.append(.point(random.point(missing: random.chance(20) ? 3 : 0)))
                members.append(present.sorted())
            default: break
            }
        }
    }

    private mutating func appear(_ key: ResourceKey, _ random: inout Seeded) {
        if let proof = proofs[key] {
            steps.append(.copied(key, proof))
        } else if random.chance(20) {
            let size = sizes[key] ?? Int64.random(in: 0...100, using: &random)
            sizes[key] = size
            steps.append(.adopted(key, size: size))
        } else {
            let proof = random.proof(large: true)
            proofs[key] = proof
            sizes[key] = proof.size
            steps.append(.copied(key, proof))
        }
    }

    /// What a run does with the catalog.
    func apply(_ step: Step, to db: CatalogWriting) throws {
        let next = try db.nextPointSequence(of: replica)
        if try db.replica(replica) == nil { try db.register(ReplicaRecord(id: replica, repository: repository, location: "/r")) }
        switch step {
        case .copied(let key, let proof):
            try db.record(proof, for: key, in: repository, authenticated: true)
            try db.hold(key, in: replica, status: .pending, from: next)
        case .adopted(let key, let size):
            _ = try db.record(KnownResource(size: size, digest: nil, authenticated: true), for: key, in: repository)
            try db.hold(key, in: replica, status: .unproven, from: next)
        case .proven(let key, let proof):
            try db.record(proof, for: key, in: repository, authenticated: true)
            try db.hold(key, in: replica, status: .pending, from: next)
        case .gone(let key):
            try db.endMembership(of: key, in: replica, at: next - 1)
        case .point(let point):
            try db.confirm(db.pendingKeys(of: replica), in: replica)
            try db.insertPoint(point, of: replica)
        }
    }

    /// What a run writes to the ledger.
    static func entry(_ step: Step) -> LedgerEntry {
        switch step {
        case .copied(let key, let proof), .proven(let key, let proof): .resource(key, proof)
        case .adopted(let key, let size): .resource(key, size: size, digest: nil, chunks: [])
        case .gone(let key): .gone(key)
        case .point(let point): .point(point)
        }
    }

    /// The whole history as segments, cut at random.
    func ledger(_ random: inout Seeded) throws -> [[UInt8]] {
        var segments: [[UInt8]] = []
        var head = LedgerHead.none
        var rest = steps[...]
        while !rest.isEmpty {
            let part = rest.prefix(Int.random(in: 0...20, using: &random))
            rest = rest.dropFirst(part.count)
            var encoder = LedgerEncoder(LedgerHeader(after: head, replica: replica, repository: repository))
            for step in part { #expect(try encoder.append(Self.entry(step))) }
            let done = encoder.finish()
            segments.append(done.bytes)
            head = done.head
        }
        return segments
    }

    /// Compares what a catalog says with the model.
    func check(_ catalog: StateCatalog, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        let points = try await catalog.read { try $0.points(of: replica) }
        let told = steps.compactMap { if case .point(let point) = $0 { point } else { nil } }
        #expect(points.map(\.point) == told, sourceLocation: sourceLocation)
        #expect(points.map(\.sequence) == Array(1...Int64(told.count)), sourceLocation: sourceLocation)
        for (point, expected) in zip(points, members) {
            let found = try await catalog.read { try $0.allMembers(of: point) }
            #expect(found.map(\.key) == expected, "point \(point.sequence)", sourceLocation: sourceLocation)
            #expect(
                found.allSatisfy { $0.digest == proofs[$0.key]?.digest && $0.size == sizes[$0.key] },
                sourceLocation: sourceLocation)
        }
        for (key, size) in sizes {
            let known = try await catalog.read { try $0.proof(of: key, in: repository) }
            #expect(known?.proof == proofs[key] && known?.size == size, sourceLocation: sourceLocation)
        }
    }
}
