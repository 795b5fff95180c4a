internal import HTTPClient
public import Kloset
public import Storage
internal import Synchronization

/// Buckets with versioning: what is overwritten stays beneath, what is removed gets a delete marker above it.
extension S3Store {
    public func versions(of key: ResourceKey) async throws -> [ResourceVersion]? {
        guard try await keepsVersions(), let rows = try await versionRows(settings.key(key.path), key) else { return nil }
        return rows.filter { $0.key == objectKey(key) }.map(\.version)
    }

    /// Also where the question is not allowed: the versions themselves may be.
    private func keepsVersions() async throws -> Bool {
        if let known = state.withLock({ $0.keepsVersions }) { return known }
        let found = try await protection().versioning != "none"
        state.withLock { $0.keepsVersions = found }
        return found
    }

    public func read(
        _ key: ResourceKey, version: ResourceVersion, at offset: Int64, count: Int, into piece: Piece
    ) async throws -> Int {
        guard let size = version.size, offset >= 0, offset <= size, count <= piece.memory.count else {
            throw failure(.usage, "cannot read", key, "the version has no such range")
        }
        guard count > 0, offset < size else { return 0 }
        let last = min(offset + Int64(count), size) - 1
        let call = S3Call(.get, objectKey(key)).asking([("versionId", version.id)]).into(.piece(piece, max: count))
            .with("Range", "bytes=\(offset)-\(last)")
        let answer = try await send(call, "cannot read a version of", key)
        if answer.status == 404 || answer.status == 405 { throw Vanished(key) }
        guard answer.isSuccess else { throw failure(answer, "cannot read a version of", .reading, key) }
        if answer.status == 200, offset == 0, answer.response.byteCount == Int(last + 1) { return answer.response.byteCount }
        guard let range = try contentRange(answer, key), range.first == offset, range.total == size,
            Int64(answer.response.byteCount) == last - offset + 1
        else {
            throw failure(.readWrite, "cannot read a version of", key, "the server sent another range than was asked for")
        }
        return answer.response.byteCount
    }

    public func recoverDocuments() async throws -> Int {
        var recovered = 0
        for folder in ["\(S3Names.own)/ledger/", "\(S3Names.own)/replica"] {
            guard let rows = try await versionRows(settings.key(folder), nil) else { return recovered }
            var newest: [String: (isRemoved: Bool, last: S3VersionPage.Row?)] = [:]
            for row in rows {
                let isFirst = newest[row.key] == nil
                if isFirst { newest[row.key] = (row.version.isRemoval, nil) }
                if newest[row.key]?.last == nil, !row.version.isRemoval { newest[row.key]?.last = row }
            }
            // A ledger that is there was written after ours removed another.
            guard newest.values.allSatisfy(\.isRemoved) else { continue }
            for (key, found) in newest.sorted(by: { $0.key < $1.key }) {
                guard let last = found.last else { continue }
                try await recover(String(name(of: key)), key, last)
                recovered += 1
            }
        }
        return recovered
    }

    private func recover(_ name: String, _ key: String, _ row: S3VersionPage.Row) async throws {
        let what = "cannot bring back \(name)"
        guard let size = row.version.size, size <= Int64(S3Call.documentByteCountMax) else {
            throw failure(.damage, what, nil, "it is longer than any that Sealift writes")
        }
        let call = S3Call(.get, key).asking([("versionId", row.version.id)])
        let answer = try await send(call, what)
        guard answer.isSuccess else { throw failure(answer, what, .reading) }
        guard Int64(answer.response.byteCount) == size else {
            throw failure(.readWrite, what, nil, "the server sent another length than it names")
        }
        try await replaceOwn(name, answer.response.bytes)
    }

    /// The versions and delete markers of all names that begin so, newest first for each; nil when the server does not tell.
    private func versionRows(_ prefix: String, _ key: ResourceKey?) async throws -> [S3VersionPage.Row]? {
        var rows: [S3VersionPage.Row] = []
        var marker: (key: String, id: String)?
        while true {
            var query: [(name: String, value: String?)] = [("encoding-type", "url")]
            if let marker { query.append(("key-marker", marker.key)) }
            query.append(("prefix", prefix))
            if let marker { query.append(("version-id-marker", marker.id)) }
            query.append(("versions", nil))
            let answer = try await send(S3Call(.get, nil).asking(query), "cannot list versions", key)
            if [400, 403, 404, 405, 501].contains(answer.status) { return nil }
            guard answer.isSuccess else { throw failure(answer, "cannot list versions", .reading, key) }
            // Servers that know no versions answer with a plain listing.
            guard let page = S3VersionPage(answer.response.bytes) else { return nil }
            for row in page.rows where row.key.utf8.starts(with: prefix.utf8) { rows.append(row) }
            guard let next = page.next else { return rows }
            guard !page.rows.isEmpty, next != marker ?? ("", ""), rows.count < ResourceVersion.listedMax else { return rows }
            marker = next
        }
    }
}

/// One page of `ListObjectVersions`.
struct S3VersionPage: Sendable {
    struct Row: Sendable, Equatable {
        var key: String
        var version: ResourceVersion
    }

    var rows: [Row] = []
    /// Where to go on; nil at the end.
    var next: (key: String, id: String)?

    /// Nil for anything else.
    init?(_ bytes: [UInt8]) {
        guard let xml = try? S3XML(parsing: bytes),
            // AWS's name for it, and radosgw's.
            xml.rootName == "ListVersionsResult" || xml.rootName == "ListObjectVersionsResult"
        else { return nil }
        let isEncoded = xml.text("EncodingType") == "url"
        func decoded(_ text: String?) -> String? {
            guard let text else { return nil }
            return isEncoded ? S3ListPage.percentDecoded(text) : text
        }
        let versions = xml.children(named: "Version").map { ($0, false) }
        let marks = xml.children(named: "DeleteMarker").map { ($0, true) }
        // As they stand there: for each key the newest first.
        for (index, isMark) in (versions + marks).sorted(by: { $0.0 < $1.0 }) {
            let size = xml.text("Size", of: index).flatMap { Int64($0) }
            guard let key = decoded(xml.text("Key", of: index)), let id = xml.text("VersionId", of: index), Self.isID(id),
                isMark || (size ?? -1) >= 0
            else { return nil }
            let made = xml.text("LastModified", of: index).flatMap { Timestamp(isoDate: $0) }
            rows.append(Row(key: key, version: ResourceVersion(id: id, size: isMark ? nil : size, made: made)))
        }
        guard xml.text("IsTruncated") == "true" else { return }
        guard let key = decoded(xml.text("NextKeyMarker")), let id = xml.text("NextVersionIdMarker"), !key.isEmpty else {
            return nil
        }
        next = (key, id)
    }

    /// S3's own are 32 characters long.
    private static func isID(_ text: String) -> Bool {
        (1...1024).contains(text.utf8.count) && text.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }
    }
}
