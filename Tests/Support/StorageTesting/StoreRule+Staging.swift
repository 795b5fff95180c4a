import Hashing
import Kloset
import Storage

extension RuleContext {
    /// Staged bytes are under a name that no client looks at.
    func stagedIsInvisible() async throws {
        try await stage(key(), bytes(100))
        try await store.makeDurable()
        try equal(try await store.list(.packfile, bucket: 0xab).ids, [])
        try equal(try await store.attributes(of: [key()]), [.absent])
        try equal(try await store.extras(), StoreExtras())
    }

    /// `stage`: replaces what an earlier run left staged under the key, longer or shorter.
    func stagingReplacesStaged() async throws {
        for count in [5000, 100, 9000] {
            try await stage(key(), bytes(count, count))
            try await showsStaged(key(), bytes(count, count))
        }
        try equal(try await store.publish([key()]), [.published])
        try equal(try await read(key()), bytes(9000, 9000))
    }

    /// What is staged survives the run and can be published by a later one, where it is not hidden.
    func stagedSurvivesTheRun() async throws {
        guard store.capabilities.showsStaged else { return }
        try await stage(key(), bytes(100))
        let later = place.open()
        try await later.makeDurable()
        try equal(try await later.publish([key()]), [.published])
        try equal(try await read(key()), bytes(100))
    }

    /// Many at once; each with its own bytes.
    func stagesManyAtOnce() async throws {
        let piece = Piece()
        piece.memory.copyBytes(from: bytes(ChunkLayout.chunkByteCount))
        let all: [SmallResource] = (0..<1500).map { number in
            let kind: ResourceKind = number % 3 == 0 ? .state : .packfile
            let start = number * 64
            let end = start + 100 + number % 50
            return SmallResource(
                key: key(kind, bucket: UInt8(number % 256), number), piece: piece, range: start..<end,
                modified: Timestamp(seconds: Int64(number)))
        }
        try expect(try await store.stage(all).allSatisfy { $0 == nil }, "some were not staged")
        try await store.makeDurable()
        try equal(Set(try await store.publish(all.map(\.key)).map { $0 == .published }), [true])
        try await store.makeDurable(namesOf: all.map(\.key))
        let found = try await store.attributes(of: all.map(\.key))
        for (resource, attributes) in zip(all, found) {
            try equal(attributes, .regular(size: Int64(resource.range.count), modified: resource.modified))
        }
        for resource in all.prefix(20) + all.suffix(20) {
            try expect(try await read(resource.key).elementsEqual(piece.bytes(resource.range)), "other bytes")
        }
        try equal(try await place.stagedCount(), 0)
    }

    func stagesEmptyResources() async throws {
        try await publish(key(), [])
        try equal(try await read(key()), [])
        try equal(try await store.attributes(of: [key()]), [.regular(size: 0, modified: Timestamp(seconds: 1_600_000_000))])
    }

    /// The source's modification time is kept: of states to the nanosecond.
    func keepsTimes() async throws {
        for (number, time) in [1, 1_700_000_000_123_456_789, 0, 946_684_799_999_999_999].enumerated() {
            let modified = Timestamp(nanoseconds: Int64(time))
            try await stage(key(.state, number), bytes(60), modified: modified)
            try equal(try await store.publish([key(.state, number)]), [.published])
            try equal(try await store.attributes(of: [key(.state, number)]), [.regular(size: 60, modified: modified)])
        }
    }

    /// `discard`: removes what is staged under these keys; nothing staged is no error.
    func discardsStaged() async throws {
        try await stage(key(.packfile, 1), bytes(100))
        try await stage(key(.packfile, 2), bytes(100))
        try await store.discard([key(.packfile, 1), key(.packfile, 3)])
        try await store.discard([key(.packfile, 1)])
        try await vanishes(key(.packfile, 1), .stagedOnMedium)
        try await showsStaged(key(.packfile, 2), bytes(100))
        if store.capabilities.showsStaged { try equal(try await place.stagedCount(), 1) }
        guard case .failed? = try await store.publish([key(.packfile, 1)]).first else {
            throw RuleBroken(description: "what was discarded was published")
        }
        try equal(try await store.publish([key(.packfile, 2)]), [.published])
    }

    /// `discardStaged`: everything but what `keep` says.
    func discardsLeftovers() async throws {
        for number in 0..<20 { try await stage(key(.packfile, number), bytes(100)) }
        try await publish(key(.packfile, 99), bytes(10))
        let kept = key(.packfile, 7)
        // What is hidden belongs to the object that staged it.
        let later = store.capabilities.showsStaged ? place.open() : store
        try await later.discardStaged { $0 == kept }
        if store.capabilities.showsStaged { try equal(try await place.stagedCount(), 1) }
        try await showsStaged(kept, bytes(100))
        try equal(try await store.publish([kept]), [.published])
        guard case .failed? = try await store.publish([key(.packfile, 8)]).first else {
            throw RuleBroken(description: "what was discarded was published")
        }
        try equal(try await read(key(.packfile, 99)), bytes(10))
    }

    private func write(_ upload: any Upload, _ all: [UInt8], chunks: [Int]) async throws {
        let piece = Piece()
        for index in chunks {
            let range = ChunkLayout.range(index, size: Int64(all.count))
            piece.memory.copyBytes(from: all[Int(range.lowerBound)..<Int(range.upperBound)])
            try await upload.write(chunk: index, from: piece, count: range.count)
        }
    }

    private var large: [UInt8] { bytes(3 * ChunkLayout.chunkByteCount + 12_345) }

    /// Chunks may come in any order.
    func uploadsInAnyOrder() async throws {
        let modified = Timestamp(nanoseconds: 1_650_000_000_000_000_007)
        let upload = try await store.upload(key(), size: Int64(large.count), modified: modified)
        try equal(try await upload.heldChunks(), [])
        try await write(upload, large, chunks: [3, 1, 0, 2])
        try await upload.finish()
        try await store.makeDurable()
        try await showsStaged(key(), large)
        try equal(try await store.publish([key()]), [.published])
        try expect(try await read(key()) == large, "other bytes")
        let second = Timestamp(seconds: modified.nanoseconds / 1_000_000_000)
        let kept = store.capabilities.times == .nanoseconds ? modified : second
        try equal(try await store.attributes(of: [key()]), [.regular(size: Int64(large.count), modified: kept)])
    }

    /// `heldChunks`: what an earlier run left, read back from the place.
    func uploadsContinue() async throws {
        let size = Int64(large.count)
        let first = try await store.upload(key(), size: size, modified: Timestamp(seconds: 1))
        try await write(first, large, chunks: [0, 1])
        await first.abandon()
        let later = place.open()
        let second = try await later.upload(key(), size: size, modified: Timestamp(seconds: 1))
        let chunk = ChunkLayout.chunkByteCount
        let wanted = large.withUnsafeBytes { bytes in
            (0..<2).map { ChunkHash(of: UnsafeRawBufferPointer(rebasing: bytes[$0 * chunk..<($0 + 1) * chunk])) }
        }
        try equal(try await second.heldChunks(), store.capabilities.showsStaged ? wanted : [])
        try await write(second, large, chunks: store.capabilities.showsStaged ? [2, 3] : [0, 1, 2, 3])
        try await second.finish()
        try await later.makeDurable()
        try equal(try await later.publish([key()]), [.published])
        try expect(try await read(key()) == large, "other bytes")
    }

    /// `finish`: sets the length, also where something longer was left.
    func uploadsSetTheLength() async throws {
        let first = try await store.upload(key(), size: Int64(large.count), modified: Timestamp(seconds: 1))
        try await write(first, large, chunks: [0, 1, 2, 3])
        await first.abandon()
        let shorter = Array(large.prefix(ChunkLayout.chunkByteCount + 5))
        let second = try await store.upload(key(), size: Int64(shorter.count), modified: Timestamp(seconds: 1))
        try expect(try await second.heldChunks().count <= 2, "more chunks than the resource has")
        try await write(second, shorter, chunks: store.capabilities.showsStaged ? [1] : [0, 1])
        try await second.finish()
        try await showsStaged(key(), shorter)
        try equal(try await store.publish([key()]), [.published])
        try equal(try await read(key()), shorter)
    }

    func uploadsEndOnce() async throws {
        let upload = try await store.upload(key(), size: 10, modified: Timestamp(seconds: 1))
        try await write(upload, bytes(10), chunks: [0])
        try await upload.finish()
        try await fails(.usage) { try await upload.finish() }
        try await fails(.usage) { try await write(upload, bytes(10), chunks: [0]) }
        await upload.abandon()
        try await showsStaged(key(), bytes(10))
    }

    func unfinishedUploadsAreInvisible() async throws {
        let upload = try await store.upload(key(), size: Int64(large.count), modified: Timestamp(seconds: 1))
        try await write(upload, large, chunks: [0])
        try equal(try await store.list(.packfile, bucket: 0xab).ids, [])
        try equal(try await store.extras(), StoreExtras())
        await upload.abandon()
        try await store.discard([key()])
        try equal(try await place.stagedCount(), 0)
    }

    func refusesNonsenseChunks() async throws {
        try await fails(.usage) { _ = try await store.upload(key(), size: 0, modified: Timestamp(seconds: 1)) }
        let upload = try await store.upload(key(), size: Int64(large.count), modified: Timestamp(seconds: 1))
        for (index, count) in [(4, 1), (-1, 1), (3, 12_346), (0, 1)] {
            try await fails(.usage) { try await upload.write(chunk: index, from: Piece(), count: count) }
        }
        await upload.abandon()
    }
}
