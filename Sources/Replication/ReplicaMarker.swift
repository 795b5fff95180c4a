internal import FoundationEssentials
internal import Kloset
internal import Storage

/// What tells a replica of ours from any other folder: the document `.sealift/replica`, written before anything else.
struct ReplicaMarker: Codable, Sendable, Equatable {
    /// The version of what lies below `.sealift/`.
    var format: Int
    /// 32 hexadecimal digits, random.
    var replicaID: String
    /// UUID text.
    var repositoryID: String

    enum CodingKeys: String, CodingKey {
        case format
        case replicaID = "replica_id"
        case repositoryID = "repository_id"
    }

    static let documentName = "replica"
    static let formatCurrent = 1
    /// Ten times what we write.
    private static let byteCountMax = 4096

    var repository: RepositoryID? { RepositoryID(text: repositoryID) }

    fileprivate static func read(from store: any StoreReader) async throws -> ReplicaMarker? {
        guard let bytes = try await store.document(documentName, byteCountMax: byteCountMax) else { return nil }
        guard let marker = try? JSONDecoder().decode(ReplicaMarker.self, from: Data(bytes)), marker.repository != nil,
            marker.replicaID.utf8.count == 32, marker.replicaID.allSatisfy({ $0.isHexDigit && !$0.isUppercase })
        else {
            throw Failure(
                .damage, "cannot read the mark", place: store.place,
                reason: bytes.isEmpty ? "it is empty" : "it is not what Sealift writes")
        }
        guard marker.format <= formatCurrent else {
            throw Failure(
                .configuration, "cannot use the replica", place: store.place,
                reason: "a newer Sealift wrote it (format \(marker.format))",
                advice: "Update Sealift on this machine.")
        }
        return marker
    }

    func write(to store: any Store) async throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        try await store.replaceDocument(Self.documentName, with: Array(try encoder.encode(self)) + [UInt8(ascii: "\n")])
    }
}

/// What is found where a replica's mark would be.
enum ReplicaMark: Sendable {
    case none
    case legible(ReplicaMarker)
    /// It is damaged or cannot be read, which says nothing of the store's content; why, and what to do.
    case illegible(Failure)

    var marker: ReplicaMarker? {
        if case .legible(let marker) = self { marker } else { nil }
    }

    var damage: Failure? {
        if case .illegible(let damage) = self { damage } else { nil }
    }

    /// - Throws: what is no matter of the mark; `.configuration` when a newer Sealift wrote it.
    static func look(at store: any StoreReader) async throws -> ReplicaMark {
        do {
            return try await ReplicaMarker.read(from: store).map { .legible($0) } ?? .none
        } catch var failure as Failure where failure.kind == .damage || failure.kind == .readWrite {
            (failure.what, failure.place) = ("cannot read the mark .sealift/replica of", store.place)
            failure.advice =
                "Another replica's mark is no model, for each has an id of its own. To keep the broken one in quarantine and make "
                + "a new replica of what is there: sealift sync SOURCE \(commandWord(store.place)) --new-replica. Where this machine knows "
                + "which replica it was, it is written anew by: sealift repair \(commandWord(store.place)) --from SOURCE"
            return .illegible(failure)
        }
    }
}
