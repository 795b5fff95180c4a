internal import HTTPClient
internal import S3Signing
internal import Storage

/// The places of ``CredentialProvider``, asked in order.
struct CredentialChain: Sendable {
    let options: CredentialOptions
    let environment: [String: String]
    let transport: any HTTPTransport
    /// Files and commands wait here; one at a time is enough.
    private let pool = BlockingPool(threadsMax: 1)

    init(options: CredentialOptions, environment: [String: String], transport: any HTTPTransport) {
        self.options = options
        self.environment = environment
        self.transport = transport
    }

    func find() async throws -> S3Credentials {
        if let accessKey = options.accessKey {
            // A call may name the key; the secret never stands in a call.
            guard let place = options.secret else {
                guard let secret = value("AWS_SECRET_ACCESS_KEY") else {
                    throw CredentialOptions.unusable(
                        "there is an access_key, but no secret key, and AWS_SECRET_ACCESS_KEY is not set")
                }
                let token = value("AWS_SESSION_TOKEN").map { Secret($0) }
                return S3Credentials(accessKey: accessKey, secret: Secret(secret), sessionToken: token)
            }
            let secret = try await pool.run { [environment] in try place.read(environment) }
            return S3Credentials(accessKey: accessKey, secret: secret, sessionToken: options.sessionToken)
        }
        if options.profile == nil, let found = try fromEnvironment() { return found }
        if let found = try await fromProfile() { return found }
        if let identity = try webIdentity(role: value("AWS_ROLE_ARN"), tokenFile: value("AWS_WEB_IDENTITY_TOKEN_FILE")) {
            return try await identity.assume()
        }
        if value("AWS_EC2_METADATA_DISABLED")?.lowercased() != "true" {
            let endpoint = value("AWS_EC2_METADATA_SERVICE_ENDPOINT") ?? InstanceMetadata.endpoint
            if let found = try await InstanceMetadata(endpoint: endpoint, transport: transport).find() { return found }
        }
        throw Failure(
            .permission, "cannot find credentials",
            reason: "neither options, environment, the profile \(profile), a web identity nor instance metadata have any",
            advice: "Set access_key and secret_access_key_file, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.")
    }

    /// Blocks while files are read.
    func region() throws(Failure) -> String? {
        if let region = value("AWS_REGION") ?? value("AWS_DEFAULT_REGION") { return region }
        return try readSettings()?["region"]?.revealed
    }

    /// An empty variable counts as none.
    private func value(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }

    private var profile: String { options.profile ?? value("AWS_PROFILE") ?? "default" }

    private func fromEnvironment() throws(Failure) -> S3Credentials? {
        switch (value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY")) {
        case (nil, nil): return nil
        case (let accessKey?, let secret?):
            let token = value("AWS_SESSION_TOKEN").map { Secret($0) }
            return S3Credentials(accessKey: accessKey, secret: Secret(secret), sessionToken: token)
        default: throw CredentialOptions.unusable("only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set")
        }
    }

    private func fromProfile() async throws -> S3Credentials? {
        let isWanted = options.profile != nil || value("AWS_PROFILE") != nil
        guard let settings = try await settings() else {
            guard isWanted else { return nil }
            throw CredentialOptions.unusable("there is no profile \(profile) in the shared AWS files")
        }
        switch (settings["aws_access_key_id"], settings["aws_secret_access_key"]) {
        case (let accessKey?, let secret?):
            return S3Credentials(accessKey: accessKey.revealed, secret: secret, sessionToken: settings["aws_session_token"])
        case (nil, nil): break
        default: throw CredentialOptions.unusable("the profile \(profile) has only one of its two keys")
        }
        let identity = try webIdentity(
            role: settings["role_arn"]?.revealed, tokenFile: settings["web_identity_token_file"]?.revealed,
            region: settings["region"]?.revealed)
        if let identity { return try await identity.assume() }
        let unknown = ["role_arn", "credential_process", "sso_session", "sso_start_url"].first { settings[$0] != nil }
        if let unknown { throw CredentialOptions.unusable("the profile \(profile) uses \(unknown), which this version does not") }
        guard isWanted else { return nil }  // a region alone
        throw CredentialOptions.unusable("the profile \(profile) has no keys")
    }

    private func webIdentity(role: String?, tokenFile: String?, region: String? = nil) throws(Failure) -> WebIdentity? {
        guard let role, let tokenFile else { return nil }
        let region = value("AWS_REGION") ?? value("AWS_DEFAULT_REGION") ?? region
        return try WebIdentity(
            role: role, tokenFile: tokenFile, session: value("AWS_ROLE_SESSION_NAME") ?? "sealift", region: region,
            endpoint: value("AWS_ENDPOINT_URL_STS"), transport: transport, pool: pool)
    }

    /// The profile of both files together, the credentials file first; nil when neither has it.
    private func settings() async throws -> [String: Secret]? { try await pool.run { try readSettings() } }

    private func readSettings() throws(Failure) -> [String: Secret]? {
        let home = value("HOME").map { "\($0)/.aws" }
        let credentials = value("AWS_SHARED_CREDENTIALS_FILE") ?? home.map { "\($0)/credentials" }
        let configuration = value("AWS_CONFIG_FILE") ?? home.map { "\($0)/config" }
        let first = try section(profile, of: credentials)
        let second = try section(profile == "default" ? profile : "profile \(profile)", of: configuration)
        guard first != nil || second != nil else { return nil }
        return (second ?? [:]).merging(first ?? [:]) { $1 }
    }

    private func section(_ name: String, of path: String?) throws(Failure) -> [String: Secret]? {
        guard let path, let file = try SharedFile.read(path) else { return nil }
        return try file.settings(section: name)
    }
}
