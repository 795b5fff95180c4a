internal import Kloset

/// Names in a store and in our own folder (kloset-format 4).
enum Layout {
    static let own = ".sealift"
    static let uploads = ".sealift/uploads"
    static let quarantine = ".sealift/quarantine"
    static let ledger = ".sealift/ledger"
    static let times = ".sealift/times"
    /// Says who writes; only for people.
    static let holder = ".sealift/holder"
    /// There while names may not be durable yet.
    static let unsynced = ".sealift/unsynced"
    static let ownFolders = [own, uploads, quarantine, ledger, times]
    static let storeFolders = ["packfiles", "states", "locks"]
    static let rootNames: Set<String> = ["CONFIG", "CONFIG.frozen", "packfiles", "states", "locks", own]

    static func bucket(_ kind: ResourceKind, _ bucket: UInt8) -> String {
        kind == .config ? "" : "\(kind.folder)/\(hexText([bucket]))"
    }

    /// Whether a name is a client's temporary file (kloset-format 4).
    static func isTemporary(_ name: [UInt8]) -> Bool {
        name.starts(with: "tmp.".utf8) || name.suffix(4).elementsEqual(".tmp".utf8)
    }
}

extension ResourceKey {
    /// The folder that holds the resource, relative to the root; empty for the root itself.
    var folderPath: String { Layout.bucket(kind, id.firstByte) }

    /// `packfile-<64 hex>`: how staged and quarantined files of it begin.
    var stem: String { "\(kind.name)-\(id.hex)" }

    /// Parses the name of a staged file: `packfile-<64 hex>.<anything>`; nil for anything else.
    init?(stagedName name: [UInt8]) {
        guard let dash = name.firstIndex(of: UInt8(ascii: "-")), name.count > dash + 65,
            name[dash + 65] == UInt8(ascii: "."),
            let kind = ResourceKind(name: String(decoding: name[..<dash], as: UTF8.self)),
            let id = name[(dash + 1)...(dash + 64)].withUnsafeBytes({ ResourceID(hex: $0) })
        else { return nil }
        self.init(kind, id)
    }
}

extension String {
    /// A server's path of this text.
    var bytes: [UInt8] { Array(utf8) }
}

extension StringProtocol {
    /// Letters, digits, `.`, `_` and `-` of ASCII, not beginning with a dot.
    var isSafeWord: Bool {
        guard let first = utf8.first, first != UInt8(ascii: ".") else { return false }
        return utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
    }
}

extension UInt8 {
    /// A lower-case hexadecimal digit.
    var isHexDigit: Bool {
        (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(self) || (UInt8(ascii: "a")...UInt8(ascii: "f")).contains(self)
    }
}
