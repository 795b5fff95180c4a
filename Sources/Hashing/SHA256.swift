internal import CCrypto
public import Kloset

/// SHA-256 (FIPS 180-4) of a stream of bytes, computed by OpenSSL with the processor's own instructions where it has them.
public struct SHA256: ~Copyable {
    private let context: OpaquePointer

    public init() {
        guard let made = EVP_MD_CTX_new() else { preconditionFailure("no memory for a hash context") }
        context = made
        precondition(EVP_DigestInit_ex(context, EVP_sha256(), nil) == 1, "libcrypto offers no SHA-256")
    }

    deinit {
        EVP_MD_CTX_free(context)
    }

    /// Takes in more bytes.
    public func update(_ bytes: UnsafeRawBufferPointer) {
        guard bytes.count > 0 else { return }
        precondition(EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1, "libcrypto refused to hash")
    }

    /// Takes in more bytes.
    public func update(_ bytes: [UInt8]) {
        bytes.withUnsafeBytes { update($0) }
    }

    /// The digest of all bytes taken in.
    public consuming func finalize() -> Digest {
        withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { buffer in
            let target = buffer.baseAddress.map { $0.assumingMemoryBound(to: UInt8.self) }
            precondition(EVP_DigestFinal_ex(context, target, nil) == 1, "libcrypto refused to finish a hash")
            return Digest(bytes: UnsafeRawBufferPointer(buffer))
        }
    }

    /// The digest of bytes that are at hand as a whole.
    public static func digest(of bytes: UnsafeRawBufferPointer) -> Digest {
        let hash = SHA256()
        hash.update(bytes)
        return hash.finalize()
    }

    /// The digest of bytes that are at hand as a whole.
    public static func digest(of bytes: [UInt8]) -> Digest {
        bytes.withUnsafeBytes { digest(of: $0) }
    }
}
