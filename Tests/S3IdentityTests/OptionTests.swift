import Kloset
import S3Identity
import S3Signing
import Storage
import StorageTesting
import Testing

/// Keys that a person wrote down, and where.
struct OptionTests {
    private func options(_ table: [String: String]) throws -> CredentialOptions {
        try CredentialOptions(table.mapValues { Secret($0) })
    }

    @Test("a secret from its value, a file, a variable, a command")
    func places() async throws {
        let folder = try TestFolder()
        try folder.put("key", Array("  geheim \r\nsecond line\n".utf8))
        let ways: [String: String] = [
            "secret_access_key": "geheim", "secret_access_key_file": folder.path("key"), "secret_access_key_env": "OWN_KEY",
            "secret_access_key_command": "printf 'geheim\\nmore\\n'; echo noise >&2",
        ]
        for (name, value) in ways {
            let provider = CredentialProvider(
                try options(["access_key": "AK", name: value]), ["OWN_KEY": "geheim", "AWS_ACCESS_KEY_ID": "other"])
            let found = try await provider.credentials()
            #expect(found == S3Credentials(accessKey: "AK", secret: Secret("geheim")), "\(name)")
        }
        let variables = ["AWS_ACCESS_KEY_ID": "other", "AWS_SECRET_ACCESS_KEY": "s", "AWS_SESSION_TOKEN": "t"]
        let split = try await CredentialProvider(try options(["access_key": "AK"]), variables).credentials()
        #expect(split == S3Credentials(accessKey: "AK", secret: Secret("s"), sessionToken: Secret("t")))
        let alone = CredentialProvider(try options(["access_key": "AK"]), ["AWS_ACCESS_KEY_ID": "AK"])
        #expect(await failure { try await alone.credentials() }?.kind == .configuration)
        let token = CredentialProvider(try options(["access_key": "AK", "secret_access_key": "s", "session_token": "t"]))
        #expect(try await token.credentials().sessionToken == Secret("t"))
    }

    @Test(
        "options that contradict or lack each other",
        arguments: [
            ["access_key": "a", "profile": "p"], ["secret_access_key": "geheim"], ["access_key": "a", "secret_access_key": ""],
            ["access_key": "a", "secret_access_key": "geheim", "secret_access_key_env": "E"], ["session_token": "geheim"],
            ["access_key": "a", "secret_access_key": "geheim", "profile": "p"],
        ])
    func contradictions(table: [String: String]) throws {
        do {
            _ = try options(table)
            Issue.record("they were taken")
        } catch let failure as Failure {
            #expect(failure.kind == .configuration && !"\(failure)".contains("geheim"))
        }
    }

    @Test(
        "a secret that is not where it should be",
        arguments: [
            ("secret_access_key_file", "/no/such/file"), ("secret_access_key_file", "/dev/zero"),
            ("secret_access_key_file", "/dev/null"),
            ("secret_access_key_env", "NOT_SET"), ("secret_access_key_command", "exit 3"), ("secret_access_key_command", "echo"),
            ("secret_access_key_command", "echo geheim; exit 1"), ("secret_access_key_command", "yes geheim"),
            ("secret_access_key_command", "kill -9 $$"),
        ])
    func missing(name: String, value: String) async throws {
        let provider = CredentialProvider(try options(["access_key": "AK", name: value]))
        let failure = await failure { try await provider.credentials() }
        #expect(failure?.kind == .configuration && failure.map { "\($0)".contains("geheim") } == false)
    }

    @Test("a file that is too long is refused, one of the limit's size is not")
    func fileBounds() async throws {
        let folder = try TestFolder()
        for (size, isGood) in [(16 << 10, true), ((16 << 10) + 1, false)] {
            try folder.put("key", [UInt8](repeating: 65, count: size))
            let provider = CredentialProvider(try options(["access_key": "AK", "secret_access_key_file": folder.path("key")]))
            if isGood {
                #expect(try await provider.credentials().secret.byteCount == size)
            } else {
                #expect(await failure { try await provider.credentials() }?.kind == .configuration)
            }
        }
    }

    @Test("secrets do not print")
    func printing() throws {
        let credentials = S3Credentials(accessKey: "AK", secret: Secret("geheim"), sessionToken: Secret("geheim"))
        let options = try options(["access_key": "AK", "secret_access_key": "geheim"])
        var dumped = "\(credentials) \(String(reflecting: credentials)) \(options) \(String(reflecting: options))"
        dump(credentials, to: &dumped)
        dump(options, to: &dumped)
        #expect(!dumped.contains("geheim") && dumped.contains("AK"))
    }
}
