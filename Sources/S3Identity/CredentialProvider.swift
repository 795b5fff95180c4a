public import HTTPClient
public import Kloset
public import S3Signing
public import Storage

/// Finds credentials, keeps them, and renews temporary ones before they expire. May be asked from many tasks at a time.
///
/// Looked for in this order; the first place that has any decides, and what is wrong there is an error, not a reason to go on:
/// 1. `access_key` among the options, 2. the profile among the options,
/// 3. `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, with `AWS_SESSION_TOKEN`,
/// 4. the profile `AWS_PROFILE`, else `default`, of `AWS_SHARED_CREDENTIALS_FILE` (`~/.aws/credentials`) and `AWS_CONFIG_FILE` (`~/.aws/config`),
/// 5. a web identity: `AWS_WEB_IDENTITY_TOKEN_FILE` and `AWS_ROLE_ARN`,
/// 6. the role of the machine from instance metadata, version 2, unless `AWS_EC2_METADATA_DISABLED` is `true`.
public actor CredentialProvider {
    /// Temporary credentials are renewed so long before they expire: an upload that begins now is through by then, and a metadata service
    /// offers new ones at least five minutes before.
    public static let renewalSeconds: Int64 = 300

    private let chain: CredentialChain
    private let now: @Sendable () -> Timestamp
    private var current: S3Credentials?
    private var renewal: Task<S3Credentials, any Error>?

    /// - Parameters:
    ///   - environment: of the process; a value, so that tests bring their own.
    ///   - transport: for STS (https) and instance metadata.
    ///   - now: our clock.
    public init(
        options: CredentialOptions, environment: [String: String], transport: any HTTPTransport,
        now: @escaping @Sendable () -> Timestamp
    ) {
        chain = CredentialChain(options: options, environment: environment, transport: transport)
        self.now = now
    }

    /// The credentials to sign with now.
    ///
    /// - Throws: ``Failure`` (`.configuration`, `.permission`, `.unavailable`, `.readWrite`); `CancellationError`.
    public func credentials() async throws -> S3Credentials {
        if let current, !isDue(current) { return current }
        // Callers that come meanwhile wait for the same renewal. One that is cancelled must not take it from the others.
        let task = renewal ?? Task { [chain] in try await chain.find() }
        renewal = task
        do {
            let found = try await task.value
            if renewal == task { (current, renewal) = (found, nil) }
            return found
        } catch {
            if renewal == task { renewal = nil }
            // Still good for some minutes: the next caller tries again.
            if let current, let expires = current.expires, expires > now() { return current }
            throw error
        }
    }

    /// Forgets what it knows, for a server says that it is no longer good (`ExpiredToken`): the next caller gets them anew.
    ///
    /// - Parameter refused: what was refused; newer credentials stay.
    public func forget(_ refused: S3Credentials) {
        if current == refused { current = nil }
    }

    /// The region: `AWS_REGION`, `AWS_DEFAULT_REGION`, else that of the profile; nil when nothing says. Blocks while the shared files are read.
    ///
    /// - Throws: `.configuration`, `.permission`, `.readWrite`.
    public nonisolated func region() throws(Failure) -> String? { try chain.region() }

    private func isDue(_ credentials: S3Credentials) -> Bool {
        guard let expires = credentials.expires else { return false }
        return expires.nanoseconds - now().nanoseconds < Self.renewalSeconds * 1_000_000_000
    }
}
