/// What a resource is. The raw value is the type number in the resource's own header (kloset-format 1).
///
/// Locks are no kind: they belong to running clients and are never replicated.
public enum ResourceKind: UInt8, Sendable, Hashable, CaseIterable, Comparable {
    /// The store's single CONFIG: cleartext parameters.
    case config = 1
    /// An encrypted delta log: the commit record of a backup.
    case state = 3
    /// Encrypted blobs with their index.
    case packfile = 4

    /// The word for it in JSON, messages and ledgers.
    public var name: String {
        switch self {
        case .config: "config"
        case .state: "state"
        case .packfile: "packfile"
        }
    }

    /// Parses ``name``.
    public init?(name: some StringProtocol) {
        switch name {
        case "config": self = .config
        case "state": self = .state
        case "packfile": self = .packfile
        default: return nil
        }
    }

    /// The folder of a store that holds the kind's 256 buckets; empty for CONFIG, which lies at the root.
    public var folder: String {
        switch self {
        case .config: ""
        case .state: "states"
        case .packfile: "packfiles"
        }
    }

    public static func < (left: ResourceKind, right: ResourceKind) -> Bool { left.rawValue < right.rawValue }
}

/// The 256-bit name of a resource, given by the client that wrote it. Without the key it cannot be recomputed from the bytes.
public typealias ResourceID = Bits256

/// SHA-256 of a resource's ciphertext: the proof that two copies are the same.
public typealias Digest = Bits256

/// One immutable thing in a store. Ordered by kind, then id: the order of every inventory, ledger and root hash.
public struct ResourceKey: Sendable, Hashable, Comparable, CustomStringConvertible {
    public var kind: ResourceKind
    public var id: ResourceID

    public init(_ kind: ResourceKind, _ id: ResourceID) {
        self.kind = kind
        self.id = id
    }

    /// CONFIG, which has no id of its own: all bits zero stand in.
    public static let config = ResourceKey(.config, .zero)

    /// Where the resource lies below a store's root in every tree-like layout: `CONFIG`, `packfiles/<xx>/<64 hex>`, `states/<xx>/<64 hex>`.
    public var path: String {
        guard kind != .config else { return "CONFIG" }
        let hex = id.hex
        return "\(kind.folder)/\(hex.prefix(2))/\(hex)"
    }

    /// Parses ``path``; nil for any other text.
    public init?(path: String) {
        if path == "CONFIG" {
            self = .config
            return
        }
        let kinds = [ResourceKind.packfile, .state]
        guard let id = ResourceID(hex: String(path.suffix(64))),
            let kind = kinds.first(where: { path.hasPrefix("\($0.folder)/") }), ResourceKey(kind, id).path == path
        else { return nil }
        self.init(kind, id)
    }

    /// How messages name it: `CONFIG`, `packfile 3f0c…` with all 64 digits.
    public var description: String { kind == .config ? "CONFIG" : "\(kind.name) \(id.hex)" }

    public static func < (left: ResourceKey, right: ResourceKey) -> Bool {
        left.kind == right.kind ? left.id < right.id : left.kind < right.kind
    }
}

/// The identity of a store, shared by all its replicas: the 16 bytes `RepositoryID` of CONFIG.
public struct RepositoryID: Sendable, Hashable, CustomStringConvertible {
    /// Exactly 16 bytes.
    public let bytes: [UInt8]

    /// Nil unless there are exactly 16 bytes.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 16 else { return nil }
        self.bytes = Array(bytes)
    }

    /// Parses the UUID text of ``description``, with or without hyphens; nil for anything else.
    public init?(text: String) {
        let digits = text.utf8.filter { $0 != UInt8(ascii: "-") }
        guard digits.count == 32 else { return nil }
        var parsed: [UInt8] = []
        for index in stride(from: 0, to: 32, by: 2) {
            guard let high = Character(UnicodeScalar(digits[index])).hexDigitValue,
                let low = Character(UnicodeScalar(digits[index + 1])).hexDigitValue
            else { return nil }
            parsed.append(UInt8(high << 4 | low))
        }
        bytes = parsed
    }

    /// UUID text, lower case (RFC 9562, section 4).
    public var description: String {
        let hex = hexText(bytes)
        let cuts = [0..<8, 8..<12, 12..<16, 16..<20, 20..<32]
        return cuts.map { String(Array(hex.utf8)[$0].map { Character(UnicodeScalar($0)) }) }.joined(separator: "-")
    }
}

/// Lower-case hexadecimal digits of any bytes.
public func hexText(_ bytes: some Sequence<UInt8>) -> String {
    var text = ""
    for byte in bytes {
        text.append(hexDigits[Int(byte >> 4)])
        text.append(hexDigits[Int(byte & 15)])
    }
    return text
}

private let hexDigits = Array("0123456789abcdef")

/// A moment, in nanoseconds since 1970-01-01 00:00 UTC. Core code gets it as an argument and never reads a clock.
public struct Timestamp: Sendable, Hashable, Comparable {
    public var nanoseconds: Int64

    public init(nanoseconds: Int64) {
        self.nanoseconds = nanoseconds
    }

    public init(seconds: Int64) {
        nanoseconds = seconds.multipliedReportingOverflow(by: 1_000_000_000).partialValue
    }

    public static func < (left: Timestamp, right: Timestamp) -> Bool { left.nanoseconds < right.nanoseconds }
}
