/// What can be asked of a server: version 3 (draft, section 6) and extensions of OpenSSH (its PROTOCOL file, section 4).
/// Paths are bytes as the server has them.
public enum SFTPRequest: Sendable, Equatable {
    case open(path: [UInt8], flags: OpenFlags, attributes: SFTPAttributes = SFTPAttributes())
    case close(SFTPHandle)
    /// Up to `count` bytes; fewer are no sign of the end.
    case read(SFTPHandle, offset: UInt64, count: UInt32)
    /// `count` bytes, which are sent behind the encoded request.
    case write(SFTPHandle, offset: UInt64, count: UInt32)
    case lstat(path: [UInt8])
    case stat(path: [UInt8])
    case fstat(SFTPHandle)
    case setstat(path: [UInt8], SFTPAttributes)
    case fsetstat(SFTPHandle, SFTPAttributes)
    case opendir(path: [UInt8])
    case readdir(SFTPHandle)
    case remove(path: [UInt8])
    case mkdir(path: [UInt8], SFTPAttributes)
    case rmdir(path: [UInt8])
    case realpath(path: [UInt8])
    /// Must not replace anything (draft, section 6.5); some servers do.
    case rename(from: [UInt8], to: [UInt8])
    /// `posix-rename@openssh.com`: replaces in one step.
    case posixRename(from: [UInt8], to: [UInt8])
    /// `fsync@openssh.com`
    case fsync(SFTPHandle)
    /// `statvfs@openssh.com`
    case statvfs(path: [UInt8])
    /// `hardlink@openssh.com`
    case hardlink(from: [UInt8], to: [UInt8])
    /// `limits@openssh.com`
    case limits
    /// `copy-data` (draft-ietf-secsh-filexfer-extensions-00, section 7); a count of zero means to the end.
    case copyData(from: SFTPHandle, at: UInt64, count: UInt64, to: SFTPHandle, toOffset: UInt64)
    /// `lsetstat@openssh.com`
    case lsetstat(path: [UInt8], SFTPAttributes)
    /// `expand-path@openssh.com`
    case expandPath([UInt8])

    /// What answers it, unless it fails.
    enum Answer: Sendable {
        case status, handle, names, attributes, fileSystem, limits
        /// At most that many bytes.
        case data(UInt32)
    }

    var answer: Answer {
        switch self {
        case .open, .opendir: .handle
        case .read(_, _, let count): .data(count)
        case .lstat, .stat, .fstat: .attributes
        case .readdir, .realpath, .expandPath: .names
        case .statvfs: .fileSystem
        case .limits: .limits
        case .close, .write, .setstat, .fsetstat, .remove, .mkdir, .rmdir, .rename, .posixRename, .fsync, .hardlink, .copyData,
            .lsetstat:
            .status
        }
    }

    /// Whether the answer is a folder's names, of which `/` can be no part.
    var listsFolder: Bool { if case .readdir = self { true } else { false } }

    /// The request as it is sent; for `write` without its data.
    public func encoded(id: UInt32) -> [UInt8] {
        switch self {
        case .open(let path, let flags, let attributes):
            return Self.packet(.open, id) {
                $0.add(path)
                $0.add(flags.rawValue)
                attributes.write(to: &$0)
            }
        case .close(let handle): return Self.packet(.close, id) { $0.add(handle.bytes) }
        case .read(let handle, let offset, let count):
            return Self.packet(.read, id) {
                $0.add(handle.bytes)
                $0.add(offset)
                $0.add(count)
            }
        case .write(let handle, let offset, let count):
            return Self.packet(.write, id, following: Int(count)) {
                $0.add(handle.bytes)
                $0.add(offset)
                $0.add(count)
            }
        case .fstat(let handle): return Self.packet(.fstat, id) { $0.add(handle.bytes) }
        case .fsetstat(let handle, let attributes):
            return Self.packet(.fsetstat, id) {
                $0.add(handle.bytes)
                attributes.write(to: &$0)
            }
        case .readdir(let handle): return Self.packet(.readdir, id) { $0.add(handle.bytes) }
        default: return encodedPathRequest(id) ?? encodedExtension(id)
        }
    }

    private func encodedPathRequest(_ id: UInt32) -> [UInt8]? {
        func plain(_ type: PacketType, _ path: [UInt8], _ attributes: SFTPAttributes? = nil) -> [UInt8] {
            Self.packet(type, id) {
                $0.add(path)
                attributes?.write(to: &$0)
            }
        }
        return switch self {
        case .lstat(let path): plain(.lstat, path)
        case .stat(let path): plain(.stat, path)
        case .setstat(let path, let attributes): plain(.setstat, path, attributes)
        case .opendir(let path): plain(.opendir, path)
        case .remove(let path): plain(.remove, path)
        case .mkdir(let path, let attributes): plain(.mkdir, path, attributes)
        case .rmdir(let path): plain(.rmdir, path)
        case .realpath(let path): plain(.realpath, path)
        case .rename(let from, let to):
            Self.packet(.rename, id) {
                $0.add(from)
                $0.add(to)
            }
        default: nil
        }
    }

    private func encodedExtension(_ id: UInt32) -> [UInt8] {
        Self.packet(.extended, id) { writer in
            switch self {
            case .posixRename(let from, let to): Self.pair(&writer, SFTPExtension.posixRename, from, to)
            case .hardlink(let from, let to): Self.pair(&writer, SFTPExtension.hardlink, from, to)
            case .fsync(let handle):
                writer.add(Array(SFTPExtension.fsync.utf8))
                writer.add(handle.bytes)
            case .statvfs(let path):
                writer.add(Array(SFTPExtension.statvfs.utf8))
                writer.add(path)
            case .copyData(let from, let offset, let count, let to, let target):
                writer.add(Array(SFTPExtension.copyData.utf8))
                writer.add(from.bytes)
                writer.add(offset)
                writer.add(count)
                writer.add(to.bytes)
                writer.add(target)
            case .lsetstat(let path, let attributes):
                writer.add(Array(SFTPExtension.lsetstat.utf8))
                writer.add(path)
                attributes.write(to: &writer)
            case .expandPath(let path):
                writer.add(Array(SFTPExtension.expandPath.utf8))
                writer.add(path)
            default: writer.add(Array(SFTPExtension.limits.utf8))
            }
        }
    }

    private static func pair(_ writer: inout WireWriter, _ name: String, _ from: [UInt8], _ to: [UInt8]) {
        writer.add(Array(name.utf8))
        writer.add(from)
        writer.add(to)
    }

    private static func packet(
        _ type: PacketType, _ id: UInt32, following: Int = 0, _ body: (inout WireWriter) -> Void
    ) -> [UInt8] {
        var writer = WireWriter(type, id: id)
        body(&writer)
        return writer.finish(following: following)
    }
}

/// Names of extensions, as servers announce them.
public enum SFTPExtension {
    public static let posixRename = "posix-rename@openssh.com"
    public static let fsync = "fsync@openssh.com"
    public static let statvfs = "statvfs@openssh.com"
    public static let hardlink = "hardlink@openssh.com"
    public static let limits = "limits@openssh.com"
    public static let copyData = "copy-data"
    public static let lsetstat = "lsetstat@openssh.com"
    public static let expandPath = "expand-path@openssh.com"
}
