internal import CLinux
internal import Glibc
public import Kloset

/// ``FileOperations`` on the machine itself.
public struct LinuxFiles: FileOperations {
    public let fileSystemSyncReportsErrors: Bool

    public init() {
        fileSystemSyncReportsErrors = Self.kernelVersion() >= (5, 8)
    }

    public func openLocation(_ path: Path) throws(SystemError) -> Descriptor {
        try check("open", path) { Glibc.open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK) }
    }

    public func makeLocation(_ path: Path) throws(SystemError) {
        try check("mkdir", path) { mkdir(path, 0o700) }
    }

    public func openParent(of folder: Descriptor) throws(SystemError) -> Descriptor {
        try check("openat") { openat(folder, "..", clinux_o_path | O_DIRECTORY | O_CLOEXEC) }
    }

    public func open(beneath folder: Descriptor, _ path: Path, _ mode: OpenMode) throws(SystemError) -> Descriptor {
        let special =
            switch mode {
            case .folder: O_RDONLY | O_DIRECTORY
            case .read: O_RDONLY
            case .create: O_RDWR | O_CREAT | O_EXCL
            case .update: O_RDWR
            case .updateOrCreate: O_RDWR | O_CREAT
            }
        let creates = mode == .create || mode == .updateOrCreate
        let flags = special | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY
        // openat2 refuses a mode where nothing can be made.
        return try result("openat2", path, clinux_open_beneath(folder, path, flags, creates ? 0o600 : 0))
    }

    public func close(_ descriptor: Descriptor) {
        _ = Glibc.close(descriptor)  // after EINTR the descriptor is gone all the same (close(2), Linux)
    }

    public func status(of descriptor: Descriptor) throws(SystemError) -> FileStatus {
        var raw = stat()
        try check("fstat") { fstat(descriptor, &raw) }
        return FileStatus(raw)
    }

    public func status(in folder: Descriptor, _ name: Path) throws(SystemError) -> FileStatus {
        var raw = stat()
        try check("fstatat", name) { fstatat(folder, name, &raw, AT_SYMLINK_NOFOLLOW) }
        return FileStatus(raw)
    }

    public func read(
        _ descriptor: Descriptor, into target: UnsafeMutableRawBufferPointer, at offset: Int64
    ) throws(SystemError) -> Int {
        try check("pread") { pread(descriptor, target.baseAddress, target.count, off_t(offset)) }
    }

    public func write(_ descriptor: Descriptor, _ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(SystemError) -> Int {
        try check("pwrite") { pwrite(descriptor, bytes.baseAddress, bytes.count, off_t(offset)) }
    }

    public func setSize(_ descriptor: Descriptor, _ size: Int64) throws(SystemError) {
        try check("ftruncate") { ftruncate(descriptor, off_t(size)) }
    }

    public func setModified(_ descriptor: Descriptor, _ time: Timestamp) throws(SystemError) {
        // Rounded down, so that times before 1970 come back as they were.
        var (seconds, nanoseconds) = time.nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        if nanoseconds < 0 { (seconds, nanoseconds) = (seconds - 1, nanoseconds + 1_000_000_000) }
        let moment = timespec(tv_sec: Int(seconds), tv_nsec: Int(nanoseconds))
        var times = (moment, moment)
        let code = withUnsafePointer(to: &times) { pointer in
            pointer.withMemoryRebound(to: timespec.self, capacity: 2) { futimens(descriptor, $0) }
        }
        if code < 0 { throw SystemError("futimens", errno) }
    }

    public func makeFolder(in folder: Descriptor, _ name: Path) throws(SystemError) {
        try check("mkdirat", name) { mkdirat(folder, name, 0o700) }
    }

    public func rename(
        _ name: Path, in folder: Descriptor, to newName: Path, in newFolder: Descriptor, _ mode: RenameMode
    ) throws(SystemError) {
        let flags: UInt32 =
            switch mode {
            case .replace: 0
            case .refuse: 1  // RENAME_NOREPLACE
            case .exchange: 2  // RENAME_EXCHANGE
            }
        try result("renameat2", newName, clinux_rename(folder, name, newFolder, newName, flags))
    }

    public func link(_ name: Path, in folder: Descriptor, to newName: Path, in newFolder: Descriptor) throws(SystemError) {
        try check("linkat", newName) { linkat(folder, name, newFolder, newName, 0) }
    }

    public func unlink(in folder: Descriptor, _ name: Path) throws(SystemError) {
        try check("unlinkat", name) { unlinkat(folder, name, 0) }
    }

    public func sync(_ descriptor: Descriptor) throws(SystemError) {
        try check("fsync") { fsync(descriptor) }
    }

    public func syncFileSystem(_ descriptor: Descriptor) throws(SystemError) {
        try result("syncfs", nil, clinux_syncfs(descriptor))
    }

    public func startWriteBack(_ descriptor: Descriptor, at offset: Int64, count: Int64) {
        _ = clinux_start_writeback(descriptor, offset, count)
    }

    public func dropCache(_ descriptor: Descriptor, at offset: Int64, count: Int64) {
        _ = posix_fadvise(descriptor, off_t(offset), off_t(count), POSIX_FADV_DONTNEED)
    }

    public func lock(_ descriptor: Descriptor) throws(SystemError) {
        try result("flock", nil, clinux_flock(descriptor, LOCK_EX | LOCK_NB))
    }

    public func unlock(_ descriptor: Descriptor) {
        _ = clinux_flock(descriptor, LOCK_UN)
    }

    public func fileSystem(of descriptor: Descriptor) throws(SystemError) -> FileSystemStatus {
        var status = FileSystemStatus(type: 0, freeByteCount: 0)
        try result("fstatfs", nil, clinux_file_system(descriptor, &status.type, &status.freeByteCount))
        var more = statvfs()
        if fstatvfs(descriptor, &more) == 0 { status.id = UInt64(more.f_fsid) }
        status.generation = generation(of: descriptor)
        return status
    }
}

extension LinuxFiles {
    private func generation(of descriptor: Descriptor) -> UInt64 {
        // _IOR('v', 1, long) of <linux/fs.h>; file systems fill in 32 bits.
        let getVersion: UInt = 0x8008_7601
        var generation: Int = 0
        return ioctl(descriptor, getVersion, &generation) == 0 ? UInt64(UInt32(truncatingIfNeeded: generation)) : 0
    }

    public func list(
        _ folder: Descriptor, _ body: (_ name: UnsafeRawBufferPointer, _ type: FileType) -> Bool
    ) throws(SystemError) {
        // 64 KiB hold about 650 entries of 64-digit names: a bucket of a large store in one call, and small enough for each thread to have one.
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 64 << 10, alignment: 8)
        defer { buffer.deallocate() }
        while true {
            let count = clinux_getdents(folder, buffer.baseAddress, UInt32(buffer.count))
            if count == 0 { return }
            if count < 0 {
                if count == -Int(EINTR) { continue }
                throw SystemError("getdents64", Int32(-count))
            }
            var rest = UnsafeRawBufferPointer(rebasing: buffer[..<count])
            while let entry = DirectoryEntry(taking: &rest) {
                if !entry.isDots, !body(entry.name, entry.type) { return }
            }
        }
    }
}

/// One record of getdents64(2): inode and offset (8 bytes each), length of the record (2), type (1), name with a NUL.
private struct DirectoryEntry {
    var name: UnsafeRawBufferPointer
    var type: FileType

    private static let nameOffset = 19

    init?(taking rest: inout UnsafeRawBufferPointer) {
        guard rest.count > Self.nameOffset else { return nil }
        let length = Int(rest.loadUnaligned(fromByteOffset: 16, as: UInt16.self))
        guard length > Self.nameOffset, length <= rest.count else { return nil }
        let padded = UnsafeRawBufferPointer(rebasing: rest[Self.nameOffset..<length])
        name = UnsafeRawBufferPointer(rebasing: padded[..<(padded.firstIndex(of: 0) ?? padded.count)])
        type =
            switch rest[18] {  // <dirent.h>: DT_UNKNOWN 0, DT_DIR 4, DT_REG 8, DT_LNK 10
            case 0: .unknown
            case 4: .folder
            case 8: .regular
            case 10: .symlink
            default: .other
            }
        rest = UnsafeRawBufferPointer(rebasing: rest[length...])
    }

    var isDots: Bool {
        name.count <= 2 && name.first == UInt8(ascii: ".") && name.last == UInt8(ascii: ".")
    }
}

extension FileStatus {
    fileprivate init(_ raw: stat) {
        let type: FileType =
            switch raw.st_mode & S_IFMT {
            case S_IFREG: .regular
            case S_IFDIR: .folder
            case S_IFLNK: .symlink
            default: .other
            }
        let seconds = Int64(raw.st_mtim.tv_sec).multipliedReportingOverflow(by: 1_000_000_000)
        let moment = seconds.partialValue.addingReportingOverflow(Int64(raw.st_mtim.tv_nsec))
        self.init(
            type: type, size: Int64(raw.st_size),
            // A time beyond the years 1677 to 2262 is nobody's; the file system may still hold one.
            modified: Timestamp(nanoseconds: seconds.overflow || moment.overflow ? 0 : moment.partialValue),
            device: UInt64(raw.st_dev), inode: UInt64(raw.st_ino), links: UInt64(raw.st_nlink))
    }
}

extension LinuxFiles {
    /// Makes a call of the C library until it is not interrupted.
    @discardableResult @inline(__always)
    private func check<Number: BinaryInteger>(
        _ call: StaticString, _ path: Path? = nil, _ body: () -> Number
    ) throws(SystemError) -> Number {
        while true {
            let value = body()
            if value >= 0 { return value }
            let code = errno
            if code != EINTR { throw SystemError("\(call)", code, path: path.map { String(cString: $0) } ?? "") }
        }
    }

    /// Turns what a shim returned, a value or a negative errno, into a value or an error.
    @discardableResult @inline(__always)
    private func result(_ call: StaticString, _ path: Path?, _ value: Int32) throws(SystemError) -> Int32 {
        if value >= 0 { return value }
        throw SystemError("\(call)", -value, path: path.map { String(cString: $0) } ?? "")
    }

    /// Major and minor version of the running kernel; zeros when it says nothing that looks like one.
    private static func kernelVersion() -> (Int, Int) {
        var names = utsname()
        guard uname(&names) == 0 else { return (0, 0) }
        let release = withUnsafeBytes(of: &names.release) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
        let parts = release.split(separator: ".", maxSplits: 2).map { Int($0.prefix { $0.isNumber }) ?? 0 }
        return (parts.first ?? 0, parts.dropFirst().first ?? 0)
    }
}
