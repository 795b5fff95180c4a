internal import Hashing

/// The text that is signed ("Signature Calculations for the Authorization Header", Amazon S3 API Reference). Unlike other services, S3 encodes
/// a path once and normalises nothing in it.
struct CanonicalRequest {
    /// Names in lower case, joined with `;`.
    let signedHeaders: String
    let path: String
    /// Sorted and encoded, every name with its `=`.
    let query: String
    /// The whole text.
    let text: String

    /// - Parameters:
    ///   - headers: all that are signed, `Host` included.
    ///   - payload: the SHA-256 of the body in hexadecimal digits, or `UNSIGNED-PAYLOAD`.
    init(
        method: String, path: String, query: [(name: String, value: String?)], headers: [(name: String, value: String)],
        payload: String
    ) {
        let lines = Self.merged(headers)
        signedHeaders = lines.map(\.name).joined(separator: ";")
        self.path = URIEncoding.encoded(path, keepsSlash: true)
        self.query = Self.encoded(query).map { "\($0.name)=\($0.value ?? "")" }.joined(separator: "&")
        var text = "\(method)\n\(self.path)\n\(self.query)\n"
        for line in lines { text += "\(line.name):\(line.value)\n" }
        text += "\n\(signedHeaders)\n\(payload)"
        self.text = text
    }

    var digestHex: String { SHA256.digest(of: Array(text.utf8)).hex }

    /// Sorted by the encoded names, then values, byte by byte.
    static func encoded(_ query: [(name: String, value: String?)]) -> [(name: String, value: String?)] {
        query.map { (URIEncoding.encoded($0.name), $0.value.map { URIEncoding.encoded($0) }) }
            .sorted { ($0.0, $0.1 ?? "") < ($1.0, $1.1 ?? "") }
    }

    /// Names in lower case and sorted; the values of lines with one name joined with commas; spaces at the ends cut, runs of them made one.
    private static func merged(_ headers: [(name: String, value: String)]) -> [(name: String, value: String)] {
        var values: [String: [String]] = [:]
        for (name, value) in headers { values[name.lowercased(), default: []].append(Self.folded(value)) }
        return values.keys.sorted().map { ($0, (values[$0] ?? []).joined(separator: ",")) }
    }

    private static func folded(_ value: String) -> String {
        value.unicodeScalars.split { $0 == " " || $0 == "\t" }.map { String($0) }.joined(separator: " ")
    }
}
