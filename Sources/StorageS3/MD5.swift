internal import CCrypto
internal import HTTPClient

/// MD5 (RFC 1321): no proof of anything, but what plain servers answer as ETag.
enum MD5 {
    /// The 16 bytes of the digest of a request's body.
    static func digest(of body: HTTPBody) -> [UInt8] {
        guard let context = EVP_MD_CTX_new() else { preconditionFailure("no memory for a hash context") }
        defer { EVP_MD_CTX_free(context) }
        precondition(EVP_DigestInit_ex(context, EVP_md5(), nil) == 1, "libcrypto offers no MD5")
        body.forEachSlice { bytes in
            precondition(EVP_DigestUpdate(context, bytes.baseAddress, bytes.count) == 1, "libcrypto refused to hash")
        }
        var digest = [UInt8](repeating: 0, count: 16)
        precondition(EVP_DigestFinal_ex(context, &digest, nil) == 1, "libcrypto refused to finish a hash")
        return digest
    }
}

extension HTTPBody {
    /// Lends the bytes, slice by slice.
    func forEachSlice(_ use: (UnsafeRawBufferPointer) -> Void) {
        switch self {
        case .none: break
        case .bytes(let bytes): bytes.withUnsafeBytes { if !$0.isEmpty { use($0) } }
        case .pieces(let slices): for slice in slices where !slice.range.isEmpty { use(slice.piece.bytes(slice.range)) }
        }
    }
}
