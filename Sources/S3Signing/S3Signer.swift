internal import Hashing
public import Kloset
internal import Synchronization

/// Signature Version 4 for one set of credentials in one region. No clock and no I/O: the date is an argument.
///
/// May be used from many tasks at a time.
public final class S3Signer: Sendable {
    public let credentials: S3Credentials
    public let region: String

    /// The key of one day: four codes that every request of the day would compute again.
    private let dayKey = Mutex<(day: String, key: Secret)?>(nil)

    /// - Parameter region: `us-east-1` for servers that know none.
    public init(credentials: S3Credentials, region: String) {
        self.credentials = credentials
        self.region = region
    }

    /// Signs with header lines: `Host`, `x-amz-date`, `x-amz-content-sha256`, `x-amz-security-token` and every line of the request.
    ///
    /// - Parameters:
    ///   - payload: the digest of the body as it will be sent; ``emptyPayload`` without one. Bodies are never sent unsigned.
    ///   - date: the server's time as far as it is known; most refuse more than 15 minutes of difference.
    public func sign(_ request: UnsignedRequest, payload: Digest, at date: Timestamp) throws(SigningError) -> SignedRequest {
        try check(request)
        let time = date.compactText
        let payloadHex = payload.hex
        var headers = [("Host", request.host)] + request.headers
        headers.append(("x-amz-content-sha256", payloadHex))
        headers.append(("x-amz-date", time))
        if let token = credentials.sessionToken { headers.append(("x-amz-security-token", token.revealed)) }
        let canonical = CanonicalRequest(
            method: request.method, path: request.path, query: request.query, headers: headers, payload: payloadHex)
        let authorization =
            "AWS4-HMAC-SHA256 Credential=\(credentials.accessKey)/\(scope(time)), SignedHeaders=\(canonical.signedHeaders), "
            + "Signature=\(signature(of: canonical, time: time))"
        headers.append(("Authorization", authorization))
        return SignedRequest(
            method: request.method, url: Self.url(request, path: canonical.path, query: Self.wire(request.query)),
            headers: headers)
    }

    /// A URL that lets whoever has it do the request until it expires. The URL is a secret.
    ///
    /// - Parameters:
    ///   - request: its header lines are signed and must be sent with the URL.
    ///   - seconds: 1 to 604,800 (a week) from `date`; S3's own bounds.
    public func presign(_ request: UnsignedRequest, seconds: Int, at date: Timestamp) throws(SigningError) -> SignedRequest {
        precondition((1...604_800).contains(seconds), "a presigned URL is good for one second to one week")
        try check(request)
        let time = date.compactText
        let headers = [("Host", request.host)] + request.headers
        var query = request.query
        query.append(("X-Amz-Algorithm", "AWS4-HMAC-SHA256"))
        query.append(("X-Amz-Credential", "\(credentials.accessKey)/\(scope(time))"))
        query.append(("X-Amz-Date", time))
        query.append(("X-Amz-Expires", String(seconds)))
        query.append(("X-Amz-SignedHeaders", Set(headers.map { $0.0.lowercased() }).sorted().joined(separator: ";")))
        if let token = credentials.sessionToken { query.append(("X-Amz-Security-Token", token.revealed)) }
        let canonical = CanonicalRequest(
            method: request.method, path: request.path, query: query, headers: headers, payload: "UNSIGNED-PAYLOAD")
        let signed = "\(Self.wire(query))&X-Amz-Signature=\(signature(of: canonical, time: time))"
        return SignedRequest(
            method: request.method, url: Self.url(request, path: canonical.path, query: signed), headers: headers)
    }

    /// The digest of no bytes.
    public static let emptyPayload = SHA256.digest(of: [UInt8]())

    /// A region may have come from a server, an access key from a file: both go into a header line, between `/` and `,`.
    private func check(_ request: UnsignedRequest) throws(SigningError) {
        try request.checked()
        func isPlain(_ text: String) -> Bool {
            (1...128).contains(text.utf8.count) && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f && !"/,".utf8.contains($0) }
        }
        guard isPlain(region), isPlain(credentials.accessKey) else { throw .malformedScope }
    }

    private static func wire(_ query: [(name: String, value: String?)]) -> String {
        CanonicalRequest.encoded(query).map { item in item.value.map { "\(item.name)=\($0)" } ?? item.name }.joined(
            separator: "&")
    }

    private static func url(_ request: UnsignedRequest, path: String, query: String) -> String {
        "\(request.scheme)://\(request.host)\(path)\(query.isEmpty ? "" : "?")\(query)"
    }

    private func scope(_ time: String) -> String { "\(time.prefix(8))/\(region)/s3/aws4_request" }

    private func signature(of canonical: CanonicalRequest, time: String) -> String {
        let text = "AWS4-HMAC-SHA256\n\(time)\n\(scope(time))\n\(canonical.digestHex)"
        return Self.code(text, signingKey(String(time.prefix(8)))).hex
    }

    private func signingKey(_ day: String) -> Secret {
        if let known = dayKey.withLock({ $0?.day == day ? $0?.key : nil }) { return known }
        var key = Secret(Array("AWS4".utf8) + credentials.secret.withBytes { Array($0) })
        for part in [day, region, "s3", "aws4_request"] { key = Secret(Self.code(part, key).bytes) }
        dayKey.withLock { [key] in $0 = (day, key) }
        return key
    }

    private static func code(_ text: String, _ key: Secret) -> Digest {
        key.withBytes { SHA256.authenticationCode(of: Array(text.utf8), key: $0) }
    }
}
