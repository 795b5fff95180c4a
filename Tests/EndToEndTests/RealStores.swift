internal import FoundationEssentials
internal import Glibc
internal import Hashing
internal import StorageTesting
internal import Testing

/// Stores that real clients wrote: small ones among the fixtures, larger ones beside the project where they are.
enum RealStores {
    /// What `facts.json` says of an archive.
    struct Facts: Decodable, Sendable {
        struct Object: Decodable, Sendable {
            var path: String
            var bytes: Int
            var sha256: String
        }
        var root: String
        var packfiles: Int
        var states: Int
        var objects: [Object]

        /// Path and SHA-256 of everything that a copy must have.
        var resources: [String: String] {
            Dictionary(uniqueKeysWithValues: objects.filter { !$0.path.hasPrefix("locks/") }.map { ($0.path, $0.sha256) })
        }
    }

    static let passphrase = "lighthouse keeper 1862"

    private static let project = "/" + #filePath.split(separator: "/").dropLast(3).joined(separator: "/")
    private static let fixtures = project + "/Tests/Fixtures/Stores"
    private static let shared = project + "/../shared/stores"
    static let plakarBeside = project + "/../shared/tools/plakar/plakar"

    static let haveHistory = ["t1", "t2", "t3", "t4"].allSatisfy { access("\(shared)/history-\($0).tar.gz", R_OK) == 0 }
    static let noHistory: Comment = "no ../shared/stores/history-t*.tar.gz beside the project"
    static let ptar: String? = access("\(shared)/archive.ptar", R_OK) == 0 ? "\(shared)/archive.ptar" : nil
    static let noPtar: Comment = "no ../shared/stores/archive.ptar beside the project"

    static func facts(_ archive: String) throws -> Facts {
        let data = try Data(contentsOf: URL(filePath: "\(folder(of: archive))/facts.json"))
        return try #require(try JSONDecoder().decode([String: Facts].self, from: data)["\(archive).tar.gz"])
    }

    private static func folder(of archive: String) -> String {
        access("\(fixtures)/\(archive).tar.gz", R_OK) == 0 ? fixtures : shared
    }

    /// Unpacks an archive at `name` of a workplace, in place of what was there.
    @discardableResult
    static func unpack(_ archive: String, at name: String, in place: Workplace) async throws -> String {
        let store = place(name)
        try await place.run(["rm", "-rf", store])
        try place.folder.putFolder(name)
        try await place.run(["tar", "-xzf", "\(folder(of: archive))/\(archive).tar.gz", "--strip-components=1", "-C", store])
        return store
    }
}

extension Workplace {
    /// Path and SHA-256 of CONFIG and every file below `packfiles/` and `states/`.
    func resources(_ store: String) -> [String: String] {
        folder.files(below: store).filter { path, _ in
            path == "CONFIG" || path.hasPrefix("packfiles/") || path.hasPrefix("states/")
        }.mapValues { SHA256.digest(of: $0).hex }
    }

    /// The paths of the resources of a kind, by id.
    func paths(_ kind: String, in store: String) -> [String] {
        resources(store).keys.filter { $0.hasPrefix("\(kind)/") }.sorted()
    }
}

/// The real client: the judge of what we make.
enum Plakar {
    static let path: String? = {
        let named = Workplace.variable("PLAKAR")
        let onPath = (Workplace.variable("PATH") ?? "").split(separator: ":").map { "\($0)/plakar" }
        return ([named].compactMap { $0 } + onPath + [RealStores.plakarBeside]).first { access($0, X_OK) == 0 }
    }()
    static let isThere = path != nil && access("/usr/bin/zstd", X_OK) == 0
    static let reason: Comment = "no plakar ($PLAKAR, PATH, ../shared/tools/plakar; it needs zstd)"

    /// On whose machine a call runs. The client keeps what it knows of a store under the repository id, which a store and its copies share: on one
    /// machine, `ls` of a copy shows the snapshots of the origin.
    enum Machine {
        /// Of somebody who has never seen the store: each call is by another one. The judge of copies.
        case stranger
        /// The one that backs up, always the same. Never a stranger's: an empty cache is filled with states in the order of their ids, so what a
        /// maintenance has dropped may look alive (seen with 1.1.4); a backup then leans on it and spoils the store.
        case owner
    }

    static func run(
        _ words: String..., in place: Workplace, on machine: Machine = .stranger, variables: [String: String] = [:],
        source: SourceLocation = #_sourceLocation
    ) async throws -> Ended {
        let cache = machine == .owner ? "owner" : "stranger-\(UInt32.random(in: .min ... .max))"
        let fixed = [
            "PLAKAR_PASSPHRASE": RealStores.passphrase, "PLAKAR_LOCKLESS": "1", "PLAKAR_HOME": place("plakar-home"),
            "XDG_CACHE_HOME": place(cache),
            // Unpacked once for all tests.
            "TMPDIR": Workplace.variable("TMPDIR") ?? "/tmp",
        ]
        let ended = try await place.run([path ?? "plakar"] + words, fixed.merging(variables) { $1 }, source: source)
        if machine == .stranger { try await place.run(["rm", "-rf", place(cache)], expect: nil) }
        return ended
    }

    /// The ids that `ls` shows, newest first.
    static func snapshotsByAge(
        of store: String, in place: Workplace, on machine: Machine = .stranger, source: SourceLocation = #_sourceLocation
    ) async throws -> [String] {
        try await run("at", store, "ls", in: place, on: machine, source: source).out.split(separator: "\n")
            .filter { $0.hasPrefix("20") }.compactMap { $0.split(separator: " ").dropFirst().first.map(String.init) }
    }

    /// The same, sorted.
    static func snapshots(
        of store: String, in place: Workplace, on machine: Machine = .stranger, source: SourceLocation = #_sourceLocation
    ) async throws -> [String] {
        try await snapshotsByAge(of: store, in: place, on: machine, source: source).sorted()
    }

    /// `check` passes. By itself that proves little: the list of snapshots must be compared too.
    static func check(_ store: String, in place: Workplace, source: SourceLocation = #_sourceLocation) async throws {
        _ = try await run("at", store, "check", in: place, source: source)
    }
}
