import Glibc
import Kloset
import Storage
import StorageSFTP
import StorageTesting
import Testing

/// OpenSSH's server as a plain child on a folder of this machine, without ssh, well-behaved or with a liar in front of it.
struct LocalServer: StorePlace {
    static let program = "/usr/lib/openssh/sftp-server"
    /// Why there is none here; nil when there is.
    static let missing: String? = access(program, X_OK) == 0 ? nil : "openssh-sftp-server is not installed"

    let outer: TestFolder
    let command: SSHCommand
    let patience: SFTPPatience
    private let name = "store"

    /// - Parameter wishes: what `Tests/Support/servers/sftp-liar` is told; empty for the server itself.
    init(_ wishes: [String] = [], patience: SFTPPatience = SFTPPatience()) throws {
        outer = try TestFolder()
        self.patience = patience
        try outer.putFolder("notes")
        var command = SSHCommand(to: SFTPAddress(host: "localhost", path: "/"), isBatch: true)
        if wishes.isEmpty {
            (command.program, command.arguments) = (Self.program, [])
        } else {
            command.program = Self.liar
            command.arguments = [outer.path("notes")] + wishes + ["--", Self.program]
        }
        self.command = command
    }

    private static var liar: String {
        let folder = #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
        return "/\(folder)/Support/servers/sftp-liar"
    }

    func open() -> any Store { sftp() }

    func sftp() -> SFTPStore {
        SFTPStore(SFTPAddress(host: "localhost", path: outer.path(name)), command: command, patience: patience)
    }

    func plant(_ key: ResourceKey, _ bytes: [UInt8], modified: Timestamp) throws {
        try outer.put("\(name)/\(key.path)", bytes, modified: modified)
    }

    func plantIrregular(_ key: ResourceKey) throws -> Bool {
        try outer.putLink("\(name)/\(key.path)", to: "/etc/passwd")
        return true
    }

    func plantName(_ path: String) throws -> Bool {
        try outer.put("\(name)/\(path)", [1])
        return true
    }

    /// A file's bytes below the store's root; nil if there is none.
    func contents(of path: String) -> [UInt8]? { outer.contents(of: "\(name)/\(path)") }

    func quarantined(_ key: ResourceKey) -> [[UInt8]] {
        outer.names(in: "\(name)/.sealift/quarantine").filter { $0.contains(key.id.hex) && $0.hasPrefix(key.kind.name) }
            .compactMap { contents(of: ".sealift/quarantine/\($0)") }
    }

    func quarantinedDocuments() -> [[UInt8]] {
        outer.names(in: "\(name)/.sealift/quarantine").filter { $0.hasPrefix("ledger-") }
            .compactMap { contents(of: ".sealift/quarantine/\($0)") }
    }

    /// Staged resources; documents are on their way there too, beside the work.
    func stagedCount() -> Int {
        outer.names(in: "\(name)/.sealift/uploads").count { ["packfile-", "state-", "config-"].contains(where: $0.hasPrefix) }
    }
}

extension Trait where Self == ConditionTrait {
    /// Skipped, with the reason, where OpenSSH's server is not installed.
    static var withServer: Self { .enabled(if: LocalServer.missing == nil, Comment(rawValue: LocalServer.missing ?? "")) }
}
