internal import Glibc
internal import Kloset
public import Storage

extension LocalStore {
    /// Whoever may write there may read.
    public func readAccess() async throws -> ReadAccess { .allowed }

    public func prepare() async throws {
        try await run("cannot prepare the store", writing: true) { [self] in
            let root = try makeRoot()
            try makeOwnFolders(root)
            for name in Layout.storeFolders { try checkDevice(root.folder(making: name), root, name) }
            for kind in [ResourceKind.packfile, .state] { try makeBuckets(kind, root) }
            _ = try probedCapabilities()
        }
    }

    /// `.sealift/` and the folders in it.
    func makeOwnFolders(_ root: OpenFolder) throws {
        for path in Layout.ownFolders { try checkDevice(root.folder(making: path), root, path) }
    }

    private func makeBuckets(_ kind: ResourceKind, _ root: OpenFolder) throws {
        let folder = try root.folder(kind.folder)
        var made = false
        for bucket in UInt8.min...UInt8.max {
            let name = hexText([bucket])
            if let status = try folder.statusIfPresent(name) {
                guard status.type == .folder else { throw SystemError("fstatat", ENOTDIR, path: "\(kind.folder)/\(name)") }
                guard status.device == root.identity.device else { throw otherFileSystem("\(kind.folder)/\(name)") }
            } else {
                try files.makeFolder(in: folder.descriptor, name)
                made = true
            }
        }
        if made { try files.syncFolder(folder.descriptor) }
    }

    /// One sync and one rename must reach everything, so the store lies on one file system.
    private func checkDevice(_ folder: OpenFolder, _ root: OpenFolder, _ path: String) throws {
        guard folder.identity.device == root.identity.device else { throw otherFileSystem(path) }
    }

    private func otherFileSystem(_ path: String) -> SystemError { SystemError("fstat", EXDEV, path: path) }

    /// What the place promises, tried once with files of ours in `.sealift/uploads`.
    func probedCapabilities() throws -> StoreCapabilities {
        if let known = state.withLock({ $0.capabilities }) { return known }
        let uploads = try uploads()
        let type = try files.fileSystem(of: uploads.descriptor).type
        var found = StoreTraits(fileSystemType: type, syncReports: files.fileSystemSyncReportsErrors).capabilities
        let probe = try Probe(files, uploads)
        let links = try probe.tryLink()
        found.publication = try probe.tryRename() ? .atomic : links ? .linkThenUnlink : .checkThenRename
        found.exchange = try probe.tryExchange() ? .atomic : links ? .linkThenReplace : .copyThenReplace
        return state.withLock { state in
            let capabilities = state.capabilities ?? found
            state.capabilities = capabilities
            return capabilities
        }
    }
}

/// Two files of ours to try things on.
private struct Probe: ~Copyable {
    private let files: any FileOperations
    private let folder: OpenFolder
    private let names: [String]

    init(_ files: any FileOperations, _ folder: OpenFolder) throws(SystemError) {
        let stem = "probe-\(UniqueNumber.next())"
        let names = ["\(stem)-a", "\(stem)-b", "\(stem)-c"]
        for name in names.prefix(2) { files.close(try files.open(beneath: folder.descriptor, name, .create)) }
        self.files = files
        self.folder = folder
        self.names = names
    }

    deinit {
        for name in names { try? files.unlink(in: folder.descriptor, name) }
    }

    /// Whether files can have second names. Leaves things as they were.
    func tryLink() throws(SystemError) -> Bool {
        let works = try attempt { () throws(SystemError) in
            try files.link(names[0], in: folder.descriptor, to: names[2], in: folder.descriptor)
        }
        if works { try files.unlink(in: folder.descriptor, names[2]) }
        return works
    }

    /// Whether a rename that must not replace works, and does not replace. Leaves the first file under the third name.
    func tryRename() throws(SystemError) -> Bool {
        let works = try attempt { () throws(SystemError) in
            try files.rename(names[0], in: folder.descriptor, to: names[2], in: folder.descriptor, .refuse)
        }
        guard works else { return false }
        do throws(SystemError) {
            try files.rename(names[2], in: folder.descriptor, to: names[1], in: folder.descriptor, .refuse)
            return false
        } catch  where error.code == EEXIST {
            try files.rename(names[2], in: folder.descriptor, to: names[0], in: folder.descriptor, .replace)
            return true
        }
    }

    /// Whether two names can swap.
    func tryExchange() throws(SystemError) -> Bool {
        try attempt { () throws(SystemError) in
            try files.rename(names[0], in: folder.descriptor, to: names[1], in: folder.descriptor, .exchange)
        }
    }

    /// Whether a call is not refused as something that the file system does not have.
    private func attempt(_ call: () throws(SystemError) -> Void) throws(SystemError) -> Bool {
        do throws(SystemError) {
            try call()
            return true
        } catch  where [EINVAL, ENOSYS, EOPNOTSUPP, EPERM, EMLINK, EACCES].contains(error.code) {
            return false
        } catch  where error.code == ENOENT {
            return false  // an earlier attempt moved the file and could not move it back
        }
    }
}
