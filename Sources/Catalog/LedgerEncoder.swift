internal import Hashing
internal import Kloset
internal import Storage

/// Writes one ledger segment, entry by entry (``LedgerFormat``). Holds only the compressed bytes: at most
/// ``LedgerFormat/storedByteCountMax``.
public struct LedgerEncoder: ~Copyable {
    private let stream = CompressedLines()
    private let header: LedgerHeader
    /// Lines so far that count as entries.
    public private(set) var entryCount = 0

    /// - Parameter header: its sequence is at least 1, and its `previous` is zero exactly in the first segment.
    public init(_ header: LedgerHeader) {
        precondition(
            header.sequence > 0 && (header.sequence == 1) == (header.previous == .zero), "only the first has no previous")
        self.header = header
        stream.append("sealift-ledger 1")
        stream.append("sequence \(header.sequence)")
        stream.append("replica \(header.replica)")
        stream.append("repository \(header.repository)")
        stream.append("previous \(header.previous.hex)")
    }

    /// Adds an entry.
    ///
    /// - Returns: false when the segment is full. Nothing was added then: finish it and begin the next.
    /// - Throws: `.refused` when a recovery point is missing more resources than fit into a segment of its own.
    public mutating func append(_ entry: LedgerEntry) throws -> Bool {
        let lines = Self.lines(entry)
        let byteCount = lines.reduce(0) { $0 + $1.count + 1 }
        let fits = entryCount + lines.count <= LedgerFormat.entriesMax && stream.byteCount + byteCount <= Self.entryByteCountMax
        guard fits else {
            if entryCount > 0 { return false }
            throw Failure(
                .refused, "cannot write the ledger",
                reason: "a recovery point without \(lines.count - 1) resources does not fit into it",
                advice: "That many are no isolated damage: repair the source first.")
        }
        for line in lines { stream.append(line) }
        entryCount += lines.count
        return true
    }

    /// Ends the segment.
    ///
    /// - Returns: the bytes to store, and the head of the ledger once they are stored.
    public consuming func finish() -> (bytes: [UInt8], head: LedgerHead) {
        stream.append("end \(entryCount)")
        let bytes = stream.finish()
        return (bytes, LedgerHead(sequence: header.sequence, digest: SHA256.digest(of: bytes)))
    }

    /// Leaves room for the header (under 256 bytes) and the last line.
    private static let entryByteCountMax = LedgerFormat.textByteCountMax - 1024

    private static func lines(_ entry: LedgerEntry) -> [[UInt8]] {
        switch entry {
        case .resource(let key, let size, let digest, let chunks):
            var line = LedgerLine("resource")
            line.add(key)
            line.add(String(size))
            if let digest { line.add(digest) } else { line.add("-") }
            if digest != nil, !chunks.isEmpty, line.bytes.count + 33 * chunks.count < LedgerFormat.lineByteCountMax {
                line.add(chunks)
            }
            return [line.bytes]
        case .gone(let key): return [LedgerLine("gone", key).bytes]
        case .point(let point): return [line(point)] + Set(point.missing).sorted().map { LedgerLine("missing", $0).bytes }
        }
    }

    private static func line(_ point: RecoveryPoint) -> [UInt8] {
        var line = LedgerLine("point")
        line.add(PercentText.encode(point.id))
        line.add(String(max(0, point.created.nanoseconds)))
        line.add(point.root)
        line.add(point.namesDigest)
        line.add(point.isComplete ? "complete" : "incomplete")
        line.add(String(point.packfiles))
        line.add(String(point.states))
        line.add(String(point.bytes))
        line.add(PercentText.encode(point.source))
        line.add(PercentText.encode(point.sourceIdentity))
        line.add(PercentText.encode(point.name ?? ""))
        return line.bytes
    }
}

/// The words of one line.
private struct LedgerLine {
    private(set) var bytes: [UInt8]

    init(_ word: String) {
        bytes = Array(word.utf8)
    }

    init(_ word: String, _ key: ResourceKey) {
        self.init(word)
        add(key)
    }

    mutating func add(_ word: String) {
        bytes.append(UInt8(ascii: " "))
        bytes += word.utf8
    }

    mutating func add(_ key: ResourceKey) {
        add(key.kind.name)
        add(key.id)
    }

    mutating func add(_ bits: Bits256) {
        bytes.append(UInt8(ascii: " "))
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 64) { digits in
            bits.writeHex(to: digits)
            bytes += digits
        }
    }

    mutating func add(_ chunks: [ChunkHash]) {
        bytes.reserveCapacity(bytes.count + 33 * chunks.count)
        var separator = UInt8(ascii: " ")
        for chunk in chunks {
            bytes.append(separator)
            add(chunk.high)
            add(chunk.low)
            separator = UInt8(ascii: ",")
        }
    }

    private mutating func add(_ word: UInt64) {
        for shift in stride(from: 60, through: 0, by: -4) {
            let digit = UInt8(truncatingIfNeeded: word >> UInt64(shift)) & 15
            bytes.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
        }
    }
}
