internal import Kloset

/// One line of a segment's body.
enum Line {
    case entry(LedgerEntry)
    /// What it is missing follows in lines of its own.
    case point(RecoveryPoint, complete: Bool)
    case missing(ResourceKey)
    case end(Int64)

    init(_ line: UnsafeRawBufferPointer) throws(DecompressedLines.Illegible) {
        var words = LedgerWords(line)
        let name = try words.word()
        if name.elementsEqual("resource".utf8) {
            self = .entry(try words.resource())
        } else if name.elementsEqual("gone".utf8) {
            self = .entry(.gone(try words.key()))
        } else if name.elementsEqual("point".utf8) {
            self = try words.point()
        } else if name.elementsEqual("missing".utf8) {
            self = .missing(try words.key())
        } else if name.elementsEqual("end".utf8) {
            self = .end(try words.number())
        } else {
            throw DecompressedLines.Illegible(reason: "a line of an unknown kind")
        }
        try words.end()
    }
}

/// Takes a line apart, word by word. Strict: each value has one spelling.
struct LedgerWords {
    typealias Illegible = DecompressedLines.Illegible

    private var rest: UnsafeRawBufferPointer?

    init(_ line: UnsafeRawBufferPointer) {
        rest = line
    }

    /// The next word: up to the next space or the end, not empty.
    mutating func word() throws(Illegible) -> UnsafeRawBufferPointer {
        guard let line = rest else { throw Illegible(reason: "a line is cut short") }
        let end = line.firstIndex(of: UInt8(ascii: " "))
        let word = UnsafeRawBufferPointer(rebasing: line[..<(end ?? line.count)])
        rest = end.map { UnsafeRawBufferPointer(rebasing: line[($0 + 1)...]) }
        guard word.count > 0 else { throw Illegible(reason: "a line with an empty word") }
        return word
    }

    /// There must be nothing left.
    func end() throws(Illegible) {
        guard rest == nil else { throw Illegible(reason: "a line is too long for its kind") }
    }

    mutating func expect(_ name: StaticString) throws(Illegible) {
        let word = try word()
        let same = name.withUTF8Buffer { word.elementsEqual($0) }
        guard same else { throw Illegible(reason: "there is no \(name) where it should be") }
    }

    mutating func string() throws(Illegible) -> String {
        String(decoding: try word(), as: UTF8.self)
    }

    mutating func bits() throws(Illegible) -> Bits256 {
        guard let bits = Bits256(hex: try word()) else { throw Illegible(reason: "a digest or id has not 64 digits") }
        return bits
    }

    /// Decimal, without sign or leading zeros.
    mutating func number() throws(Illegible) -> Int64 {
        guard let value = Self.number(try word()) else { throw Illegible(reason: "a number is none") }
        return value
    }

    private static func number(_ word: UnsafeRawBufferPointer) -> Int64? {
        // 18 digits stay below 2^63, so the common case needs no overflow check; the longest numbers have 19.
        guard word.count <= 19, word.count == 1 || word[0] != UInt8(ascii: "0") else { return nil }
        var value: Int64 = 0
        for digit in word {
            guard digit >= UInt8(ascii: "0"), digit <= UInt8(ascii: "9") else { return nil }
            let (tens, over) = value.multipliedReportingOverflow(by: 10)
            let (sum, beyond) = tens.addingReportingOverflow(Int64(digit - UInt8(ascii: "0")))
            if over || beyond { return nil }
            value = sum
        }
        return value
    }

    mutating func key() throws(Illegible) -> ResourceKey {
        let name = try word()
        let kind: ResourceKind
        if name.elementsEqual("packfile".utf8) {
            kind = .packfile
        } else if name.elementsEqual("state".utf8) {
            kind = .state
        } else if name.elementsEqual("config".utf8) {
            kind = .config
        } else {
            throw Illegible(reason: "a resource of an unknown kind")
        }
        let id = try bits()
        guard kind != .config || id == .zero else { throw Illegible(reason: "CONFIG has no id") }
        return ResourceKey(kind, id)
    }

    /// The words behind `resource`.
    mutating func resource() throws(Illegible) -> LedgerEntry {
        let key = try key()
        let size = try number()
        guard size <= LedgerFormat.resourceByteCountMax else { throw Illegible(reason: "a resource of \(size) bytes") }
        let proof = try word()
        if proof.count == 1, proof[0] == UInt8(ascii: "-") { return .resource(key, size: size, digest: nil, chunks: []) }
        guard let digest = Bits256(hex: proof) else { throw Illegible(reason: "a digest has not 64 digits") }
        return .resource(key, size: size, digest: digest, chunks: rest == nil ? [] : try chunks(size: size))
    }

    private mutating func chunks(size: Int64) throws(Illegible) -> [ChunkHash] {
        let word = try word()
        let count = ChunkLayout.count(size: size)
        guard count > 1, word.count == count * 33 - 1 else {
            throw Illegible(reason: "a list of chunk hashes does not fit its resource")
        }
        var chunks: [ChunkHash] = []
        chunks.reserveCapacity(count)
        for start in stride(from: 0, to: word.count, by: 33) {
            guard let high = Self.hex(word, start), let low = Self.hex(word, start + 16),
                start + 32 == word.count || word[start + 32] == UInt8(ascii: ",")
            else { throw Illegible(reason: "a chunk hash has not 32 digits") }
            chunks.append(ChunkHash(high: high, low: low))
        }
        return chunks
    }

    private static func hex(_ word: UnsafeRawBufferPointer, _ start: Int) -> UInt64? {
        var value: UInt64 = 0
        for digit in word[start..<(start + 16)] {
            switch digit {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = value << 4 | UInt64(digit - UInt8(ascii: "0"))
            case UInt8(ascii: "a")...UInt8(ascii: "f"): value = value << 4 | UInt64(digit - UInt8(ascii: "a") + 10)
            default: return nil
            }
        }
        return value
    }

    /// The words behind `point`.
    fileprivate mutating func point() throws(Illegible) -> Line {
        let id = try text()
        let created = Timestamp(nanoseconds: try number())
        let root = try bits()
        let names = try bits()
        let completeness = try word()
        let complete = completeness.elementsEqual("complete".utf8)
        guard complete || completeness.elementsEqual("incomplete".utf8) else {
            throw Illegible(reason: "a point neither complete nor not")
        }
        let packfiles = try number()
        let states = try number()
        let bytes = try number()
        let source = try text()
        let identity = try text()
        let name = try text()
        guard !id.isEmpty else { throw Illegible(reason: "a point without an id") }
        let point = RecoveryPoint(
            id: id, created: created, name: name.isEmpty ? nil : name, source: source, sourceIdentity: identity, root: root,
            namesDigest: names, packfiles: packfiles, states: states, bytes: bytes)
        return .point(point, complete: complete)
    }

    private mutating func text() throws(Illegible) -> String {
        guard let text = PercentText.decode(try word()) else { throw Illegible(reason: "a text is not encoded as it should be") }
        return text
    }
}
