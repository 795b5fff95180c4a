internal import Glibc
public import Kloset
public import StorageLocal

extension SimulatedDisk {
    public func openLocation(_ path: Path) throws(SystemError) -> Descriptor {
        let path = String(cString: path)
        return try look { state in
            guard let inode = state.image.find(path) else { return .failure(SystemError("open", ENOENT, path: path)) }
            guard state.image[inode].isFolder else { return .failure(SystemError("open", ENOTDIR, path: path)) }
            return .success(state.opened(inode))
        }
    }

    public func makeLocation(_ path: Path) throws(SystemError) {
        let path = String(cString: path)
        let cut = path.lastIndex(of: "/") ?? path.startIndex
        try change("mkdir \(path)") { state -> Result<Void, SystemError> in
            guard let parent = state.image.find(path[..<cut]) else { return .failure(SystemError("mkdir", ENOENT, path: path)) }
            return state.makeFolder(in: parent, String(path[path.index(after: cut)...]))
        }
    }

    public func openParent(of folder: Descriptor) throws(SystemError) -> Descriptor {
        try look { state in
            guard let inode = state.inode(folder) else { return .failure(SystemError("openat", EBADF)) }
            return .success(state.opened(state.image[inode].parent))
        }
    }

    public func open(beneath folder: Descriptor, _ path: Path, _ mode: OpenMode) throws(SystemError) -> Descriptor {
        let path = String(cString: path)
        let creates = mode == .create || mode == .updateOrCreate
        // Only an open that makes a file changes anything.
        let exists = try look { state in .success(state.inode(folder).flatMap { state.image.find(path, from: $0) } != nil) }
        if creates, !exists { try cut.passWhole("create \(path)") }
        return try look { state in
            guard let start = state.inode(folder) else { return .failure(SystemError("openat2", EBADF)) }
            guard !path.split(separator: "/").contains("..") else { return .failure(SystemError("openat2", EXDEV, path: path)) }
            if let inode = state.image.find(path, from: start) {
                let isFolder = state.image[inode].isFolder
                if mode == .create { return .failure(SystemError("openat2", EEXIST, path: path)) }
                if mode == .folder, !isFolder { return .failure(SystemError("openat2", ENOTDIR, path: path)) }
                if isFolder, mode == .update || creates { return .failure(SystemError("openat2", EISDIR, path: path)) }
                return .success(state.opened(inode))
            }
            let slash = path.lastIndex(of: "/")
            let parent = slash.map { state.image.find(path[..<$0], from: start) } ?? start
            guard creates, let parent else { return .failure(SystemError("openat2", ENOENT, path: path)) }
            let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
            return .success(state.opened(state.image.make(isFolder: false, in: parent, name)))
        }
    }

    public func close(_ descriptor: Descriptor) {
        forget(descriptor)
    }

    public func status(of descriptor: Descriptor) throws(SystemError) -> FileStatus {
        try look { state in
            guard let inode = state.inode(descriptor) else { return .failure(SystemError("fstat", EBADF)) }
            return .success(state.image.status(inode))
        }
    }

    public func status(in folder: Descriptor, _ name: Path) throws(SystemError) -> FileStatus {
        let name = String(cString: name)
        return try look { state in
            guard let start = state.inode(folder) else { return .failure(SystemError("fstatat", EBADF)) }
            guard let inode = state.image.find(name, from: start) else {
                return .failure(SystemError("fstatat", ENOENT, path: name))
            }
            return .success(state.image.status(inode))
        }
    }

    public func read(
        _ descriptor: Descriptor, into target: UnsafeMutableRawBufferPointer, at offset: Int64
    ) throws(SystemError) -> Int {
        nonisolated(unsafe) let target = target  // used while the call lasts, under the disk's lock
        return try look { state in
            guard let inode = state.inode(descriptor) else { return .failure(SystemError("pread", EBADF)) }
            return .success(state.image.read(inode, into: target, at: offset))
        }
    }

    public func write(_ descriptor: Descriptor, _ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(SystemError) -> Int {
        let whole = try cut.pass("write \(bytes.count) at \(offset)")
        guard whole || cut.manner == .torn else { throw CutPoint.death }
        nonisolated(unsafe) let part = whole ? bytes : UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count / 2)])
        let capacity = traits.capacity
        let outcome: Result<Int, SystemError> = access { state in
            guard let inode = state.inode(descriptor) else { return .failure(SystemError("pwrite", EBADF)) }
            guard capacity == .max || state.image.usedByteCount + Int64(part.count) <= capacity else {
                return .failure(SystemError("pwrite", ENOSPC))
            }
            state.image.write(inode, part, at: offset)
            return .success(part.count)
        }
        guard whole else { throw CutPoint.death }
        return try outcome.get()
    }

    public func setSize(_ descriptor: Descriptor, _ size: Int64) throws(SystemError) {
        try change("truncate") { state -> Result<Void, SystemError> in
            guard let inode = state.inode(descriptor) else { return .failure(SystemError("ftruncate", EBADF)) }
            return .success(state.image.setSize(inode, size))
        }
    }

    public func setModified(_ descriptor: Descriptor, _ time: Timestamp) throws(SystemError) {
        try change("set time") { state -> Result<Void, SystemError> in
            guard let inode = state.inode(descriptor) else { return .failure(SystemError("futimens", EBADF)) }
            return .success(state.image.setModified(inode, time))
        }
    }

    public func makeFolder(in folder: Descriptor, _ name: Path) throws(SystemError) {
        let name = String(cString: name)
        try change("mkdir \(name)") { state -> Result<Void, SystemError> in
            guard let parent = state.inode(folder) else { return .failure(SystemError("mkdirat", EBADF)) }
            return state.makeFolder(in: parent, name)
        }
    }

    public func list(
        _ folder: Descriptor, _ body: (_ name: UnsafeRawBufferPointer, _ type: FileType) -> Bool
    ) throws(SystemError) {
        let entries: [(String, FileType)] = try look { state in
            guard let inode = state.inode(folder) else { return .failure(SystemError("getdents64", EBADF)) }
            let image = state.image
            return .success(image[inode].entries.map { ($0.key, image[$0.value].isFolder ? .folder : .regular) })
        }
        for (name, type) in entries {
            var text = name
            let goesOn = text.withUTF8 { body(UnsafeRawBufferPointer($0), type) }
            if !goesOn { return }
        }
    }

    public func rename(
        _ name: Path, in folder: Descriptor, to newName: Path, in newFolder: Descriptor, _ mode: RenameMode
    ) throws(SystemError) {
        let (name, newName) = (String(cString: name), String(cString: newName))
        guard mode == .replace || traits.hasRenameFlags else { throw SystemError("renameat2", EINVAL, path: newName) }
        try change("rename \(name) to \(newName)") { state -> Result<Void, SystemError> in
            guard let from = state.inode(folder), let to = state.inode(newFolder) else {
                return .failure(SystemError("renameat2", EBADF))
            }
            guard let inode = state.image.find(name, from: from) else {
                return .failure(SystemError("renameat2", ENOENT, path: name))
            }
            let other = state.image.find(newName, from: to)
            switch (mode, other) {
            case (.refuse, .some): return .failure(SystemError("renameat2", EEXIST, path: newName))
            case (.exchange, nil): return .failure(SystemError("renameat2", ENOENT, path: newName))
            case (.exchange, let other?): state.image.exchange(inode, in: from, name, other, in: to, newName)
            // Two names of one file: nothing happens (rename(2)).
            case (.replace, inode): break
            default: state.image.move(inode, from: from, name, to: to, newName)
            }
            return .success(())
        }
    }

    public func link(_ name: Path, in folder: Descriptor, to newName: Path, in newFolder: Descriptor) throws(SystemError) {
        let (name, newName) = (String(cString: name), String(cString: newName))
        guard traits.hasLinks else { throw SystemError("linkat", EPERM, path: newName) }
        try change("link \(name) to \(newName)") { state -> Result<Void, SystemError> in
            guard let from = state.inode(folder), let to = state.inode(newFolder) else {
                return .failure(SystemError("linkat", EBADF))
            }
            guard let inode = state.image.find(name, from: from) else {
                return .failure(SystemError("linkat", ENOENT, path: name))
            }
            guard !state.image[inode].isFolder else { return .failure(SystemError("linkat", EPERM, path: name)) }
            guard state.image.find(newName, from: to) == nil else {
                return .failure(SystemError("linkat", EEXIST, path: newName))
            }
            return .success(state.image.link(inode, in: to, newName))
        }
    }

    public func unlink(in folder: Descriptor, _ name: Path) throws(SystemError) {
        let name = String(cString: name)
        let exists = try look { state in .success(state.inode(folder).flatMap { state.image.find(name, from: $0) } != nil) }
        guard exists else { throw SystemError("unlinkat", ENOENT, path: name) }
        try change("unlink \(name)") { state -> Result<Void, SystemError> in
            guard let parent = state.inode(folder), let inode = state.image.find(name, from: parent) else {
                return .failure(SystemError("unlinkat", ENOENT, path: name))
            }
            guard !state.image[inode].isFolder else { return .failure(SystemError("unlinkat", EISDIR, path: name)) }
            return .success(state.image.unlink(inode, in: parent, name))
        }
    }

    public func sync(_ descriptor: Descriptor) throws(SystemError) {
        try change("fsync") { state -> Result<Void, SystemError> in
            guard let inode = state.inode(descriptor) else { return .failure(SystemError("fsync", EBADF)) }
            if state.image[inode].isFolder { state.image.syncFolder(inode) } else { state.image.syncFile(inode) }
            return .success(())
        }
    }

    public func syncFileSystem(_ descriptor: Descriptor) throws(SystemError) {
        try change("syncfs") { state -> Result<Void, SystemError> in .success(state.image.syncAll()) }
    }

    public func startWriteBack(_ descriptor: Descriptor, at offset: Int64, count: Int64) {}

    public func dropCache(_ descriptor: Descriptor, at offset: Int64, count: Int64) {}

    public func lock(_ descriptor: Descriptor) throws(SystemError) {
        try look { state -> Result<Void, SystemError> in
            guard let inode = state.inode(descriptor) else { return .failure(SystemError("flock", EBADF)) }
            guard state.locks[inode] == nil || state.locks[inode] == descriptor else {
                return .failure(SystemError("flock", EWOULDBLOCK))
            }
            state.locks[inode] = descriptor
            return .success(())
        }
    }

    /// Closing, which always follows, gives it up.
    public func unlock(_ descriptor: Descriptor) {}

    public func fileSystem(of descriptor: Descriptor) throws(SystemError) -> FileSystemStatus {
        try look { state in
            .success(FileSystemStatus(type: traits.type, freeByteCount: 0))
        }
    }
}
