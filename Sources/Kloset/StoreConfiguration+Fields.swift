/// The fields of CONFIG, each read and checked where it stands.
extension MessagePackReader {
    /// Calls `body` for each key of a map, which then reads exactly one value. A key that comes twice is damage: readers would differ.
    ///
    /// - Parameter name: what the map is, for messages.
    /// - Returns: false when there is nil in place of the map.
    mutating func members(
        _ name: String, _ body: (String, inout MessagePackReader) throws(ConfigurationDamage) -> Void
    ) throws(ConfigurationDamage) -> Bool {
        let count: Int
        switch try next() {
        case .null: return false
        case .map(let claimed): count = claimed
        default: throw ConfigurationDamage("has something else where \(name) should be")
        }
        var seen: Set<String> = []
        for _ in 0..<count {
            guard case .text(let range) = try next(), let key = word(range) else {
                throw ConfigurationDamage("has a key in \(name) that is no word")
            }
            guard seen.insert(key).inserted else { throw ConfigurationDamage("has the key \(key) twice in \(name)") }
            try body(key, &self)
        }
        return true
    }

    /// Short printable ASCII: names reach terminals, so nothing else is taken from a file that anyone may have written.
    private func word(_ range: Range<Int>) -> String? {
        let wordByteCountMax = 64  // the longest name seen has 15
        let bytes = self[range]
        guard !bytes.isEmpty, bytes.count <= wordByteCountMax, bytes.allSatisfy({ (0x20...0x7e).contains($0) }) else {
            return nil
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private mutating func name(of key: String) throws(ConfigurationDamage) -> String? {
        switch try next() {
        case .null: return nil
        case .text(let range) where range.isEmpty: return nil
        case .text(let range):
            guard let name = word(range) else { throw ConfigurationDamage("has no printable name for \(key)") }
            return name
        default: throw ConfigurationDamage("has no name for \(key)")
        }
    }

    mutating func repositoryID() throws(ConfigurationDamage) -> RepositoryID {
        guard case .binary(let range) = try next(), let id = RepositoryID(bytes: self[range]) else {
            throw ConfigurationDamage("has a repository id that is not 16 bytes")
        }
        return id
    }

    /// MessagePack's timestamp extension in its three lengths; nil for nil and for moments that nanoseconds in 64 bits cannot hold.
    mutating func timestamp() throws(ConfigurationDamage) -> Timestamp? {
        let token = try next()
        if token == .null { return nil }
        guard case .extended(type: -1, let range) = token else { throw ConfigurationDamage("has a timestamp of another type") }
        let bytes = self[range]
        func load<Number: FixedWidthInteger>(at offset: Int, as type: Number.Type) -> Number {
            Number(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: type))
        }
        let (seconds, nanoseconds): (Int64, UInt32)
        switch bytes.count {
        case 4: (seconds, nanoseconds) = (Int64(load(at: 0, as: UInt32.self)), 0)
        case 8:
            let both = load(at: 0, as: UInt64.self)
            (seconds, nanoseconds) = (Int64(both & (1 << 34 - 1)), UInt32(both >> 34))
        case 12: (seconds, nanoseconds) = (load(at: 4, as: Int64.self), load(at: 0, as: UInt32.self))
        default: throw ConfigurationDamage("has a timestamp of \(bytes.count) bytes")
        }
        guard nanoseconds < 1_000_000_000 else {
            throw ConfigurationDamage("has a timestamp with more than a second of nanoseconds")
        }
        let (product, tooLarge) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        let (sum, overflow) = product.addingReportingOverflow(Int64(nanoseconds))
        return tooLarge || overflow ? nil : Timestamp(nanoseconds: sum)
    }

    mutating func packfileByteCountMax() throws(ConfigurationDamage) -> UInt64? {
        var size: UInt64?
        _ = try members("Packfile") { (key, reader) throws(ConfigurationDamage) in
            guard key == "MaxSize" else { return try reader.skip() }
            switch try reader.next() {
            case .null, .unsigned(0): break
            case .unsigned(.max): break  // how a single-file archive says "no limit"
            case .unsigned(let value): size = value
            default: throw ConfigurationDamage("has a packfile size that is no size")
            }
        }
        return size
    }

    mutating func algorithm(of key: String) throws(ConfigurationDamage) -> String? {
        var algorithm: String?
        _ = try members(key) { (member, reader) throws(ConfigurationDamage) in
            if member == "Algorithm" { algorithm = try reader.name(of: key) } else { try reader.skip() }
        }
        return algorithm
    }

    mutating func encryption() throws(ConfigurationDamage) -> StoreConfiguration.Encryption? {
        var encryption = StoreConfiguration.Encryption()
        let present = try members("Encryption") { (key, reader) throws(ConfigurationDamage) in
            switch key {
            case "DataAlgorithm": encryption.dataAlgorithm = try reader.name(of: key)
            case "SubKeyAlgorithm": encryption.subkeyAlgorithm = try reader.name(of: key)
            case "KDFParams": try reader.keyDerivation(into: &encryption)
            default: try reader.skip()
            }
        }
        return present ? encryption : nil
    }

    /// `KDF` names the derivation; each map beside it holds the costs of one, and clients write the map of the one in use only.
    private mutating func keyDerivation(into encryption: inout StoreConfiguration.Encryption) throws(ConfigurationDamage) {
        var (derivation, costs): (String?, [StoreConfiguration.Cost]) = (nil, [])
        _ = try members("KDFParams") { (key, reader) throws(ConfigurationDamage) in
            var ahead = reader
            if key == "KDF" {
                derivation = try reader.name(of: key)
            } else if case .map = try ahead.next() {
                try reader.costs(of: key, into: &costs)
            } else {
                try reader.skip()
            }
        }
        (encryption.keyDerivation, encryption.keyDerivationCosts) = (derivation, costs)
    }

    private mutating func costs(of name: String, into costs: inout [StoreConfiguration.Cost]) throws(ConfigurationDamage) {
        _ = try members(name) { (key, reader) throws(ConfigurationDamage) in
            var ahead = reader
            if case .unsigned(let value) = try ahead.next(), costs.count < StoreConfiguration.Encryption.costsMax {
                costs.append(StoreConfiguration.Cost(name: key, value: value))
            }
            try reader.skip()
        }
    }
}
