internal import Glibc
public import Kloset
internal import Storage
internal import Synchronization

extension LocalStore {
    public func makeDurable() async throws {
        try await run("cannot make durable", writing: true) { [self] in
            try syncing.withLock { all in
                try refuseAfterFailure()
                let root = try checkRoot()
                let batch = state.withLock { $0.unsynced.take() }
                try attempt(batch) {
                    switch try probedCapabilities().durability {
                    case .fileSystemSync, .unproven, .acknowledged: try files.syncFileSystem(root.descriptor)
                    case .fileSync where !all: try syncEverything(root)
                    case .fileSync: try syncTouched(batch, root)
                    }
                }
                all = true
            }
        }
    }

    public func makeDurable(namesOf keys: [ResourceKey]) async throws {
        guard !keys.isEmpty else { return }
        try await run("cannot make durable", writing: true) { [self] in
            try syncing.withLock { _ in
                try refuseAfterFailure()
                let root = try checkRoot()
                let folders = Set(keys.map(\.folderNumber))
                let batch = state.withLock { $0.unsynced.take(folders: folders) }
                try attempt(batch) {
                    let single = try probedCapabilities().durability == .fileSync || folders.count <= Self.folderSyncCountMax
                    if single { try syncTouched(batch, root) } else { try files.syncFileSystem(root.descriptor) }
                }
            }
        }
    }

    /// With more folders than this, one sync of the file system is cheaper than a journal commit for each.
    private static let folderSyncCountMax = 8

    private func refuseAfterFailure() throws {
        if let failure = state.withLock({ $0.unsynced.standing }) { throw failure }
    }

    /// Runs a sync; if it fails, everything that was unsynced is lost.
    private func attempt(_ batch: UnsyncedWork.Batch, _ sync: () throws -> Void) throws {
        do { try sync() } catch {
            var failure =
                (error as? SystemError).map { self.failure($0, "cannot make durable", writing: true) }
                ?? self.failure(.readWrite, "cannot make durable", nil, "\(error)")
            failure.retryable = false  // a second try could succeed over lost bytes
            state.withLock { $0.unsynced.didFail(batch, failure) }
            throw failure
        }
    }

    /// Files by themselves, then the folders that name them.
    private func syncTouched(_ batch: UnsyncedWork.Batch, _ root: OpenFolder) throws {
        let paths = PathBuffer()
        if !batch.staged.isEmpty {
            let uploads = try uploads()
            for key in batch.staged {
                let isStaged = try syncFileIfPresent(paths.stagedName(of: key), in: uploads)
                if !isStaged { try syncFileIfPresent(paths.path(of: key), in: root) }  // published since
            }
            try files.syncFolder(uploads.descriptor)
        }
        for number in batch.folders.sorted() {
            let kind = ResourceKind(rawValue: UInt8(truncatingIfNeeded: number >> 8))
            let folder = try kind.map { try root.folder(Layout.bucketPath($0, UInt8(truncatingIfNeeded: number))) } ?? root
            try files.syncFolder(folder.descriptor)
        }
    }

    /// Every file and folder of the replica, for earlier runs or other tools may have left them unsynced.
    private func syncEverything(_ root: OpenFolder) throws {
        for path in Layout.ownFolders { try syncFiles(in: path) }
        for kind in [ResourceKind.packfile, .state] {
            for bucket in UInt8.min...UInt8.max { try syncFiles(in: Layout.bucketPath(kind, bucket)) }
            try folderIfPresent(kind.folder).map { try files.syncFolder($0.descriptor) }
        }
        try syncFileIfPresent("CONFIG", in: root)
        try files.syncFolder(root.descriptor)
    }

    private func syncFiles(in path: String) throws {
        guard let folder = try folderIfPresent(path) else { return }
        var failure: SystemError?
        try files.list(folder.descriptor) { name, type in
            guard type == .regular || type == .unknown else { return true }
            do throws(SystemError) {
                try syncFileIfPresent(name.map { CChar(bitPattern: $0) } + [0], in: folder)
            } catch { failure = error }
            return failure == nil
        }
        if let failure { throw failure }
        try files.syncFolder(folder.descriptor)
    }

    /// Syncs one file; false when it is gone meanwhile, or no regular file.
    @discardableResult
    private func syncFileIfPresent(_ path: UnsafePointer<CChar>, in folder: OpenFolder) throws(SystemError) -> Bool {
        do throws(SystemError) {
            try syncFile(path, in: folder)
            return true
        } catch  where [ENOENT, ELOOP, ENXIO, ENODEV].contains(error.code) {
            return false
        }
    }

    func syncFile(_ path: UnsafePointer<CChar>, in folder: OpenFolder) throws(SystemError) {
        let file = try files.open(beneath: folder.descriptor, path, .read)
        defer { files.close(file) }
        try files.sync(file)
    }
}
