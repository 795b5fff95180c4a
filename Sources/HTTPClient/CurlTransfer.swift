internal import CCurl
internal import Storage
internal import Synchronization

/// One request on its way.
final class CurlTransfer: @unchecked Sendable {
    // @unchecked: the caller fills it before it is submitted; from then on only the engine's thread touches it, but for the atomic flag.
    let isCancelled = Atomic(false)
    var continuation: CheckedContinuation<HTTPResponse, any Error>?
    /// While the engine works on it.
    var easy: UnsafeMutableRawPointer?

    let request: HTTPRequest
    /// How often libcurl began to send the request: once it has, a server may have seen it.
    private var starts = 0
    private var watch: StallWatch
    private var source: BodySource
    private var head = ResponseHead()
    private var target: BodyTarget
    /// What made us stop, where libcurl only knows that we did.
    private var ownFailure: HTTPError?
    private var lines: UnsafeMutablePointer<curl_slist>?
    /// What libcurl says of a failure, for TLS.
    private let message = UnsafeMutablePointer<CChar>.allocate(capacity: ccurl_error_byte_count)

    init(_ request: HTTPRequest, _ sink: HTTPSink) {
        self.request = request
        source = BodySource(request.body)
        target = BodyTarget(sink)
        watch = StallWatch(limit: request.timeouts.stall)
        message.pointee = 0
    }

    deinit {
        curl_slist_free_all(lines)
        message.deallocate()
    }

    func finish(_ outcome: Result<HTTPResponse, any Error>) {
        let waiting = continuation
        continuation = nil
        waiting?.resume(with: outcome)
    }

    /// Tells libcurl everything about the request. False when it refuses something.
    func prepare(_ easy: UnsafeMutableRawPointer, _ options: CurlOptions) -> Bool {
        guard options.apply(to: easy), ccurl_set_closed_in_children(easy) == CURLE_OK,
            ccurl_set_text(easy, CURLOPT_URL, request.url) == CURLE_OK, prepareMethod(easy), prepareLines(easy)
        else { return false }
        let connect = request.timeouts.connect.components
        let connectMilliseconds = connect.seconds * 1000 + connect.attoseconds / 1_000_000_000_000_000
        let limit = Int(max(1, min(connectMilliseconds, Int64(Int32.max))))
        guard ccurl_set_long(easy, CURLOPT_CONNECTTIMEOUT_MS, limit) == CURLE_OK else { return false }
        let context = Unmanaged.passUnretained(self).toOpaque()
        return ccurl_set_pointer(easy, CURLOPT_PRIVATE, context) == CURLE_OK
            && ccurl_set_pointer(easy, CURLOPT_ERRORBUFFER, message) == CURLE_OK
            && ccurl_set_read(easy, readBody, context) == CURLE_OK && ccurl_set_write(easy, writeBody, context) == CURLE_OK
            && ccurl_set_header(easy, takeHeadLine, context) == CURLE_OK
            && ccurl_set_before_request(easy, beforeRequest, context) == CURLE_OK
    }

    private func prepareMethod(_ easy: UnsafeMutableRawPointer) -> Bool {
        let method = request.method
        if method == .head { return ccurl_set_long(easy, CURLOPT_NOBODY, 1) == CURLE_OK }
        let hasBody = method == .put || method == .post || source.byteCount > 0
        guard hasBody else {
            return method == .get || ccurl_set_text(easy, CURLOPT_CUSTOMREQUEST, method.rawValue) == CURLE_OK
        }
        // The way of a PUT for all: libcurl's own POST would add a Content-Type that nobody asked for.
        return ccurl_set_long(easy, CURLOPT_UPLOAD, 1) == CURLE_OK
            && ccurl_set_size(easy, CURLOPT_INFILESIZE_LARGE, Int64(source.byteCount)) == CURLE_OK
            && ccurl_set_text(easy, CURLOPT_CUSTOMREQUEST, method.rawValue) == CURLE_OK
    }

    private func prepareLines(_ easy: UnsafeMutableRawPointer) -> Bool {
        // A name with nothing behind its colon takes a line away that libcurl would send by itself.
        var texts: [String] = ["Expect:"]
        for name in ["Accept", "User-Agent"] where !request.headers.contains(where: { $0.name.isSameHeaderName(as: name) }) {
            texts.append("\(name):")
        }
        // A semicolon instead of the colon sends a line with an empty value.
        for header in request.headers {
            texts.append(header.value.isEmpty ? "\(header.name);" : "\(header.name): \(header.value)")
        }
        for text in texts {
            guard let longer = curl_slist_append(lines, text) else { return false }
            lines = longer
        }
        return ccurl_set_list(easy, lines) == CURLE_OK
    }

    // MARK: - what libcurl calls

    /// Returns false to give up. Called when a connection stands, before the first byte of the request.
    fileprivate func begin() -> Bool {
        starts += 1
        watch.restart()
        // libcurl sends again by itself on a new connection when a kept one turns out to be dead. Whether the server has done it already is
        // not known then, and not ours to decide for anything but reading.
        return starts == 1 || request.method == .get || request.method == .head
    }

    fileprivate func read(_ buffer: UnsafeMutableRawBufferPointer) -> Int {
        let count = source.read(into: buffer)
        watch.saw(byteCount: count)
        return count
    }

    fileprivate func take(headLine: UnsafeRawBufferPointer) -> Bool {
        watch.saw(byteCount: headLine.count)
        ownFailure = head.take(headLine)
        return ownFailure == nil
    }

    fileprivate func take(body bytes: UnsafeRawBufferPointer) -> Bool {
        watch.saw(byteCount: bytes.count)
        if !head.isSuccess { return target.takeError(bytes) }
        let announced = easy.map { ccurl_info_size($0, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T) } ?? -1
        if announced <= target.byteCountMax, target.take(bytes) { return true }
        ownFailure = .tooLong("the answer's body is longer than the \(target.byteCountMax) bytes that were expected")
        return false
    }

    // MARK: - the end

    /// When the transfer has stalled unless something moves until then; nil before sending began, where libcurl's own time-out counts.
    var deadline: ContinuousClock.Instant? { starts > 0 ? watch.deadline : nil }

    /// What to tell of a transfer that has passed its ``deadline``.
    var stallFailure: HTTPError { .unclear("nothing moved for \(request.timeouts.stall)") }

    /// What came out. Called before the handle is given back.
    func outcome(_ code: CURLcode) -> Result<HTTPResponse, any Error> {
        if let ownFailure { return .failure(ownFailure) }
        // A refusal counts even when its document, or the rest of our body, did not get through.
        let isRefusal = head.isComplete && !head.isSuccess
        guard code == CURLE_OK || isRefusal else { return .failure(failure(code)) }
        guard head.isComplete else { return .failure(HTTPError.unclear("there was no answer")) }
        // RFC 9112, section 6.3: an answer with two lengths is cut at different places by different readers.
        guard Set(head.headers.all("Content-Length")).count <= 1 else { return .failure(HTTPError.unclear(ResponseHead.notHTTP)) }
        let announced = easy.map { ccurl_info_size($0, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T) } ?? -1
        let hasEnd = announced >= 0 || head.isChunked || request.method == .head || head.status == 204 || head.status == 304
        return .success(
            HTTPResponse(
                status: head.status, headers: head.headers, bytes: target.bytes, byteCount: target.byteCount,
                isWhole: code == CURLE_OK && hasEnd))
    }

    private func failure(_ code: CURLcode) -> HTTPError {
        let systemError = easy.map { ccurl_info_long($0, CURLINFO_OS_ERRNO) } ?? 0
        return HTTPError(
            code, wasSent: starts > 0, message: String(cString: message), systemError: Int32(truncatingIfNeeded: systemError),
            timeouts: request.timeouts)
    }
}

private func transfer(_ context: UnsafeMutableRawPointer?) -> CurlTransfer? {
    context.map { Unmanaged<CurlTransfer>.fromOpaque($0).takeUnretainedValue() }
}

private let readBody: ccurl_read_callback = { bytes, size, count, context in
    transfer(context)?.read(UnsafeMutableRawBufferPointer(start: bytes, count: size * count)) ?? ccurl_read_abort
}

private let writeBody: ccurl_write_callback = { bytes, size, count, context in
    transfer(context)?.take(body: UnsafeRawBufferPointer(start: bytes, count: size * count)) == true ? size * count : 0
}

private let takeHeadLine: ccurl_write_callback = { bytes, size, count, context in
    transfer(context)?.take(headLine: UnsafeRawBufferPointer(start: bytes, count: size * count)) == true ? size * count : 0
}

private let beforeRequest: ccurl_before_request_callback = { context, _, _, _, _ in
    transfer(context)?.begin() == true ? ccurl_before_request_ok : ccurl_before_request_abort
}
