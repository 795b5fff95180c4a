internal import Hashing
internal import Kloset

/// SHA-256 and length of what comes in pieces.
struct S3BodySum: ~Copyable {
    private let hash = SHA256()
    private(set) var byteCount: Int64 = 0

    mutating func update(_ bytes: UnsafeRawBufferPointer) {
        hash.update(bytes)
        byteCount += Int64(bytes.count)
    }

    consuming func finalize() -> Digest { hash.finalize() }
}
