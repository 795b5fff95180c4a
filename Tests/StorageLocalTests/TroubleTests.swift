import Glibc
import Kloset
import Storage
import StorageLocal
import StorageTesting
import Testing

/// What goes wrong on honest machines: full disks, missing rights, calls that fail.
@Suite struct TroubleTests {
    private static let isRoot = getuid() == 0

    private func key(_ number: Int) -> ResourceKey {
        var random = SeededRandom(seed: UInt64(number))
        return ResourceKey(.packfile, random.bytes(32).withUnsafeBytes { ResourceID(bytes: $0) })
    }

    private func small(_ key: ResourceKey, _ count: Int) -> SmallResource {
        SmallResource(key: key, piece: zeros, range: 0..<count, modified: Timestamp(seconds: 1))
    }

    private func failure(_ body: () async throws -> Void) async -> Failure? {
        do { try await body() } catch { return error as? Failure }
        return nil
    }

    @Test(.enabled(if: isRoot, "mounting a small tmpfs needs root"))
    func aFullDiskFailsWhatDoesNotFitAndNothingElse() async throws {
        let folder = try TestFolder()
        try folder.putFolder("disk")
        try #require(mount("tmpfs", folder.path("disk"), "tmpfs", 0, "size=4m") == 0)
        defer { umount2(folder.path("disk"), Int32(MNT_DETACH)) }
        let store = LocalStore(path: folder.path("disk/store"), pool: pool)
        try await store.prepare()
        #expect(store.capabilities.durability == .unproven)
        let resources = (0..<100).map { small(key($0), 100_000) }
        let outcomes = try await store.stage(resources)
        let failed = outcomes.compactMap { $0 }
        #expect(failed.count > 50 && failed.count < 100)
        #expect(failed.allSatisfy { $0.kind == .readWrite && $0.reason.contains("full") && !$0.advice.isEmpty })
        #expect(folder.names(in: "disk/store/.sealift/uploads").count == 100 - failed.count, "half-written files stay behind")
        let staged = zip(resources, outcomes).filter { $0.1 == nil }.map(\.0.key)
        try await store.makeDurable()
        #expect(try await store.publish(staged).allSatisfy { $0 == .published })
        #expect(
            await failure { try await store.replaceDocument("plan", with: [UInt8](repeating: 0, count: 1 << 20)) }?.kind
                == .readWrite)
        #expect(folder.names(in: "disk/store/.sealift/uploads").isEmpty)
        let upload = try await store.upload(key(1000), size: 2 << 20, modified: Timestamp(seconds: 1))
        #expect(
            await failure { try await upload.write(chunk: 1, from: Piece(), count: 1 << 20) }?.reason.contains("full") == true)
        let lock = try await store.lock(holder: "a full disk keeps nobody out")
        await lock.release()
    }

    @Test(.enabled(if: isRoot, "a read-only mount needs root"))
    func aReadOnlyDiskCannotBeWritten() async throws {
        let folder = try TestFolder()
        try folder.putFolder("disk")
        try #require(mount("tmpfs", folder.path("disk"), "tmpfs", UInt(MS_RDONLY), "size=4m") == 0)
        defer { umount2(folder.path("disk"), Int32(MNT_DETACH)) }
        let store = LocalStore(path: folder.path("disk/store"), pool: pool)
        #expect(try await store.presence() == .absent)
        let failure = await failure { try await store.prepare() }
        #expect(failure?.kind == .cannotWrite && failure?.reason.contains("read-only") == true)
    }

    @Test(.enabled(if: isRoot, "mounting needs root"))
    func anotherFileSystemInsideTheStoreIsRefused() async throws {
        let folder = try TestFolder()
        try folder.putFolder("store/packfiles")
        try #require(mount("tmpfs", folder.path("store/packfiles"), "tmpfs", 0, "size=4m") == 0)
        defer { umount2(folder.path("store/packfiles"), Int32(MNT_DETACH)) }
        let failure = await failure { try await LocalStore(path: folder.path("store"), pool: pool).prepare() }
        #expect(failure?.kind == .cannotWrite && failure?.reason.contains("file system") == true)
    }

    @Test(.enabled(if: isRoot, "mounting needs root"))
    func anUnmountedDiskStopsTheRun() async throws {
        let folder = try TestFolder()
        try folder.putFolder("disk")
        try #require(mount("tmpfs", folder.path("disk"), "tmpfs", 0, "size=4m") == 0)
        let store = LocalStore(path: folder.path("disk"), pool: pool)
        try await store.prepare()
        #expect(try await store.stage([small(key(1), 100)]) == [nil])
        #expect(umount2(folder.path("disk"), Int32(MNT_DETACH)) == 0)
        #expect(await failure { _ = try await store.publish([key(1)]) }?.kind == .unavailable)
        #expect(await failure { try await store.makeDurable() }?.kind == .unavailable)
        #expect(folder.names(in: "disk").isEmpty)
    }

    @Test func bindMountsDoNotHideThePlace() async throws {
        let folder = try TestFolder()
        let store = LocalStore(path: folder.path("store"), pool: pool)
        try await store.prepare()
        try folder.putFolder("bound")
        guard mount(folder.path("store"), folder.path("bound"), nil, UInt(MS_BIND), nil) == 0 else { return }  // only root may
        defer { umount2(folder.path("bound"), Int32(MNT_DETACH)) }
        let bound = LocalStore(path: folder.path("bound"), pool: pool)
        #expect(try await bound.footprint().relation(to: store.footprint()) == .same)
        let inner = LocalStore(path: folder.path("bound/locks/x"), pool: pool)
        #expect(try await inner.footprint().relation(to: store.footprint()) == .inside)
    }

    @Test(arguments: [
        (EACCES, Failure.Kind.permission), (EPERM, .permission), (EROFS, .cannotWrite), (ENOSPC, .readWrite),
        (EDQUOT, .readWrite),
        (EIO, .readWrite), (ENODEV, .unavailable), (ESTALE, .unavailable), (EMFILE, .tryAgain),
    ])
    func eachErrorHasItsKind(_ code: Int32, _ kind: Failure.Kind) async throws {
        let place = DiskPlace { InterceptedFiles.failing(.openCreate, code, skip: 2, times: .max, $0) }
        let store = place.open()
        try await store.prepare()  // makes two files to try things on
        let staged = try #require(try await store.stage([small(key(1), 10)])[0])
        #expect(staged.kind == kind)
        #expect(staged.resource == key(1) && staged.place == "/target")
        #expect(await failure { try await store.createDocument("x", with: [1]) }?.kind == kind)
    }

    @Test func readErrorsAreFailuresAndNotVanished() async throws {
        let place = DiskPlace { InterceptedFiles.failing(.read, EIO, times: .max, $0) }
        place.plant(key(1), [1, 2, 3], modified: Timestamp(seconds: 1))
        let store = place.open()
        let failure = await failure { _ = try await store.read(key(1), from: .published, at: 0, count: 3, into: Piece()) }
        #expect(failure?.kind == .readWrite && failure?.resource == key(1))
        guard case .failed(let other) = try await store.readWhole([key(1)], from: .published, into: Piece())[0] else {
            Issue.record("read in spite of the error")
            return
        }
        #expect(other.kind == .readWrite)
    }

    /// What is staged when a sync fails stays refused, however often later syncs would succeed, until it is discarded.
    @Test(arguments: [UInt64(0xEF53), 0x6969])
    func aFailedSyncIsFinal(_ type: UInt64) async throws {
        var traits = SimulatedDisk.Traits()
        traits.type = type
        let fails = Counter()
        let place = DiskPlace(traits) { disk in
            InterceptedFiles(
                disk,
                before: { (call, _) throws(SystemError) in
                    // The first sync of a file, or of the file system, after the switch was set.
                    if fails.count == 1, call == .syncFileSystem || call == .sync {
                        _ = fails.next()
                        throw SystemError("fsync", EIO)
                    }
                })
        }
        let store = place.open()
        try await store.prepare()
        #expect(try await store.stage([small(key(1), 100)]) == [nil])
        try await store.makeDurable()
        #expect(try await store.publish([key(1)]) == [.published])
        try await store.makeDurable()
        #expect(try await store.stage([small(key(2), 100), small(key(3), 100)]) == [nil, nil])
        let upload = try await store.upload(key(4), size: 10, modified: Timestamp(seconds: 1))
        try await upload.write(chunk: 0, from: Piece(), count: 10)
        _ = fails.next()
        #expect(await failure { try await store.makeDurable() }?.kind == .readWrite)
        #expect(await failure { try await store.makeDurable() }?.retryable == false)
        #expect(await failure { try await upload.finish() } != nil, "an upload under way during the failure was believed")
        for outcome in try await store.publish([key(2), key(3), key(4)]) {
            guard case .failed = outcome else {
                Issue.record("lost bytes were published")
                return
            }
        }
        #expect(await failure { try await store.exchange(key(2)) } != nil)
        try await store.discard([key(2), key(4)])
        #expect(await failure { try await store.makeDurable() } != nil)
        try await store.discard([key(3)])
        try await store.makeDurable()
        #expect(try await store.stage([small(key(2), 100)]) == [nil])
        try await store.makeDurable()
        #expect(try await store.publish([key(2)]) == [.published])
    }

    @Test func lostNamesStayLost() async throws {
        let place = DiskPlace { InterceptedFiles.failing(.syncFileSystem, EIO, skip: 1, $0) }
        let store = place.open()
        try await store.prepare()
        _ = try await store.stage([small(key(1), 100)])
        try await store.makeDurable()
        #expect(try await store.publish([key(1)]) == [.published])
        #expect(await failure { try await store.makeDurable() } != nil)
        try await store.discard([key(1)])
        #expect(await failure { try await store.makeDurable() } != nil)
        #expect(await failure { try await store.makeDurable(namesOf: [key(1)]) } != nil)
        try await place.open().makeDurable()
    }

    /// Every system call fails, at each time that it is made: the error is a Failure, nothing partial is ever published, no descriptor leaks,
    /// and the next run completes.
    @Test(arguments: FileCall.allCases)
    func eachCallFailsOnceAtEachTime(_ call: FileCall) async throws {
        // One thread: when it does the next piece of work, it has let go of the store, and so of its descriptors.
        let single = BlockingPool(threadsMax: 1)
        for type in [UInt64(0xEF53), 0x6969] {
            var traits = SimulatedDisk.Traits()
            traits.type = type
            let calm = SimulatedDisk(traits: traits)
            let counting = InterceptedFiles(calm)
            try await work(LocalStore(path: "/target", files: counting, pool: single))
            // Hundreds of folders are made alike; a few of them say as much as all.
            let all = counting.count(call)
            let times = all <= 30 ? Array(0..<all) : Array(0..<10) + Array(stride(from: 10, to: all, by: all / 20)) + [all - 1]
            for skip in times {
                let disk = SimulatedDisk(traits: traits)
                let files = InterceptedFiles.failing(call, EIO, skip: skip, disk)
                do {
                    try await work(LocalStore(path: "/target", files: files, pool: single))
                } catch let broken as RuleBroken {
                    Issue.record("\(call) at \(skip): \(broken)")
                } catch is Failure {
                } catch {
                    Issue.record("\(call) at \(skip): \(error) is no failure")
                }
                for (path, bytes) in disk.files(below: "/target") where !path.hasPrefix(".sealift/") {
                    #expect(
                        bytes == [UInt8](repeating: 0, count: 100) || bytes == large, "\(call) at \(skip): \(path) is not whole")
                }
                try await single.run {}
                #expect(disk.openCount == 0, "\(call) at \(skip): descriptors leak")
                try await work(LocalStore(path: "/target", files: disk, pool: single))
                #expect(disk.names(in: "/target/.sealift/uploads").isEmpty)
            }
        }
    }

    private var large: [UInt8] { [UInt8](repeating: 0, count: (1 << 20) + 10) }

    /// A bit of everything; can be done again over what an earlier try left.
    private func work(_ store: LocalStore) async throws {
        let lock = try await store.lock(holder: "test")
        try await store.prepare()
        try await store.discardStaged { _ in false }
        try await store.replaceDocument("replica", with: [1])
        for failure in try await store.stage([small(key(1), 100), small(.config, 100)]) {
            if let failure { throw failure }
        }
        let upload = try await store.upload(key(2), size: Int64(large.count), modified: Timestamp(seconds: 1))
        _ = try await upload.heldChunks()
        try await upload.write(chunk: 0, from: zeros, count: 1 << 20)
        try await upload.write(chunk: 1, from: zeros, count: 10)
        try await upload.finish()
        try await store.makeDurable()
        for outcome in try await store.publish([key(1), key(2), .config]) {
            if case .failed(let failure) = outcome { throw failure }
        }
        try await store.makeDurable(namesOf: [key(1), key(2), .config])
        if let failure = try await store.stage([small(key(1), 100)])[0] { throw failure }
        try await store.exchange(key(1))
        try await store.discard([key(2), .config])
        _ = try await store.list(.packfile, bucket: key(1).id.firstByte)
        _ = try await store.footprint()
        _ = try await store.extras()
        _ = try await store.attributes(of: [key(1), key(2)])
        if case .failed(let failure)? = try await store.readWhole([key(1)], from: .publishedOnMedium, into: Piece()).first {
            throw failure
        }
        await lock.release()
    }

    private var zeros: Piece {
        let piece = Piece()
        piece.memory.initializeMemory(as: UInt8.self, repeating: 0)
        return piece
    }
}
