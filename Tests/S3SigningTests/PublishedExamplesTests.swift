import Hashing
import Kloset
import S3Signing
import Testing

/// The examples of "Signature Calculations for the Authorization Header: Transferring Payload in a Single Chunk" and "… Using Query Parameters"
/// in the Amazon S3 API Reference.
struct PublishedExamplesTests {
    static let host = "examplebucket.s3.amazonaws.com"
    let signer = S3Signer(
        credentials: S3Credentials(
            accessKey: "AKIAIOSFODNN7EXAMPLE", secret: Secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")), region: "us-east-1")
    let date = Timestamp(seconds: 1_369_353_600)  // 2013-05-24T00:00:00Z

    private func signature(_ request: SignedRequest) -> String? {
        request.headers.last { $0.name == "Authorization" }?.value.split(separator: "=").last.map { String($0) }
    }

    @Test("GET of an object with a range")
    func getObject() throws {
        let request = UnsignedRequest("GET", host: Self.host, path: "/test.txt", headers: [("Range", "bytes=0-9")])
        let signed = try signer.sign(request, payload: S3Signer.emptyPayload, at: date)
        #expect(signature(signed) == "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")
        #expect(signed.url == "https://examplebucket.s3.amazonaws.com/test.txt")
        #expect(
            signed.headers.last?.value
                == "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, "
                + "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date, "
                + "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")
    }

    @Test("PUT of an object whose name needs encoding")
    func putObject() throws {
        let request = UnsignedRequest(
            "PUT", host: Self.host, path: "/test$file.text",
            headers: [("Date", "Fri, 24 May 2013 00:00:00 GMT"), ("x-amz-storage-class", "REDUCED_REDUNDANCY")])
        let signed = try signer.sign(request, payload: SHA256.digest(of: Array("Welcome to Amazon S3.".utf8)), at: date)
        #expect(signature(signed) == "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd")
        #expect(signed.url.hasSuffix("/test%24file.text"))
    }

    @Test("GET of a bucket's lifecycle: a name without a value")
    func lifecycle() throws {
        let request = UnsignedRequest("GET", host: Self.host, path: "/", query: [("lifecycle", nil)])
        let signed = try signer.sign(request, payload: S3Signer.emptyPayload, at: date)
        #expect(signature(signed) == "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543")
        #expect(signed.url.hasSuffix("/?lifecycle"))
    }

    @Test("a listing, its query in any order")
    func list() throws {
        for query in [[("max-keys", "2"), ("prefix", "J")], [("prefix", "J"), ("max-keys", "2")]] {
            let request = UnsignedRequest("GET", host: Self.host, path: "/", query: query.map { ($0.0, $0.1 as String?) })
            let signed = try signer.sign(request, payload: S3Signer.emptyPayload, at: date)
            #expect(signature(signed) == "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")
        }
    }

    @Test("a presigned GET")
    func presigned() throws {
        let request = UnsignedRequest("GET", host: Self.host, path: "/test.txt")
        let signed = try signer.presign(request, seconds: 86_400, at: date)
        #expect(
            signed.url
                == "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256"
                + "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z"
                + "&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
                + "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")
    }

    @Test("authentication codes of RFC 4231, cases 1, 2, 6")
    func codes() {
        func hex(_ key: [UInt8], _ text: String) -> String {
            key.withUnsafeBytes { SHA256.authenticationCode(of: Array(text.utf8), key: $0).hex }
        }
        #expect(
            hex(Array(repeating: 0x0b, count: 20), "Hi There")
                == "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7")
        #expect(
            hex(Array("Jefe".utf8), "what do ya want for nothing?")
                == "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")
        #expect(
            hex(Array(repeating: 0xaa, count: 131), "Test Using Larger Than Block-Size Key - Hash Key First")
                == "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54")
    }
}
