internal import Hashing
internal import HTTPClient
internal import Kloset
internal import S3Signing

/// One request to the server, before it is signed; sent again where that is safe.
struct S3Call: Sendable {
    var method: HTTPMethod
    /// The full key; nil asks the bucket.
    var key: String?
    /// Another bucket than the store's.
    var bucket: String?
    var query: [(name: String, value: String?)] = []
    var headers: [(name: String, value: String)] = []
    var body = HTTPBody.none
    /// SHA-256 of the body.
    var payload = S3Signer.emptyPayload
    /// Where the answer's body goes. Error documents always come as bytes.
    var sink = HTTPSink.bytes(max: S3Call.documentByteCountMax)

    /// A listing page: 1,000 keys of 1,024 bytes, three characters each when encoded, and what stands around them.
    static let documentByteCountMax = 4 << 20

    /// The question is whether the server refuses it: a 400 is the answer, and not asked again.
    var wantsRefusal = false

    init(_ method: HTTPMethod, _ key: String?) {
        self.method = method
        self.key = key
    }

    /// The same with a body.
    func sending(_ body: HTTPBody) -> S3Call {
        var copy = self
        copy.body = body
        let hash = SHA256()
        body.forEachSlice { hash.update($0) }
        copy.payload = hash.finalize()
        return copy
    }

    /// The same with a body and its MD5, which S3 asks for wherever something is locked.
    func sendingSummed(_ bytes: [UInt8]) -> S3Call {
        sending(.bytes(bytes)).with("Content-MD5", Base64.text(MD5.digest(of: .bytes(bytes))))
    }

    func with(_ name: String, _ value: String) -> S3Call {
        var copy = self
        copy.headers.append((name, value))
        return copy
    }

    func asking(_ query: [(name: String, value: String?)]) -> S3Call {
        var copy = self
        copy.query = query
        return copy
    }

    func into(_ sink: HTTPSink) -> S3Call {
        var copy = self
        copy.sink = sink
        return copy
    }
}

/// What a server answered to a call.
struct S3Answer: Sendable {
    var response: HTTPResponse
    /// An earlier attempt may have been carried out although its answer was lost: “it exists” may mean our own.
    var mayHaveRunBefore: Bool

    var status: Int { response.status }
    var isSuccess: Bool { (200...299).contains(status) }

    /// The ETag without its quotes; nil when it is missing or empty.
    var entityTag: String? {
        let tag = response.headers["ETag"]?.filter { $0 != "\"" }
        return tag?.isEmpty == true ? nil : tag
    }

    /// Length of the object as its head says.
    var objectByteCount: Int64? {
        response.headers["Content-Length"].flatMap { Int64($0) }.flatMap { $0 >= 0 ? $0 : nil }
    }

    /// The source's modification time, which we keep beside the bytes, else the server's.
    var modified: Timestamp {
        let kept = response.headers[S3Names.modifiedHeader].flatMap { Int64($0) }.map { Timestamp(nanoseconds: $0) }
        return kept ?? response.headers["Last-Modified"].flatMap { Timestamp(httpDate: $0) } ?? Timestamp(seconds: 0)
    }
}

/// An error document.
struct S3ErrorDocument: Sendable, Equatable {
    /// A word of letters and digits; empty when the server sent none.
    var code = ""
    var region: String?

    init(_ response: HTTPResponse) {
        guard let xml = try? S3XML(parsing: response.bytes), xml.rootName == "Error" else { return }
        func word(_ name: StaticString) -> String? {
            let text = xml.text(name) ?? ""
            let isWord = (1...64).contains(text.utf8.count) && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }
            return isWord ? text : nil
        }
        code = word("Code") ?? ""
        region = word("Region")
    }
}
