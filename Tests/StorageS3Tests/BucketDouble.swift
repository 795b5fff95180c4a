import HTTPClient
import Hashing
import Kloset
import S3Signing
import S3Testing
import Storage
import Synchronization

@testable import StorageS3

/// A small S3 server in memory whose habits can be chosen: those of real servers, each of which was met.
final class BucketDouble: HTTPTransport {
    struct Habits: Sendable {
        var honoursPut = true
        var honoursComplete = true
        /// Computes `x-amz-checksum-sha256` and refuses a wrong one; else the line is ignored.
        var checksums = true
        /// Refuses all checksums, also right ones.
        var refusesChecksums = false
        /// What it says of the SHA-256 of everything it stores.
        var claimedChecksum: String?
        /// What it says of the SHA-256 of a copy.
        var claimedCopy: String?
        /// OpenStack Swift and others.
        var takesAlgorithm = true
        /// radosgw's first answer to a Complete.
        var namesCompleted = true
        /// rclone capitalises the names of metadata.
        var capitalises = false
        /// rclone sends the whole object's checksum with each range.
        var sumsRanges = false
        /// It does not know these questions, and takes them for a listing.
        var knowsProtection = false
        var listsUploads = true
    }

    struct Object: Sendable {
        var bytes: [UInt8]
        var metadata: [HTTPField] = []
        var checksum: String?
    }

    struct Begun: Sendable {
        var key: String
        var metadata: [HTTPField]
        var hasChecksums: Bool
        var parts: [Int: [UInt8]] = [:]
    }

    private struct State {
        var habits: Habits
        var objects: [String: Object] = [:]
        var uploads: [String: Begun] = [:]
        var asked: [HTTPRequest] = []
        var counter = 0
    }

    private let state: Mutex<State>

    init(_ habits: Habits = Habits()) {
        state = Mutex(State(habits: habits))
    }

    var habits: Habits {
        get { state.withLock { $0.habits } }
        set { state.withLock { $0.habits = newValue } }
    }
    var requests: [HTTPRequest] { state.withLock { $0.asked } }
    var objects: [String: Object] { state.withLock { $0.objects } }
    var uploads: [String: Begun] { state.withLock { $0.uploads } }

    func forgetRequests() { state.withLock { $0.asked = [] } }
    func put(_ key: String, _ object: Object) { state.withLock { $0.objects[key] = object } }

    func store(memory: S3Memory? = nil) -> S3Store {
        var retry = S3Retry()
        let clock = VirtualClock()
        (retry.sleep, retry.now) = ({ try await clock.sleep($0) }, { clock.now })
        let settings = S3Settings(scheme: "http", host: "h:1", bucket: "b", prefix: "p")
        let client = S3Client(
            settings: settings, transport: self, credentials: { Gateway.credentials },
            now: { Timestamp(seconds: 1_700_000_000) }, retry: retry)
        return S3Store(settings, client: client, memory: memory)
    }

    func send(_ request: HTTPRequest, into sink: HTTPSink) async throws -> HTTPResponse {
        var response = state.withLock { state in
            state.asked.append(request)
            return Self.answer(Asked(request), &state)
        }
        guard (200...299).contains(response.status), case .pieces(let pieces, _) = sink else { return response }
        pieces[0].memory.copyBytes(from: response.bytes)
        response.bytes = []
        return response
    }

    /// A request, taken apart.
    private struct Asked {
        var method: HTTPMethod
        var key: String
        var query: [String: String] = [:]
        var headers: HTTPHeaders
        var bytes: [UInt8] = []

        init(_ request: HTTPRequest) {
            method = request.method
            headers = HTTPHeaders(request.headers)
            let parts = request.url.dropFirst("http://h:1/b".count).split(separator: "?", maxSplits: 1)
            key = String(parts.first.map { $0.hasPrefix("/") ? $0.dropFirst() : "" } ?? "")
            let words = (request.url.split(separator: "?", maxSplits: 1).dropFirst().first ?? "").split(separator: "&")
            for word in words {
                let pair = word.split(separator: "=", maxSplits: 1)
                query[String(pair[0])] = pair.count > 1 ? String(pair[1]).replacing("%2F", with: "/") : ""
            }
            if request.url.contains("/b?") { key = "" }
            var collected: [UInt8] = []
            request.body.forEachSlice { collected += Array($0) }
            bytes = collected
        }

        var checksum: String? { headers[S3Checksum.header] }
        var metadata: [HTTPField] { headers.fields.filter { $0.name.lowercased().hasPrefix("x-amz-meta-") } }
    }

    private static func sum(_ bytes: [UInt8]) -> String { S3Checksum.text(SHA256.digest(of: bytes)) }
    private static func tag(_ bytes: [UInt8]) -> String { "\"\(hexText(MD5.digest(of: .bytes(bytes))))\"" }

    private static func answer(_ asked: Asked, _ state: inout State) -> HTTPResponse {
        switch asked.method {
        case .put: put(asked, &state)
        case .post: post(asked, &state)
        case .delete: delete(asked, &state)
        case .head, .get: asked.key.isEmpty || asked.query["uploadId"] != nil ? ask(asked, &state) : get(asked, state)
        }
    }

    /// Nil when the checksum is what it should be, or is ignored.
    private static func refusal(_ asked: Asked, _ state: State) -> HTTPResponse? {
        guard let checksum = asked.checksum else { return nil }
        if state.habits.refusesChecksums { return .error(501, "NotImplemented") }
        return state.habits.checksums && checksum != sum(asked.bytes) ? .error(400, "BadDigest") : nil
    }

    private static func named(_ asked: Asked, _ state: State) -> [(String, String)] {
        if let claimed = state.habits.claimedChecksum { return [(S3Checksum.header, claimed)] }
        return state.habits.checksums && asked.checksum != nil ? [(S3Checksum.header, sum(asked.bytes))] : []
    }

    private static func put(_ asked: Asked, _ state: inout State) -> HTTPResponse {
        if let refusal = refusal(asked, state) { return refusal }
        if let id = asked.query["uploadId"], let number = asked.query["partNumber"].flatMap({ Int($0) }) {
            guard let upload = state.uploads[id] else { return .error(404, "NoSuchUpload") }
            // As AWS does: parts of an upload without checksums may have none.
            if asked.checksum != nil, !upload.hasChecksums, state.habits.checksums { return .error(400, "InvalidRequest") }
            state.uploads[id]?.parts[number] = asked.bytes
            return .text(200, "", [("ETag", tag(asked.bytes))] + named(asked, state))
        }
        // Everything that it does not know is an object, retention and legal hold included.
        if state.habits.honoursPut, asked.headers["If-None-Match"] == "*", state.objects[asked.key] != nil {
            return .error(412, "PreconditionFailed")
        }
        if let source = asked.headers["x-amz-copy-source"] { return copy(asked, String(source.dropFirst("/b/".count)), &state) }
        let checksum = state.habits.checksums && asked.checksum != nil ? sum(asked.bytes) : nil
        state.objects[asked.key] = Object(bytes: asked.bytes, metadata: asked.metadata, checksum: checksum)
        return .text(200, "", [("ETag", tag(asked.bytes))] + named(asked, state))
    }

    private static func copy(_ asked: Asked, _ source: String, _ state: inout State) -> HTTPResponse {
        guard let bytes = state.objects[source]?.bytes else { return .error(404, "NoSuchKey") }
        state.objects[asked.key] = Object(bytes: bytes, metadata: asked.metadata)
        let wants = state.habits.checksums && asked.headers["x-amz-checksum-algorithm"] == "SHA256"
        let named = wants ? "<ChecksumSHA256>\(state.habits.claimedCopy ?? sum(bytes))</ChecksumSHA256>" : ""
        return .text(200, "<CopyObjectResult>\(named)</CopyObjectResult>")
    }

    private static func post(_ asked: Asked, _ state: inout State) -> HTTPResponse {
        if asked.query["delete"] != nil { return .text(200, "<DeleteResult/>") }
        guard let id = asked.query["uploadId"] else {
            let wants = asked.headers["x-amz-checksum-algorithm"] != nil
            if wants, !state.habits.takesAlgorithm { return .error(501, "NotImplemented") }
            state.counter += 1
            let id = "upload\(state.counter)"
            state.uploads[id] = Begun(key: asked.key, metadata: asked.metadata, hasChecksums: wants && state.habits.checksums)
            let echo = wants && state.habits.checksums ? [("x-amz-checksum-algorithm", "SHA256")] : []
            return .text(200, "<InitiateMultipartUploadResult><UploadId>\(id)</UploadId></InitiateMultipartUploadResult>", echo)
        }
        guard let upload = state.uploads[id] else { return .error(404, "NoSuchUpload") }
        if state.habits.honoursComplete, asked.headers["If-None-Match"] == "*", state.objects[asked.key] != nil {
            return .error(412, "PreconditionFailed")
        }
        let parts = upload.parts.sorted { $0.key < $1.key }.map(\.value)
        let text = String(decoding: asked.bytes, as: UTF8.self)
        if upload.hasChecksums, parts.contains(where: { !text.contains(sum($0)) }) { return .error(400, "InvalidPart") }
        state.uploads[id] = nil
        state.objects[asked.key] = Object(bytes: Array(parts.joined()), metadata: upload.metadata)
        let sums = S3Checksum.text(ofParts: parts.map { SHA256.digest(of: $0) })
        let claimed = state.habits.claimedChecksum.map { "\($0)-1" } ?? (upload.hasChecksums ? sums : "")
        let checksum = claimed.isEmpty ? "" : "<ChecksumSHA256>\(claimed)</ChecksumSHA256>"
        let name = state.habits.namesCompleted ? "&quot;x-\(parts.count)&quot;" : ""
        return .text(200, "<CompleteMultipartUploadResult><ETag>\(name)</ETag>\(checksum)</CompleteMultipartUploadResult>")
    }

    private static func delete(_ asked: Asked, _ state: inout State) -> HTTPResponse {
        if let id = asked.query["uploadId"] {
            return state.uploads.removeValue(forKey: id) == nil ? .error(404, "NoSuchUpload") : .text(204)
        }
        state.objects[asked.key] = nil
        return .text(204)
    }

    private static func get(_ asked: Asked, _ state: State) -> HTTPResponse {
        guard let object = state.objects[asked.key] else { return .error(404, "NoSuchKey") }
        var headers = object.metadata.map { field in
            (state.habits.capitalises ? capitalised(field.name) : field.name, field.value)
        }
        if asked.headers["x-amz-checksum-mode"] != nil, let checksum = object.checksum {
            headers.append((S3Checksum.header, state.habits.claimedChecksum ?? checksum))
        }
        guard let range = asked.headers["Range"]?.dropFirst("bytes=".count).split(separator: "-").compactMap({ Int($0) }),
            range.count == 2
        else {
            headers.append(("Content-Length", String(object.bytes.count)))
            headers.append(("ETag", tag(object.bytes)))
            return .text(200, asked.method == .head ? "" : String(decoding: object.bytes, as: UTF8.self), headers)
        }
        guard range[0] < object.bytes.count else { return .error(416, "InvalidRange") }
        let part = Array(object.bytes[range[0]...min(range[1], object.bytes.count - 1)])
        if state.habits.sumsRanges { headers.append((S3Checksum.header, sum(object.bytes))) }
        headers.append(("Content-Range", "bytes \(range[0])-\(range[0] + part.count - 1)/\(object.bytes.count)"))
        return HTTPResponse(status: 206, headers: HTTPHeaders(headers.map { HTTPField($0.0, $0.1) }), bytes: part)
    }

    private static func capitalised(_ name: String) -> String {
        name.split(separator: "-").map { $0.prefix(1).uppercased() + $0.dropFirst() }.joined(separator: "-")
    }

    private static func ask(_ asked: Asked, _ state: inout State) -> HTTPResponse {
        if let id = asked.query["uploadId"] {
            guard let upload = state.uploads[id] else { return .error(404, "NoSuchUpload") }
            let rows = upload.parts.sorted { $0.key < $1.key }.map { number, bytes in
                let checksum = upload.hasChecksums ? "<ChecksumSHA256>\(sum(bytes))</ChecksumSHA256>" : ""
                let tag = upload.hasChecksums ? "opaque" : hexText(MD5.digest(of: .bytes(bytes)))
                return "<Part><PartNumber>\(number)</PartNumber><Size>\(bytes.count)</Size><ETag>\(tag)</ETag>\(checksum)</Part>"
            }
            let algorithm = upload.hasChecksums ? "<ChecksumAlgorithm>SHA256</ChecksumAlgorithm>" : ""
            return .text(200, "<ListPartsResult>\(rows.joined())\(algorithm)</ListPartsResult>")
        }
        if asked.query["uploads"] != nil {
            guard state.habits.listsUploads else { return .error(403, "AccessDenied") }
            let rows = state.uploads.sorted { $0.key < $1.key }.map { id, upload in
                "<Upload><Key>\(upload.key)</Key><UploadId>\(id)</UploadId><Initiated>2023-11-14T22:13:20.000Z</Initiated></Upload>"
            }
            return .text(200, "<ListMultipartUploadsResult>\(rows.joined())</ListMultipartUploadsResult>")
        }
        if asked.query["object-lock"] != nil || asked.query["versioning"] != nil, state.habits.knowsProtection {
            return asked.query["versioning"] != nil
                ? .text(200, "<VersioningConfiguration/>") : .error(404, "ObjectLockConfigurationNotFoundError")
        }
        let prefix = asked.query["prefix"] ?? ""
        let keys = state.objects.keys.filter { $0.hasPrefix(prefix) }.sorted()
        let rows = keys.map { key in
            "<Contents><Key>\(key)</Key><Size>\(state.objects[key]?.bytes.count ?? 0)</Size></Contents>"
        }
        return .text(200, "<ListBucketResult>\(rows.joined())</ListBucketResult>")
    }
}
