/// An answer's head, line by line, within bounds. Interim answers are passed over, trailers too; all count.
struct ResponseHead {
    private enum Place {
        case status
        case fields
        case body
    }

    private(set) var status = 0
    private(set) var headers = HTTPHeaders()
    private var place = Place.status
    private var lineCount = 0
    private var byteCount = 0

    var isComplete: Bool { place == .body }
    var isSuccess: Bool { (200..<300).contains(status) }
    var isChunked: Bool { headers["Transfer-Encoding"]?.lowercased().hasSuffix("chunked") == true }

    static let notHTTP = "the answer is not HTTP"

    /// Takes in one line with its end. Returns what is wrong with it.
    mutating func take(_ line: UnsafeRawBufferPointer) -> HTTPError? {
        lineCount += 1
        byteCount += line.count
        guard lineCount <= CurlTransport.headLinesMax, byteCount <= CurlTransport.headByteCountMax else {
            return .tooLong("the answer's head is longer than allowed")
        }
        let end = line.lastIndex { $0 != 10 && $0 != 13 }.map { $0 + 1 } ?? 0
        let content = UnsafeRawBufferPointer(rebasing: line[..<end])
        switch place {
        case .status:
            guard let number = Self.status(of: content) else { return .unclear(Self.notHTTP) }
            status = number
            headers = HTTPHeaders()
            place = .fields
        case .fields where content.isEmpty: place = (100..<200).contains(status) ? .status : .body
        case .fields: append(content)
        case .body: break
        }
        return nil
    }

    /// The three digits of `HTTP/1.1 200 OK`; nil for anything else.
    private static func status(of line: UnsafeRawBufferPointer) -> Int? {
        let parts = line.split(separator: UInt8(ascii: " "), maxSplits: 2)
        guard parts.count > 1, parts[1].count == 3, let number = Int(String(decoding: parts[1], as: UTF8.self)) else {
            return nil
        }
        return (100..<600).contains(number) ? number : nil
    }

    private mutating func append(_ line: UnsafeRawBufferPointer) {
        // A line without a name (also one that continues the line above, a form that RFC 9112 has forbidden) says nothing that we need.
        guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > 0, line[0] != 0x20, line[0] != 9 else { return }
        let value = String(decoding: line[(colon + 1)...], as: UTF8.self)
        let trimmed = value.unicodeScalars.drop { $0 == " " || $0 == "\t" }
        let last = trimmed.lastIndex { $0 != " " && $0 != "\t" }
        headers.append(
            HTTPField(String(decoding: line[..<colon], as: UTF8.self), last.map { String(trimmed[...$0]) } ?? ""))
    }
}
