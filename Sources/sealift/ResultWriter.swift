internal import Glibc
internal import Synchronization

/// The result on standard output, as text or as one JSON object, whole or piece by piece: memory does not grow with what is printed.
///
/// Any thread may write; a write waits for whoever reads. After the first one that fails nothing more is tried.
final class ResultWriter: Sendable {
    enum Form: Sendable {
        case text, json
        /// `--quiet`
        case nothing
    }

    enum Bracket: Sendable {
        case object, array

        var ends: (open: String, close: String) { self == .object ? ("{", "}") : ("[", "]") }
    }

    let form: Form
    private let descriptor: Int32
    private let state = Mutex(State())

    private struct State {
        var buffer: [UInt8] = []
        /// What is open below the object itself.
        var brackets: [Bracket] = []
        /// Whether a comma is due.
        var hasElements = false
        /// Members of the object itself that were written.
        var names: Set<String> = []
        var failure: Int32?
    }

    /// As much as one write to a pipe may take.
    private static let bufferByteCount = 64 << 10

    init(_ form: Form, to descriptor: Int32 = STDOUT_FILENO) {
        (self.form, self.descriptor) = (form, descriptor)
    }

    /// A line for people; nothing in other forms.
    func line(_ text: @autoclosure () -> String) {
        guard form == .text else { return }
        state.withLock { put(Output.harmless(text()) + "\n", &$0) }
    }

    /// A member of the object that is open.
    func member(_ name: String, _ value: JSONText) {
        guard form == .json else { return }
        state.withLock { put(name, value.text, &$0) }
    }

    /// An element of the array that is open.
    func element(_ value: @autoclosure () -> JSONText) {
        guard form == .json else { return }
        state.withLock { put(nil, value().text, &$0) }
    }

    /// Opens an object or an array as a member, or without a name as an element.
    func open(_ bracket: Bracket, _ name: String? = nil) {
        guard form == .json else { return }
        state.withLock { state in
            put(name, bracket.ends.open, &state)
            state.brackets.append(bracket)
            state.hasElements = false
        }
    }

    /// Closes what was opened last.
    func close() {
        guard form == .json else { return }
        state.withLock { Self.close(&$0) }
    }

    /// Closes what is open, adds the members that the object does not have yet, and writes everything out.
    ///
    /// - Returns: why the result, or a part of it, could not be written: an error number. Nil also when its reader has gone away, which is no
    ///   failure of the run.
    func finish(_ members: [(String, JSONText)] = []) -> Int32? {
        state.withLock { state in
            if form == .json {
                while !state.brackets.isEmpty { Self.close(&state) }
                for (name, value) in members where !state.names.contains(name) { put(name, value.text, &state) }
                put((state.names.isEmpty ? "{" : "") + "}\n", &state)
            }
            flush(&state)
            return state.failure == EPIPE ? nil : state.failure
        }
    }

    private static func close(_ state: inout State) {
        guard let last = state.brackets.popLast() else { return }
        state.buffer += last.ends.close.utf8
        state.hasElements = true
    }

    private func put(_ name: String?, _ text: String, _ state: inout State) {
        if let name, state.brackets.isEmpty {
            if state.names.isEmpty { put("{", &state) }
            state.names.insert(name)
        }
        put((state.hasElements ? ", " : "") + (name.map { JSONText.quoted($0) + ": " } ?? "") + text, &state)
        state.hasElements = true
    }

    private func put(_ text: String, _ state: inout State) {
        state.buffer += text.utf8
        if state.buffer.count >= Self.bufferByteCount { flush(&state) }
    }

    private func flush(_ state: inout State) {
        if state.failure == nil { state.failure = Output.write(state.buffer, to: descriptor) }
        state.buffer.removeAll(keepingCapacity: true)
    }
}

/// The streams of the process.
enum Output {
    /// A line on standard error: everything but the result. That nobody can be told is no failure of the run.
    static func line(_ text: String) { _ = write(Array("\(harmless(text))\n".utf8), to: STDERR_FILENO) }

    /// Standard error, a terminal: our own movements of its cursor.
    static func control(_ text: String) { _ = write(Array(text.utf8), to: STDERR_FILENO) }

    /// One line: paths and names may come out of a plan, a ledger or a configuration of somebody else's, could command the terminal, or look
    /// like another line of ours.
    static func harmless(_ text: String) -> String {
        guard !text.utf8.allSatisfy({ (0x20...0x7e).contains($0) }) else { return text }
        return String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { scalar in
                    switch scalar.properties.generalCategory {
                    case .control, .format, .lineSeparator, .paragraphSeparator: "\u{FFFD}"
                    default: scalar
                    }
                }))
    }

    /// Writes all of it, waiting for whoever reads.
    ///
    /// - Returns: nil, or the number of the error.
    static func write(_ bytes: [UInt8], to descriptor: Int32) -> Int32? {
        bytes.withUnsafeBytes { bytes in
            var done = 0
            while done < bytes.count {
                let count = Glibc.write(descriptor, bytes.baseAddress.map { $0 + done }, bytes.count - done)
                if count > 0 {
                    done += count
                } else if count < 0, errno == EAGAIN {
                    // Somebody who shares the pipe with us made it non-blocking.
                    var wanted = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                    poll(&wanted, 1, -1)
                } else if count == 0 || errno != EINTR {
                    return count == 0 ? EIO : errno
                }
            }
            return nil
        }
    }

    /// Takes the numbers of streams that the caller closed, so that no file of ours gets one of them and our words with it.
    static func occupyClosedStreams() {
        for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) < 0 {
            // Not writable: a result that nobody gets is to be noticed.
            _ = open("/dev/null", O_RDONLY)
        }
    }
}
