import Glibc
import Kloset
import Storage
import StorageLocal
import StorageTesting
import Testing

/// Stores that were made to lead out, to block, or to exhaust.
@Suite struct HostileStoreTests {
    private let folder: TestFolder
    private let store: LocalStore
    private let key = ResourceKey(.packfile, ResourceID(hex: String(repeating: "ab", count: 32)) ?? .zero)

    init() throws {
        folder = try TestFolder()
        store = LocalStore(path: folder.path("store"), pool: pool)
        try folder.put("outside/secret", [1, 2, 3])
        try folder.putFolder("store")
    }

    private func failure(_ body: () async throws -> Void) async -> Failure? {
        do { try await body() } catch { return error as? Failure }
        return nil
    }

    private func small(_ key: ResourceKey, _ bytes: [UInt8] = [9, 9, 9]) -> SmallResource {
        let piece = Piece()
        piece.memory.copyBytes(from: bytes)
        return SmallResource(key: key, piece: piece, range: 0..<bytes.count, modified: Timestamp(seconds: 1))
    }

    @Test func aLinkInPlaceOfPackfilesIsNotFollowed() async throws {
        try folder.put("outside/packs/ab/\(key.id.hex)", [1, 2, 3])
        try folder.putLink("store/packfiles", to: "../outside/packs")
        #expect(await failure { _ = try await store.list(.packfile, bucket: 0xab) }?.kind == .damage)
        #expect(await failure { _ = try await store.attributes(of: [key]) }?.kind == .damage)
        #expect(
            await failure { _ = try await store.read(key, from: .published, at: 0, count: 3, into: Piece()) }?.kind == .damage)
        #expect(await failure { try await store.prepare() }?.kind == .cannotWrite)
        #expect(try await store.extras().foreign == 1)
        #expect(folder.names(in: "outside/packs") == ["ab"])
    }

    @Test func aLinkInPlaceOfABucketIsNotFollowed() async throws {
        try await store.prepare()
        _ = try await store.stage([small(key)])
        #expect(rmdir(folder.path("store/packfiles/ab")) == 0)
        try folder.putFolder("outside/bucket")
        try folder.putLink("store/packfiles/ab", to: "../../outside/bucket")
        #expect(await failure { _ = try await store.list(.packfile, bucket: 0xab) }?.kind == .damage)
        guard case .failed(let failure) = try await store.publish([key])[0] else {
            Issue.record("published through a link")
            return
        }
        #expect(failure.kind == .cannotWrite)
        #expect(await self.failure { try await store.exchange(key) }?.kind == .cannotWrite)
        #expect(await self.failure { try await store.prepare() }?.kind == .cannotWrite)
        #expect(folder.names(in: "outside/bucket") == [])
    }

    @Test(arguments: [".sealift", ".sealift/uploads", ".sealift/quarantine", ".sealift/ledger"])
    func aLinkInPlaceOfOurOwnFoldersIsNotFollowed(_ name: String) async throws {
        if name != ".sealift" { try folder.putFolder("store/.sealift") }
        try folder.putFolder("outside/ours/uploads")
        try folder.put("outside/ours/replica", [7])
        try folder.put("outside/ours/uploads/packfile-\(key.id.hex)", [7])
        try folder.putLink("store/\(name)", to: folder.path("outside/ours"))
        let before = folder.files(below: "outside")
        #expect(await failure { _ = try await store.lock(holder: "me") }?.kind == .cannotWrite)
        #expect(await failure { try await store.prepare() }?.kind == .cannotWrite)
        if name == ".sealift" {
            #expect(await failure { _ = try await store.document("replica", byteCountMax: 10) }?.kind == .damage)
            #expect(await failure { try await store.replaceDocument("replica", with: [1]) }?.kind == .cannotWrite)
            #expect(await failure { _ = try await store.stage([small(key)]) }?.kind == .cannotWrite)
            #expect(await failure { try await store.discardStaged { _ in false } }?.kind == .cannotWrite)
        }
        if name == ".sealift/ledger" {
            #expect(await failure { try await store.createDocument("ledger/1", with: [1]) }?.kind == .cannotWrite)
        }
        #expect(folder.files(below: "outside") == before)
        #expect(folder.names(in: "outside/ours") == ["replica", "uploads"])
    }

    @Test func aLinkOrPipeInPlaceOfOurFilesIsNotWrittenThrough() async throws {
        try folder.putFolder("store/.sealift/uploads")
        try folder.putLink("store/.sealift/lock", to: "../../outside/secret")
        #expect(await failure { _ = try await store.lock(holder: "me") }?.kind == .cannotWrite)
        try folder.remove("store/.sealift/lock")
        #expect(link(folder.path("outside/secret"), folder.path("store/.sealift/lock")) == 0)
        #expect(await failure { _ = try await store.lock(holder: "me") }?.kind == .cannotWrite)
        try folder.remove("store/.sealift/lock")
        try folder.putPipe("store/.sealift/lock")
        #expect(await failure { _ = try await store.lock(holder: "me") }?.kind == .cannotWrite)
        try folder.putLink("store/.sealift/replica", to: "../../outside/secret")
        #expect(await failure { _ = try await store.document("replica", byteCountMax: 10) }?.kind == .damage)
        try await store.replaceDocument("replica", with: [4])
        #expect(try await store.document("replica", byteCountMax: 10) == [4])
        #expect(folder.contents(of: "outside/secret") == [1, 2, 3])
    }

    @Test(arguments: ["link", "second name", "pipe"])
    func whatIsPlantedUnderAStagedNameIsReplaced(_ what: String) async throws {
        try await store.prepare()
        let staged = "store/.sealift/uploads/packfile-\(key.id.hex)"
        func plant() throws {
            switch what {
            case "link": try folder.putLink(staged, to: folder.path("outside/secret"))
            case "pipe": try folder.putPipe(staged)
            default: #expect(link(folder.path("outside/secret"), folder.path(staged)) == 0)
            }
        }
        try plant()
        #expect(try await store.stage([small(key)]) == [nil])
        #expect(folder.contents(of: staged) == [9, 9, 9])
        try folder.remove(staged)
        try plant()
        let upload = try await store.upload(key, size: 3, modified: Timestamp(seconds: 1))
        #expect(try await upload.heldChunks().isEmpty)
        try await upload.write(chunk: 0, from: small(key).piece, count: 3)
        try await upload.finish()
        #expect(folder.contents(of: staged) == [9, 9, 9])
        #expect(folder.contents(of: "outside/secret") == [1, 2, 3])
    }

    @Test(arguments: ["link", "pipe", "folder", "device", "socket"])
    func configOfAnotherKindIsDamage(_ what: String) async throws {
        switch what {
        case "link": try folder.putLink("store/CONFIG", to: "../outside/secret")
        case "pipe": try folder.putPipe("store/CONFIG")
        case "folder": try folder.putFolder("store/CONFIG")
        case "socket":
            // mknod makes a socket's name without a socket behind it.
            try #require(mknod(folder.path("store/CONFIG"), S_IFSOCK | 0o600, 0) == 0)
        default:
            // 1:5 is /dev/zero. Only root may make one.
            guard mknod(folder.path("store/CONFIG"), S_IFCHR | 0o600, 1 << 8 | 5) == 0 else { return }
        }
        #expect(try await store.list(.config, bucket: 0).irregular == [.zero])
        guard case .irregular = try await store.attributes(of: [.config])[0] else {
            Issue.record("CONFIG looks regular")
            return
        }
        #expect(
            await failure { _ = try await store.read(.config, from: .published, at: 0, count: 10, into: Piece()) }?.kind
                == .damage)
        guard case .failed(let failure) = try await store.readWhole([.config], from: .published, into: Piece())[0] else {
            Issue.record("CONFIG was read")
            return
        }
        #expect(failure.kind == .damage)
    }

    @Test func theLocationItselfMayBeReachedThroughLinks() async throws {
        try await store.prepare()
        try folder.putLink("other", to: "store")
        let other = LocalStore(path: folder.path("other"), pool: pool)
        #expect(try await other.footprint().relation(to: store.footprint()) == .same)
        let inner = LocalStore(path: folder.path("other/locks/new/deep"), pool: pool)
        #expect(try await inner.footprint().relation(to: store.footprint()) == .inside)
        #expect(try await store.footprint().relation(to: inner.footprint()) == .around)
        let apart = LocalStore(path: folder.path("storeroom"), pool: pool)
        #expect(try await apart.footprint().relation(to: store.footprint()) == .apart)
        #expect(
            try await LocalStore(path: folder.path("storeroom/"), pool: pool).footprint().relation(to: apart.footprint()) == .same
        )
    }

    /// What a moved store keeps, and a copy of it does not have.
    @Test func theAnchorStaysWithTheFolder() async throws {
        try await store.prepare()
        let anchor = try await store.footprint().anchor
        try folder.putLink("alias", to: "store")
        func anchored(_ path: String) async throws -> String? {
            try await LocalStore(path: folder.path(path), pool: pool).footprint().anchor
        }
        #expect(try await anchored("alias") == anchor)
        #expect(try await anchored("store/locks") != anchor || anchor == nil)
        try #require(rename(folder.path("store"), folder.path("moved")) == 0)
        #expect(try await anchored("moved") == anchor)
        #expect(try await anchored("store") == nil, "nothing is there")
        try folder.putFolder("store")
        #expect(try await anchored("store") != anchor || anchor == nil)
        // A number that is used again is another folder, where the file system counts generations (ext4, XFS, Btrfs).
        var seen: Set<String> = []
        for _ in 0..<8 {
            try #require(rmdir(folder.path("store")) == 0)
            try folder.putFolder("store")
            guard let anchor = try await anchored("store"), !anchor.hasSuffix(":0") else { break }
            #expect(seen.insert(anchor).inserted)
        }
    }

    @Test func aFileInTheWayIsNoStore() async throws {
        try folder.put("file", [1])
        for path in ["file", "file/store"] {
            let store = LocalStore(path: folder.path(path), pool: pool)
            #expect(await failure { _ = try await store.presence() }?.kind == .cannotWrite)
            #expect(await failure { try await store.prepare() }?.kind == .cannotWrite)
        }
        try folder.putLink("dangling", to: "nowhere")
        let dangling = LocalStore(path: folder.path("dangling"), pool: pool)
        #expect(try await dangling.presence() == .absent)
        #expect(await failure { try await dangling.prepare() }?.kind == .cannotWrite)
        try folder.putLink("circle", to: "circle")
        #expect(await failure { _ = try await LocalStore(path: folder.path("circle"), pool: pool).presence() }?.kind == .usage)
        #expect(await failure { _ = try await LocalStore(path: "", pool: pool).presence() }?.kind == .usage)
    }

    @Test func foldersAreMadeWithTheirParentsForTheOwnerAlone() async throws {
        let deep = LocalStore(path: folder.path("a/b/c"), pool: pool)
        #expect(await failure { _ = try await deep.list(.state, bucket: 0) }?.kind == .noStore)
        try await deep.prepare()
        for path in ["a", "a/b", "a/b/c", "a/b/c/packfiles", "a/b/c/packfiles/ff", "a/b/c/locks", "a/b/c/.sealift/uploads"] {
            var status = stat()
            #expect(stat(folder.path(path), &status) == 0)
            #expect(status.st_mode == S_IFDIR | 0o700, "\(path)")
        }
        #expect(folder.names(in: "a/b/c/packfiles").count == 256 && folder.names(in: "a/b/c/states").count == 256)
        try await deep.replaceDocument("replica", with: [1])
        _ = try await deep.stage([small(key)])
        for path in [".sealift/replica", ".sealift/uploads/packfile-\(key.id.hex)"] {
            var status = stat()
            #expect(stat(folder.path("a/b/c/\(path)"), &status) == 0 && status.st_mode == S_IFREG | 0o600, "\(path)")
        }
    }

    /// Gives up to `count` names of one bucket, in descending order, until it is told to stop; returns how many it gave.
    private static func fabricate(_ count: Int, _ body: (UnsafeRawBufferPointer, FileType) -> Bool) -> Int {
        let digits = Array("fedcba9876543210".utf8)
        let name = UnsafeMutableRawBufferPointer.allocate(byteCount: 64, alignment: 1)
        defer { name.deallocate() }
        name.copyBytes(from: Array(("ab" + String(repeating: "0", count: 62)).utf8))
        for number in 0..<count {
            for digit in 0..<5 { name[63 - digit] = digits[number >> (4 * digit) & 15] }
            name[58] = digits[number >> 20 & 15]
            if !body(UnsafeRawBufferPointer(name), .regular) { return number + 1 }
        }
        return count
    }

    @Test func tooManyNamesAreAnErrorWithBoundedMemory() async throws {
        try folder.putFolder("store/packfiles/ab")
        let given = Counter()
        // Ten times as many as there may be: whoever reads on after the limit is caught by the count.
        let files = InterceptedFiles(
            LinuxFiles(),
            fabrication: { body in
                let count = Self.fabricate(10 * StoreLimits.namesPerBucketMax, body)
                for _ in 0..<count / 1000 { _ = given.next() }
            })
        let store = LocalStore(path: folder.path("store"), files: files, pool: pool)
        let failure = await failure { _ = try await store.list(.packfile, bucket: 0xab) }
        #expect(failure?.kind == .readWrite)
        #expect(given.count == StoreLimits.namesPerBucketMax / 1000)
    }

    @Test func asManyNamesAsAllowedAreListed() async throws {
        try folder.putFolder("store/packfiles/ab")
        let files = InterceptedFiles(
            LinuxFiles(), fabrication: { body in _ = Self.fabricate(StoreLimits.namesPerBucketMax, body) })
        let store = LocalStore(path: folder.path("store"), files: files, pool: pool)
        let listing = try await store.list(.packfile, bucket: 0xab)
        #expect(listing.ids.count == StoreLimits.namesPerBucketMax)
        let isAscending = zip(listing.ids, listing.ids.dropFirst()).allSatisfy { $0 < $1 }
        #expect(isAscending)
    }

    @Test func typesThatTheFileSystemDoesNotSayAreAsked() async throws {
        let other = ResourceKey(.packfile, ResourceID(hex: "ab" + String(repeating: "cd", count: 31)) ?? .zero)
        try folder.put("store/\(key.path)", [1])
        try folder.putPipe("store/\(other.path)")
        let names = [key.id.hex, other.id.hex]
        let files = InterceptedFiles(
            LinuxFiles(),
            fabrication: { body in
                for name in names { _ = Array(name.utf8).withUnsafeBytes { body($0, .unknown) } }
            })
        let listing = try await LocalStore(path: folder.path("store"), files: files, pool: pool).list(.packfile, bucket: 0xab)
        #expect(listing.ids == [key.id, other.id] && listing.irregular == [other.id])
    }

    @Test func aFileThatShrinksWhileItIsReadIsAnError() async throws {
        try folder.put("store/\(key.path)", [UInt8](repeating: 1, count: 5000))
        let path = folder.path("store/\(key.path)")
        let files = InterceptedFiles(
            LinuxFiles(),
            before: { (call, _) throws(SystemError) in
                if call == .read { truncate(path, 10) }
            })
        let store = LocalStore(path: folder.path("store"), files: files, pool: pool)
        guard case .failed(let failure) = try await store.readWhole([key], from: .published, into: Piece())[0] else {
            Issue.record("half a file was taken for a whole one")
            return
        }
        #expect(failure.kind == .readWrite)
    }

    @Test func aFileThatGrowsWhileItIsReadDoesNotOverflow() async throws {
        try folder.put("store/\(key.path)", [1, 2, 3])
        let path = folder.path("store/\(key.path)")
        let files = InterceptedFiles(
            LinuxFiles(),
            before: { (call, _) throws(SystemError) in
                if call == .read { truncate(path, 10 << 20) }
            })
        let store = LocalStore(path: folder.path("store"), files: files, pool: pool)
        guard case .bytes(0..<3, _) = try await store.readWhole([key], from: .published, into: Piece())[0] else {
            Issue.record("not three bytes")
            return
        }
    }

    @Test func namesOfOthersAreSafeOnATerminal() async throws {
        try folder.put("store/\u{1B}]0;evil\u{07}\u{202E}x", [1])
        guard case .occupied(let names) = try await store.presence() else {
            Issue.record("not occupied")
            return
        }
        #expect(names.allSatisfy { name in name.unicodeScalars.allSatisfy { $0.value >= 32 && $0 != "\u{202E}" } })
    }

    @Test func aSwappedFolderStopsTheRun() async throws {
        try await store.prepare()
        #expect(try await store.stage([small(key)]) == [nil])
        #expect(rename(folder.path("store"), folder.path("gone")) == 0)
        #expect(await failure { _ = try await store.publish([key]) }?.kind == .unavailable)
        try folder.putFolder("store/packfiles/ab")
        #expect(await failure { _ = try await store.publish([key]) }?.kind == .unavailable)
        #expect(await failure { try await store.makeDurable() }?.kind == .unavailable)
        #expect(await failure { try await store.exchange(key) }?.kind == .unavailable)
        #expect(await failure { try await store.replaceDocument("replica", with: [1]) }?.kind == .unavailable)
        #expect(folder.names(in: "store/packfiles/ab") == [] && folder.names(in: "gone/packfiles/ab") == [])
    }
}
