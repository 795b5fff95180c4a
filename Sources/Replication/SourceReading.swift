internal import Catalog
internal import Hashing
internal import Kloset
internal import Storage

/// What the readers of a run share: what was read, and how fast it may be.
final class SourceMeter: Sendable {
    private let total = Locked<Int64>(0)
    private let limiter: RateLimiter?

    init(bytesPerSecond: Int64?) {
        limiter = bytesPerSecond.map { RateLimiter(bytesPerSecond: $0) }
    }

    /// Bytes read from the source so far.
    var bytesRead: Int64 { total.current }

    /// Waits until that many bytes may be read, and counts them.
    func take(_ bytes: Int) async throws {
        try await limiter?.take(bytes)
        total.with { $0 += Int64(bytes) }
    }
}

/// Reads resources from the source once, looks at them without a key, hashes them, and hands them to the targets.
struct SourceReading: Sendable {
    var source: OpenedStore
    var environment: RunEnvironment
    var meter: SourceMeter
    var lanes: [TargetLane]
    var fanOut: FanOut

    /// Works until the queue is empty or no target is left.
    ///
    /// - Throws: ``Vanished`` when the source was maintained meanwhile: cut again.
    func run(_ queue: CopyQueue) async throws {
        while !fanOut.isAbandoned, let task = try queue.next() {
            switch task {
            case .group(let items):
                for rest in try await offerCopies(of: items) { try await copy(rest) }
            case .large(let item):
                for rest in try await offerCopies(of: [item]).joined() { try await copy(rest) }
            }
        }
    }

    /// Leaves what is known to those targets whose own server can copy it.
    ///
    /// - Parameter items: for the same targets.
    /// - Returns: what is to be read, each list for the same targets.
    private func offerCopies(of items: [CopyItem]) async throws -> [[CopyItem]] {
        guard let first = items.first, first.resource.key.kind == .packfile else { return [items] }
        let copiers = first.lanes.filter { lanes[$0].origin.current != nil }
        guard !copiers.isEmpty else { return [items] }
        let known = try await knownDigests(items.map(\.resource.key))
        var (copies, unknown, others): ([ServerCopy], [CopyItem], [CopyItem]) = ([], [], [])
        for var item in items {
            guard let proof = known[item.resource.key]?.trusted(ofSize: item.size) else {
                unknown.append(item)
                continue
            }
            copies.append(ServerCopy(resource: item.resource, proof: proof))
            item.lanes.removeAll { copiers.contains($0) }
            if !item.lanes.isEmpty { others.append(item) }
        }
        if !copies.isEmpty {
            let passedOver = try await fanOut.offer(.copies(copies), to: copiers)
            for lane in passedOver { await lanes[lane].postpone(copies.map(\.resource)) }
        }
        return [unknown, others].filter { !$0.isEmpty }
    }

    private func copy(_ items: [CopyItem]) async throws {
        var rest = items[...]
        let known = try await knownDigests(items.map(\.resource.key))
        while let first = rest.first {
            try await meter.take(0)
            let piece = try await environment.pieces.acquire()
            let reads = try await source.reader.readWhole(rest.map(\.resource.key), from: .published, into: piece)
            var proven: [ProvenSmall] = []
            for (item, read) in zip(rest, reads) {
                if let small = try await judge(read, of: item, in: piece, known: known) { proven.append(small) }
            }
            rest = rest.dropFirst(reads.count)
            guard !proven.isEmpty else { continue }
            try await meter.take(proven.reduce(0) { $0 + $1.resource.range.count })
            let passedOver = try await fanOut.offer(.small(proven), to: first.lanes)
            for lane in passedOver {
                await lanes[lane].postpone(
                    proven.map { small in
                        ListedResource(key: small.resource.key, size: small.proof.size, modified: small.resource.modified)
                    })
            }
        }
    }

    /// What was read, if it is what it should be; else the targets hear why not.
    private func judge(
        _ read: WholeRead, of item: CopyItem, in piece: Piece, known: [ResourceKey: KnownResource]
    ) async throws -> ProvenSmall? {
        let key = item.resource.key
        switch read {
        case .vanished: throw Vanished(key)
        case .failed(let failure): await miss(item, FailedResource(key, failure))
        case .tooLarge(let size): await miss(item, "it grew from \(item.size) to \(size) bytes since it was listed")
        case .bytes(let range, let modified):
            let bytes = piece.bytes(range)
            let proof = ResourceProof(ofSmall: bytes)
            if let reason = damage(header: bytes, proof: proof, item: item, known: known[key]) {
                await miss(item, reason)
            } else {
                return ProvenSmall(
                    resource: SmallResource(key: key, piece: piece, range: range, modified: modified), proof: proof)
            }
        }
        return nil
    }

    private func damage(header: UnsafeRawBufferPointer, proof: ResourceProof, item: CopyItem, known: KnownResource?) -> String? {
        if let reason = ResourceFace.damage(header: header, size: proof.size, kind: item.resource.key.kind) { return reason }
        return mismatch(proof, item: item, known: known)
    }

    private func mismatch(_ proof: ResourceProof, item: CopyItem, known: KnownResource?) -> String? {
        if proof.size != item.size { return "it changed from \(item.size) to \(proof.size) bytes since it was listed" }
        if let digest = known?.digest, known?.authenticated == true, digest != proof.digest {
            return "its bytes are not those that were recorded (SHA-256 \(proof.digest.hex), recorded \(digest.hex))"
        }
        return nil
    }

    private func copy(_ item: CopyItem) async throws {
        try await withThrowingTaskGroup(of: ReadAhead.Chunk.self) { group in
            try await copy(item, in: &group)
            group.cancelAll()
        }
    }

    private func copy(_ found: CopyItem, in group: inout ThrowingTaskGroup<ReadAhead.Chunk, any Error>) async throws {
        var item = found
        let key = item.resource.key
        let known = try await knownDigests([key])[key]
        var hasher = ResourceHasher()
        var takers = item.lanes
        var ahead = ReadAhead(key, size: item.size, of: source.reader, pieces: environment.pieces, meter: meter)
        for index in 0..<ChunkLayout.count(size: item.size) {
            let (chunk, count): (ReadAhead.Chunk, Int)
            do {
                chunk = try await ahead.chunk(index, in: &group)
                count = try chunk.count.get()
            } catch let failure as Failure {
                return try await giveUp(item, takers, FailedResource(key, failure))
            }
            let piece = chunk.piece
            guard count == ChunkLayout.range(index, size: item.size).count else {
                return try await giveUp(item, takers, "it became shorter while it was read")
            }
            // A listing only announces: a longer object would be cut without anybody noticing.
            if item.resource.modified == nil, let reason = try await settleListed(&item) {
                return try await giveUp(item, takers, reason)
            }
            if index == 0, let reason = ResourceFace.damage(header: piece.bytes(0..<count), size: item.size, kind: key.kind) {
                return try await giveUp(item, takers, reason)
            }
            let hash = hasher.update(chunk: piece.bytes(0..<count))
            let unit = CopyUnit.chunk(of: item.resource, index: index, piece: piece, count: count, hash: hash)
            takers = try await passOn(unit, item: item, to: takers)
            if takers.isEmpty { return }
        }
        let proof = hasher.finalize()
        if let reason = mismatch(proof, item: item, known: known) { return try await giveUp(item, takers, reason) }
        _ = try await passOn(.complete(item.resource, proof), item: item, to: takers)
    }

    /// Asks for what a listing did not tell.
    ///
    /// - Returns: why the resource is not what was listed, or nil.
    private func settleListed(_ item: inout CopyItem) async throws -> String? {
        switch try await source.reader.attributes(of: [item.resource.key])[0] {
        case .absent: throw Vanished(item.resource.key)
        case .irregular(let what): return "it is \(what), no regular file"
        case .regular(let size, let modified):
            item.resource.modified = modified
            return size == item.size ? nil : "it was listed with \(item.size) bytes and has \(size)"
        }
    }

    /// Offers a unit of a large resource and returns who is still taking it; who is passed over fetches all of it later.
    private func passOn(_ unit: CopyUnit, item: CopyItem, to takers: [Int]) async throws -> [Int] {
        let passedOver = try await fanOut.offer(unit, to: takers)
        for lane in passedOver { await lanes[lane].postpone([item.resource]) }
        return takers.filter { !passedOver.contains($0) }
    }

    private func giveUp(_ item: CopyItem, _ takers: [Int], _ reason: String) async throws {
        try await giveUp(item, takers, FailedResource(key: item.resource.key, reason: reason, retryable: false))
    }

    private func giveUp(_ item: CopyItem, _ takers: [Int], _ failed: FailedResource) async throws {
        await miss(item, failed)
        _ = try await fanOut.offer(.abandoned(item.resource.key), to: takers)
    }

    private func miss(_ item: CopyItem, _ reason: String) async {
        await miss(item, FailedResource(key: item.resource.key, reason: reason, retryable: false))
    }

    private func miss(_ item: CopyItem, _ failed: FailedResource) async {
        for lane in item.lanes { await lanes[lane].miss(failed) }
    }

    private func knownDigests(_ keys: [ResourceKey]) async throws -> [ResourceKey: KnownResource] {
        let repository = source.repository
        return try await environment.catalog.read { db in
            var known: [ResourceKey: KnownResource] = [:]
            for key in keys { known[key] = try db.proof(of: key, in: repository) }
            return known
        }
    }
}

extension KnownResource {
    /// What we have taken ourselves of a resource of that size, complete; nil where that is not so.
    fileprivate func trusted(ofSize size: Int64) -> ResourceProof? {
        guard authenticated, self.size == size, let proof else { return nil }
        return size <= Int64(ChunkLayout.chunkByteCount) || proof.chunks.count == ChunkLayout.count(size: size) ? proof : nil
    }
}
