/// Gives the bytes of an answer's head to what reads heads, line by line: for generated and hostile input. Whatever comes, it returns.
///
/// - Returns: status and lines of a head that is complete; nil for anything else.
package func understandHead(_ bytes: [UInt8]) -> (status: Int, fields: [(name: String, value: String)])? {
    var head = ResponseHead()
    var rest = bytes[...]
    while !head.isComplete, !rest.isEmpty {
        let end = rest.firstIndex(of: 10).map { $0 + 1 } ?? rest.endIndex
        guard rest[..<end].withUnsafeBytes({ head.take($0) }) == nil else { return nil }
        rest = rest[end...]
    }
    guard head.isComplete else { return nil }
    precondition((200..<600).contains(head.status) && head.headers.fields.count <= CurlTransport.headLinesMax)
    _ = head.isChunked
    return (head.status, head.headers.fields.map { ($0.name, $0.value) })
}
