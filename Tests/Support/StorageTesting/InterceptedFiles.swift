public import Kloset
public import StorageLocal
internal import Synchronization

/// The calls of ``FileOperations`` that can fail, by name.
public enum FileCall: String, Sendable, CaseIterable {
    case openLocation, makeLocation, openParent, openFolder, openRead, openCreate, openUpdate
    case statusOf, statusIn, read, write, setSize, setModified, makeFolder, list
    case renameRefuse, renameReplace, renameExchange, link, unlink, sync, syncFileSystem, lock, fileSystem
}

/// File operations with something in front of them that can refuse each call, and tests that look over its shoulder.
public final class InterceptedFiles: FileOperations {
    /// Called before each call, with its path or name (empty when it is about an open file); what it throws is the call's error.
    public typealias Hook = @Sendable (_ call: FileCall, _ path: String) throws(SystemError) -> Void
    /// Lists whatever it likes in place of a folder's names.
    public typealias Fabrication = @Sendable (_ body: (UnsafeRawBufferPointer, FileType) -> Bool) -> Void

    private let base: any FileOperations
    private let before: Hook
    private let after: Hook?
    private let fabrication: Fabrication?
    private let syncReports: Bool
    private let calls = Mutex<[FileCall: Int]>([:])

    /// - Parameters:
    ///   - before: refuses a call.
    ///   - after: lets a call be done and answers it with an error.
    ///   - fabrication: replaces every listing.
    ///   - fileSystemSyncReportsErrors: false plays a kernel before 5.8.
    public init(
        _ base: any FileOperations, before: @escaping Hook = { (_, _) throws(SystemError) in }, after: Hook? = nil,
        fabrication: Fabrication? = nil, fileSystemSyncReportsErrors: Bool = true
    ) {
        self.base = base
        self.before = before
        self.after = after
        self.fabrication = fabrication
        syncReports = fileSystemSyncReportsErrors
    }

    /// Refuses these calls always.
    public static func refusing(_ refused: Set<FileCall>, _ code: Int32, _ base: any FileOperations) -> InterceptedFiles {
        InterceptedFiles(
            base,
            before: { (call, path) throws(SystemError) in
                if refused.contains(call) { throw SystemError(call.rawValue, code, path: path) }
            })
    }

    /// Fails one kind of call: the first `skip` are done, then `times` fail, then all are done.
    public static func failing(
        _ failing: FileCall, _ code: Int32, skip: Int = 0, times: Int = 1, _ base: any FileOperations
    ) -> InterceptedFiles {
        let seen = Counter()
        return InterceptedFiles(
            base,
            before: { (call, path) throws(SystemError) in
                guard call == failing else { return }
                let number = seen.next()
                if number >= skip, number - skip < times { throw SystemError(call.rawValue, code, path: path) }
            })
    }

    /// How often a call was made, refused ones included.
    public func count(_ call: FileCall) -> Int { calls.withLock { $0[call] ?? 0 } }

    public var fileSystemSyncReportsErrors: Bool { syncReports && base.fileSystemSyncReportsErrors }

    private func intercept<Value>(
        _ call: FileCall, _ path: Path?, _ work: () throws(SystemError) -> Value
    ) throws(SystemError) -> Value {
        let path = path.map { String(cString: $0) } ?? ""
        calls.withLock { $0[call, default: 0] += 1 }
        try before(call, path)
        let value = try work()
        try after?(call, path)
        return value
    }

    public func openLocation(_ path: Path) throws(SystemError) -> Descriptor {
        try intercept(.openLocation, path) { () throws(SystemError) in try base.openLocation(path) }
    }

    public func makeLocation(_ path: Path) throws(SystemError) {
        try intercept(.makeLocation, path) { () throws(SystemError) in try base.makeLocation(path) }
    }

    public func openParent(of folder: Descriptor) throws(SystemError) -> Descriptor {
        try intercept(.openParent, nil) { () throws(SystemError) in try base.openParent(of: folder) }
    }

    public func open(beneath folder: Descriptor, _ path: Path, _ mode: OpenMode) throws(SystemError) -> Descriptor {
        let call: FileCall =
            switch mode {
            case .folder: .openFolder
            case .read: .openRead
            case .create: .openCreate
            case .update, .updateOrCreate: .openUpdate
            }
        return try intercept(call, path) { () throws(SystemError) in try base.open(beneath: folder, path, mode) }
    }

    public func close(_ descriptor: Descriptor) {
        base.close(descriptor)
    }

    public func status(of descriptor: Descriptor) throws(SystemError) -> FileStatus {
        try intercept(.statusOf, nil) { () throws(SystemError) in try base.status(of: descriptor) }
    }

    public func status(in folder: Descriptor, _ name: Path) throws(SystemError) -> FileStatus {
        try intercept(.statusIn, name) { () throws(SystemError) in try base.status(in: folder, name) }
    }

    public func read(
        _ descriptor: Descriptor, into target: UnsafeMutableRawBufferPointer, at offset: Int64
    ) throws(SystemError) -> Int {
        try intercept(.read, nil) { () throws(SystemError) in try base.read(descriptor, into: target, at: offset) }
    }

    public func write(_ descriptor: Descriptor, _ bytes: UnsafeRawBufferPointer, at offset: Int64) throws(SystemError) -> Int {
        try intercept(.write, nil) { () throws(SystemError) in try base.write(descriptor, bytes, at: offset) }
    }

    public func setSize(_ descriptor: Descriptor, _ size: Int64) throws(SystemError) {
        try intercept(.setSize, nil) { () throws(SystemError) in try base.setSize(descriptor, size) }
    }

    public func setModified(_ descriptor: Descriptor, _ time: Timestamp) throws(SystemError) {
        try intercept(.setModified, nil) { () throws(SystemError) in try base.setModified(descriptor, time) }
    }

    public func makeFolder(in folder: Descriptor, _ name: Path) throws(SystemError) {
        try intercept(.makeFolder, name) { () throws(SystemError) in try base.makeFolder(in: folder, name) }
    }

    public func list(
        _ folder: Descriptor, _ body: (_ name: UnsafeRawBufferPointer, _ type: FileType) -> Bool
    ) throws(SystemError) {
        try intercept(.list, nil) { () throws(SystemError) in
            if let fabrication { fabrication(body) } else { try base.list(folder, body) }
        }
    }

    public func rename(
        _ name: Path, in folder: Descriptor, to newName: Path, in newFolder: Descriptor, _ mode: RenameMode
    ) throws(SystemError) {
        let call: FileCall =
            switch mode {
            case .refuse: .renameRefuse
            case .replace: .renameReplace
            case .exchange: .renameExchange
            }
        try intercept(call, newName) { () throws(SystemError) in
            try base.rename(name, in: folder, to: newName, in: newFolder, mode)
        }
    }

    public func link(_ name: Path, in folder: Descriptor, to newName: Path, in newFolder: Descriptor) throws(SystemError) {
        try intercept(.link, newName) { () throws(SystemError) in try base.link(name, in: folder, to: newName, in: newFolder) }
    }

    public func unlink(in folder: Descriptor, _ name: Path) throws(SystemError) {
        try intercept(.unlink, name) { () throws(SystemError) in try base.unlink(in: folder, name) }
    }

    public func sync(_ descriptor: Descriptor) throws(SystemError) {
        try intercept(.sync, nil) { () throws(SystemError) in try base.sync(descriptor) }
    }

    public func syncFileSystem(_ descriptor: Descriptor) throws(SystemError) {
        try intercept(.syncFileSystem, nil) { () throws(SystemError) in try base.syncFileSystem(descriptor) }
    }

    public func startWriteBack(_ descriptor: Descriptor, at offset: Int64, count: Int64) {
        base.startWriteBack(descriptor, at: offset, count: count)
    }

    public func dropCache(_ descriptor: Descriptor, at offset: Int64, count: Int64) {
        base.dropCache(descriptor, at: offset, count: count)
    }

    public func lock(_ descriptor: Descriptor) throws(SystemError) {
        try intercept(.lock, nil) { () throws(SystemError) in try base.lock(descriptor) }
    }

    public func unlock(_ descriptor: Descriptor) {
        base.unlock(descriptor)
    }

    public func fileSystem(of descriptor: Descriptor) throws(SystemError) -> FileSystemStatus {
        try intercept(.fileSystem, nil) { () throws(SystemError) in try base.fileSystem(of: descriptor) }
    }
}

/// Counts from zero, from any thread.
public final class Counter: Sendable {
    private let value = Atomic<Int>(0)

    public init() {}

    /// The next number.
    public func next() -> Int { value.add(1, ordering: .relaxed).oldValue }

    /// How many were given.
    public var count: Int { value.load(ordering: .relaxed) }
}
