internal import Glibc
internal import Kloset
internal import Storage

/// Gives names that are free, by the best means that the place has. Used by one thread.
struct Names: ~Copyable {
    let files: any FileOperations
    let capabilities: StoreCapabilities
    /// Two paths are needed at a time: where from and where to.
    let old = PathBuffer()
    let new = PathBuffer()

    init(_ files: any FileOperations, _ capabilities: StoreCapabilities) {
        self.files = files
        self.capabilities = capabilities
    }

    /// Moves a file to a name that nothing has.
    ///
    /// - Returns: false when the name is taken; then nothing changed.
    func give(
        _ name: UnsafePointer<CChar>, in folder: OpenFolder, to oldName: UnsafePointer<CChar>, in oldFolder: OpenFolder
    ) throws(SystemError) -> Bool {
        do throws(SystemError) {
            switch capabilities.publication {
            case .atomic:
                try files.rename(oldName, in: oldFolder.descriptor, to: name, in: folder.descriptor, .refuse)
            case .linkThenUnlink:
                try files.link(oldName, in: oldFolder.descriptor, to: name, in: folder.descriptor)
                // Two changes: if the second reached the medium without the first, the bytes would have no name at all.
                try files.syncFolder(folder.descriptor)
                // If the old name stays, the next run removes it.
                try? files.unlink(in: oldFolder.descriptor, oldName)
            // The others belong to servers; no probe of a folder finds them.
            case .checkThenRename, .conditional, .untried, .checkThenWrite:
                return try move(oldName, in: oldFolder, to: name, in: folder)
            }
            return true
        } catch  where error.code == EEXIST {
            return false
        }
    }

    /// Moves whatever has a name to one that nothing had a moment ago; false when it is taken.
    func move(
        _ oldName: UnsafePointer<CChar>, in oldFolder: OpenFolder, to name: UnsafePointer<CChar>, in folder: OpenFolder
    ) throws(SystemError) -> Bool {
        // What is not there is an error before a taken name is one, as in rename(2).
        _ = try files.status(in: oldFolder.descriptor, oldName)
        guard try folder.statusIfPresent(name) == nil else { return false }
        try files.rename(oldName, in: oldFolder.descriptor, to: name, in: folder.descriptor, .replace)
        return true
    }

    /// Tries the names of a key's damaged originals until `take` gets one; its number.
    borrowing func numbered(
        _ key: ResourceKey, _ take: (UnsafePointer<CChar>) throws(SystemError) -> Bool
    ) throws(SystemError) -> Int {
        // A resource that was damaged and repaired ten thousand times has another problem.
        for number in 0..<10_000 where try take(new.quarantineName(of: key, number)) { return number }
        throw SystemError("quarantine", EEXIST, path: Layout.quarantine)
    }
}
