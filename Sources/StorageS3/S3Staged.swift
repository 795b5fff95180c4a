internal import HTTPClient
internal import Kloset
internal import Storage

/// A resource that waits to be published.
struct S3Staged: Sendable {
    enum Content: Sendable {
        /// In memory, as the body of one PUT.
        case body(HTTPBody)
        /// As parts of a multipart upload.
        case parts(S3Multipart)
        /// Nowhere yet: the server copies it when it is published.
        case copy(S3Original)
    }

    var content: Content
    var size: Int64
    var modified: Timestamp
}

/// A multipart upload all of whose parts are at the server.
struct S3Multipart: Sendable, Equatable {
    var uploadID: String
    /// MD5 of each part, in order; empty where nobody knows them.
    var parts: [[UInt8]]
    /// What the server called each part.
    var tags: [String]
    /// SHA-256 of each part, where the upload was begun with checksums.
    var checksums: [Digest]?
    /// The server, which computes them, has named the right one of each part.
    var isAttested = false

    /// The ETag that a plain server gives to the whole; nil where the parts' are not known.
    var entityTag: String? { parts.count == tags.count ? wholeTag : nil }

    private var wholeTag: String { "\(hexText(MD5.digest(of: .bytes(Array(parts.joined())))))-\(parts.count)" }

    /// The document that completes it.
    var completion: [UInt8] {
        let rows = tags.enumerated().map { index, tag in
            let checksum = checksums.map { "<ChecksumSHA256>\(S3Checksum.text($0[index]))</ChecksumSHA256>" } ?? ""
            return "<Part><PartNumber>\(index + 1)</PartNumber><ETag>&quot;\(tag)&quot;</ETag>\(checksum)</Part>"
        }
        return Array("<CompleteMultipartUpload>\(rows.joined())</CompleteMultipartUpload>".utf8)
    }
}

/// What it takes to continue an upload: written before the first part is sent.
struct S3UploadRecord: Sendable, Equatable {
    var uploadID: String
    var size: Int64
    var modified: Timestamp

    /// Upload ids have some hundred characters at most.
    static let byteCountMax = 4096

    init(uploadID: String, size: Int64, modified: Timestamp) {
        self.uploadID = uploadID
        self.size = size
        self.modified = modified
    }

    var bytes: [UInt8] { Array("1\n\(size)\n\(modified.nanoseconds)\n\(uploadID)\n".utf8) }

    /// Nil for anything that is no such record.
    init?(_ bytes: [UInt8]) {
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: false)
        guard lines.count == 5, lines[0] == "1", let size = Int64(lines[1]), size > 0, let nanoseconds = Int64(lines[2]),
            !lines[3].isEmpty,
            lines[3].utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
        else { return nil }
        self.init(uploadID: String(lines[3]), size: size, modified: Timestamp(nanoseconds: nanoseconds))
    }
}
