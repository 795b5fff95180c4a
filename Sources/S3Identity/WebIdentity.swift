internal import HTTPClient
internal import Kloset
internal import S3Signing
internal import Storage

/// Changes a token of the environment (Kubernetes, a CI service) into temporary credentials: STS, AssumeRoleWithWebIdentity. That call is not
/// signed; the token is the proof.
struct WebIdentity: Sendable {
    private let role: String
    private let tokenFile: String
    private let session: String
    private let endpoint: String
    private let transport: any HTTPTransport
    private let pool: BlockingPool

    /// - Parameters:
    ///   - region: whose STS is asked; the one at `sts.amazonaws.com` without.
    ///   - endpoint: `AWS_ENDPOINT_URL_STS`, for other makes of STS.
    init(
        role: String, tokenFile: String, session: String, region: String?, endpoint: String?, transport: any HTTPTransport,
        pool: BlockingPool
    ) throws(Failure) {
        let isRegion = region?.utf8.allSatisfy {
            ($0 | 0x20 >= 0x61 && $0 | 0x20 <= 0x7a) || ($0 >= 0x30 && $0 <= 0x39) || $0 == 0x2d
        }
        guard isRegion != false else { throw CredentialOptions.unusable("the region for STS is malformed") }
        self.role = role
        self.tokenFile = tokenFile
        self.session = session
        self.endpoint = endpoint ?? region.map { "https://sts.\($0).amazonaws.com" } ?? "https://sts.amazonaws.com"
        self.transport = transport
        self.pool = pool
    }

    func assume() async throws -> S3Credentials {
        let place = CredentialOptions.SecretPlace.file(tokenFile)
        let token = try await pool.run { try place.read([:]) }
        let form = [
            ("Action", "AssumeRoleWithWebIdentity"), ("Version", "2011-06-15"), ("RoleArn", role), ("RoleSessionName", session),
            ("WebIdentityToken", token.revealed),
        ]
        let body = form.map { "\($0.0)=\(URIEncoding.encoded($0.1))" }.joined(separator: "&")
        let request = HTTPRequest(
            .post, endpoint.hasSuffix("/") ? endpoint : "\(endpoint)/",
            headers: [HTTPField("Content-Type", "application/x-www-form-urlencoded")], body: .bytes(Array(body.utf8)),
            timeouts: HTTPTimeouts(connect: .seconds(5), stall: .seconds(15)))
        let response: HTTPResponse
        do { response = try await transport.send(request, into: .bytes(max: Self.answerByteCountMax)) } catch let error
            as HTTPError
        {
            throw Failure(
                .unavailable, "cannot get credentials from STS", place: endpoint, reason: error.description, retryable: true)
        }
        guard response.status == 200 else { throw refused(response) }
        return try credentials(response.bytes)
    }

    /// A session token has some thousand bytes.
    private static let answerByteCountMax = 64 << 10

    private func refused(_ response: HTTPResponse) -> Failure {
        let code = Self.element("Code", in: response.bytes).map { " (\($0.revealed))" } ?? ""
        let isTheirs = response.status >= 500 || response.status == 429
        return Failure(
            isTheirs ? .unavailable : .permission, "cannot get credentials from STS", place: endpoint,
            reason: "it answers \(response.status)\(code)", advice: "Check AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE.",
            retryable: isTheirs)
    }

    private func credentials(_ answer: [UInt8]) throws(Failure) -> S3Credentials {
        guard let accessKey = Self.element("AccessKeyId", in: answer), let secret = Self.element("SecretAccessKey", in: answer),
            let token = Self.element("SessionToken", in: answer), let end = Self.element("Expiration", in: answer),
            let expires = Timestamp(isoDate: end.revealed)
        else {
            throw Failure(
                .unavailable, "cannot get credentials from STS", place: endpoint, reason: "its answer is not understood")
        }
        return S3Credentials(accessKey: accessKey.revealed, secret: secret, sessionToken: token, expires: expires)
    }

    /// The text of the one element with this name. The few values that are wanted never hold markup, so nothing else of XML is needed: an answer
    /// with two such elements, with a reference or with anything that is no printable ASCII in it is not understood.
    static func element(_ name: String, in document: [UInt8]) -> Secret? {
        let start = Array("<\(name)>".utf8)
        let end = Array("</\(name)>".utf8)
        var found: Range<Int>?
        var index = 0
        while let next = document[index...].firstIndex(of: UInt8(ascii: "<")) {
            index = next + 1
            guard document[next...].starts(with: start) else { continue }
            let from = next + start.count
            guard found == nil, let to = document[from...].firstIndex(of: UInt8(ascii: "<")), document[to...].starts(with: end)
            else {
                return nil
            }
            found = from..<to
        }
        guard let found, !found.isEmpty else { return nil }
        let text = document[found]
        return text.allSatisfy { $0 > 0x20 && $0 < 0x7f && $0 != UInt8(ascii: "&") } ? Secret(text) : nil
    }
}
