internal import StorageTesting

/// Answers as S3 servers send them, most of them spoiled in some places.
struct GeneratedAnswers {
    struct Answer {
        var head: [UInt8]
        var body: [UInt8]

        init(head: [UInt8], body: [UInt8]) {
            (self.head, self.body) = (head, body)
        }

        /// Splits at the first empty line.
        init(_ bytes: [UInt8]) {
            let end = bytes.indices.first { bytes[$0...].starts(with: [13, 10, 13, 10]) }.map { $0 + 4 } ?? bytes.count
            self.init(head: Array(bytes[..<end]), body: Array(bytes[end...]))
        }
    }

    private var random: SeededRandom

    init(seed: UInt64) {
        random = SeededRandom(seed: seed)
    }

    private mutating func below(_ bound: Int) -> Int { Int(truncatingIfNeeded: random.next() % UInt64(bound)) }
    private mutating func chance(_ one: Int) -> Bool { below(one) == 0 }
    private mutating func pick(_ words: [String]) -> String { words[below(words.count)] }

    private static let numbers = [
        "0", "1", "64", "-1", "1000", "9223372036854775807", "9223372036854775808", "1e3", "", "+5", "0x10",
    ]
    private static let tokens = [
        "<", ">", "/>", "</", "&", ";", "&amp;", "&#x110000;", "&#0;", "&#xD800;", "%", "%zz", "%2F", "+", "<!DOCTYPE a>",
        "<![CDATA[", "]]>",
        "<!--", "-->", "<?xml", "?>", "\u{0}", "\u{FEFF}", "\r\n", "\r\n\r\n", ":", " ", "bytes", "<Key>", "</Key>", "<Contents>",
        "</Contents>", "é", "\"",
        "<IsTruncated>true</IsTruncated>", "Content-Length: 5\r\n",
    ]

    mutating func next() -> Answer {
        var answer = Answer(head: Array(head().utf8), body: Array(body().utf8))
        if !chance(3) { spoil(&answer.body) }
        if chance(3) { spoil(&answer.head) }
        return answer
    }

    private mutating func head() -> String {
        var lines = [
            "HTTP/1.1 \(pick(["200 OK", "206 Partial", "404 Not Found", "503 Slow Down", "100 Continue\r\n\r\nHTTP/1.1 200 OK", "99 x", "600"]))"
        ]
        let size = pick(Self.numbers)
        for _ in 0..<below(8) {
            lines.append(
                pick([
                    "Content-Length: \(size)", "content-range: bytes 0-\(size)/\(pick(Self.numbers))",
                    "ETag: \"d41d8cd98f00b204e9800998ecf8427e-\(size)\"",
                    "Last-Modified: Tue, 14 Nov 2023 23:13:20 GMT", "Last-Modified: \(pick(Self.tokens))",
                    "X-Amz-Meta-Sealift-Mtime: \(size)",
                    "Date: Tue, 31 Feb 2023 25:61:61 GMT", "x-amz-bucket-region: \(pick(Self.tokens))", " folded: \(size)", ":",
                    "Transfer-Encoding: chunked",
                ]))
        }
        return lines.joined(separator: "\r\n") + "\r\n\r\n"
    }

    private mutating func body() -> String {
        let declaration = chance(2) ? "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" : ""
        switch below(5) {
        case 0:
            return declaration
                + "<Error><Code>\(pick(["NoSuchKey", "SlowDown", "", "A b", "x\u{1B}"]))</Code><Message/><Region>\(pick(["eu-1", ""]))</Region></Error>"
        case 1:
            let parts = (0..<below(4)).map {
                "<Part><PartNumber>\($0)</PartNumber><Size>\(pick(Self.numbers))</Size><ETag>&quot;a&quot;</ETag></Part>"
            }
            return declaration
                + "<ListPartsResult xmlns=\"x\">\(parts.joined())<IsTruncated>\(pick(["true", "false"]))</IsTruncated></ListPartsResult>"
        case 2: return "1\n\(pick(Self.numbers))\n\(pick(Self.numbers))\nupload-id\n"
        default:
            let objects = (0..<below(6)).map { number in
                "<Contents><Key>p%2Fpackfiles/ab/\(number)\(chance(4) ? pick(Self.tokens) : "")</Key><Size>\(chance(3) ? pick(Self.numbers) : "48")</Size><LastModified>2023</LastModified></Contents>"
            }
            let token =
                chance(3)
                ? "<IsTruncated>true</IsTruncated><NextContinuationToken>\(pick(["t", ""]))</NextContinuationToken>" : ""
            let encoding = chance(2) ? "<EncodingType>url</EncodingType>" : ""
            return declaration
                + "<ListBucketResult>\(encoding)\(token)\(objects.joined())<CommonPrefixes><Prefix>a/</Prefix></CommonPrefixes></ListBucketResult>"
        }
    }

    /// One to three changes: of bits, of length, of a token, of a piece that comes twice.
    private mutating func spoil(_ bytes: inout [UInt8]) {
        for _ in 0...below(3) where !bytes.isEmpty {
            let at = below(bytes.count)
            switch below(6) {
            case 0: bytes[at] ^= UInt8(1 << below(8))
            case 1: bytes.remove(at: at)
            case 2: bytes.insert(contentsOf: Array(pick(Self.tokens).utf8), at: at)
            case 3: bytes.removeSubrange(at...)
            case 4: bytes.insert(contentsOf: Array(bytes[at..<min(bytes.count, at + 1 + below(40))]), at: below(bytes.count))
            default: bytes[at] = UInt8(truncatingIfNeeded: random.next())
            }
        }
    }
}
