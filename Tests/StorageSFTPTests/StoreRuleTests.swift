import Storage
import StorageSFTP
import StorageTesting
import Testing

extension Trait where Self == ConditionTrait {
    /// Skipped, with the reason, where no OpenSSH server can be started.
    static var withOpenSSH: Self { .enabled(if: TestServer.missing == nil, Comment(rawValue: TestServer.missing ?? "")) }
}

extension Trait where Self == ConditionTrait {
    /// Skipped, with the reason, where rclone's server cannot be started.
    static var withRclone: Self {
        .enabled(if: TestServer.rcloneMissing == nil, Comment(rawValue: TestServer.rcloneMissing ?? ""))
    }
}

/// The storage contract, promise by promise, on servers of all kinds.
@Suite struct StoreRuleTests {
    /// Through ssh, a chroot and `internal-sftp`.
    @Test(.withOpenSSH, arguments: StoreRule.allCases)
    func openSSH(_ rule: StoreRule) async throws {
        let server = try #require(TestServer.shared)
        try await rule.check(at: ServedPlace(server))
    }

    @Test(.withServer, arguments: StoreRule.allCases)
    func plainServer(_ rule: StoreRule) async throws {
        let place = try LocalServer()
        try await rule.check(at: place)
    }

    @Test(.withServer) func plainServerPromisesMost() async throws {
        let store = try LocalServer().sftp()
        try await store.prepare()
        #expect(store.capabilities.publication == .atomic)
        #expect(store.capabilities.durability == .fileSync)
        #expect(store.capabilities.exchange == .linkThenReplace)
        #expect(store.capabilities.locking == .none)
    }

    /// No extensions at all, and a rename that refuses: what the draft alone promises.
    @Test(.withServer, arguments: StoreRule.allCases)
    func serverWithoutExtensions(_ rule: StoreRule) async throws {
        let hidden = Self.extensions.map { "hide:\($0)" }
        let place = try LocalServer(hidden)
        try await rule.check(at: place)
        let store = place.sftp()
        try await store.prepare()
        #expect(store.capabilities.publication == .atomic)
        #expect(store.capabilities.durability == .unproven)
        #expect(store.capabilities.exchange == .moveThenRename)
    }

    /// As rclone's server: the rename replaces, EXCL is ignored, files have one name, nothing is synced.
    @Test(.withServer, arguments: StoreRule.allCases)
    func serverWhoseRenameReplaces(_ rule: StoreRule) async throws {
        let hidden = ["posix-rename@openssh.com", "hardlink@openssh.com", "fsync@openssh.com"].map { "hide:\($0)" }
        let place = try LocalServer(hidden + ["overwrite", "exclusive"])
        try await rule.check(at: place)
        let store = place.sftp()
        try await store.prepare()
        #expect(store.capabilities.publication == .checkThenRename)
        #expect(store.capabilities.exchange == .copyThenReplace)
    }

    /// The rename replaces, but second names can be given.
    @Test(.withServer, arguments: StoreRule.allCases)
    func serverWithLinksWhoseRenameReplaces(_ rule: StoreRule) async throws {
        let place = try LocalServer(["overwrite"])
        try await rule.check(at: place)
        let store = place.sftp()
        try await store.prepare()
        #expect(store.capabilities.publication == .linkThenUnlink)
        #expect(store.capabilities.exchange == .linkThenReplace)
    }

    private static let extensions = [
        "posix-rename@openssh.com", "statvfs@openssh.com", "fstatvfs@openssh.com", "hardlink@openssh.com", "fsync@openssh.com",
        "lsetstat@openssh.com", "limits@openssh.com", "expand-path@openssh.com", "copy-data",
    ]
}

/// rclone's server, which differs in most of what the draft leaves open. It lists each folder anew for each request, as it has to where
/// others write too, so making a store's 512 buckets takes it a second: the rules about publishing and replacing, one by one. Those about
/// uploads that go on are not among them: it does not show what was written and closed a moment ago, so they begin anew.
@Suite(.serialized, .withRclone) struct RcloneTests {
    @Test(arguments: [
        StoreRule.neverReplaces, .publishesOnlyStaged, .publishesConfig, .exchangeKeepsTheOriginal, .documentsAreCreatedOnce,
        .documentsAreReplacedWhole, .uploadsEndOnce, .readsWholePrefix, .stagingReplacesStaged, .discardsLeftovers,
    ])
    func rclone(_ rule: StoreRule) async throws {
        let server = try #require(TestServer.rclone)
        try await rule.check(at: ServedPlace(server))
    }

    @Test func wholeRun() async throws {
        let server = try #require(TestServer.rclone)
        let store = try ServedPlace(server).sftp()
        try await Scenario.run(store)
        #expect(store.capabilities.durability == .unproven)
    }
}
