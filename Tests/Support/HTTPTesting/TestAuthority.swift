public import StorageTesting

/// A certificate authority of a test, and certificates by it, made with the `openssl` command.
public struct TestAuthority: Sendable {
    public let folder: TestFolder
    /// Its own certificate, PEM.
    public var file: String { folder.path("ca.pem") }

    public init() throws {
        folder = try TestFolder()
        let configuration = """
            [ca]
            default_ca = test
            [test]
            new_certs_dir = .
            database = index.txt
            serial = serial
            default_md = sha256
            policy = any
            copy_extensions = copy
            [any]
            commonName = supplied
            """
        try folder.put("ca.cnf", Array(configuration.utf8))
        try folder.put("index.txt", [])
        try folder.put("serial", Array("01\n".utf8))
        try openssl(
            ["req", "-x509"] + Self.newKey("ca") + ["-days", "2", "-out", "ca.pem", "-subj", "/CN=Sealift test authority"])
    }

    /// A server's certificate and key, `NAME.pem` and `NAME.key` in the folder.
    ///
    /// - Parameters:
    ///   - alternatives: `IP:127.0.0.1,DNS:localhost`.
    ///   - until: `YYMMDDHHMMSSZ`.
    public func issue(_ name: String, for alternatives: String, until: String = "491231235959Z") throws {
        try openssl(
            ["req", "-new"] + Self.newKey(name)
                + ["-out", "\(name).csr", "-subj", "/CN=\(name)", "-addext", "subjectAltName=\(alternatives)"])
        // From the year 2000 on, before any end that a test wants; two digits of a year below 50 are 20xx.
        try openssl(
            [
                "ca", "-batch", "-config", "ca.cnf", "-cert", "ca.pem", "-keyfile", "ca.key", "-in", "\(name).csr", "-out",
                "\(name).pem",
            ]
                + ["-startdate", "000101000000Z", "-enddate", until, "-notext"])
    }

    private static func newKey(_ name: String) -> [String] {
        ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "\(name).key"]
    }

    private func openssl(_ words: [String]) throws {
        try HelperProcess.run(["openssl"] + words, folder: folder.path)
    }

    /// A server that answers every GET with a page of its own.
    public func serve(_ name: String) throws -> (process: HelperProcess, port: Int) {
        let process = try HelperProcess(
            ["openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", "\(name).pem", "-key", "\(name).key", "-www"],
            folder: folder.path)
        let line = try process.readLine { $0.hasPrefix("ACCEPT ") }
        guard let port = line.split(separator: ":").last.flatMap({ Int($0) }) else {
            throw HelperProcess.CannotStart(words: [], reason: line)
        }
        return (process, port)
    }
}
