/// `Content-Range: bytes FIRST-LAST/TOTAL` (RFC 9110, section 14.4).
struct S3ContentRange: Sendable, Equatable {
    /// Offsets in bytes; `first <= last < total`.
    var first: Int64
    var last: Int64
    var total: Int64

    var byteCount: Int64 { last - first + 1 }

    /// Nil for anything that makes no sense.
    init?(_ text: String) {
        let parts = text.split(whereSeparator: { " -/".contains($0) })
        guard parts.count == 4, parts[0] == "bytes", let first = Int64(parts[1]), let last = Int64(parts[2]),
            let total = Int64(parts[3]), first >= 0, first <= last, last < total
        else { return nil }
        (self.first, self.last, self.total) = (first, last, total)
    }
}
