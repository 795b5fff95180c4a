internal import Kloset

/// Room for one path at a time, so that thousands of files need no string each. Used by one thread; a path lives until the next is made.
struct PathBuffer: ~Copyable {
    private let text: UnsafeMutableBufferPointer<UInt8>

    /// The longest path made here is `quarantine/packfile-<64 digits>-<number>`; 256 is a file name's own limit (NAME_MAX is 255).
    private static let byteCount = 256

    init() {
        text = .allocate(capacity: Self.byteCount)
    }

    deinit {
        text.deallocate()
    }

    /// Where a resource lies below the root: `packfiles/<xx>/<64 hex>`, `CONFIG`.
    borrowing func path(of key: ResourceKey) -> UnsafePointer<CChar> {
        guard key.kind != .config else { return copy("CONFIG") }
        var length = append(folder(of: key.kind), at: 0)
        key.id.writeHex(to: UnsafeMutableBufferPointer(rebasing: text[(length + 4)...]))
        text[length] = UInt8(ascii: "/")
        text[length + 1] = text[length + 4]
        text[length + 2] = text[length + 5]
        text[length + 3] = UInt8(ascii: "/")
        length += 4 + 64
        return terminated(at: length)
    }

    /// A resource's name in its bucket: 64 digits; for CONFIG `CONFIG`.
    borrowing func name(of key: ResourceKey) -> UnsafePointer<CChar> {
        guard key.kind != .config else { return copy("CONFIG") }
        key.id.writeHex(to: text)
        return terminated(at: 64)
    }

    /// The name under which a resource is staged: `packfile-<64 hex>`.
    borrowing func stagedName(of key: ResourceKey) -> UnsafePointer<CChar> {
        terminated(at: appendStagedName(of: key))
    }

    /// The name under which the `number`th damaged original of a resource is kept: `packfile-<64 hex>-<number>`.
    borrowing func quarantineName(of key: ResourceKey, _ number: Int) -> UnsafePointer<CChar> {
        var length = appendStagedName(of: key)
        for byte in "-\(number)".utf8 {
            text[length] = byte
            length += 1
        }
        return terminated(at: length)
    }

    private borrowing func appendStagedName(of key: ResourceKey) -> Int {
        let prefix: StaticString =
            switch key.kind {
            case .config: "config-"
            case .state: "state-"
            case .packfile: "packfile-"
            }
        let length = append(prefix, at: 0)
        key.id.writeHex(to: UnsafeMutableBufferPointer(rebasing: text[length...]))
        return length + 64
    }

    private borrowing func folder(of kind: ResourceKind) -> StaticString {
        switch kind {
        case .config: ""
        case .state: "states"
        case .packfile: "packfiles"
        }
    }

    private borrowing func copy(_ name: StaticString) -> UnsafePointer<CChar> {
        terminated(at: append(name, at: 0))
    }

    private borrowing func append(_ part: StaticString, at start: Int) -> Int {
        part.withUTF8Buffer { bytes in
            for (index, byte) in bytes.enumerated() { text[start + index] = byte }
        }
        return start + part.utf8CodeUnitCount
    }

    private borrowing func terminated(at length: Int) -> UnsafePointer<CChar> {
        text[length] = 0
        return UnsafeRawPointer(text.baseAddress.unsafelyUnwrapped).assumingMemoryBound(to: CChar.self)
    }
}

extension ResourceKey {
    /// Parses the name that ``PathBuffer/stagedName(of:)`` makes; nil for anything else.
    init?(stagedName name: UnsafeRawBufferPointer) {
        guard let dash = name.firstIndex(of: UInt8(ascii: "-")),
            let kind = ResourceKind(name: String(decoding: name[..<dash], as: UTF8.self)),
            let id = ResourceID(hex: UnsafeRawBufferPointer(rebasing: name[(dash + 1)...]))
        else { return nil }
        self.init(kind, id)
    }

    /// A number for the folder that holds the resource, the same for all resources of a bucket: what bulk calls are ordered by.
    var folderNumber: Int { kind == .config ? 0 : Int(kind.rawValue) << 8 | Int(id.firstByte) }

    /// The folder that holds the resource, relative to the root; empty for the root itself.
    var folderPath: String { kind == .config ? "" : Layout.bucketPath(kind, id.firstByte) }
}

/// Names in a store and in our own folder (kloset-format 4).
enum Layout {
    static let own = ".sealift"
    static let uploads = ".sealift/uploads"
    static let quarantine = ".sealift/quarantine"
    static let ledger = ".sealift/ledger"
    static let lock = ".sealift/lock"
    static let ownFolders = [own, uploads, quarantine, ledger]
    static let storeFolders = ["packfiles", "states", "locks"]
    /// What a client puts at the root; `CONFIG.frozen` is CONFIG on a cold storage class, kept by copies of such stores.
    static let rootNames: Set<String> = ["CONFIG", "CONFIG.frozen", "packfiles", "states", "locks", own]

    static func bucketPath(_ kind: ResourceKind, _ bucket: UInt8) -> String {
        kind == .config ? "" : "\(kind.folder)/\(hexText([bucket]))"
    }

    /// Whether a name is a client's temporary file (kloset-format 4): `tmp.*` here, `*.tmp` where a store came through SFTP.
    static func isTemporary(_ name: UnsafeRawBufferPointer) -> Bool {
        name.starts(with: "tmp.".utf8) || name.suffix(4).elementsEqual(".tmp".utf8)
    }
}
