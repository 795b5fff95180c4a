import Kloset
import Storage

extension RuleContext {
    /// `publish`: never replaces anything; what is taken stays, what is staged stays staged.
    func neverReplaces() async throws {
        try await place.plant(key(), bytes(100, 1), modified: Timestamp(seconds: 5))
        try await stage(key(), bytes(200, 2))
        try equal(try await store.publish([key()]), [.taken])
        try equal(try await read(key()), bytes(100, 1))
        try await showsStaged(key(), bytes(200, 2))
        try equal(try await store.attributes(of: [key()]), [.regular(size: 100, modified: Timestamp(seconds: 5))])
        guard try await place.plantIrregular(key(.state, 3)) else { return }
        try await stage(key(.state, 3), bytes(60))
        try equal(try await store.publish([key(.state, 3)]), [.taken])
    }

    func publishesOnlyStaged() async throws {
        guard case .failed(let failure)? = try await store.publish([key()]).first else {
            throw RuleBroken(description: "something was published")
        }
        try equal(failure.resource, key())
        try await stage(key(), bytes(10))
        try equal(try await store.publish([key()]), [.published])
        guard case .failed? = try await store.publish([key()]).first else {
            throw RuleBroken(description: "it was published twice from one staging")
        }
        try equal(try await read(key()), bytes(10))
    }

    /// An outcome for each key, in order.
    func publishAnswersInOrder() async throws {
        let keys = (0..<90).map { key($0 % 2 == 0 ? .state : .packfile, bucket: UInt8(($0 * 37) % 256), $0) }
        for (index, key) in keys.enumerated() {
            if index % 3 == 1 { try await place.plant(key, bytes(30), modified: Timestamp(seconds: 5)) }
            if index % 3 != 2 { try await stage(key, bytes(50, index)) }
        }
        for (index, outcome) in try await store.publish(keys).enumerated() {
            switch (index % 3, outcome) {
            case (0, .published), (1, .taken), (2, .failed): break
            default: throw RuleBroken(description: "key \(index): \(outcome)")
            }
        }
        try equal(try await store.publish([]), [])
        try equal(try await store.stage([]), [])
    }

    /// Every method may be called concurrently, each key by one task at a time.
    func publishesConcurrently() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for task in 0..<8 {
                group.addTask {
                    for number in 0..<10 {
                        let key = key(.packfile, bucket: UInt8(number), task * 100 + number)
                        try await publish(key, bytes(500, task))
                        try equal(try await read(key), bytes(500, task))
                        _ = try await store.list(.packfile, bucket: UInt8(number))
                    }
                }
            }
            try await group.waitForAll()
        }
        var count = 0
        for bucket in UInt8(0)..<10 { count += try await store.list(.packfile, bucket: bucket).ids.count }
        try equal(count, 80)
    }

    /// CONFIG is a resource like the others.
    func publishesConfig() async throws {
        try await publish(.config, bytes(663))
        try equal(try await read(.config), bytes(663))
        try equal(try await store.list(.config, bucket: 0).ids, [.zero])
        try await stage(.config, bytes(10))
        try equal(try await store.publish([.config]), [.taken])
        try equal(try await read(.config), bytes(663))
    }

    func durableWithNothingToDo() async throws {
        try await store.makeDurable()
        try await store.makeDurable(namesOf: [])
        try await store.makeDurable(namesOf: [key(), .config])
        let later = place.open()
        try await later.makeDurable()
    }

    /// `exchange`: the staged bytes take the name, every earlier original is kept.
    func exchangeKeepsTheOriginal() async throws {
        for key in [key(), .config] {
            try await place.plant(key, bytes(100, 0), modified: Timestamp(seconds: 5))
            for round in 1...3 {
                try await stage(key, bytes(100 + round, round))
                try await store.makeDurable()
                try await store.exchange(key)
                try equal(try await read(key), bytes(100 + round, round))
                try equal(Set(try await place.quarantined(key)), Set((0..<round).map { bytes(100 + ($0 == 0 ? 0 : $0), $0) }))
            }
        }
        try equal(try await place.stagedCount(), 0)
        try equal(try await store.extras(), StoreExtras())
    }

    func exchangePublishesWhereNothingIs() async throws {
        try await stage(key(), bytes(100))
        try await store.exchange(key())
        try equal(try await read(key()), bytes(100))
        try equal(try await place.quarantined(key()), [])
        try equal(try await place.stagedCount(), 0)
    }

    func exchangeNeedsStagedBytes() async throws {
        try await place.plant(key(), bytes(100), modified: Timestamp(seconds: 5))
        try await fails(.readWrite) { try await store.exchange(key()) }
        try equal(try await read(key()), bytes(100))
        try equal(try await place.quarantined(key()), [])
    }

    func exchangeReplacesIrregularNames() async throws {
        guard try await place.plantIrregular(key()) else { return }
        try await stage(key(), bytes(100))
        try await store.exchange(key())
        try equal(try await read(key()), bytes(100))
        try equal(try await store.list(.packfile, bucket: 0xab).irregular, [])
    }

    func documentsAreReplacedWhole() async throws {
        for count in [10, 5000, 0, 3] {
            try await store.replaceDocument("plan", with: bytes(count))
            try equal(try await place.open().document("plan", byteCountMax: 5000), bytes(count))
        }
        try equal(try await place.stagedCount(), 0)
    }

    func documentsAreCreatedOnce() async throws {
        try await store.createDocument("replica", with: bytes(16))
        try await fails(.refused) { try await store.createDocument("replica", with: bytes(17)) }
        try equal(try await store.document("replica", byteCountMax: 16), bytes(16))
        try equal(try await place.stagedCount(), 0)
    }

    func documentsAreListed() async throws {
        try equal(try await store.documents(in: "ledger"), [])
        for number in [3, 1, 2] { try await store.createDocument("ledger/0000000\(number).zst", with: bytes(number)) }
        try await store.createDocument("ledger/old/1", with: [])
        try equal(try await store.documents(in: "ledger"), ["00000001.zst", "00000002.zst", "00000003.zst"])
        try equal(try await store.document("ledger/00000002.zst", byteCountMax: 10), bytes(2))
        try equal(try await store.documents(in: "nowhere"), [])
    }

    func documentsAreBounded() async throws {
        try await store.replaceDocument("plan", with: bytes(101))
        try await fails(.damage) { _ = try await store.document("plan", byteCountMax: 100) }
        try equal(try await store.document("plan", byteCountMax: 101), bytes(101))
        try equal(try await store.document("other", byteCountMax: 100), nil)
    }

    /// `quarantineDocument`: the name is free afterwards, every earlier document is kept.
    func documentsAreMovedAside() async throws {
        try await store.quarantineDocument("ledger/00000001.zst")
        try await store.quarantineDocument("nowhere/at-all")
        for round in 1...3 {
            try await store.createDocument("ledger/00000001.zst", with: bytes(round, round))
            try await store.createDocument("ledger/0000000\(round + 1).zst", with: bytes(9))
            try await store.quarantineDocument("ledger/00000001.zst")
            try equal(try await place.open().document("ledger/00000001.zst", byteCountMax: 10), nil)
            try equal(try await store.documents(in: "ledger").count, round)
            try equal(Set(try await place.quarantinedDocuments()), Set((1...round).map { bytes($0, $0) }))
        }
        try equal(try await place.stagedCount(), 0)
        try equal(try await store.extras(), StoreExtras())
    }

    func documentNamesAreSafe() async throws {
        for name in ["", "../CONFIG", "a/../../b", "/etc/x", ".hidden", "a//b", "a/", "a b", "é", "a\0b", "a/b/c/d/e"] {
            try await fails(.usage) { try await store.replaceDocument(name, with: [1]) }
            try await fails(.usage) { try await store.createDocument(name, with: [1]) }
            try await fails(.usage) { _ = try await store.document(name, byteCountMax: 10) }
            try await fails(.usage) { try await store.quarantineDocument(name) }
        }
    }

    /// `lock`: `.tryAgain` naming the holder, until it is released or dropped; where it only informs, it never blocks.
    func lockExcludesOthers() async throws {
        guard store.capabilities.locking == .exclusive else { return }
        let lock = try await store.lock(holder: "the first")
        guard store.capabilities.locking == .exclusive else {
            let second = try await place.open().lock(holder: "the second")
            await lock.release()
            return await second.release()
        }
        for other in [store, place.open()] {
            let failure = try await fails(.tryAgain) { _ = try await other.lock(holder: "the second") }
            try expect(failure.reason.contains("the first"), "the holder is not named: \(failure)")
        }
        await lock.release()
        do {
            let dropped = try await place.open().lock(holder: "the third")
            try await fails(.tryAgain) { _ = try await store.lock(holder: "the fourth") }
            withExtendedLifetime(dropped) {}
        }
        let last = try await store.lock(holder: "the fifth")
        await last.release()
    }

    /// `release`: calling it twice does nothing, also when somebody else holds the place by then.
    func lockOfThePastFreesNothing() async throws {
        guard store.capabilities.locking == .exclusive else { return }
        let first = try await store.lock(holder: "the first")
        await first.release()
        let second = try await place.open().lock(holder: "the second")
        await first.release()
        guard store.capabilities.locking == .exclusive else { return await second.release() }
        try await fails(.tryAgain) { _ = try await store.lock(holder: "the third") }
        await second.release()
    }
}
