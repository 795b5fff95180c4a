internal import CYAML
internal import Glibc
internal import S3Signing

/// The events of one YAML file, as libyaml gives them, one at a time.
///
/// The text of a scalar stays in libyaml's memory until someone asks for it, and is overwritten before that memory is given back. So are
/// libyaml's buffers; only what its scanner dropped while a scalar grew is out of reach.
struct YAMLEvents: ~Copyable {
    enum Kind {
        case streamStart, streamEnd, documentStart, documentEnd, mappingStart, mappingEnd, scalar, sequence, alias
    }

    /// Why there is no next event: libyaml's own constant words, which never quote the file.
    struct Fault: Error {
        var reason: String
        var line: Int
    }

    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let event: UnsafeMutablePointer<yaml_event_t>
    private let bytes: UnsafeRawBufferPointer

    /// - Parameter bytes: UTF-8; must outlive the value.
    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
        parser = .allocate(capacity: 1)
        parser.initialize(to: yaml_parser_t())
        event = .allocate(capacity: 1)
        event.initialize(to: yaml_event_t())
        precondition(yaml_parser_initialize(parser) == 1, "no memory for a YAML parser")
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        yaml_parser_set_input_string(parser, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count)
    }

    deinit {
        forget()
        // The input as libyaml copied it, and as it decoded it.
        if let start = parser.pointee.raw_buffer.start { explicit_bzero(start, parser.pointee.raw_buffer.end - start) }
        if let start = parser.pointee.buffer.start { explicit_bzero(start, parser.pointee.buffer.end - start) }
        yaml_parser_delete(parser)
        parser.deallocate()
        event.deallocate()
    }

    /// Overwrites and frees the current event.
    private func forget() {
        if event.pointee.type == YAML_SCALAR_EVENT, let value = event.pointee.data.scalar.value {
            explicit_bzero(value, event.pointee.data.scalar.length)
        }
        yaml_event_delete(event)
    }

    /// Moves to the next event.
    mutating func next() throws(Fault) -> Kind {
        forget()
        guard yaml_parser_parse(parser, event) == 1 else {
            let reason = parser.pointee.problem.map { String(cString: $0) } ?? "is no YAML"
            throw Fault(reason: reason, line: problemLine)
        }
        return switch event.pointee.type {
        case YAML_STREAM_START_EVENT: .streamStart
        case YAML_DOCUMENT_START_EVENT: .documentStart
        case YAML_DOCUMENT_END_EVENT: .documentEnd
        case YAML_MAPPING_START_EVENT: .mappingStart
        case YAML_MAPPING_END_EVENT: .mappingEnd
        case YAML_SCALAR_EVENT: .scalar
        case YAML_SEQUENCE_START_EVENT, YAML_SEQUENCE_END_EVENT: .sequence
        case YAML_ALIAS_EVENT: .alias
        default: .streamEnd
        }
    }

    /// The line of the current event, from 1.
    var line: Int { Int(event.pointee.start_mark.line) + 1 }

    /// Whether the current event carries an anchor or a tag.
    var isMarked: Bool {
        switch event.pointee.type {
        case YAML_SCALAR_EVENT: event.pointee.data.scalar.anchor != nil || event.pointee.data.scalar.tag != nil
        case YAML_MAPPING_START_EVENT:
            event.pointee.data.mapping_start.anchor != nil || event.pointee.data.mapping_start.tag != nil
        default: false
        }
    }

    /// Bytes of the current scalar.
    var scalarByteCount: Int { event.pointee.data.scalar.length }

    /// The current scalar as a string, which lives on: never ask for a secret's. A plain `null` or `~` is empty, as in plakar.
    var scalarText: String {
        let scalar = event.pointee.data.scalar
        let text = String(decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.length), as: UTF8.self)
        return scalar.style == YAML_PLAIN_SCALAR_STYLE && (text == "null" || text == "~") ? "" : text
    }

    /// The current scalar in memory that is overwritten when nobody needs it any more; without the `raw:` that plakar writes before values that
    /// it must not expand.
    var scalarSecret: Secret {
        let scalar = event.pointee.data.scalar
        let bytes = UnsafeRawBufferPointer(start: scalar.value, count: scalar.length)
        if scalar.style == YAML_PLAIN_SCALAR_STYLE, bytes.elementsEqual("null".utf8) || bytes.elementsEqual("~".utf8) {
            return Secret("")
        }
        return Secret(bytes.starts(with: "raw:".utf8) ? UnsafeRawBufferPointer(rebasing: bytes.dropFirst(4)) : bytes)
    }

    /// Where libyaml found a fault. Its reader knows no lines, only an offset.
    private var problemLine: Int {
        guard parser.pointee.error == YAML_READER_ERROR else { return Int(parser.pointee.problem_mark.line) + 1 }
        return bytes.prefix(parser.pointee.problem_offset).count { $0 == UInt8(ascii: "\n") } + 1
    }
}
