public import S3Signing
public import Storage

/// What a person says about credentials: options of a store in `stores.yml` or of our own configuration.
///
/// | option | |
/// |---|---|
/// | `access_key` | with one of the next four; with none of them the secret is `AWS_SECRET_ACCESS_KEY` |
/// | `secret_access_key` | the secret itself |
/// | `secret_access_key_file` | a file with the secret in its first line |
/// | `secret_access_key_env` | the name of an environment variable |
/// | `secret_access_key_command` | for `/bin/sh`; prints the secret |
/// | `session_token` | of temporary credentials, beside the keys |
/// | `profile` | a profile of the shared AWS files |
public struct CredentialOptions: Sendable, Equatable {
    /// Where a secret key is.
    public enum SecretPlace: Sendable, Equatable {
        case value(Secret)
        case file(String)
        case environment(String)
        case command(String)
    }

    public var accessKey: String?
    public var secret: SecretPlace?
    public var sessionToken: Secret?
    public var profile: String?

    /// The names that ``init(_:)`` takes.
    public static let names: Set<String> = [
        "access_key", "secret_access_key", "secret_access_key_file", "secret_access_key_env", "secret_access_key_command",
        "session_token",
        "profile",
    ]

    /// Those whose values are secrets: never to be taken from a command line.
    public static let secretNames: Set<String> = ["secret_access_key", "session_token"]

    /// No option at all: the chain of AWS decides.
    public init() {}

    /// - Parameter options: by name; others than ``names`` are passed over.
    /// - Throws: `.configuration` for options that contradict or lack each other.
    public init(_ options: [String: Secret]) throws(Failure) {
        for (name, value) in options where Self.names.contains(name) && value.byteCount == 0 {
            throw Self.unusable("\(name) is empty")
        }
        accessKey = options["access_key"]?.revealed
        sessionToken = options["session_token"]
        profile = options["profile"]?.revealed
        let places: [SecretPlace?] = [
            options["secret_access_key"].map { .value($0) },
            options["secret_access_key_file"].map { .file($0.revealed) },
            options["secret_access_key_env"].map { .environment($0.revealed) },
            options["secret_access_key_command"].map { .command($0.revealed) },
        ]
        let given = places.compactMap { $0 }
        guard given.count <= 1 else { throw Self.unusable("the secret key is given in more than one way") }
        secret = given.first
        guard accessKey != nil || secret == nil else { throw Self.unusable("there is a secret key, but no access_key") }
        guard sessionToken == nil || secret != nil else { throw Self.unusable("there is a session_token, but no access_key") }
        guard profile == nil || accessKey == nil else { throw Self.unusable("there are both keys and a profile") }
    }

    static func unusable(_ reason: String) -> Failure {
        Failure(
            .configuration, "cannot use the credentials", reason: reason,
            advice: "Give access_key and one of secret_access_key, …_file, …_env and …_command; or a profile; or none of them.")
    }
}
