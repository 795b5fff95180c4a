import HTTPClient
import Kloset
import S3Identity
import S3Signing
import Storage
import StorageTesting
import Synchronization
import Testing

/// Credentials that expire: web identity, instance metadata, renewal.
struct TemporaryTests {
    private static func sts(_ key: String, _ expiration: String) -> String {
        """
        <AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleWithWebIdentityResult>
        <Credentials><AccessKeyId>\(key)</AccessKeyId><SecretAccessKey>s/+=</SecretAccessKey><SessionToken>t</SessionToken>
        <Expiration>\(expiration)</Expiration></Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>
        """
    }

    private static let metadata =
        #"{ "Code" : "Success", "LastUpdated" : "x", "Type" : "AWS-HMAC", "AccessKeyId" : "ROLE", "SecretAccessKey" : "s\/\u0041","#
        + #" "Token" : "t", "Expiration" : "2027-01-15T09:00:00Z", "n": 1.5e3, "b": null }"#

    private static let malformedDocuments: [String] = [
        "", "[]", "{", metadata + "x", metadata.replacing("Success", with: "Failed"),
        metadata.replacing("Token", with: "AccessKeyId"),
        metadata.replacing("null", with: "{}"), metadata.replacing("null", with: "[]"),
        metadata.replacing(#"\u0041"#, with: #"\ud800"#),
        metadata.replacing(#"\/"#, with: #"\x"#), metadata.replacing(",", with: ""), metadata.replacing("2027", with: "27"),
        String(repeating: "[", count: 100_000), #"{"a":"# + String(repeating: #"{"a":"#, count: 1000),
        "{" + (0..<100).map { "\"k\($0)\": \"v\"" }.joined(separator: ",") + "}",
    ]

    @Test("a web identity: the token of the file, asked of the region's STS")
    func webIdentity() async throws {
        let folder = try TestFolder()
        try folder.put("token", Array("e30.x=&y\n".utf8))
        let transport = ScriptedTransport { _ in answer(Self.sts("WEB", "2027-01-15T09:00:00Z")) }
        let environment = [
            "AWS_WEB_IDENTITY_TOKEN_FILE": folder.path("token"), "AWS_ROLE_ARN": "arn:aws:iam::1:role/r",
            "AWS_REGION": "eu-central-1",
        ]
        let found = try await CredentialProvider(CredentialOptions(), environment, transport: transport).credentials()
        #expect(
            found
                == S3Credentials(
                    accessKey: "WEB", secret: Secret("s/+="), sessionToken: Secret("t"),
                    expires: Timestamp(seconds: 1_800_003_600)))
        let request = try #require(transport.asked.withLock { $0.first })
        #expect(request.url == "https://sts.eu-central-1.amazonaws.com/" && request.method == .post)
        guard case .bytes(let body) = request.body else {
            Issue.record("no body")
            return
        }
        #expect(
            text(body)
                == "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&RoleSessionName=sealift"
                + "&WebIdentityToken=e30.x%3D%26y")
    }

    @Test(
        "answers of STS that are refused or not understood",
        arguments: [
            (403, "<Error><Code>AccessDenied</Code></Error>", Failure.Kind.permission), (500, "", .unavailable),
            (200, "", .unavailable),
            (200, sts("A", "soon"), .unavailable),
            (200, sts("A</AccessKeyId><AccessKeyId>B", "2027-01-15T09:00:00Z"), .unavailable),
            (200, sts("A&amp;", "2027-01-15T09:00:00Z"), .unavailable), (200, sts("", "2027-01-15T09:00:00Z"), .unavailable),
            (200, sts("A\r\nX: y", "2027-01-15T09:00:00Z"), .unavailable),
            (200, sts("A<!-- x -->", "2027-01-15T09:00:00Z"), .unavailable),
        ])
    func refusals(status: Int, body: String, kind: Failure.Kind) async throws {
        let folder = try TestFolder()
        try folder.put("token", Array("geheim".utf8))
        let transport = ScriptedTransport { _ in answer(body, status: status) }
        let environment = ["AWS_WEB_IDENTITY_TOKEN_FILE": folder.path("token"), "AWS_ROLE_ARN": "r"]
        let provider = CredentialProvider(CredentialOptions(), environment, transport: transport)
        let failure = await failure { try await provider.credentials() }
        #expect(failure?.kind == kind && failure.map { "\($0)".contains("geheim") } == false)
        if status == 403 { #expect(failure?.reason == "it answers 403 (AccessDenied)") }
    }

    @Test("instance metadata, version 2: a token, the role's name, its credentials")
    func instance() async throws {
        let transport = ScriptedTransport { request in
            switch (request.method, request.url) {
            case (.put, "http://169.254.169.254/latest/api/token"): answer("TOKEN==")
            case (.get, "http://169.254.169.254/latest/meta-data/iam/security-credentials/"): answer("my-role\n")
            case (.get, "http://169.254.169.254/latest/meta-data/iam/security-credentials/my-role"): answer(Self.metadata)
            default: answer("", status: 404)
            }
        }
        let found = try await CredentialProvider(CredentialOptions(), [:], transport: transport).credentials()
        #expect(found.accessKey == "ROLE" && found.secret == Secret("s/A") && found.sessionToken == Secret("t"))
        #expect(found.expires == Timestamp(seconds: 1_800_003_600))
        let fields = transport.asked.withLock { $0.map(\.headers) }
        #expect(fields[0] == [HTTPField("X-aws-ec2-metadata-token-ttl-seconds", "21600")])
        #expect(fields[1] == [HTTPField("X-aws-ec2-metadata-token", "TOKEN==")] && fields[2] == fields[1])
    }

    @Test("without a metadata service, or switched off, there are none; one that is silent or odd is an error")
    func noInstance() async throws {
        let disabled = ScriptedTransport()
        let off = CredentialProvider(CredentialOptions(), ["AWS_EC2_METADATA_DISABLED": "TRUE"], transport: disabled)
        #expect(await failure { try await off.credentials() }?.what == "cannot find credentials")
        #expect(disabled.count == 0)
        let answers: [(@Sendable (HTTPRequest) throws -> HTTPResponse, Failure.Kind)] = [
            ({ _ in throw HTTPError.notSent("nobody") }, .permission), ({ _ in answer("", status: 404) }, .permission),
            ({ _ in throw HTTPError.unclear("nothing moved") }, .unavailable), ({ _ in answer("a b") }, .unavailable),
            ({ _ in answer("", status: 500) }, .unavailable), ({ _ in answer("../../x") }, .unavailable),
            ({ request in request.method == .put ? answer("T") : answer("", status: 404) }, .permission),
            ({ request in request.url.hasSuffix("/") || request.method == .put ? answer("T") : answer("{}") }, .unavailable),
        ]
        for (index, (script, kind)) in answers.enumerated() {
            let provider = CredentialProvider(CredentialOptions(), [:], transport: ScriptedTransport(script))
            #expect(await failure { try await provider.credentials() }?.kind == kind, "\(index)")
        }
    }

    @Test(
        "documents of the metadata service that are not understood",
        arguments: malformedDocuments)
    func malformed(document: String) async throws {
        let transport = ScriptedTransport { request in
            request.url.hasSuffix("/role") ? answer(document) : answer(request.method == .put ? "T" : "role")
        }
        let provider = CredentialProvider(CredentialOptions(), [:], transport: transport)
        #expect(await failure { try await provider.credentials() }?.kind == .unavailable)
    }

    @Test("renewed before they expire, once for all who wait; kept while still good when that fails; forgotten on demand")
    func renewal() async throws {
        let folder = try TestFolder()
        try folder.put("token", Array("x".utf8))
        let clock = TestClock()
        let isBroken = Mutex(false)
        let number = Mutex(0)
        let transport = ScriptedTransport { _ in
            if isBroken.withLock({ $0 }) { throw HTTPError.unclear("gone") }
            let key = number.withLock { number -> Int in
                number += 1
                return number
            }
            return answer(Self.sts("K\(key)", key == 1 ? "2027-01-15T09:00:00Z" : "2027-01-15T10:00:00.250Z"))
        }
        let environment = ["AWS_WEB_IDENTITY_TOKEN_FILE": folder.path("token"), "AWS_ROLE_ARN": "r"]
        let provider = CredentialProvider(CredentialOptions(), environment, transport: transport, clock: clock)
        let keys = try await withThrowingTaskGroup(of: String.self) { group in
            for _ in 0..<50 { group.addTask { try await provider.credentials().accessKey } }
            return try await group.reduce(into: Set<String>()) { $0.insert($1) }
        }
        #expect(keys == ["K1"] && transport.count == 1)
        clock.advance(3600 - CredentialProvider.renewalSeconds)
        #expect(try await provider.credentials().accessKey == "K1")
        isBroken.withLock { $0 = true }
        clock.advance(1)
        #expect(try await provider.credentials().accessKey == "K1")
        #expect(transport.count == 2)
        isBroken.withLock { $0 = false }
        let second = try await provider.credentials()
        #expect(second.accessKey == "K2")
        await provider.forget(S3Credentials(accessKey: "K1", secret: Secret("s/+=")))
        #expect(try await provider.credentials().accessKey == "K2")
        await provider.forget(second)
        #expect(try await provider.credentials().accessKey == "K3")
        isBroken.withLock { $0 = true }
        clock.advance(7200)
        #expect(await failure { try await provider.credentials() }?.kind == .unavailable)
    }

    @Test("a caller that gives up does not take the others' credentials away")
    func cancelledCaller() async throws {
        let provider = CredentialProvider(
            try CredentialOptions(["access_key": Secret("A"), "secret_access_key_command": Secret("sleep 0.2; echo s")]))
        let first = Task { try await provider.credentials() }
        let second = Task { try await provider.credentials() }
        first.cancel()
        #expect(try await second.value.secret == Secret("s"))
    }
}
