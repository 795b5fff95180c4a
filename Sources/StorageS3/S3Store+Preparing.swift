internal import HTTPClient
internal import Kloset
public import Storage
internal import Synchronization

extension S3Store {
    /// Nothing has to be made: keys need no folders. What the server can do is found out.
    public func prepare() async throws {
        try await askAbilities()
    }

    /// Whether `If-None-Match: *` is honoured: two words are put under one name of ours, and the second must be refused. Which of them is there
    /// tells later runs that only look.
    func honoursConditions() async throws -> Bool {
        if let known = state.withLock({ $0.honoursConditions }) { return known }
        var isHonoured = false
        for word in [S3Names.honoured, S3Names.ignored] where !isHonoured {
            let call = S3Call(.put, settings.key(S3Names.probe)).with("If-None-Match", "*").sendingSummed(Array(word.utf8))
            let answer = try await sendOwn(call, "cannot write \(S3Names.probe)")
            if answer.status == 501 {
                state.withLock { $0.refusesConditions = true }
                try await replaceOwn(S3Names.probe, Array(S3Names.ignored.utf8))
                break
            }
            // After a lost answer a refusal may be that of the same call: not wrong either.
            isHonoured = answer.status == 412
            guard answer.isSuccess || isHonoured else { throw failure(answer, "cannot write \(S3Names.probe)", .writing) }
        }
        state.withLock { [isHonoured] in $0.honoursConditions = isHonoured }
        return isHonoured
    }

    /// The same call, to be refused where something has the name, as far as the server knows such calls.
    func unlessTaken(_ call: S3Call) -> S3Call {
        state.withLock { $0.refusesConditions } ? call : call.with("If-None-Match", "*")
    }

    /// What the probe of an earlier run says, for `inspect`.
    func recallProbe() async throws {
        guard !isWriteOnly else { return }
        guard state.withLock({ $0.honoursConditions == nil && $0.honouredConditions == nil }),
            let bytes = try await own(S3Names.probe, byteCountMax: S3Names.ignored.utf8.count)
        else { return }
        let found: Bool? =
            bytes.elementsEqual(S3Names.honoured.utf8) ? true : bytes.elementsEqual(S3Names.ignored.utf8) ? false : nil
        state.withLock { $0.honouredConditions = found }
    }

    /// Keeps nobody out. Two writers at once never replace each other's resources, and the second to append to the ledger is refused.
    public func lock(holder: String) async throws -> any StoreLock { S3NoLock() }
}

/// A lock that informs nobody yet and excludes nobody ever.
private final class S3NoLock: StoreLock {
    func release() async {}
}
