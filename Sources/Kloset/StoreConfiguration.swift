/// The format version of a resource: `major << 16 | minor << 8 | patch` (kloset-format 1).
public struct FormatVersion: RawRepresentable, Sendable, Hashable, CustomStringConvertible {
    public var rawValue: UInt32

    public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    /// `1.0.0`
    public var description: String { "\(rawValue >> 16).\(rawValue >> 8 & 0xff).\(rawValue & 0xff)" }
}

/// What CONFIG says about a store to anyone who reads it, without a key (kloset-format 3).
///
/// Only what a keyless party may show is kept; salt and canary are passed over. Names that the file gives are short printable ASCII.
public struct StoreConfiguration: Sendable, Equatable {
    /// Of the file's own header. A higher one than we know is no error.
    public var version: FormatVersion
    /// The store's identity, shared by all its replicas.
    public var repositoryID: RepositoryID
    /// When the store was made; nil when the file does not say or names a moment outside the years 1678 to 2261.
    public var created: Timestamp?
    /// The size that clients aim at for a packfile, in bytes: a hint, never a bound to fail on. Nil when there is none.
    public var packfileByteCountMax: UInt64?
    /// `BLAKE3`
    public var hashing: String?
    /// `LZ4`; nil when nothing is compressed.
    public var compression: String?
    /// Nil for a plaintext store.
    public var encryption: Encryption?

    /// Whether a key is needed to read the store.
    public var isEncrypted: Bool { encryption != nil }

    /// How the content is encrypted, as far as it is no secret.
    public struct Encryption: Sendable, Equatable {
        /// `AES256-GCM-SIV`
        public var dataAlgorithm: String?
        /// `AES256-KW`
        public var subkeyAlgorithm: String?
        /// `ARGON2ID`: what makes a key of a passphrase; nil when the key comes from elsewhere.
        public var keyDerivation: String?
        /// What deriving the key costs, under the file's own names and in its order: `Time`, `Memory` (KiB), `Threads`.
        public var keyDerivationCosts: [Cost] = []

        /// More parameters than this are not kept; argon2id has five.
        static let costsMax = 16
    }

    /// One parameter of a key derivation.
    public struct Cost: Sendable, Equatable {
        public var name: String
        public var value: UInt64

        public init(name: String, value: UInt64) {
            self.name = name
            self.value = value
        }
    }

    /// Reads CONFIG: header, MessagePack map, 32-byte trailer. The trailer is not checked; that needs the key.
    ///
    /// Time and memory are linear in the bytes that are there, whatever lengths they claim.
    ///
    /// - Parameter bytes: the whole file; who reads it bounds its size.
    /// - Throws: why these are not the bytes of a CONFIG.
    public init(parsing bytes: UnsafeRawBufferPointer) throws(ConfigurationDamage) {
        if let reason = ResourceFace.damage(header: bytes, size: Int64(bytes.count), kind: .config) {
            throw ConfigurationDamage(reason)
        }
        let body = bytes[ResourceFace.headerByteCount..<(bytes.count - ResourceFace.trailerByteCount)]
        var reader = MessagePackReader(UnsafeRawBufferPointer(rebasing: body))
        var fields = Fields()
        guard try reader.members("its map", { (key, reader) throws(ConfigurationDamage) in try fields.read(key, from: &reader) })
        else { throw ConfigurationDamage("holds nothing") }
        guard reader.isAtEnd else { throw ConfigurationDamage("has bytes behind its map") }
        guard let identity = fields.repositoryID else { throw ConfigurationDamage("names no repository id") }

        version = FormatVersion(rawValue: UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 12, as: UInt32.self)))
        repositoryID = identity
        created = fields.created
        packfileByteCountMax = fields.packfileByteCountMax
        hashing = fields.hashing
        compression = fields.compression
        encryption = fields.encryption
    }

    /// What was found so far while the map is read.
    private struct Fields {
        var repositoryID: RepositoryID?
        var created: Timestamp?
        var packfileByteCountMax: UInt64?
        var hashing: String?
        var compression: String?
        var encryption: Encryption?

        mutating func read(_ key: String, from reader: inout MessagePackReader) throws(ConfigurationDamage) {
            switch key {
            case "RepositoryID": repositoryID = try reader.repositoryID()
            case "Timestamp": created = try reader.timestamp()
            case "Packfile": packfileByteCountMax = try reader.packfileByteCountMax()
            case "Hashing": hashing = try reader.algorithm(of: key)
            case "Compression": compression = try reader.algorithm(of: key)
            case "Encryption": encryption = try reader.encryption()
            default: try reader.skip()
            }
        }
    }
}
