public import Kloset

/// Who signs.
public struct S3Credentials: Sendable, Equatable {
    /// Not a secret: it is in every signed request.
    public var accessKey: String
    public var secret: Secret
    /// Of temporary credentials.
    public var sessionToken: Secret?
    /// Of temporary credentials: from then on the server refuses them.
    public var expires: Timestamp?

    public init(accessKey: String, secret: Secret, sessionToken: Secret? = nil, expires: Timestamp? = nil) {
        self.accessKey = accessKey
        self.secret = secret
        self.sessionToken = sessionToken
        self.expires = expires
    }
}
