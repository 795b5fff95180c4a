internal import HTTPClient
internal import Kloset
internal import S3Signing
internal import Storage
internal import Synchronization

/// Signs calls, sends them, sends again what failed for a moment, and learns the server's clock and region on the way.
final class S3Client: Sendable {
    let settings: S3Settings
    private let transport: any HTTPTransport
    private let credentials: @Sendable () async throws -> S3Credentials
    private let renewal: @Sendable (S3Credentials) async -> Void
    private let now: @Sendable () -> Timestamp
    private let retry: S3Retry
    private let budget = S3RetryBudget()
    private let throttle = S3Throttle()
    private let breaker: S3Breaker

    private struct Learned {
        var clock = ClockOffset()
        var region: String
        var signer: S3Signer?
    }

    private let learned: Mutex<Learned>
    private let counts = Mutex(RequestCounts())

    /// Requests that were sent, repetitions included.
    var requestCounts: RequestCounts { counts.withLock { $0 } }

    init(
        settings: S3Settings, transport: any HTTPTransport, credentials: @escaping @Sendable () async throws -> S3Credentials,
        renewal: @escaping @Sendable (S3Credentials) async -> Void = { _ in }, now: @escaping @Sendable () -> Timestamp,
        retry: S3Retry = S3Retry()
    ) {
        self.settings = settings
        self.transport = transport
        self.credentials = credentials
        self.renewal = renewal
        self.now = now
        self.retry = retry
        breaker = S3Breaker(retry)
        learned = Mutex(Learned(region: settings.region))
    }

    /// Sends a call until there is an answer that is worth something.
    ///
    /// - Returns: an answer of any status that is no momentary refusal.
    /// - Throws: ``Failure`` when there is none after all attempts, `CancellationError`.
    func send(_ call: S3Call) async throws -> S3Answer {
        var mayHaveRun = false
        var hasLearned = false
        var attempts = 0
        while true {
            let trouble: S3Trouble
            do {
                let response = try await throttle.run {
                    try await breaker.run {
                        let request = try await signed(call)
                        counts.withLock { $0 += call.counted }
                        return try await transport.send(request, into: call.sink)
                    }
                }
                let error = response.status >= 300 ? S3ErrorDocument(response) : nil
                if let error, !hasLearned, try await learn(from: response, error) {
                    hasLearned = true
                    continue
                }
                let isAnswered = call.wantsRefusal && response.status == 400
                guard !isAnswered, let found = S3Trouble(response, error, call.method) else {
                    budget.succeeded()
                    throttle.succeeded()
                    return S3Answer(response: response, mayHaveRunBefore: mayHaveRun)
                }
                trouble = found
            } catch let error as HTTPError {
                trouble = S3Trouble(error)
            } catch let gone as S3Breaker.GivenUp {
                throw failure(gone.reason, isMomentary: true)
            }
            if trouble.isPushBack { throttle.wasPushedBack() }
            if trouble.mayHaveRun { mayHaveRun = true }
            // The breaker paces what follows, and ends it.
            if trouble.isMomentary, breaker.isOut { continue }
            attempts += 1
            guard trouble.isMomentary, attempts < retry.attemptsMax, trouble.isPushBack || budget.take() else {
                throw failure(
                    attempts > 1 ? "\(trouble.reason) (\(attempts) attempts)" : trouble.reason, trouble.advice,
                    isMomentary: trouble.isMomentary)
            }
            try await retry.sleep(retry.wait(before: attempts))
        }
    }

    /// Who signs at the moment.
    func accessKey() async throws -> String { try await credentials().accessKey }

    /// The region of signatures: as it was given, or as the server told.
    var region: String { learned.withLock { $0.region } }

    /// The server's time, as far as it is known.
    var serverTime: Timestamp { learned.withLock { $0.clock.serverTime(now()) } }

    private func signed(_ call: S3Call) async throws -> HTTPRequest {
        var headers = call.headers
        // The server needs the customer's key for everything that touches content.
        if let key = settings.customerKey, call.key != nil, call.method != .delete,
            call.method != .post || call.query.first?.name == "uploads"
        {
            headers += S3CustomerKey.headers(key)
        }
        let bucket = call.bucket ?? settings.bucket
        let unsigned = UnsignedRequest(
            call.method.rawValue, scheme: settings.scheme, host: settings.requestHost(bucket),
            path: settings.path(bucket, call.key), query: call.query, headers: headers)
        let (signer, date) = try await signer()
        do {
            let signed = try signer.sign(unsigned, payload: call.payload, at: date)
            return HTTPRequest(
                call.method, signed.url,
                headers: signed.headers.filter { $0.name != "Host" }.map { HTTPField($0.name, $0.value) },
                body: call.body)
        } catch {
            throw Failure(
                .usage, "cannot ask", place: settings.place, reason: "the request cannot be signed (\(error))",
                advice: "Check access key, region and endpoint for characters that do not belong there.")
        }
    }

    /// The signer of the moment, and the server's time.
    private func signer() async throws -> (S3Signer, Timestamp) {
        let current = try await credentials()
        return learned.withLock { learned in
            let time = learned.clock.serverTime(now())
            if let known = learned.signer, known.credentials == current, known.region == learned.region { return (known, time) }
            let made = S3Signer(credentials: current, region: learned.region)
            learned.signer = made
            return (made, time)
        }
    }

    /// Whether the refusal told something that makes the same call worth signing again: the server's time, the bucket's region, that the
    /// session token has expired.
    private func learn(from response: HTTPResponse, _ error: S3ErrorDocument) async throws -> Bool {
        if error.code == "ExpiredToken", let used = learned.withLock({ $0.signer?.credentials }) {
            await renewal(used)
            return try await credentials() != used
        }
        return learned.withLock { learned in
            let isRefused = response.status == 403 || response.status == 400
            if isRefused, error.code == "RequestTimeTooSkewed" || error.code.isEmpty || error.code == "AccessDenied",
                let date = response.headers["Date"], learned.clock.learn(serverDate: date, now: now())
            {
                return true
            }
            let region = response.headers["x-amz-bucket-region"] ?? error.region
            guard [301, 307, 400].contains(response.status), let region, region != learned.region else { return false }
            learned.region = region
            return true
        }
    }

    private func failure(_ reason: String, _ advice: String = "", isMomentary: Bool) -> Failure {
        Failure(.unavailable, "cannot reach", place: settings.place, reason: reason, advice: advice, retryable: isMomentary)
    }
}

/// Why a call has no usable answer.
struct S3Trouble: Sendable {
    var reason: String
    var advice = ""
    /// Worth another attempt.
    var isMomentary: Bool
    /// The server asked for fewer calls.
    var isPushBack = false
    /// It may have been carried out all the same.
    var mayHaveRun: Bool

    init(_ error: HTTPError) {
        reason = error.description
        switch error {
        case .notSent: (isMomentary, mayHaveRun) = (true, false)
        case .unclear: (isMomentary, mayHaveRun) = (true, true)
        case .tls:
            (isMomentary, mayHaveRun) = (false, false)
            advice = "Name the authority's certificate, or correct the endpoint; tls_insecure_no_verify trusts anybody."
        case .tooLong: (isMomentary, mayHaveRun) = (false, true)
        }
    }

    /// Nil for an answer that is final.
    init?(_ response: HTTPResponse, _ error: S3ErrorDocument?, _ method: HTTPMethod) {
        let status = response.status
        let code = error?.code ?? ""
        switch status {
        case 429, 503: (isMomentary, isPushBack, mayHaveRun) = (true, true, false)
        case 500, 502, 504: (isMomentary, mayHaveRun) = (true, true)
        case 408: (isMomentary, mayHaveRun) = (true, false)
        // What was damaged on its way is sent again.
        case 400 where ["RequestTimeout", "BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody"].contains(code):
            (isMomentary, mayHaveRun) = (true, false)
        case 409 where ["OperationAborted", "ConditionalRequestConflict"].contains(code):
            (isMomentary, mayHaveRun) = (true, false)
        case 200...299 where !response.isWhole: (isMomentary, mayHaveRun) = (true, true)
        default: return nil
        }
        reason = status < 300 ? "the answer ended early" : "the server answered \(status)\(code.isEmpty ? "" : " \(code)")"
    }
}
