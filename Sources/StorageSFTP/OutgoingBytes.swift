internal import Glibc
internal import Storage

/// Bytes on their way to the child: small ones gathered, data of writes sent from where it lies.
struct OutgoingBytes {
    private enum Segment {
        case gathered([UInt8])
        case piece(Piece, Range<Int>)

        var count: Int {
            switch self {
            case .gathered(let bytes): bytes.count
            case .piece(_, let range): range.count
            }
        }
    }

    private var segments: [Segment] = []
    private var head = 0
    /// How much of the first segment is gone.
    private var done = 0

    /// Gathered segments grow to about this: one system call for hundreds of small requests.
    private static let gatheredMax = 64 << 10

    var isEmpty: Bool { head == segments.count }

    mutating func add(_ bytes: [UInt8]) {
        if head < segments.count, case .gathered(var last) = segments[segments.count - 1], last.count < Self.gatheredMax {
            segments[segments.count - 1] = .gathered([])  // so that the array below has one owner
            last += bytes
            segments[segments.count - 1] = .gathered(last)
        } else {
            segments.append(.gathered(bytes))
        }
    }

    mutating func add(_ piece: Piece, _ range: Range<Int>) {
        segments.append(.piece(piece, range))
    }

    /// Writes until everything is gone or the pipe is full.
    ///
    /// - Returns: nil when something went out, else the errno.
    mutating func write(to file: Int32) -> Int32? {
        var moved = false
        while head < segments.count {
            let count: Int
            switch segments[head] {
            case .gathered(let bytes):
                count = bytes.withUnsafeBytes { send(file, UnsafeRawBufferPointer(rebasing: $0[done...])) }
            case .piece(let piece, let range):
                count = send(file, UnsafeRawBufferPointer(rebasing: piece.memory[range.lowerBound + done..<range.upperBound]))
            }
            if count < 0 { return moved ? nil : errno }
            moved = true
            done += count
            if done == segments[head].count { advance() }
        }
        return nil
    }

    private func send(_ file: Int32, _ bytes: UnsafeRawBufferPointer) -> Int {
        Glibc.write(file, bytes.baseAddress, bytes.count)
    }

    private mutating func advance() {
        segments[head] = .gathered([])  // lets go of the piece
        (head, done) = (head + 1, 0)
        if head == segments.count {
            segments.removeAll(keepingCapacity: true)
            head = 0
        } else if head >= 64 {
            segments.removeFirst(head)
            head = 0
        }
    }
}

/// The last of what the child writes to standard error.
struct LastWords {
    private var bytes: [UInt8] = []
    private(set) var isClosed = false
    /// A changed host key takes OpenSSH about 800 bytes to report, a verbose configuration more.
    private static let byteCountMax = 8 << 10

    /// Takes what is there now; the file does not block.
    mutating func take(from file: Int32) {
        var buffer = [UInt8](repeating: 0, count: 4096)
        // Bounded, for the child may write for ever.
        for _ in 0..<16 {
            let count = read(file, &buffer, buffer.count)
            if count == 0 { isClosed = true }
            guard count > 0 else { return }
            bytes += buffer.prefix(count)
            if bytes.count > Self.byteCountMax { bytes.removeFirst(bytes.count - Self.byteCountMax) }
        }
    }

    /// Without what a terminal could take for a command.
    var text: String {
        String(
            String.UnicodeScalarView(
                String(decoding: bytes, as: UTF8.self).unicodeScalars.filter {
                    $0 == "\n" || ![.control, .format, .privateUse, .surrogate].contains($0.properties.generalCategory)
                }))
    }
}
