import Glibc
import S3Signing
import Storage
import Testing

@testable import Configuration

private let secret = "hunter2-Xyzzy"

/// Parses `text` and checks that the memory that it came in is left empty.
private func parse(_ bytes: some Sequence<UInt8>) throws(Failure) -> StoresFile {
    let memory = Array(bytes)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: max(memory.count, 1), alignment: 1)
    buffer.copyBytes(from: memory)
    defer {
        #expect(buffer.prefix(memory.count).allSatisfy { $0 == 0 }, "the file's bytes are overwritten")
        buffer.deallocate()
    }
    return try StoresFile(parsing: UnsafeMutableRawBufferPointer(rebasing: buffer[..<memory.count]), path: "/c/stores.yml")
}

private func failure(_ text: String) -> Failure? {
    do throws(Failure) {
        _ = try parse(text.utf8)
        return nil
    } catch {
        return error
    }
}

private func failure(resolving name: String, sub: String? = nil, in file: StoresFile) -> Failure? {
    do throws(Failure) {
        _ = try file.resolve(name, sub: sub, workingDirectory: "/home/me")
        return nil
    } catch {
        return error
    }
}

private func dumped(_ value: Any) -> String {
    var text = ""
    dump(value, to: &text)
    return text
}

private let sample = """
    version: v1.0.0
    default: mine
    stores:
      mine:
        location: /backups/mine
        passphrase: \(secret)
      url:
        location: "fs:///backups/url"
        Passphrase_CMD: "echo \(secret)"
        access_key: \(secret)
        port: 22
      cloud:
        location: s3://key:\(secret)@host/bucket
        secret_access_key: \(secret)
      odd:
        location: \(secret):whatever
      archive: {location: 'ptar:/a/file.ptar'}
      relative:
        location: raw:there
      typo:
        locatoin: /x
        location: /y
      none:
        port: 1
      empty:
    """

@Suite struct StoresFileTests {
    /// Whatever stands in stores.yml for a place over SFTP reaches the address.
    @Test func optionsOverSFTP() throws {
        let text = """
            version: v1.0.0
            stores:
                remote:
                    username: "eva"
                    location: sftp://host/srv/replica
                    port: "2222"
                    identity: "/keys/replica"
                    transport: libssh2
                    access_key: "means nothing here"
            """
        let found = try parse(text.utf8).resolve("remote", sub: nil, workingDirectory: "/home/me")
        #expect(found.sftp?.user == "eva")
        #expect(found.sftp?.port == 2222)
        #expect(found.sftp?.identity == "/keys/replica")
        #expect(found.sftp?.transport == .libssh2)
        #expect(failure(resolving: "remote", in: try parse(text.replacing("libssh2", with: "telnet").utf8)) != nil)
    }

    @Test(
        arguments: [
            ("mine", nil, "/backups/mine"), ("mine", "deep/er", "/backups/mine/deep/er"), ("mine", "/else", "/else"),
            ("mine", "../b", "/backups/b"), ("url", nil, "/backups/url"), ("url", "sub", "/backups/url/sub"),
            ("relative", nil, "/home/me/there"), ("archive", nil, "/a/file.ptar"),
        ] as [(String, String?, String)])
    func findsLocations(name: String, sub: String?, path: String) throws {
        let found = try parse(sample.utf8).resolve(name, sub: sub, workingDirectory: "/home/me")
        #expect(found.path == path)
        #expect(found.scheme == (name == "archive" ? .ptar : .folder))
        #expect(found.printable == (sub.map { "@\(name):\($0)" } ?? "@\(name)"))
    }

    @Test func optionsWithoutMeaningAreNamed() throws {
        let found = try parse(sample.utf8).resolve("url", sub: nil, workingDirectory: "/")
        #expect(found.ignoredOptions == ["access_key", "port"])
        #expect(
            try parse(sample.utf8).resolve("mine", sub: nil, workingDirectory: "/").warning == nil,
            "passphrases are not even named")
    }

    @Test func whatCannotBeResolvedSaysWhy() throws {
        let file = try parse(sample.utf8)
        let unknown = try #require(failure(resolving: "other", in: file))
        #expect(unknown.kind == .configuration)
        #expect(unknown.description.contains("@archive, @cloud, @empty, @mine"))
        #expect(failure(resolving: "none", in: file)?.reason == "the store none has no location")
        #expect(failure(resolving: "empty", in: file)?.kind == .configuration)
        let cloud = try #require(failure(resolving: "cloud", in: file))
        #expect(cloud.kind == .configuration)
        #expect(cloud.reason == "the location of the store cloud cannot be used: credentials have no place in it")
        #expect(failure(resolving: "odd", in: file)?.kind == .usage)
        let typo = try #require(failure(resolving: "typo", in: file))
        #expect(typo.kind == .configuration)
        #expect(typo.description.contains("line 21"))
        #expect(typo.description.contains("locatoin"))
        #expect(failure(resolving: "mine", sub: "a\0b", in: file)?.kind == .usage)
    }

    @Test func optionsOfServersAreKeptAsSecrets() throws {
        let file = try parse(
            """
            version: v1.0.0
            stores:
              remote:
                access_key: raw:AK
                secret_access_key: "\(secret)"
                passphrase: \(secret)2
                use_tls: false
                region: ~
                location: s3://127.0.0.1:9000/bucket/prefix
            """.utf8)
        let found = try file.locate("remote", sub: nil, workingDirectory: "/")
        #expect(found.location.scheme == .s3)
        #expect(found.location.path == "127.0.0.1:9000/bucket/prefix")
        #expect(found.location.printable == "@remote")
        #expect(found.options.text("access_key") == "AK")
        #expect(found.options["secret_access_key"] == Secret(secret))
        #expect(try found.options.flag("use_tls", place: "") == false)
        #expect(found.options.text("region") == nil)
        #expect(found.options["passphrase"] == nil)
        #expect(found.location.warning == nil)
        #expect(!dumped(found).contains("hunter2"))
        #expect(!dumped(file).contains("hunter2"))
        let address = S3Address(first: "127.0.0.1:9000", path: ["bucket", "prefix"])
        #expect(file.options(of: address) == found.options)
        #expect(file.options(of: S3Address(first: "127.0.0.1:9000", path: ["bucket"])) == nil)
        #expect(try file.resolve("remote", sub: "/b2/x", workingDirectory: "/").path == "127.0.0.1:9000/b2/x")
    }

    @Test func noSecretIsKeptOrTold() throws {
        let file = try parse(sample.utf8)
        var texts = [dumped(file)]
        for name in file.names + ["unknown"] {
            if let failure = failure(resolving: name, in: file) {
                texts += [failure.description, dumped(failure)]
            } else {
                texts.append(dumped(try file.resolve(name, sub: nil, workingDirectory: "/")))
            }
        }
        #expect(texts.count > file.names.count + 1)
        for text in texts { #expect(!text.contains(secret), "\(text)") }
    }

    @Test func filesWithoutStores() throws {
        for text in [
            "", "# nothing\n", "version: v1.0.0\n", "version: v1.0.0\nstores:\n", "version: v1.0.0\nstores: {}\n",
            "version: v1.0.0\nstores: ~\n",
        ] {
            #expect(try parse(text.utf8).names.isEmpty, "\(text)")
        }
    }

    @Test func placeOfTheFile() {
        #expect(StoresFile.defaultPath(configurationHome: "/c", home: "/h") == "/c/plakar/stores.yml")
        #expect(StoresFile.defaultPath(configurationHome: "", home: "/h") == "/h/.config/plakar/stores.yml")
        #expect(StoresFile.defaultPath(configurationHome: "relative", home: "/h") == "/h/.config/plakar/stores.yml")
        #expect(StoresFile.defaultPath(configurationHome: nil, home: nil) == nil)
    }
}

@Suite struct HostileStoresFileTests {
    private static let bad: [(yaml: String, reason: String)] = [
        ("just text", "a map with version"),
        ("- version: v1.0.0", "a map with version"),
        ("stores: {}", "no version"),
        ("version: v2.0.0", "version of the file"),
        ("version: [v1.0.0]", "single value"),
        ("version: v1.0.0\nversion: v1.0.0", "twice"),
        ("version: v1.0.0\nsecrets: \(secret)", "not known: secrets"),
        ("version: v1.0.0\nstores: \(secret)", "a map of stores"),
        ("version: v1.0.0\nstores: [a]", "a map of stores"),
        ("version: v1.0.0\nstores: {a: \(secret)}", "a map of options"),
        ("version: v1.0.0\nstores: {a: {}, a: {}}", "twice"),
        ("version: v1.0.0\nstores: {'': {}}", "no name"),
        ("version: v1.0.0\nstores: {a: {port: 1, port: 2}}", "twice"),
        ("version: v1.0.0\nstores: {a: {passphrase: x, passphrase: \(secret)}}", "twice"),
        ("version: v1.0.0\nstores: {a: {passphrase: [\(secret)]}}", "single value"),
        ("version: v1.0.0\nstores: {a: {location: {b: \(secret)}}}", "single value"),
        ("version: v1.0.0\nstores: {a: {[x]: y}}", "a key should stand"),
        ("version: v1.0.0\nstores: {a: {\"x\\ny\": y}}", "control character"),
        ("version: v1.0.0\nstores: {a: {location: &x /a, root: *x}}", "anchors"),
        ("version: v1.0.0\nstores: &s {}", "anchors"),
        ("version: v1.0.0\nstores: {a: {<<: *nowhere}}", "anchors"),
        ("version: v1.0.0\nstores: {a: {location: !!str /a}}", "anchors"),
        ("version: v1.0.0\nstores: !x {}", "anchors"),
        ("version: v1.0.0\n---\nversion: v1.0.0", "more than one document"),
        ("version: v1.0.0\nstores: {a: {passphrase: \"\(secret)", "while"),
        ("version: v1.0.0\nstores:\n\t\(secret): x", "token"),
        ("version: v1.0.0\nstores: {a: {\(String(repeating: "k", count: 256)): x}}", "longer than 255"),
        ("version: v1.0.0\nstores: {a: {passphrase: \(String(repeating: secret, count: 6000))}}", "longer than 65536"),
        ("version: v1.0.0\nstores: {a: {location: \(String(repeating: "[", count: 20_000))", "single value"),
    ]

    @Test func isRefusedWithFileAndLine() {
        for (yaml, reason) in Self.bad {
            guard let failure = failure(yaml) else {
                Issue.record("accepted: \(yaml.prefix(80))")
                continue
            }
            #expect(failure.kind == .configuration)
            #expect(failure.place?.hasPrefix("/c/stores.yml, line ") == true)
            #expect(failure.reason.contains(reason) || reason == "while", "\(yaml.prefix(80)): \(failure.reason)")
            #expect(!dumped(failure).contains(secret))
        }
    }

    @Test func deepNestingEnds() {
        for opening in ["[", "{", "- ", "? ", "{a: "] {
            #expect(failure(String(repeating: opening, count: 10_000)) != nil)
            #expect(failure("version: v1.0.0\nstores: " + String(repeating: opening, count: 10_000)) != nil)
        }
    }

    @Test func bytesThatAreNoUTF8AreRefusedWithTheirLine() {
        let start = Array("version: v1.0.0\nstores:\n  a:\n    passphrase: ".utf8)
        for wrong in [[0xff], [0xc0, 0x80], [0xed, 0xa0, 0x80], [0xf8, 0x80], [0x00], [0x07], [0xff, 0xfe]] as [[UInt8]] {
            do throws(Failure) {
                _ = try parse(start + wrong)
                Issue.record("accepted \(wrong)")
            } catch {
                #expect(error.kind == .configuration)
                #expect(error.place == "/c/stores.yml, line 4")
            }
        }
        #expect(throws: Failure.self) { try parse([0xff, 0xfe, 0x61, 0x00] as [UInt8]) }
    }

    @Test func mutatedFilesAreReadOrRefusedWithoutTellingASecret() {
        let seed = getenv("SEALIFT_SEED").flatMap { UInt64(String(cString: $0)) } ?? UInt64.random(in: 0...UInt64.max)
        let line = "mutatedFiles: SEALIFT_SEED=\(seed)\n"
        _ = line.withCString { write(STDERR_FILENO, $0, strlen($0)) }
        var state = seed
        func random(_ bound: Int) -> Int {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407  // Knuth's MMIX
            return Int(state >> 33) % bound
        }
        // Values only: a change can turn a value into a key, and keys are named. So the secret here is no word that could be one.
        let marker = "§\(secret)§"
        let original = Array(sample.replacing(secret, with: marker).utf8)
        let pieces = [
            "\n", " ", ":", "- ", "\"", "'", "{", "}", "[", "]", "&a ", "*a", "!t ", "---\n", "|\n", "\u{0}", "#", "? ", "%",
            "\t",
        ].map { Array($0.utf8) }
        var refused = 0
        for _ in 0..<5_000 {
            var bytes = original
            for _ in 0...random(4) {
                let at = random(bytes.count)
                switch random(3) {
                case 0: bytes[at] = UInt8(random(256))
                case 1: bytes.insert(contentsOf: pieces[random(pieces.count)], at: at)
                default: bytes.removeSubrange(at..<min(at + 1 + random(8), bytes.count))
                }
            }
            do throws(Failure) {
                let file = try parse(bytes)
                for name in file.names where !name.contains("Xyzzy") {
                    if let failure = failure(resolving: name, in: file) { #expect(!failure.description.contains(marker)) }
                }
            } catch {
                refused += 1
                #expect(!dumped(error).contains("Xyzzy"), "\(error)")
            }
        }
        #expect(refused > 100)
    }
}

@Suite struct LocationResolverTests {
    private func withFile(_ text: String?, _ body: (String) throws -> Void) throws {
        var template = Array("/tmp/sealift-configuration-XXXXXX".utf8CString)
        let made = template.withUnsafeMutableBufferPointer { buffer in
            buffer.baseAddress.flatMap { mkdtemp($0) }.map { String(cString: $0) }
        }
        let folder = try #require(made)
        let path = "\(folder)/stores.yml"
        defer {
            unlink(path)
            rmdir(folder)
        }
        if let text {
            let file = try #require(fopen(path, "w"))
            fputs(text, file)
            fclose(file)
        }
        try body(path)
    }

    private func resolve(_ text: String, _ path: String?) throws(Failure) -> ResolvedLocation {
        try LocationResolver(workingDirectory: "/home/me", storesPath: path).resolve(text)
    }

    @Test func readsTheFileOnlyForNames() throws {
        try withFile("[broken") { path throws in
            #expect(try resolve("store", path).path == "/home/me/store")
            #expect(try resolve("ptar:x", path) == ResolvedLocation(scheme: .ptar, path: "/home/me/x", printable: "ptar:x"))
            #expect(throws: Failure.self) { try resolve("@mine", path) }
        }
        try withFile(sample) { path throws in
            #expect(try resolve("@mine:sub", path).path == "/backups/mine/sub")
        }
    }

    @Test func aMissingFileIsAConfigurationFailure() throws {
        try withFile(nil) { path throws in
            do throws(Failure) {
                _ = try resolve("@mine", path)
                Issue.record("found a name in no file")
            } catch {
                #expect(error.kind == .configuration)
                #expect(error.description.contains("there is no file \(path)"))
            }
        }
        #expect(throws: Failure.self) { try resolve("@mine", nil) }
    }

    private func loadFails(_ path: String) -> Bool {
        do throws(Failure) {
            _ = try StoresFile.load(path)
            return false
        } catch {
            return error.kind == .configuration
        }
    }

    @Test func filesThatAreTooLongOrNoFilesAreRefused() throws {
        try withFile(String(repeating: "# comment\n", count: StoresFile.byteCountMax / 10 + 1)) { path throws in
            #expect(loadFails(path))
        }
        try withFile(nil) { path throws in
            #expect(mkfifo(path, 0o600) == 0)
            #expect(loadFails(path))
        }
        #expect(loadFails("/"))
    }
}
