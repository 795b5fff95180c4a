internal import Kloset
internal import Storage

/// Reads one ledger segment that may have been written by anyone (``LedgerFormat``), entry by entry.
///
/// Nothing it gave may be believed before ``next()`` has returned nil: only then is the whole known to be well-formed.
public final class LedgerDecoder {
    private let lines: DecompressedLines
    private var entryCount = 0
    private var ended = false
    /// A line that was read to see whether it is a `missing` one.
    private var peeked: Line?

    public let header: LedgerHeader

    /// Reads the header.
    ///
    /// - Parameter stored: the segment's bytes as stored.
    /// - Throws: ``Failure`` `.damage`.
    public init(_ stored: [UInt8]) throws {
        (lines, header) = try Self.legible {
            let lines = try DecompressedLines(stored)
            return (lines, try Self.header(lines))
        }
    }

    /// Turns the reason of an illegible segment into a failure.
    private static func legible<Value>(_ body: () throws -> Value) throws -> Value {
        do { return try body() } catch let illegible as DecompressedLines.Illegible {
            throw Failure(.damage, "cannot read a ledger segment", reason: illegible.reason)
        }
    }

    /// The next entry, or nil at the end of a well-formed segment.
    ///
    /// - Throws: ``Failure`` `.damage`.
    public func next() throws -> LedgerEntry? {
        try Self.legible {
            guard let line = try nextLine() else { return nil }
            switch line {
            case .entry(let entry): return entry
            case .point(let point, let complete): return .point(try withMissing(point, complete: complete))
            case .missing: throw DecompressedLines.Illegible(reason: "a missing resource without an incomplete point before it")
            case .end: preconditionFailure("the end is no entry")
            }
        }
    }

    private func withMissing(_ point: RecoveryPoint, complete: Bool) throws -> RecoveryPoint {
        var point = point
        guard !complete else { return point }
        while let line = try nextLine() {
            guard case .missing(let key) = line else {
                peeked = line
                break
            }
            if let last = point.missing.last, last >= key {
                throw DecompressedLines.Illegible(reason: "missing resources are not in order")
            }
            point.missing.append(key)
        }
        guard !point.missing.isEmpty else { throw DecompressedLines.Illegible(reason: "an incomplete point that misses nothing") }
        return point
    }

    /// The next line of the body, or nil behind the last.
    private func nextLine() throws -> Line? {
        if let line = peeked {
            peeked = nil
            return line
        }
        guard !ended else { return nil }
        guard let line = try lines.next({ try Line($0) }) else {
            throw DecompressedLines.Illegible(reason: "its last line is missing")
        }
        guard case .end(let count) = line else {
            entryCount += 1
            guard entryCount <= LedgerFormat.entriesMax else {
                throw DecompressedLines.Illegible(reason: "it has too many entries")
            }
            return line
        }
        guard count == Int64(entryCount) else {
            throw DecompressedLines.Illegible(reason: "it has \(entryCount) entries and should have \(count)")
        }
        guard try lines.next({ _ in true }) == nil else { throw DecompressedLines.Illegible(reason: "something follows its end") }
        ended = true
        return nil
    }

    private static func header(_ lines: DecompressedLines) throws -> LedgerHeader {
        try field(lines, "sealift-ledger") { words throws(DecompressedLines.Illegible) in
            guard try words.number() == 1 else { throw DecompressedLines.Illegible(reason: "its version is not known") }
        }
        let sequence = try field(lines, "sequence") { words throws(DecompressedLines.Illegible) in try words.number() }
        let replica = try field(lines, "replica") { words throws(DecompressedLines.Illegible) in
            guard let id = ReplicaID(hex: try words.string()) else { throw DecompressedLines.Illegible(reason: "no replica id") }
            return id
        }
        let repository = try field(lines, "repository") { words throws(DecompressedLines.Illegible) in
            let text = try words.string()
            guard let id = RepositoryID(text: text), id.description == text else {
                throw DecompressedLines.Illegible(reason: "no repository id")
            }
            return id
        }
        let previous = try field(lines, "previous") { words throws(DecompressedLines.Illegible) in try words.bits() }
        guard sequence > 0, (sequence == 1) == (previous == .zero) else {
            throw DecompressedLines.Illegible(reason: "its number does not fit what it says of the previous one")
        }
        return LedgerHeader(sequence: sequence, replica: replica, repository: repository, previous: previous)
    }

    /// Reads one line of the header: its name, then what `parse` takes, then nothing.
    private static func field<Value>(
        _ lines: DecompressedLines, _ name: StaticString,
        _ parse: (inout LedgerWords) throws(DecompressedLines.Illegible) -> Value
    ) throws -> Value {
        let value = try lines.next { line throws(DecompressedLines.Illegible) in
            var words = LedgerWords(line)
            try words.expect(name)
            let value = try parse(&words)
            try words.end()
            return value
        }
        guard let value else { throw DecompressedLines.Illegible(reason: "its header is cut short") }
        return value
    }
}
