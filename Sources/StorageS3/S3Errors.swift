internal import HTTPClient
internal import Kloset
internal import Storage

/// From what a server answered to what a person reads.
enum S3Errors {
    /// What a failed call was for.
    enum Purpose: Sendable {
        case reading, writing
    }

    static func failure(
        _ answer: S3Answer, _ what: String, _ purpose: Purpose, resource: ResourceKey? = nil, settings: S3Settings
    ) -> Failure {
        let code = S3ErrorDocument(answer.response).code
        let (kind, reason, advice) = meaning(code: code, status: answer.status, purpose, settings)
        return Failure(kind, what, resource: resource, place: settings.place, reason: reason, advice: advice)
    }

    private static func meaning(
        code: String, status: Int, _ purpose: Purpose, _ settings: S3Settings
    ) -> (Failure.Kind, String, String) {
        switch (status, code) {
        case (_, "NoSuchBucket"):
            return (
                purpose == .reading ? .noStore : .cannotWrite, "the bucket \(settings.bucket) does not exist",
                "Make the bucket first, or correct the location."
            )
        case (_, "SignatureDoesNotMatch"):
            return (.permission, "the server says that the secret does not fit the access key", "Check secret_access_key.")
        case (_, "InvalidAccessKeyId"): return (.permission, "the server does not know the access key", "Check access_key.")
        case (_, "ExpiredToken"), (_, "InvalidToken"), (_, "TokenRefreshRequired"):
            return (.permission, "the session token has expired or is not valid", "Get new credentials.")
        case (_, "RequestTimeTooSkewed"):
            return (.unavailable, "the server's clock and this machine's differ too much", "Set the clock of this machine.")
        case (_, "QuotaExceeded"), (507, _):
            return (.readWrite, "the quota is used up", "Raise the quota, or make room.")
        case (_, "InvalidObjectState"):
            return (
                .unavailable, "it lies in a cold storage class and must be restored first",
                "Ask for it: sync has --recall for a source; else restore it with the provider's tools."
            )
        case (_, "AuthorizationHeaderMalformed"), (301, _), (307, _):
            return (
                .configuration, "the server answers for another region or endpoint", "Set region, and endpoint where it differs."
            )
        case (_, "EntityTooLarge"): return (.readWrite, "the server takes no object of this size", "")
        case (403, _):
            return (
                .permission, "the server does not allow it\(said(code))",
                "Let the credentials \(purpose == .reading ? "list the bucket and get objects" : "put objects")."
            )
        case (401, _): return (.permission, "the server does not accept the credentials\(said(code))", "Check the access key.")
        case (404, _): return (.readWrite, "it is not there\(said(code))", "")
        case (501, _): return (.readWrite, "the server cannot do that\(said(code))", "")
        default: return (.readWrite, "the server answered \(status)\(said(code))", "")
        }
    }

    private static func said(_ code: String) -> String { code.isEmpty ? "" : " (\(code))" }
}
