internal import HTTPClient
internal import Kloset
internal import S3Signing
public import Storage
internal import Synchronization

extension S3Store {
    public func standing() async throws -> PlaceStanding {
        PlaceStanding(abilities: try await abilityReport(), uploads: try await unfinishedUploads())
    }

    /// All unfinished uploads below the root, whoever began them; nil when they may not be listed.
    func unfinishedUploads() async throws -> [UnfinishedUpload]? {
        let ours = try await leftUploads()
        var found: [UnfinishedUpload] = []
        var marker: (key: String, id: String) = ("", "")
        let prefix = settings.prefix.isEmpty ? "" : "\(settings.prefix)/"
        while true {
            var query: [(name: String, value: String?)] = [("prefix", prefix), ("uploads", nil)]
            if !marker.key.isEmpty { query += [("key-marker", marker.key), ("upload-id-marker", marker.id)] }
            let answer = try await send(S3Call(.get, nil).asking(query), "cannot list unfinished uploads")
            if [403, 405, 501].contains(answer.status) { return nil }
            guard answer.isSuccess else { throw failure(answer, "cannot list unfinished uploads", .reading) }
            guard let page = S3UploadPage(answer.response.bytes) else {
                throw failure(.readWrite, "cannot list unfinished uploads", nil, "the server's list of them cannot be understood")
            }
            for row in page.uploads where row.key.hasPrefix(prefix) {
                let name = String(name(of: row.key))
                let isOurs = ours.contains { $0.path == name }
                found.append(UnfinishedUpload(name: name, id: row.id, begun: Timestamp(isoDate: row.initiated), isOurs: isOurs))
            }
            guard let next = page.next else { return found }
            guard found.count < UnfinishedUpload.listedMax,
                marker.key.utf8.lexicographicallyPrecedes(next.key.utf8) || marker.key == next.key && marker.id != next.id,
                !page.uploads.isEmpty
            else {
                throw failure(.readWrite, "cannot list unfinished uploads", nil, "the server's list of them goes in circles")
            }
            marker = next
        }
    }

    public func abort(_ upload: UnfinishedUpload) async throws {
        let answer = try await send(
            S3Call(.delete, settings.key(upload.name)).asking([("uploadId", upload.id)]),
            "cannot abort an upload of \(upload.name)")
        guard answer.isSuccess || answer.status == 404 else {
            throw failure(answer, "cannot abort an upload of \(upload.name)", .writing)
        }
        guard let key = ResourceKey(path: upload.name), try await leftUploads().contains(key) else { return }
        // The document names one upload of that resource, perhaps a later one.
        let bytes = try await own("\(S3Names.uploads)/\(S3Names.word(key))", byteCountMax: S3UploadRecord.byteCountMax)
        if bytes.flatMap({ S3UploadRecord($0) })?.uploadID == upload.id { try await forgetUpload(key) }
    }
}

/// One page of `ListMultipartUploads`.
struct S3UploadPage: Sendable {
    struct Row: Sendable, Equatable {
        var key: String
        var id: String
        var initiated: String
    }

    var uploads: [Row] = []
    /// Where to go on; nil at the end.
    var next: (key: String, id: String)?

    /// Nil for anything else.
    init?(_ bytes: [UInt8]) {
        guard let xml = try? S3XML(parsing: bytes), xml.rootName == "ListMultipartUploadsResult" else { return nil }
        for index in xml.children(named: "Upload") {
            guard let key = xml.text("Key", of: index), let id = xml.text("UploadId", of: index),
                (1...2048).contains(id.utf8.count),
                id.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7f })
            else { return nil }
            uploads.append(Row(key: key, id: id, initiated: xml.text("Initiated", of: index) ?? ""))
        }
        guard xml.text("IsTruncated") == "true" else { return }
        guard let key = xml.text("NextKeyMarker"), !key.isEmpty else { return nil }
        next = (key, xml.text("NextUploadIdMarker") ?? "")
    }
}
