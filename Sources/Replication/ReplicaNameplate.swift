internal import Catalog
internal import Kloset
internal import Storage

/// What a replica tells of itself to those who may list but not read: a document whose name is its id and that of its repository,
/// `.sealift/nameplate/<replica id>-<repository id>`.
///
/// It is written before the marker, so that every replica which has one has the other.
enum ReplicaNameplate {
    static let folder = "nameplate"

    /// What the nameplate says; nil where none hangs.
    ///
    /// - Throws: `.refused` when there are several, or one that says nothing.
    static func read(from store: any StoreReader) async throws -> ReplicaMarker? {
        let names = try await store.documents(in: folder)
        guard let name = names.first else { return nil }
        let replica = String(name.prefix { $0 != "-" })
        guard names.count == 1, ReplicaID(hex: replica) != nil,
            let repository = RepositoryID(text: String(name.dropFirst(replica.count + 1)))
        else {
            throw Failure(
                .refused, "refusing to touch", place: store.place,
                reason: "its nameplate does not say whose it is, and these credentials may not read",
                advice: "Look at .sealift/nameplate there, or sync with credentials that may read.")
        }
        return ReplicaMarker(
            format: ReplicaMarker.formatCurrent, replicaID: replica, repositoryID: repository.description)
    }

    /// Hangs it where it is missing and anybody could need it.
    static func hang(_ marker: ReplicaMarker, at store: any Store) async throws {
        guard store.capabilities.mayBeWriteOnly else { return }
        let name = "\(marker.replicaID)-\(marker.repository?.description ?? marker.repositoryID)"
        guard try await !store.documents(in: folder).contains(name) else { return }
        try await store.createDocument("\(folder)/\(name)", with: Array("A replica of Sealift.\n".utf8))
    }

    /// Moves those aside that hang where no marker is.
    static func takeDown(at store: any Store) async throws {
        guard store.capabilities.mayBeWriteOnly else { return }
        for name in try await store.documents(in: folder) { try await store.quarantineDocument("\(folder)/\(name)") }
    }
}
