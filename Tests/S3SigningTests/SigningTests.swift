import Hashing
import Kloset
import S3Signing
import Testing

/// What the published examples do not show.
struct SigningTests {
    private let date = Timestamp(seconds: 1_369_353_600)  // 2013-05-24T00:00:00Z
    private let signer = S3Signer(credentials: S3Credentials(accessKey: "AK", secret: Secret("geheim")), region: "us-east-1")

    private func sign(_ request: UnsignedRequest, _ signer: S3Signer? = nil) throws -> SignedRequest {
        try (signer ?? self.signer).sign(request, payload: S3Signer.emptyPayload, at: date)
    }

    private func value(_ name: String, _ request: SignedRequest) -> String? { request.headers.last { $0.name == name }?.value }

    @Test("keys go out encoded once, with nothing normalised")
    func encoding() throws {
        let paths = [
            ("/b/a b", "/b/a%20b"), ("/b/../c//d/./", "/b/../c//d/./"), ("/b/%41", "/b/%2541"),
            ("/b/ä€😀", "/b/%C3%A4%E2%82%AC%F0%9F%98%80"),
            ("/b/~-._+&=?#:@,;!*'()", "/b/~-._%2B%26%3D%3F%23%3A%40%2C%3B%21%2A%27%28%29"), ("/b/\u{0}\r\n", "/b/%00%0D%0A"),
        ]
        for (path, encoded) in paths {
            #expect(try sign(UnsignedRequest("GET", host: "h", path: path)).url == "https://h\(encoded)")
        }
        let query: [(String, String?)] = [("prefix", "a/b c"), ("empty", ""), ("uploads", nil), ("Prefix", "x"), ("prefix", "a")]
        let signed = try sign(UnsignedRequest("GET", scheme: "http", host: "h:99", path: "/", query: query))
        #expect(signed.url == "http://h:99/?Prefix=x&empty=&prefix=a&prefix=a%2Fb%20c&uploads")
    }

    @Test("every line is signed, its true digest too, in any case and spacing")
    func headers() throws {
        let request = UnsignedRequest(
            "PUT", host: "h", path: "/k",
            headers: [("X-Amz-Meta-B", "  a   b\t c "), ("x-amz-meta-a", "2"), ("X-AMZ-META-A", "1")])
        let digest = SHA256.digest(of: Array("body".utf8))
        let signed = try signer.sign(request, payload: digest, at: date)
        #expect(value("x-amz-content-sha256", signed) == digest.hex)
        #expect(value("x-amz-date", signed) == "20130524T000000Z")
        #expect(
            value("Authorization", signed)?.contains(
                "SignedHeaders=host;x-amz-content-sha256;x-amz-date;x-amz-meta-a;x-amz-meta-b,") == true)
        #expect(signed.headers.map(\.name).prefix(4) == ["Host", "X-Amz-Meta-B", "x-amz-meta-a", "X-AMZ-META-A"])
        let folded = UnsignedRequest("PUT", host: "h", path: "/k", headers: [("x-amz-meta-b", "a b c"), ("x-amz-meta-a", "2,1")])
        let other = try signer.sign(folded, payload: digest, at: date)
        #expect(value("Authorization", signed) == value("Authorization", other))
    }

    @Test("anything that changes the request, the body, the day or who signs changes the signature")
    func differences() throws {
        let base = UnsignedRequest("GET", host: "h", path: "/k", query: [("a", "b")], headers: [("x", "y")])
        var signatures: Set<String?> = []
        var requests = [base, base, base, base, base, base]
        requests[1].method = "HEAD"
        requests[2].host = "h:1"
        requests[3].path = "/K"
        requests[4].query = [("a", "c")]
        requests[5].headers = [("x", "z")]
        for request in requests { signatures.insert(value("Authorization", try sign(request))) }
        let others = [
            S3Signer(credentials: S3Credentials(accessKey: "AK", secret: Secret("other")), region: "us-east-1"),
            S3Signer(credentials: S3Credentials(accessKey: "AK2", secret: Secret("geheim")), region: "us-east-1"),
            S3Signer(credentials: S3Credentials(accessKey: "AK", secret: Secret("geheim")), region: "us-east-2"),
            S3Signer(
                credentials: S3Credentials(accessKey: "AK", secret: Secret("geheim"), sessionToken: Secret("t")),
                region: "us-east-1"),
        ]
        for other in others { signatures.insert(value("Authorization", try sign(base, other))) }
        signatures.insert(value("Authorization", try signer.sign(base, payload: SHA256.digest(of: [1]), at: date)))
        signatures.insert(
            value("Authorization", try signer.sign(base, payload: S3Signer.emptyPayload, at: Timestamp(seconds: 1_369_440_000))))
        #expect(signatures.count == 12)
    }

    @Test("the day's key is made anew for every day, and the first day's still signs as before")
    func days() throws {
        let request = UnsignedRequest("GET", host: "h", path: "/")
        let first = value("Authorization", try sign(request))
        _ = try signer.sign(request, payload: S3Signer.emptyPayload, at: Timestamp(seconds: 1_369_440_000))
        let again = try sign(request)
        #expect(value("Authorization", again) == first)
    }

    @Test("a session token is sent and signed; presigned it is part of the address")
    func sessionToken() throws {
        let signer = S3Signer(
            credentials: S3Credentials(accessKey: "AK", secret: Secret("geheim"), sessionToken: Secret("a+/=")),
            region: "us-east-1")
        let request = UnsignedRequest("GET", host: "h", path: "/")
        let signed = try sign(request, signer)
        #expect(value("x-amz-security-token", signed) == "a+/=")
        #expect(value("Authorization", signed)?.contains("x-amz-date;x-amz-security-token,") == true)
        #expect(try signer.presign(request, seconds: 60, at: date).url.contains("&X-Amz-Security-Token=a%2B%2F%3D&"))
    }

    @Test(
        "lines and targets that would change what is sent are refused",
        arguments: [
            ("x", "a\r\nHost: evil", SigningError.malformedHeader), ("x", "a\nb", .malformedHeader),
            ("x", "a\0", .malformedHeader),
            ("x", "\u{7f}", .malformedHeader), ("", "a", .malformedHeader), ("x y", "a", .malformedHeader),
            ("x:", "a", .malformedHeader),
            ("ä", "a", .malformedHeader), ("x\r\n", "a", .malformedHeader), ("hOst", "a", .reservedHeader("host")),
            ("Authorization", "a", .reservedHeader("authorization")), ("X-Amz-Date", "a", .reservedHeader("x-amz-date")),
            ("Content-Length", "1", .reservedHeader("content-length")),
        ])
    func hostile(name: String, value: String, error: SigningError) {
        let request = UnsignedRequest("GET", host: "h", path: "/", headers: [(name, value)])
        #expect(throws: error) { try sign(request) }
        #expect(throws: error) { try signer.presign(request, seconds: 1, at: date) }
    }

    @Test("hosts, regions and access keys that are none")
    func targets() {
        for host in ["", "a b", "h/..", "u@h", "h\r\n", "ä", "h?x", "h#"] {
            #expect(throws: SigningError.malformedTarget) { try sign(UnsignedRequest("GET", host: host, path: "/")) }
        }
        #expect(throws: SigningError.malformedTarget) { try sign(UnsignedRequest("GET", host: "h", path: "k")) }
        let longest = String(repeating: "a", count: 128)
        for (text, isGood) in [
            ("", false), ("a/b", false), ("a,b", false), ("a b", false), ("a\r\nb", false), (longest, true),
            (longest + "a", false),
        ] {
            let request = UnsignedRequest("GET", host: "h", path: "/")
            for other in [
                S3Signer(credentials: S3Credentials(accessKey: "AK", secret: Secret("s")), region: text),
                S3Signer(credentials: S3Credentials(accessKey: text, secret: Secret("s")), region: "r"),
            ] {
                if isGood {
                    #expect(throws: Never.self) { try sign(request, other) }
                } else {
                    #expect(throws: SigningError.malformedScope) { try sign(request, other) }
                }
            }
        }
    }

    @Test("values that are not ASCII, and tabs, are signed as they are sent")
    func unusualValues() throws {
        let signed = try sign(UnsignedRequest("GET", host: "h", path: "/", headers: [("x", "ä\t€")]))
        #expect(value("x", signed) == "ä\t€")
    }
}
