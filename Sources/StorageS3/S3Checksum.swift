internal import Hashing
internal import HTTPClient
internal import Kloset

/// `x-amz-checksum-sha256`: what a server computes of what arrives, refuses if it is not what was announced, and keeps. Servers that know
/// nothing of it ignore it, so that only those count that were seen to refuse a wrong one.
enum S3Checksum {
    static let header = "x-amz-checksum-sha256"

    static func text(_ digest: Digest) -> String { Base64.text(digest.bytes) }

    /// The digest that such a text stands for; nil for any other text, also for that of parts.
    static func digest(_ text: String) -> Digest? {
        guard text.utf8.count == 44, let bytes = Base64.bytes(text), bytes.count == 32 else { return nil }
        return bytes.withUnsafeBytes { Digest(bytes: $0) }
    }

    /// What S3 makes of an object of parts: the hash of their hashes.
    static func text(ofParts digests: [Digest]) -> String {
        "\(text(SHA256.digest(of: Array(digests.map(\.bytes).joined()))))-\(digests.count)"
    }

    /// Whether an answer names a checksum, and just this one; nil when it names none.
    static func agrees(_ answer: S3Answer, with wanted: String) -> Bool? {
        guard let found = answer.response.headers[header], !found.isEmpty else { return nil }
        return found == wanted
    }
}
