internal import Hashing
internal import Kloset
internal import Storage

/// What `sha256sum` says of the files that it was asked for, one line for each that it could read: 64 hexadecimal digits, a space, a space or an
/// asterisk, the name. A value without I/O; whoever says it may be anybody.
///
/// The names asked for end with ``mark``, once or more often: the last mark's line ends the answer.
struct HashAnswer {
    /// Is on every machine with a shell, is empty, and has a digest that nobody has to believe.
    static let mark = "/dev/null".bytes

    private let asked: [[UInt8]: Int]
    private let lineByteCountMax: Int
    private var marksLeft: Int
    private var pending: [UInt8] = []
    /// In the order asked; nil for what was not answered.
    private(set) var digests: [Digest?]

    /// The answer cannot be that of `sha256sum`.
    struct Nonsense: Error, Equatable {
        /// Completes "what it said …".
        var reason: String
    }

    /// - Parameters:
    ///   - names: none twice, none the mark.
    ///   - marks: how many marks were asked for behind them; at least one.
    init(to names: [[UInt8]], marks: Int) {
        asked = Dictionary(names.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
        marksLeft = marks
        digests = Array(repeating: nil, count: names.count)
        // Each byte of a name may be escaped; a backslash in front, digits, two separators.
        lineByteCountMax = 2 * (names.map(\.count).max() ?? 0) + 2 * Self.mark.count + 67
    }

    var isComplete: Bool { marksLeft == 0 }

    /// - Throws: at the first line that was not asked for; nothing of the answer may be believed then.
    mutating func take(_ bytes: some Sequence<UInt8>) throws(Nonsense) {
        for byte in bytes {
            guard !isComplete else { throw Nonsense(reason: "goes on behind its end") }
            guard byte == UInt8(ascii: "\n") else {
                guard pending.count < lineByteCountMax else { throw Nonsense(reason: "has a line that is too long") }
                pending.append(byte)
                continue
            }
            try takeLine(pending[...])
            pending.removeAll(keepingCapacity: true)
        }
    }

    private mutating func takeLine(_ line: ArraySlice<UInt8>) throws(Nonsense) {
        // A backslash in front says that the name is escaped.
        let isEscaped = line.first == UInt8(ascii: "\\")
        let rest = isEscaped ? line.dropFirst() : line
        let space = rest.startIndex + 64
        guard rest.count > 66, rest[space] == UInt8(ascii: " "),
            rest[space + 1] == UInt8(ascii: " ") || rest[space + 1] == UInt8(ascii: "*"),
            let digest = Digest(hex: String(decoding: rest.prefix(64), as: UTF8.self)),
            digest.hex.utf8.elementsEqual(rest.prefix(64)),
            let name = isEscaped ? Self.unescaped(rest[(space + 2)...]) : Array(rest[(space + 2)...])
        else { throw Nonsense(reason: "is not of the form that sha256sum has") }
        if name == Self.mark {
            guard digest == SHA256.digest(of: []) else { throw Nonsense(reason: "has another digest for an empty file") }
            marksLeft -= 1
            return
        }
        guard let index = asked[name] else { throw Nonsense(reason: "names a file that was not asked for") }
        guard digests[index] == nil else { throw Nonsense(reason: "names a file twice") }
        digests[index] = digest
    }

    /// `\\`, `\n` and `\r`, as GNU's tools write them; nil for anything else.
    private static func unescaped(_ bytes: ArraySlice<UInt8>) -> [UInt8]? {
        var name: [UInt8] = []
        var rest = bytes
        while let byte = rest.popFirst() {
            guard byte == UInt8(ascii: "\\") else {
                name.append(byte)
                continue
            }
            switch rest.popFirst() {
            case UInt8(ascii: "\\"): name.append(UInt8(ascii: "\\"))
            case UInt8(ascii: "n"): name.append(UInt8(ascii: "\n"))
            case UInt8(ascii: "r"): name.append(UInt8(ascii: "\r"))
            default: return nil
            }
        }
        return name
    }
}
