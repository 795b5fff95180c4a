internal import Configuration
internal import S3Signing
internal import Storage

/// What `--option NAME=VALUE` says about locations on servers; stronger than `stores.yml`, never a secret.
struct LocationOptions: Sendable, Equatable {
    private(set) var values: [String: String] = [:]

    /// Those of plakar's integrations that can be given so.
    private static let known: Set<String> = [
        "access_key", "use_tls", "tls_insecure_no_verify", "storage_class", "virtual_host", "endpoint", "port", "root", "region",
        "profile", "secret_access_key_file", "secret_access_key_env", "secret_access_key_command",
        "username", "identity", "insecure_ignore_host_key", "transport", "connections",
    ]
    private static let secrets: Set<String> = [
        "secret_access_key", "session_token", "sse_customer_key", "auth_token", "passphrase", "passphrase_cmd",
    ]

    init() {}

    init(_ words: ParsedWords) throws(UsageError) {
        for word in words.repeated["option"] ?? [] {
            let name = String(word.prefix { $0 != "=" })
            guard !Self.secrets.contains(name) else {
                throw UsageError(
                    "--option takes no secrets: everybody can see them in the list of processes; use stores.yml", verb: words.verb
                )
            }
            guard Self.known.contains(name) else {
                throw UsageError(
                    "no location has an option “\(printable(name))”" + suggestion(for: name, among: Self.known.sorted()),
                    verb: words.verb)
            }
            guard word.count > name.count else { throw UsageError("--option wants NAME=VALUE", verb: words.verb) }
            guard values.updateValue(String(word.dropFirst(name.count + 1)), forKey: name) == nil else {
                throw UsageError("the option \(name) stands there twice", verb: words.verb)
            }
        }
        guard let number = words["connections"] else { return }
        guard values.updateValue(number, forKey: "connections") == nil else {
            throw UsageError("the option connections stands there twice", verb: words.verb)
        }
    }

    /// `options`, with ours in their place.
    func over(_ options: StoreOptions) -> StoreOptions {
        var merged = options
        for (name, value) in values { merged[name] = Secret(value) }
        return merged
    }

    /// `address`, with ours in the place of what it says.
    func over(_ address: SFTPAddress) throws(Failure) -> SFTPAddress {
        var merged = address
        if values["username"] != nil { merged.user = nil }
        if values["port"] != nil { merged.port = nil }
        for (name, value) in values { _ = try merged.apply(option: name, value) }
        return merged
    }
}
