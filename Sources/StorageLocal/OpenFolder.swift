internal import Glibc
internal import Kloset

/// A folder that stays open for as long as somebody holds this.
final class OpenFolder: Sendable {
    let descriptor: Int32
    let files: any FileOperations
    /// Device and inode.
    let identity: Identity

    struct Identity: Sendable, Equatable {
        var device: UInt64
        var inode: UInt64

        /// The step of a footprint.
        var text: String { "\(device):\(inode)" }
    }

    /// Takes over `descriptor`, also when this throws.
    init(_ descriptor: Int32, _ files: any FileOperations) throws(SystemError) {
        self.descriptor = descriptor
        self.files = files
        do throws(SystemError) {
            let status = try files.status(of: descriptor)
            identity = Identity(device: status.device, inode: status.inode)
        } catch {
            files.close(descriptor)
            throw error
        }
    }

    deinit {
        files.close(descriptor)
    }

    /// A folder below this one.
    func folder(_ path: String) throws(SystemError) -> OpenFolder {
        try OpenFolder(files.open(beneath: descriptor, path, .folder), files)
    }

    /// A folder below this one; nil when nothing has its name.
    func folderIfPresent(_ path: String) throws(SystemError) -> OpenFolder? {
        do throws(SystemError) {
            return try folder(path)
        } catch  where error.code == ENOENT {
            return nil
        }
    }

    /// What has a name in this folder; nil when nothing has.
    func statusIfPresent(_ name: UnsafePointer<CChar>) throws(SystemError) -> FileStatus? {
        do throws(SystemError) {
            return try files.status(in: descriptor, name)
        } catch  where error.code == ENOENT {
            return nil
        }
    }

    /// A folder below this one, made with all that is missing above it; what was made is durable, as names go.
    func folder(making path: String) throws(SystemError) -> OpenFolder {
        do throws(SystemError) {
            return try folder(path)
        } catch  where error.code == ENOENT {
            var parent = self
            for part in path.split(separator: "/") { parent = try parent.child(making: String(part)) }
            return parent
        }
    }

    private func child(making name: String) throws(SystemError) -> OpenFolder {
        do throws(SystemError) {
            return try folder(name)
        } catch  where error.code == ENOENT {
            do throws(SystemError) {
                try files.makeFolder(in: descriptor, name)
                try files.syncFolder(descriptor)
            } catch  where error.code == EEXIST {
                // Another one was faster; opening it says whether it is a folder.
            }
            return try folder(name)
        }
    }
}

extension FileOperations {
    /// Makes a folder; no error when the name is taken, for another one may have been faster. Opening it tells what it is.
    func makeLocationIfAbsent(_ path: Path) throws(SystemError) {
        do throws(SystemError) { try makeLocation(path) } catch  where error.code == EEXIST {}
    }

    /// fsync of a folder. EINVAL means that the file system has nothing to sync there (fsync(2); some network file systems).
    func syncFolder(_ folder: Descriptor) throws(SystemError) {
        do throws(SystemError) { try sync(folder) } catch  where error.code == EINVAL {}
    }
}
