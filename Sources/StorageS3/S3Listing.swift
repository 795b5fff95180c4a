internal import Kloset
internal import Storage

/// One page of `ListObjectsV2`.
struct S3ListPage: Sendable {
    struct Object: Sendable, Equatable {
        /// The full key, decoded.
        var key: String
        var size: Int64
        var modified: String
        /// The ETag without its quotes; empty when there is none.
        var tag: String
        /// Empty where the server names none.
        var storageClass = ""
    }

    var objects: [Object] = []
    /// What ends at the delimiter, decoded.
    var prefixes: [String] = []
    /// Where to go on; nil at the end.
    var token: String?

    init(parsing bytes: [UInt8]) throws(S3XML.Damage) {
        let xml = try S3XML(parsing: bytes)
        guard xml.rootName == "ListBucketResult" else { throw S3XML.Damage(reason: "it is no listing") }
        let isEncoded = xml.text("EncodingType") == "url"
        func decoded(_ text: String) throws(S3XML.Damage) -> String {
            guard isEncoded else { return text }
            guard let plain = Self.percentDecoded(text) else { throw S3XML.Damage(reason: "a key is not encoded properly") }
            return plain
        }
        for index in xml.children(named: "Contents") {
            guard let key = xml.text("Key", of: index), let size = xml.text("Size", of: index).flatMap({ Int64($0) }), size >= 0
            else {
                throw S3XML.Damage(reason: "an object has no key or no size")
            }
            let tag = (xml.text("ETag", of: index) ?? "").filter { $0 != "\"" }
            objects.append(
                Object(
                    key: try decoded(key), size: size, modified: xml.text("LastModified", of: index) ?? "", tag: tag,
                    storageClass: xml.text("StorageClass", of: index) ?? ""))
        }
        for index in xml.children(named: "CommonPrefixes") { prefixes.append(try decoded(xml.text("Prefix", of: index) ?? "")) }
        guard xml.text("IsTruncated") == "true" else { return }
        guard let next = xml.text("NextContinuationToken"), !next.isEmpty else {
            throw S3XML.Damage(reason: "it is said to go on, but not where")
        }
        token = next
    }

    /// `+` stands for a space, as form encoding has it: servers use it, and a plus sign itself is always encoded.
    static func percentDecoded(_ text: String) -> String? {
        guard text.utf8.contains(where: { $0 == UInt8(ascii: "%") || $0 == UInt8(ascii: "+") }) else { return text }
        var bytes: [UInt8] = []
        var rest = Substring(text).utf8
        while let byte = rest.popFirst() {
            if byte == UInt8(ascii: "+") {
                bytes.append(0x20)
            } else if byte == UInt8(ascii: "%") {
                guard let high = rest.popFirst().flatMap(hexDigit), let low = rest.popFirst().flatMap(hexDigit) else {
                    return nil
                }
                bytes.append(high << 4 | low)
            } else {
                bytes.append(byte)
            }
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func hexDigit(_ byte: UInt8) -> UInt8? { Character(Unicode.Scalar(byte)).hexDigitValue.map { UInt8($0) } }
}

extension S3Store {
    /// S3's own page size.
    static let keysPerPageMax = 1000
    /// Pages without a key may come (deleted versions are skipped), but not for ever.
    private static let emptyPagesMax = 1000

    /// Lists the objects below a prefix, page by page, and looks that the server goes forward.
    ///
    /// - Parameters:
    ///   - name: below the store's root, with its `/` at the end.
    ///   - use: sees each page; false ends the listing.
    /// - Throws: ``Failure``: `.readWrite` when keys are out of order, outside the prefix, or the listing goes in circles.
    func list(
        _ name: String, delimiter: String? = nil, keysMax: Int = keysPerPageMax, _ use: (S3ListPage) throws -> Bool
    ) async throws {
        let prefix = settings.key(name)
        var token: String?
        var last: String?
        var emptyPages = 0
        while true {
            var query: [(name: String, value: String?)] = [
                ("list-type", "2"), ("prefix", prefix), ("max-keys", "\(keysMax)"), ("encoding-type", "url"),
            ]
            if let delimiter { query.append(("delimiter", delimiter)) }
            if let token { query.append(("continuation-token", token)) }
            let answer = try await send(S3Call(.get, nil).asking(query), "cannot list the store")
            guard answer.isSuccess else { throw failure(answer, "cannot list the store", .reading) }
            let page: S3ListPage
            do throws(S3XML.Damage) {
                page = try S3ListPage(parsing: answer.response.bytes)
            } catch {
                throw failure(
                    .readWrite, "cannot list the store", nil, "the server's listing cannot be understood: \(error.reason)")
            }
            for object in page.objects {
                guard object.key.utf8.starts(with: prefix.utf8) else { throw odd("names a key outside of what was asked for") }
                if let last, !last.utf8.lexicographicallyPrecedes(object.key.utf8) { throw odd("is not in ascending order") }
                last = object.key
            }
            noteClasses(of: page)
            emptyPages = page.objects.isEmpty && page.prefixes.isEmpty ? emptyPages + 1 : 0
            guard try use(page), let next = page.token else { return }
            guard next != token, emptyPages < Self.emptyPagesMax else { throw odd("goes in circles") }
            token = next
        }
    }

    private func odd(_ reason: String) -> Failure {
        failure(
            .readWrite, "cannot list the store", nil, "the server's listing \(reason)",
            "Such a server cannot be copied from or to.")
    }

    /// What a key is called below the store's root.
    func name(of objectKey: String) -> Substring {
        settings.prefix.isEmpty ? objectKey[...] : objectKey.dropFirst(settings.prefix.count + 1)
    }
}
