import Kloset
import Storage

extension RuleContext {
    /// `presence()`: nothing has that name yet, and looking made nothing.
    func nothingIsThereAtFirst() async throws {
        try equal(try await store.presence(), .absent)
        try equal(try await store.document("replica", byteCountMax: 100), nil)
        try equal(try await store.documents(in: "ledger"), [])
        _ = try await store.footprint()
        _ = store.capabilities
        try equal(try await place.open().presence(), .absent)
    }

    /// `presence()`: it is there and holds something.
    func presenceNamesWhatIsThere() async throws {
        try await place.plant(.config, bytes(500), modified: Timestamp(seconds: 5))
        guard case .occupied(let names) = try await store.presence() else { throw RuleBroken(description: "not occupied") }
        try expect(names.contains("CONFIG"), "CONFIG is not among \(names)")
    }

    /// `footprint()`: two names of the same place share it.
    func footprintIsOfThePlace() async throws {
        try await store.prepare()
        try equal(try await store.footprint(), try await place.open().footprint())
        try equal(try await store.footprint().relation(to: try await place.open().footprint()), .same)
    }

    /// `prepare()`: what is there stays.
    func prepareKeepsWhatIsThere() async throws {
        try await place.plant(key(), bytes(100), modified: Timestamp(seconds: 5))
        try await store.prepare()
        try await store.prepare()
        try equal(try await read(key()), bytes(100))
        try equal(try await store.attributes(of: [key()]), [.regular(size: 100, modified: Timestamp(seconds: 5))])
    }

    /// `list`: the resources of one kind in a bucket, ascending by id, each once.
    func listsOneBucketInOrder() async throws {
        let wanted = (0..<40).map { key(.packfile, $0) }
        for key in wanted.shuffled() { try await place.plant(key, bytes(50), modified: Timestamp(seconds: 5)) }
        try await place.plant(key(.state, 1), bytes(50), modified: Timestamp(seconds: 5))
        try await place.plant(key(.packfile, bucket: 0xac, 1), bytes(50), modified: Timestamp(seconds: 5))
        for _ in 0..<2 {
            let listing = try await store.list(.packfile, bucket: 0xab)
            try equal(listing.ids, wanted.map(\.id).sorted())
            try expect(listing.irregular.isEmpty && listing.foreign == 0, "something odd was listed")
        }
    }

    /// `list`: a missing bucket is an empty one.
    func listsMissingBucketsAsEmpty() async throws {
        try await place.plant(.config, bytes(50), modified: Timestamp(seconds: 5))
        let listing = try await store.list(.state, bucket: 7)
        try expect(listing.ids.isEmpty && listing.foreign == 0, "a missing bucket holds something")
    }

    /// `list`: for `.config` the bucket is ignored.
    func listsConfig() async throws {
        try await place.plant(key(), bytes(50), modified: Timestamp(seconds: 5))
        try equal(try await store.list(.config, bucket: 9).ids, [])
        try await place.plant(.config, bytes(50), modified: Timestamp(seconds: 5))
        try equal(try await store.list(.config, bucket: 9).ids, [.zero])
    }

    /// `list` and `extras`: names that are no resource are counted, clients' temporary files are not.
    func countsForeignNames() async throws {
        try await place.plant(key(), bytes(50), modified: Timestamp(seconds: 5))
        let hex = key().id.hex
        let foreign = [hex.uppercased(), "\(hex)0", "README", "ac\(hex.dropFirst(2))", "x\u{1B}[31m"]
        for name in foreign where try await !place.plantName("packfiles/ab/\(name)") { return }
        for name in ["tmp.1234", "\(hex).tmp", "tmp.\(hex)"] { _ = try await place.plantName("packfiles/ab/\(name)") }
        let listing = try await store.list(.packfile, bucket: 0xab)
        try equal(listing.ids, [key().id])
        try equal(listing.foreign, foreign.count)
        for path in ["README", "packfiles/zz", "packfiles/AB", "states/abc", "states/tmp.1", "tmp.2"] {
            _ = try await place.plantName(path)
        }
        try equal(try await store.extras().foreign, 4)
    }

    /// `extras`: locks are counted, and `.sealift/` is not.
    func countsLocks() async throws {
        try await store.prepare()
        try equal(try await store.extras(), StoreExtras())
        guard try await place.plantName("locks/\(key(.state, 1).id.hex)") else { return }
        _ = try await place.plantName("locks/\(key(.state, 2).id.hex)")
        try equal(try await store.extras(), StoreExtras(locks: 2, foreign: 0))
        guard try await place.plantName("locks/foo") else { return }
        try equal(try await store.extras(), StoreExtras(locks: 2, foreign: 1))
    }

    /// `list`, `attributes`, `readWhole`, `read`: what is no regular file is named and never read.
    func marksIrregularNames() async throws {
        try await place.plant(key(.packfile, 1), bytes(50), modified: Timestamp(seconds: 5))
        guard try await place.plantIrregular(key(.packfile, 2)) else { return }
        let listing = try await store.list(.packfile, bucket: 0xab)
        try equal(listing.ids, [key(.packfile, 1).id, key(.packfile, 2).id].sorted())
        try equal(listing.irregular, [key(.packfile, 2).id])
        guard case .irregular = try await store.attributes(of: [key(.packfile, 2)])[0] else {
            throw RuleBroken(description: "its attributes are those of a file")
        }
        guard case .failed(let failure) = try await store.readWhole([key(.packfile, 2)], from: .published, into: Piece())[0]
        else {
            throw RuleBroken(description: "it was read whole")
        }
        try equal(failure.kind, .damage)
        let read = try await fails(.damage) { _ = try await self.read(key(.packfile, 2)) }
        try equal(read.resource, key(.packfile, 2))
        try equal(read.place, store.place)
    }

    /// `attributes`: size and time of each resource, in the order asked.
    func attributesComeInOrder() async throws {
        let keys = (0..<600).map { key($0 % 2 == 0 ? .packfile : .state, bucket: UInt8($0 % 7), $0) }.shuffled()
        for (index, key) in keys.enumerated() where index % 3 != 0 {
            try await place.plant(key, bytes(index), modified: Timestamp(seconds: Int64(index)))
        }
        try await place.plant(.config, bytes(77), modified: Timestamp(seconds: 7))
        let found = try await store.attributes(of: keys + [.config])
        for (index, attributes) in found.dropLast().enumerated() {
            let wanted: ResourceAttributes =
                index % 3 == 0 ? .absent : .regular(size: Int64(index), modified: Timestamp(seconds: Int64(index)))
            try equal(attributes, wanted)
        }
        try equal(found.last, .regular(size: 77, modified: Timestamp(seconds: 7)))
        try equal(try await store.attributes(of: []), [])
    }

    /// `readWhole`: as many as fit, from the first on, one behind the other.
    func readsWholePrefix() async throws {
        let keys = (0..<4).map { key(.packfile, $0) }
        for (index, key) in keys.enumerated() {
            try await place.plant(key, bytes(400_000, index), modified: Timestamp(seconds: Int64(index)))
        }
        let piece = Piece()
        for view in [ResourceView.published, .publishedOnMedium] {
            let reads = try await store.readWhole(keys, from: view, into: piece)
            try equal(reads.count, 2)
            for (index, read) in reads.enumerated() {
                guard case .bytes(let range, let modified) = read else { throw RuleBroken(description: "not read: \(read)") }
                try equal(range, index * 400_000..<(index + 1) * 400_000)
                try equal(modified, Timestamp(seconds: Int64(index)))
                try expect(piece.bytes(range).elementsEqual(bytes(400_000, index)), "other bytes")
            }
        }
        try expect(try await store.readWhole([], from: .published, into: piece).isEmpty, "something was read for nothing")
    }

    /// `readWhole`: too large for a piece, exactly as large, and no longer there.
    func readsLargeAndVanished() async throws {
        let most = ChunkLayout.chunkByteCount
        try await place.plant(key(.packfile, 1), bytes(most + 1), modified: Timestamp(seconds: 1))
        try await place.plant(key(.packfile, 2), bytes(most, 2), modified: Timestamp(seconds: 1))
        let piece = Piece()
        let large = try await store.readWhole([key(.packfile, 1)], from: .published, into: piece)[0]
        guard case .tooLarge(let size) = large else {
            throw RuleBroken(description: "it was not too large: \(large)")
        }
        try equal(size, Int64(most + 1))
        let reads = try await store.readWhole([key(.packfile, 3), key(.packfile, 2)], from: .published, into: piece)
        guard reads.count == 2, case .vanished = reads[0], case .bytes(0..<most, _) = reads[1] else {
            throw RuleBroken(description: "\(reads)")
        }
        try expect(piece.bytes(0..<most).elementsEqual(bytes(most, 2)), "other bytes")
    }

    /// `read`: bytes at an offset, fewer only at the end; ``Vanished`` when there is nothing.
    func readsRanges() async throws {
        let all = bytes(10_000)
        try await place.plant(key(), all, modified: Timestamp(seconds: 1))
        let piece = Piece()
        for view in [ResourceView.published, .publishedOnMedium] {
            for (offset, count) in [
                (0, 10_000), (1, 5000), (4095, 2), (9_999, 1), (9_000, 5000), (10_000, 1), (20_000, 1), (5, 0),
            ] {
                let found = try await store.read(key(), from: view, at: Int64(offset), count: count, into: piece)
                let wanted = all.dropFirst(offset).prefix(count)
                try equal(found, wanted.count)
                try expect(piece.bytes(0..<found).elementsEqual(wanted), "other bytes at \(offset)")
            }
        }
        try await vanishes(key(.packfile, 9))
        try await vanishes(key(.packfile, bucket: 0x77, 9))
    }

    /// `.stagedOnMedium`: what was staged and is not published yet.
    func readsStagedBytes() async throws {
        try await store.prepare()
        try await vanishes(key(), .stagedOnMedium)
        try await stage(key(), bytes(5000))
        try await store.makeDurable()
        try await showsStaged(key(), bytes(5000))
        guard store.capabilities.showsStaged else { return }
        let piece = Piece()
        guard case .bytes(0..<5000, _)? = try await store.readWhole([key()], from: .stagedOnMedium, into: piece).first else {
            throw RuleBroken(description: "not read whole")
        }
        try await vanishes(key())
    }

    /// `read`: a range that does not fit a piece is the caller's mistake, not a crash.
    func refusesNonsenseRanges() async throws {
        try await place.plant(key(), bytes(100), modified: Timestamp(seconds: 1))
        for (offset, count) in [(-1, 10), (0, -1), (0, ChunkLayout.chunkByteCount + 1)] {
            try await fails(.usage) {
                _ = try await store.read(key(), from: .published, at: Int64(offset), count: count, into: Piece())
            }
        }
    }
}
