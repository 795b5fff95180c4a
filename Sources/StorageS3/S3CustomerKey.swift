internal import HTTPClient
internal import S3Signing

/// The header lines of server-side encryption with a key of the customer's (SSE-C).
enum S3CustomerKey {
    static func headers(_ key: Secret) -> [(name: String, value: String)] {
        let bytes = key.withBytes { Array($0) }
        return [
            ("x-amz-server-side-encryption-customer-algorithm", "AES256"),
            ("x-amz-server-side-encryption-customer-key", Base64.text(bytes)),
            ("x-amz-server-side-encryption-customer-key-MD5", Base64.text(MD5.digest(of: .bytes(bytes)))),
        ]
    }
}
