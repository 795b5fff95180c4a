import HTTPClient
import Kloset
import S3Identity
import S3Signing
import Storage
import StorageTesting
import Testing

/// The order of the places, and the shared files.
struct ChainTests {
    private let folder: TestFolder

    init() throws {
        folder = try TestFolder()
        let credentials = """
            # a comment
            [default]
            aws_access_key_id = FILE
            aws_secret_access_key=file secret
            [ci]\r
            AWS_ACCESS_KEY_ID=CI\r
            aws_secret_access_key =  a=b \r
            aws_session_token = t\r
            """
        try folder.put(".aws/credentials", Array(credentials.utf8))
        let configuration = """
            [default]
            region = eu-central-1
            s3 =
              max_concurrent_requests = 20
              aws_access_key_id = nested
            ; another comment
            [profile   ci]
            region=eu-west-3
            [profile inconfig]
            aws_access_key_id = CONFIG
            aws_secret_access_key = c
            [profile half]
            aws_access_key_id = HALF
            [profile sso]
            sso_session = x
            [profile onlyregion]
            region = r
            """
        try folder.put(".aws/config", Array(configuration.utf8))
    }

    private var home: [String: String] { ["HOME": folder.path, "AWS_EC2_METADATA_DISABLED": "true"] }

    @Test("each place yields to the one before it")
    func order() async throws {
        var environment = home
        #expect(try await CredentialProvider(CredentialOptions(), environment).credentials().accessKey == "FILE")
        environment["AWS_ACCESS_KEY_ID"] = "ENV"
        environment["AWS_SECRET_ACCESS_KEY"] = "s"
        environment["AWS_SESSION_TOKEN"] = "t"
        environment["AWS_PROFILE"] = "ci"
        let fromEnvironment = try await CredentialProvider(CredentialOptions(), environment).credentials()
        #expect(fromEnvironment == S3Credentials(accessKey: "ENV", secret: Secret("s"), sessionToken: Secret("t")))
        let profile = try CredentialOptions(["profile": Secret("default")])
        #expect(try await CredentialProvider(profile, environment).credentials().accessKey == "FILE")
        let keys = try CredentialOptions(["access_key": Secret("OPTION"), "secret_access_key": Secret("s")])
        #expect(try await CredentialProvider(keys, environment).credentials().accessKey == "OPTION")
    }

    @Test("profiles of both files")
    func profiles() async throws {
        let found = try await CredentialProvider(CredentialOptions(), home.merging(["AWS_PROFILE": "ci"]) { $1 }).credentials()
        #expect(found == S3Credentials(accessKey: "CI", secret: Secret("a=b"), sessionToken: Secret("t")))
        let inConfig = CredentialProvider(CredentialOptions(), home.merging(["AWS_PROFILE": "inconfig"]) { $1 })
        #expect(try await inConfig.credentials().accessKey == "CONFIG")
        let moved = ["AWS_SHARED_CREDENTIALS_FILE": folder.path(".aws/credentials"), "AWS_CONFIG_FILE": "/nowhere"]
        #expect(try await CredentialProvider(CredentialOptions(), moved).credentials().accessKey == "FILE")
    }

    @Test("regions")
    func regions() async throws {
        #expect(try CredentialProvider(CredentialOptions(), home).region() == "eu-central-1")
        let profile = try CredentialOptions(["profile": Secret("ci")])
        #expect(try CredentialProvider(profile, home).region() == "eu-west-3")
        let variables = home.merging(["AWS_DEFAULT_REGION": "x"]) { $1 }
        #expect(try CredentialProvider(profile, variables).region() == "x")
        #expect(try CredentialProvider(profile, variables.merging(["AWS_REGION": "y"]) { $1 }).region() == "y")
        #expect(try CredentialProvider(CredentialOptions(), [:]).region() == nil)
    }

    @Test("what is wrong at a place is an error there", arguments: ["half", "sso", "onlyregion", "nosuch"])
    func wrongProfile(name: String) async throws {
        let provider = CredentialProvider(try CredentialOptions(["profile": Secret(name)]), home)
        #expect(await failure { try await provider.credentials() }?.kind == .configuration)
    }

    @Test("half an environment is an error; none at all is another")
    func nothing() async throws {
        let half = CredentialProvider(CredentialOptions(), home.merging(["AWS_ACCESS_KEY_ID": "A"]) { $1 })
        #expect(await failure { try await half.credentials() }?.reason.contains("only one") == true)
        let none = CredentialProvider(CredentialOptions(), ["AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": ""])
        #expect(await failure { try await none.credentials() }?.what == "cannot find credentials")
        let nobody = CredentialProvider(CredentialOptions(), [:])
        #expect(await failure { try await nobody.credentials() }?.what == "cannot find credentials")
    }

    @Test(
        "lines that are none are named, and nothing of them is repeated",
        arguments: ["geheim", "[geheim", "=geheim", "[default]\n= geheim\n"])
    func malformed(text: String) async throws {
        try folder.put(".aws/credentials", Array(text.utf8))
        let failure = await failure { try await CredentialProvider(CredentialOptions(), home).credentials() }
        #expect(failure?.kind == .configuration && failure?.place?.contains("line ") == true)
        #expect(failure.map { "\($0)".contains("geheim") } == false)
    }

    @Test("a file that is too long, a folder, a pipe")
    func strange() async throws {
        try folder.put("long", [UInt8](repeating: 10, count: (1 << 20) + 1))
        try folder.put("full", [UInt8](repeating: 10, count: 1 << 20))
        try folder.putPipe("pipe")
        for (name, kind) in [
            ("long", Failure.Kind.configuration), ("", .readWrite), ("full", .permission), ("pipe", .permission),
        ] {
            let environment = ["AWS_SHARED_CREDENTIALS_FILE": folder.path(name), "AWS_EC2_METADATA_DISABLED": "true"]
            let failure = await failure { try await CredentialProvider(CredentialOptions(), environment).credentials() }
            #expect(failure?.kind == kind, "\(name)")
        }
    }

    @Test("any bytes: a failure or credentials, never a crash")
    func mutated() async throws {
        let seed = UInt64.random(in: 0...UInt64.max)
        print("mutated shared files: seed \(seed)")
        var random = SeededRandom(seed: seed)
        let original = try #require(folder.contents(of: ".aws/credentials"))
        for _ in 0..<500 {
            var bytes = original
            for _ in 0..<Int.random(in: 1...6, using: &random) {
                bytes[Int.random(in: 0..<bytes.count, using: &random)] =
                    [10, 13, 32, 35, 61, 91, 93, 0, 255].randomElement(using: &random) ?? 0
            }
            try folder.put(".aws/credentials", bytes)
            do {
                #expect(try await CredentialProvider(CredentialOptions(), home).credentials().secret.byteCount > 0)
            } catch is Failure {}
        }
    }
}
