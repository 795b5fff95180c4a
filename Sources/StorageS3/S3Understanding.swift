internal import HTTPClient
internal import Kloset

/// Gives an answer to everything that reads answers: for generated and hostile input. Whatever comes, it returns; what the parsers promise each
/// other is a precondition.
///
/// - Returns: how many of them made sense of it.
package func understandS3Answer(status: Int, headers: [(name: String, value: String)], body: [UInt8]) -> Int {
    let fields = HTTPHeaders(headers.map { HTTPField($0.name, $0.value) })
    let response = HTTPResponse(status: status, headers: fields, bytes: body)
    let answer = S3Answer(response: response, mayHaveRunBefore: false)
    var understood = 0
    if let xml = try? S3XML(parsing: body) {
        understood += 1
        precondition(xml.elements[0].end == xml.elements.count, "the root holds everything")
        for index in xml.elements.indices {
            let element = xml.elements[index]
            precondition(index < element.end && element.end <= xml.elements.count && element.text.upperBound <= body.count)
            // No entity is longer than what it stands for.
            precondition(xml.text(of: index).utf8.count <= 3 * element.text.count, "text grows")
        }
    }
    if let page = try? S3ListPage(parsing: body) {
        understood += 1
        precondition(page.objects.allSatisfy { $0.size >= 0 } && page.token != "")
    }
    let error = S3ErrorDocument(response)
    precondition(error.code.utf8.count <= 64 && error.code.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7f }, "words are clean")
    if !error.code.isEmpty { understood += 1 }
    if S3UploadRecord(body) != nil { understood += 1 }
    if let range = S3ContentRange(fields["Content-Range"] ?? "") {
        precondition(0 <= range.first && 0 < range.byteCount && range.byteCount <= range.total)
        understood += 1
    }
    if let length = answer.objectByteCount {
        precondition(length >= 0)
        understood += 1
    }
    if answer.entityTag != nil { understood += 1 }
    if answer.modified != Timestamp(seconds: 0) { understood += 1 }
    return understood
}
