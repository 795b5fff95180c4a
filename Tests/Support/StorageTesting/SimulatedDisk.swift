internal import Glibc
public import Kloset
public import StorageLocal
internal import Synchronization

/// A disk in memory that knows what of it would survive a power loss. ``LocalStore`` runs on it unchanged; paths are absolute: `/target`.
///
/// The model: a write is volatile in blocks of 4 KiB until fsync of the file or syncfs; a change of names is volatile until fsync of its
/// folder or syncfs; fsync of a file does nothing for its name. There are no symlinks. Every change passes the ``CutPoint``.
///
/// A power-loss test runs the work with `CutPoint(after: n)`, lets it fail, and goes on with `disk.afterPowerLoss(...)`; a kill test goes
/// on with `disk.afterKill()`.
public final class SimulatedDisk: FileOperations {
    /// What kind of file system it plays.
    public struct Traits: Sendable {
        /// `f_type`; ext4 by default. A FUSE type (0x65735546) makes ``LocalStore`` sync each file.
        public var type: UInt64 = 0xEF53
        /// Whether renameat2 takes flags.
        public var hasRenameFlags = true
        /// Whether a file may have two names.
        public var hasLinks = true
        /// Bytes in all; writes beyond fail with ENOSPC.
        public var capacity = Int64.max

        public init() {}
    }

    struct State: Sendable {
        var image: DiskImage
        var open: [Descriptor: DiskImage.Inode] = [:]
        var nextDescriptor: Descriptor = 1000
        /// Inode to the descriptor that holds its lock.
        var locks: [DiskImage.Inode: Descriptor] = [:]

        func inode(_ descriptor: Descriptor) -> DiskImage.Inode? { open[descriptor] }

        mutating func opened(_ inode: DiskImage.Inode) -> Descriptor {
            nextDescriptor += 1
            open[nextDescriptor] = inode
            return nextDescriptor
        }

        mutating func makeFolder(in parent: DiskImage.Inode, _ name: String) -> Result<Void, SystemError> {
            guard image.find(name, from: parent) == nil else { return .failure(SystemError("mkdirat", EEXIST, path: name)) }
            _ = image.make(isFolder: true, in: parent, name)
            return .success(())
        }
    }

    private let state: Mutex<State>
    public let cut: CutPoint
    public let traits: Traits

    public var fileSystemSyncReportsErrors: Bool { true }

    /// An empty disk.
    public convenience init(cut: CutPoint = CutPoint(), traits: Traits = Traits()) {
        self.init(DiskImage(), cut, traits)
    }

    private init(_ image: DiskImage, _ cut: CutPoint, _ traits: Traits) {
        state = Mutex(State(image: image))
        self.cut = cut
        self.traits = traits
    }

    // MARK: what tests do with it

    /// How many changes were made through this object.
    public var operationCount: Int { cut.operationCount }

    /// How many changes the medium does not hold yet: what ``PowerLoss/only(_:)`` chooses from.
    public var pendingCount: Int { state.withLock { $0.image.pendingCount } }

    /// The disk that is found when the power is back. This one stays as it is, so many losses can be tried on one cut.
    public func afterPowerLoss(_ loss: PowerLoss, cut: CutPoint = CutPoint()) -> SimulatedDisk {
        SimulatedDisk(state.withLock { $0.image }.afterPowerLoss(loss), cut, traits)
    }

    /// The disk that the next process finds when this one is killed: nothing is lost, no file is open, no lock held.
    public func afterKill(cut: CutPoint = CutPoint()) -> SimulatedDisk {
        SimulatedDisk(state.withLock { $0.image }, cut, traits)
    }

    /// Everything that was written is on the medium, as after a long time.
    public func settle() {
        state.withLock { $0.image.syncAll() }
    }

    /// How many descriptors are open: what a test of leaks looks at.
    public var openCount: Int { state.withLock { $0.open.count } }

    /// A file's bytes, or nil if there is no file.
    public func contents(of path: String) -> [UInt8]? {
        state.withLock { state in
            guard let inode = state.image.find(path), !state.image[inode].isFolder else { return nil }
            return state.image.contents(inode)
        }
    }

    /// A file's modification time, or nil if there is no file.
    public func modified(_ path: String) -> Timestamp? {
        state.withLock { state in state.image.find(path).map { state.image[$0].data.modified } }
    }

    /// The names in a folder, ascending; empty if there is none.
    public func names(in path: String) -> [String] {
        state.withLock { state in state.image.find(path).map { state.image[$0].entries.keys.sorted() } ?? [] }
    }

    /// All files below a folder: path relative to it, and bytes.
    public func files(below path: String) -> [String: [UInt8]] {
        state.withLock { state in
            var found: [String: [UInt8]] = [:]
            guard let start = state.image.find(path) else { return found }
            var waiting = [(path: "", inode: start)]
            while let (path, inode) = waiting.popLast() {
                guard state.image[inode].isFolder else {
                    found[path] = state.image.contents(inode)
                    continue
                }
                waiting += state.image[inode].entries.map { (path.isEmpty ? $0.key : "\(path)/\($0.key)", $0.value) }
            }
            return found
        }
    }

    /// Puts a file there, durable, with all folders above it; the cut does not count it.
    public func put(_ path: String, _ bytes: [UInt8], modified: Timestamp = Timestamp(seconds: 1)) {
        state.withLock { state in
            let parts = path.split(separator: "/").map(String.init)
            var folder = DiskImage.root
            for part in parts.dropLast() {
                folder = state.image.find(part, from: folder) ?? state.image.make(isFolder: true, in: folder, part)
            }
            guard let name = parts.last else { return }
            if let old = state.image.find(name, from: folder) { state.image.unlink(old, in: folder, name) }
            let inode = state.image.make(isFolder: false, in: folder, name)
            bytes.withUnsafeBytes { state.image.write(inode, $0, at: 0) }
            state.image.setModified(inode, modified)
            state.image.syncAll()
        }
    }

    /// Makes a folder, durable, with all above it.
    public func putFolder(_ path: String) {
        state.withLock { state in
            var folder = DiskImage.root
            for part in path.split(separator: "/").map(String.init) {
                folder = state.image.find(part, from: folder) ?? state.image.make(isFolder: true, in: folder, part)
            }
            state.image.syncAll()
        }
    }

    /// Takes a file or folder away, durably.
    public func remove(_ path: String) {
        state.withLock { state in
            let parts = path.split(separator: "/").map(String.init)
            guard let name = parts.last, let folder = state.image.find(parts.dropLast().joined(separator: "/")),
                let inode = state.image.find(name, from: folder)
            else { return }
            state.image.unlink(inode, in: folder, name)
            state.image.syncAll()
        }
    }

    // MARK: helpers of the calls

    /// Looks at the disk; fails after the cut.
    func look<Value: Sendable>(_ body: (inout State) -> Result<Value, SystemError>) throws(SystemError) -> Value {
        try cut.live()
        return try access(body).get()
    }

    /// Changes the disk; counted.
    func change<Value: Sendable>(
        _ what: @autoclosure () -> String, _ body: (inout State) -> Result<Value, SystemError>
    ) throws(SystemError) -> Value {
        try cut.passWhole(what())
        return try access(body).get()
    }

    func access<Value: Sendable>(_ body: (inout State) -> Value) -> Value {
        state.withLock { body(&$0) }
    }

    /// Closing gives up the lock; it works after the cut, as the end of a process closes everything.
    func forget(_ descriptor: Descriptor) {
        access { state in
            if let inode = state.open.removeValue(forKey: descriptor), state.locks[inode] == descriptor {
                state.locks[inode] = nil
            }
        }
    }
}

extension DiskImage {
    func contents(_ inode: Inode) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: Int(self[inode].data.size)) { buffer, count in
            count = read(inode, into: UnsafeMutableRawBufferPointer(buffer), at: 0)
        }
    }

    func status(_ inode: Inode) -> FileStatus {
        let node = self[inode]
        return FileStatus(
            type: node.isFolder ? .folder : .regular, size: node.data.size, modified: node.data.modified, device: 1, inode: inode,
            links: UInt64(node.links))
    }
}
