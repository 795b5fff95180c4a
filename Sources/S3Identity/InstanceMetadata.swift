internal import HTTPClient
internal import Kloset
internal import S3Signing
internal import Storage

/// The credentials of the role that a machine in EC2 has, by version 2 of the metadata service: a token first, then everything with it. Version 1,
/// which answers whoever can be tricked into sending a GET, is never used.
struct InstanceMetadata: Sendable {
    /// Of the machine itself; reached over plain HTTP by design, for it never leaves the machine.
    static let endpoint = "http://169.254.169.254"

    /// Six hours; a token is asked for with every renewal anyhow.
    private static let tokenSeconds = "21600"
    private static let answerByteCountMax = 16 << 10
    /// It is a local service: where there is none, nothing answers at all.
    private static let timeouts = HTTPTimeouts(connect: .seconds(1), stall: .seconds(2))

    private let base: String
    private let transport: any HTTPTransport

    init(endpoint: String, transport: any HTTPTransport) {
        base = endpoint.hasSuffix("/") ? String(endpoint.dropLast()) : endpoint
        self.transport = transport
    }

    /// Nil when there is no such service, or the machine has no role.
    func find() async throws -> S3Credentials? {
        guard let token = try await token() else { return nil }
        let field = HTTPField("X-aws-ec2-metadata-token", token)
        let folder = "/latest/meta-data/iam/security-credentials/"
        guard let names = try await get(folder, field) else { return nil }
        let role = String(decoding: names.prefix { $0 != 10 && $0 != 13 }, as: UTF8.self)
        // The characters of a role's name (IAM, CreateRole); what is none would be part of an address.
        guard !role.isEmpty, role.utf8.count <= 64, role.utf8.allSatisfy({ Self.isRoleByte($0) }) else {
            throw Self.trouble("its role has a name that is none")
        }
        guard let answer = try await get(folder + role, field) else { throw Self.trouble("the role \(role) has no credentials") }
        guard let fields = FlatJSON.parse(answer), fields["Code"]?.revealed == "Success", let accessKey = fields["AccessKeyId"],
            let secret = fields["SecretAccessKey"], let session = fields["Token"],
            let expires = fields["Expiration"].flatMap({ Timestamp(isoDate: $0.revealed) })
        else { throw Self.trouble("its answer is not understood") }
        return S3Credentials(accessKey: accessKey.revealed, secret: secret, sessionToken: session, expires: expires)
    }

    private func token() async throws -> String? {
        let request = HTTPRequest(
            .put, "\(base)/latest/api/token", headers: [HTTPField("X-aws-ec2-metadata-token-ttl-seconds", Self.tokenSeconds)],
            timeouts: Self.timeouts)
        let response: HTTPResponse
        do { response = try await transport.send(request, into: .bytes(max: Self.answerByteCountMax)) } catch let error
            as HTTPError
        {
            if case .notSent = error { return nil }
            throw Self.trouble("\(error); in a container the hop limit of the instance's metadata options must be 2")
        }
        guard response.status == 200 else {
            // 403: switched off; 404, 405: something else lives at the address.
            if [403, 404, 405].contains(response.status) { return nil }
            throw Self.trouble("it answers \(response.status)")
        }
        guard !response.bytes.isEmpty, response.bytes.allSatisfy({ $0 > 0x20 && $0 < 0x7f }) else {
            throw Self.trouble("its token is malformed")
        }
        return String(decoding: response.bytes, as: UTF8.self)
    }

    /// Nil for 404.
    private func get(_ path: String, _ token: HTTPField) async throws -> [UInt8]? {
        let request = HTTPRequest(.get, base + path, headers: [token], timeouts: Self.timeouts)
        let response: HTTPResponse
        do { response = try await transport.send(request, into: .bytes(max: Self.answerByteCountMax)) } catch let error
            as HTTPError
        {
            throw Self.trouble(error.description)
        }
        if response.status == 404 { return nil }
        guard response.status == 200 else { throw Self.trouble("it answers \(response.status)") }
        return response.bytes
    }

    private static func isRoleByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"):
            true
        default: "+=,.@_-".utf8.contains(byte)
        }
    }

    private static func trouble(_ reason: String) -> Failure {
        Failure(
            .unavailable, "cannot get credentials from instance metadata", reason: reason,
            advice: "AWS_EC2_METADATA_DISABLED=true does without.", retryable: true)
    }
}
