import Glibc
import Storage
import StorageLocal
import StorageTesting
import Testing

/// The storage contract, promise by promise, on every kind of place that is at hand.
@Suite struct StoreRuleTests {
    @Test(arguments: StoreRule.allCases)
    func folder(_ rule: StoreRule) async throws {
        try await rule.check(at: FolderPlace())
    }

    @Test(arguments: StoreRule.allCases)
    func folderWithoutRenameFlags(_ rule: StoreRule) async throws {
        let place = try FolderPlace(InterceptedFiles.refusing([.renameRefuse, .renameExchange], EINVAL, LinuxFiles()))
        try await rule.check(at: place)
        try await place.local().prepare()
        let store = place.local()
        try await store.prepare()
        #expect(store.capabilities.publication == .linkThenUnlink)
        #expect(store.capabilities.exchange == .linkThenReplace)
    }

    @Test(arguments: StoreRule.allCases)
    func folderWithoutLinks(_ rule: StoreRule) async throws {
        let place = try FolderPlace(InterceptedFiles.refusing([.renameRefuse, .renameExchange, .link], EPERM, LinuxFiles()))
        try await rule.check(at: place)
        let store = place.local()
        try await store.prepare()
        #expect(store.capabilities.publication == .checkThenRename)
        #expect(store.capabilities.exchange == .copyThenReplace)
    }

    /// A kernel before 5.8: fsync for each file and folder.
    @Test(arguments: StoreRule.allCases)
    func folderOnAnOldKernel(_ rule: StoreRule) async throws {
        let files = InterceptedFiles(LinuxFiles(), fileSystemSyncReportsErrors: false)
        try await rule.check(at: FolderPlace(files))
        #expect(files.count(.syncFileSystem) == 0)
    }

    @Test(arguments: StoreRule.allCases)
    func simulatedDisk(_ rule: StoreRule) async throws {
        let place = DiskPlace()
        try await rule.check(at: place)
    }

    @Test(arguments: StoreRule.allCases)
    func simulatedNetworkFileSystem(_ rule: StoreRule) async throws {
        var traits = SimulatedDisk.Traits()
        traits.type = 0x6969  // NFS
        traits.hasRenameFlags = false
        try await rule.check(at: DiskPlace(traits))
    }

    @Test(arguments: StoreRule.allCases)
    func memory(_ rule: StoreRule) async throws {
        try await rule.check(at: MemoryPlace())
    }
}
