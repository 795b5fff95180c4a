import Testing

@testable import Storage

@Suite struct LocationTests {
    private func parse(_ text: String) throws(Failure) -> Location {
        try Location(parsing: text, workingDirectory: "/home/me")
    }

    private func failure(_ text: String) -> Failure? {
        do throws(Failure) {
            _ = try parse(text)
            return nil
        } catch {
            return error
        }
    }

    @Test(arguments: [
        ("/backups/store", "/backups/store"), ("store", "/home/me/store"), (".", "/home/me"), ("./a:b", "/home/me/a:b"),
        ("../x", "/home/me/../x"), ("//a///b/./c/", "/a/b/c"), ("/", "/"), ("a/b:c", "/home/me/a/b:c"), ("/a b%20c", "/a b%20c"),
        ("fs:///backups/store", "/backups/store"), ("fs:/backups/store", "/backups/store"), ("FS:store", "/home/me/store"),
        ("fs:///a%20b", "/a%20b"), ("~/x", "/home/me/~/x"),
    ])
    func folders(text: String, path: String) throws {
        #expect(try parse(text) == .folder(path: path))
    }

    @Test(arguments: [
        ("ptar:/a/file.ptar", "/a/file.ptar"), ("ptar:///a/file.ptar", "/a/file.ptar"), ("ptar:file.ptar", "/home/me/file.ptar"),
    ])
    func archives(text: String, path: String) throws {
        #expect(try parse(text) == .ptar(path: path))
    }

    @Test func names() throws {
        #expect(try parse("@mine") == .named("mine", sub: nil))
        #expect(try parse("@mine:") == .named("mine", sub: nil))
        #expect(try parse("@mine:/other:x") == .named("mine", sub: "/other:x"))
        #expect(try parse("@é:sub/deep") == .named("é", sub: "sub/deep"))
        #expect(failure("@")?.reason == "there is no name behind the @")
        #expect(failure("@:sub")?.reason == "there is no name behind the @")
    }

    @Test(arguments: ["http", "https", "sealift", "tape"])
    func otherSchemesAreNamed(scheme: String) throws {
        let refused = try #require(failure("\(scheme)://key:hunter2@host/bucket"))
        #expect(refused.kind == .usage)
        #expect(refused.reason == "this version cannot open \(scheme) locations")
        #expect(!refused.description.contains("hunter2"))
        #expect(try #require(failure("\(scheme.uppercased()):x")).reason == refused.reason)
    }

    @Test(
        arguments: [
            ("s3://127.0.0.1:9000/bucket", "127.0.0.1:9000", ["bucket"]),
            ("S3://localhost/b//p/q/", "localhost", ["b", "p", "q"]),
            ("s3://bucket", "bucket", []), ("s3://[::1]:9000/b/%20", "[::1]:9000", ["b", "%20"]),
        ] as [(String, String, [String])])
    func bucketsAreParsed(text: String, first: String, path: [String]) throws {
        #expect(try parse(text) == .s3(S3Address(first: first, path: path)))
    }

    @Test func bucketsAreMoved() throws {
        let address = try parse("s3://h:1/bucket/a/b")
        #expect(try address.replacingRoot(with: "c") == .s3(S3Address(first: "h:1", path: ["bucket", "a", "b", "c"])))
        #expect(try address.replacingRoot(with: "../c") == .s3(S3Address(first: "h:1", path: ["bucket", "a", "c"])))
        #expect(try address.replacingRoot(with: "/other/c") == .s3(S3Address(first: "h:1", path: ["other", "c"])))
    }

    @Test(arguments: [
        "s3:", "s3:x", "s3://", "s3:///b", "s3://key:hunter2@host/b", "s3://h:1/b/../c", "s3://h:1/./c", "s3://h o/b",
        "s3://h:1/b/\u{7}",
    ])
    func noBucket(text: String) throws {
        let refused = try #require(failure(text))
        #expect(refused.kind == .usage)
        #expect(!refused.description.contains("hunter2"))
    }

    @Test(arguments: [
        "", "a\0b", "/a/\u{fffd}", "hunter2:x", "fs:", "fs://", "fs://host/path", "ptar:", "ptar://x/y", "fs:///a\0", "@a\0",
        String(repeating: "x", count: 5000), String(repeating: "x", count: 4090), "@" + String(repeating: "x", count: 5000),
    ])
    func unusableTextIsAUsageError(text: String) throws {
        let refused = try #require(failure(text))
        #expect(refused.kind == .usage)
        #expect(!refused.description.contains("hunter2"))
        #expect(refused.description.utf8.count < 300, "never the text itself")
    }

    @Test func theLongestPathIsAllowed() throws {
        let path = "/" + String(repeating: "x", count: Location.pathByteCountMax - 1)
        #expect(try parse(path) == .folder(path: path))
        #expect(failure(path + "x") != nil)
    }

    @Test(arguments: [
        ("/other", "/other"), ("deep/er", "/base/store/deep/er"), ("../x", "/base/x"), ("../../../x", "/x"),
        ("./a//b/", "/base/store/a/b"),
        ("/keeps/../dots", "/keeps/../dots"),
    ])
    func anotherRoot(sub: String, path: String) throws {
        #expect(try Location.folder(path: "/base/store").replacingRoot(with: sub) == .folder(path: path))
        #expect(try Location.ptar(path: "/base/store").replacingRoot(with: sub) == .ptar(path: path))
    }

    @Test func ignoredOptionsAreToldByName() {
        var resolved = ResolvedLocation(scheme: .folder, path: "/a", printable: "@mine")
        #expect(resolved.warning == nil)
        resolved.ignoredOptions = ["access_key", "port"]
        #expect(resolved.warning == "@mine: ignoring options that mean nothing for fs locations: access_key, port")
    }
}
