import Glibc
import Kloset
import Storage
import StorageSFTP
import StorageTesting
import Synchronization

/// A folder of the server that does not exist yet, seen from both sides.
struct ServedPlace: StorePlace {
    let server: TestServer
    let outer: TestFolder
    /// Reached through libssh2 instead of ssh.
    let byLibrary: Bool
    private let name = "store"
    private let path: String

    init(_ server: TestServer, byLibrary: Bool = false) throws {
        self.server = server
        self.byLibrary = byLibrary
        outer = try TestFolder(in: server.folder)
        if Account(server.user) != nil { try run("chown", server.user, outer.path) }
        path = "\(server.prefix)/\(outer.path.split(separator: "/").last ?? "")/\(name)"
    }

    func open() -> any Store { sftp() }

    func sftp(patience: SFTPPatience = SFTPPatience()) -> SFTPStore {
        SFTPStore(
            server.address(path), transport: byLibrary ? .library(server.login) : .command(server.command(path)),
            patience: patience)
    }

    /// What root planted becomes the account's own, with the folders above it.
    private func give(_ path: String) {
        guard let account = Account(server.user) else { return }
        var made = outer.path
        for part in "\(name)/\(path)".split(separator: "/") {
            made += "/\(part)"
            _ = lchown(made, account.user, account.group)
        }
    }

    func plant(_ key: ResourceKey, _ bytes: [UInt8], modified: Timestamp) throws {
        try outer.put("\(name)/\(key.path)", bytes, modified: modified)
        give(key.path)
    }

    func plantIrregular(_ key: ResourceKey) throws -> Bool {
        if server.showsLinks {
            try outer.putLink("\(name)/\(key.path)", to: "/etc/passwd")
        } else {
            try outer.putFolder("\(name)/\(key.path)")
        }
        give(key.path)
        return true
    }

    func plantName(_ path: String) throws -> Bool {
        try outer.put("\(name)/\(path)", [1])
        give(path)
        return true
    }

    func quarantined(_ key: ResourceKey) -> [[UInt8]] {
        outer.names(in: "\(name)/.sealift/quarantine").filter { $0.contains(key.id.hex) && $0.hasPrefix(key.kind.name) }
            .compactMap { outer.contents(of: "\(name)/.sealift/quarantine/\($0)") }
    }

    func quarantinedDocuments() -> [[UInt8]] {
        outer.names(in: "\(name)/.sealift/quarantine").filter { $0.hasPrefix("ledger-") }
            .compactMap { outer.contents(of: "\(name)/.sealift/quarantine/\($0)") }
    }

    func stagedCount() -> Int { outer.names(in: "\(name)/.sealift/uploads").count }
}

/// The numbers of an account of this machine.
struct Account: Sendable {
    let user: uid_t
    let group: gid_t

    /// getpwnam(3) has one answer for all threads, so it is asked by one at a time.
    private static let asking = Mutex(())

    /// Nil when there is no such account.
    init?(_ name: String) {
        let found = Self.asking.withLock { _ in
            getpwnam(name).map { ($0.pointee.pw_uid, $0.pointee.pw_gid) }
        }
        guard let found else { return nil }
        (user, group) = found
    }
}
