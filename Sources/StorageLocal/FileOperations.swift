internal import Glibc
public import Kloset

/// A system call that failed.
public struct SystemError: Error, Sendable, Equatable {
    /// The call's name: `openat2`.
    public var call: String
    /// The errno.
    public var code: Int32
    /// What the call was about, relative to the folder it was given; empty when it was about an open file.
    public var path: String

    public init(_ call: String, _ code: Int32, path: String = "") {
        self.call = call
        self.code = code
        self.path = path
    }
}

/// The system calls that `StorageLocal` lives on: the seam for fault injection and for simulated disks.
///
/// Every method blocks, may be called from any thread, and throws ``SystemError`` with the errno of the call it stands for. Interrupted calls
/// are repeated here, short reads and writes are not. Paths are NUL-terminated bytes and never kept. A *name* is one path component,
/// not followed when it is a symlink.
public protocol FileOperations: Sendable {
    typealias Descriptor = Int32
    typealias Path = UnsafePointer<CChar>

    /// Whether a failed write-out is reported by ``syncFileSystem(_:)`` (syncfs(2), Linux 5.8 and later).
    var fileSystemSyncReportsErrors: Bool { get }

    /// Opens a folder by a path that a person gave: symlinks are followed. open(2) with O_DIRECTORY.
    func openLocation(_ path: Path) throws(SystemError) -> Descriptor

    /// Makes a folder by a path that a person gave, mode 0700. mkdir(2).
    func makeLocation(_ path: Path) throws(SystemError)

    /// Opens the folder that contains an open folder; that of the root is the root. openat(2) of `..` with O_PATH.
    func openParent(of folder: Descriptor) throws(SystemError) -> Descriptor

    /// Opens what lies at `path` below `folder`, never leading out of it and never through a symlink. openat2(2) with RESOLVE_BENEATH and
    /// RESOLVE_NO_SYMLINKS, O_NONBLOCK, O_NOFOLLOW and O_CLOEXEC; a new file gets the mode 0600.
    func open(beneath folder: Descriptor, _ path: Path, _ mode: OpenMode) throws(SystemError) -> Descriptor

    /// close(2); its errors say nothing that a sync does not say better.
    func close(_ descriptor: Descriptor)

    /// fstat(2).
    func status(of descriptor: Descriptor) throws(SystemError) -> FileStatus

    /// fstatat(2) of a name, with AT_SYMLINK_NOFOLLOW.
    func status(in folder: Descriptor, _ name: Path) throws(SystemError) -> FileStatus

    /// pread(2): the number of bytes read, zero at the end of the file.
    func read(_ descriptor: Descriptor, into target: UnsafeMutableRawBufferPointer, at offset: Int64) throws(SystemError) -> Int

    /// pwrite(2): the number of bytes written.
    func write(_ descriptor: Descriptor, _ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(SystemError) -> Int

    /// ftruncate(2).
    func setSize(_ descriptor: Descriptor, _ size: Int64) throws(SystemError)

    /// futimens(2), for access and modification alike.
    func setModified(_ descriptor: Descriptor, _ time: Timestamp) throws(SystemError)

    /// mkdirat(2), mode 0700.
    func makeFolder(in folder: Descriptor, _ name: Path) throws(SystemError)

    /// Calls `body` with each name in a folder that was just opened, `.` and `..` left out, until it returns false. getdents64(2): the bytes are
    /// as the file system has them, in no order, and live only for the call.
    func list(_ folder: Descriptor, _ body: (_ name: UnsafeRawBufferPointer, _ type: FileType) -> Bool) throws(SystemError)

    /// renameat2(2) of a name in one folder to a name in another (or the same).
    func rename(
        _ name: Path, in folder: Descriptor, to newName: Path, in newFolder: Descriptor, _ mode: RenameMode
    ) throws(SystemError)

    /// linkat(2): a second name for the same file.
    func link(_ name: Path, in folder: Descriptor, to newName: Path, in newFolder: Descriptor) throws(SystemError)

    /// unlinkat(2).
    func unlink(in folder: Descriptor, _ name: Path) throws(SystemError)

    /// fsync(2) of a file or a folder.
    func sync(_ descriptor: Descriptor) throws(SystemError)

    /// syncfs(2) of the file system that holds an open file. Errors since this descriptor was opened, or since its last call, are reported.
    func syncFileSystem(_ descriptor: Descriptor) throws(SystemError)

    /// Starts writing a range out to the medium and waits for nothing; only a hint. sync_file_range(2).
    func startWriteBack(_ descriptor: Descriptor, at offset: Int64, count: Int64)

    /// Forgets cached pages that are clean, so that the next read comes from the medium; only a hint. posix_fadvise(2), POSIX_FADV_DONTNEED;
    /// a count of zero reaches to the end of the file.
    func dropCache(_ descriptor: Descriptor, at offset: Int64, count: Int64)

    /// flock(2), exclusive, without waiting: EWOULDBLOCK when another open file has it. Closing the descriptor gives it up.
    func lock(_ descriptor: Descriptor) throws(SystemError)

    /// Gives the lock up for all that share the open file. flock(2), LOCK_UN.
    func unlock(_ descriptor: Descriptor)

    /// fstatfs(2).
    func fileSystem(of descriptor: Descriptor) throws(SystemError) -> FileSystemStatus
}

/// How ``FileOperations/open(beneath:_:_:)`` opens.
public enum OpenMode: Sendable, Equatable {
    /// A folder, to list it or to work in it.
    case folder
    /// Anything, for reading; the caller checks what it got.
    case read
    /// A new file, for reading and writing: EEXIST when the name is taken, whatever has it.
    case create
    /// An existing file, for reading and writing.
    case update
    /// An existing file or a new one, for reading and writing.
    case updateOrCreate
}

/// How ``FileOperations/rename(_:in:to:in:_:)`` treats a name that is taken.
public enum RenameMode: Sendable, Equatable {
    /// EEXIST when the new name is taken. RENAME_NOREPLACE.
    case refuse
    /// What had the new name loses it.
    case replace
    /// Both names must exist and swap. RENAME_EXCHANGE.
    case exchange
}

/// What has a name.
public enum FileType: Sendable, Equatable {
    case regular, folder, symlink, other
    /// The file system did not say; ``FileOperations/status(in:_:)`` does.
    case unknown
}

/// What is known of a file without reading it.
public struct FileStatus: Sendable, Equatable {
    public var type: FileType
    /// Bytes.
    public var size: Int64
    public var modified: Timestamp
    /// Device and inode together name the file for as long as it is open.
    public var device: UInt64
    public var inode: UInt64
    /// How many names it has.
    public var links: UInt64

    public init(type: FileType, size: Int64, modified: Timestamp, device: UInt64, inode: UInt64, links: UInt64) {
        self.type = type
        self.size = size
        self.modified = modified
        self.device = device
        self.inode = inode
        self.links = links
    }
}

/// What is known of a file system.
public struct FileSystemStatus: Sendable, Equatable {
    /// `f_type` of statfs(2).
    public var type: UInt64
    /// Bytes that can still be written.
    public var freeByteCount: UInt64
    /// `f_fsid`: where a file system has one of its own it is the same after each mount; 0 when there is none.
    public var id: UInt64
    /// The generation of the open file's inode (FS_IOC_GETVERSION): another one when the number is used again. 0 where there is none.
    public var generation: UInt64

    public init(type: UInt64, freeByteCount: UInt64, id: UInt64 = 0, generation: UInt64 = 0) {
        self.generation = generation
        self.type = type
        self.freeByteCount = freeByteCount
        self.id = id
    }
}

extension FileOperations {
    /// Reads until `target` is full or the file ends; the number of bytes read.
    func readFully(_ descriptor: Descriptor, into target: UnsafeMutableRawBufferPointer, at offset: Int64) throws(SystemError)
        -> Int
    {
        var done = 0
        while done < target.count {
            let rest = UnsafeMutableRawBufferPointer(rebasing: target[done...])
            let count = try read(descriptor, into: rest, at: offset + Int64(done))
            if count == 0 { break }
            done += count
        }
        return done
    }

    /// Writes all of `bytes`.
    func writeFully(_ descriptor: Descriptor, _ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(SystemError) {
        var done = 0
        while done < bytes.count {
            let count = try write(descriptor, UnsafeRawBufferPointer(rebasing: bytes[done...]), at: offset + Int64(done))
            // pwrite(2) never returns zero for a non-empty buffer on a regular file; if it does, no loop helps.
            guard count > 0 else { throw SystemError("pwrite", EIO) }
            done += count
        }
    }
}
