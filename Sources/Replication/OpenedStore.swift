internal import Catalog
internal import Hashing
internal import Kloset
internal import Storage

/// A store whose CONFIG has been read and understood.
struct OpenedStore: Sendable {
    var reader: any StoreReader
    var configuration: StoreConfiguration
    var configBytes: [UInt8]
    var configModified: Timestamp
    /// What the same source is called when it is met again: its replica id if it is a replica, else its place.
    var identity: String
    /// What stays with it when it is moved (`Footprint.anchor`); nil for a replica, which has its id: disks that are rotated at one place may have
    /// folders with the same numbers.
    var anchor: String?

    /// Its replica id, if it is one.
    var replica: ReplicaID?

    var repository: RepositoryID { configuration.repositoryID }
    var configDigest: Digest { SHA256.digest(of: configBytes) }

    /// Opens a store for reading.
    ///
    /// - Throws: `.noStore` when there is none, `.damage` when CONFIG cannot be understood.
    static func open(_ reader: any StoreReader) async throws -> OpenedStore {
        try await reader.requirePlace()
        guard let (bytes, modified) = try await readConfig(of: reader) else {
            guard case .legible = try await ReplicaMark.look(at: reader) else { throw try await reader.noConfig() }
            throw Failure(
                .noStore, "no store", place: reader.place, reason: "it is an unfinished copy: CONFIG comes last",
                advice: "Unless a sync to it is running, finish it with: sealift sync SOURCE \(commandWord(reader.place))")
        }
        let parsed = bytes.withUnsafeBytes { bytes in
            Result { () throws(ConfigurationDamage) in try StoreConfiguration(parsing: bytes) }
        }
        let configuration: StoreConfiguration
        switch parsed {
        case .success(let understood): configuration = understood
        case .failure(let damage):
            throw Failure(
                .damage, "cannot understand", resource: .config, place: reader.place, reason: "\(damage.reason)",
                advice: healConfig(at: reader.place))
        }
        let marker = try await ReplicaMark.look(at: reader).marker
        let replica = marker.flatMap { ReplicaID(hex: $0.replicaID) }
        return OpenedStore(
            reader: reader, configuration: configuration, configBytes: bytes, configModified: modified,
            identity: replica.map { identity(of: $0) } ?? reader.place,
            anchor: marker == nil ? try await reader.footprint().anchor : nil,
            replica: replica)
    }

    /// What a replica is called as a source, wherever it is.
    static func identity(of replica: ReplicaID) -> String { "replica \(replica)" }

    /// CONFIG's bytes and time, or nil without one.
    static func readConfig(of reader: any StoreReader) async throws -> ([UInt8], Timestamp)? {
        guard let attributes = try await reader.attributes(of: [.config]).first else { return nil }
        switch attributes {
        case .absent: return nil
        case .irregular(let what):
            throw Failure(
                .damage, "cannot read", resource: .config, place: reader.place, reason: "it is \(what), no regular file",
                advice: healConfig(at: reader.place))
        case .regular(let size, let modified):
            guard size <= Int64(StoreLimits.configByteCountMax) else {
                throw Failure(
                    .damage, "cannot understand", resource: .config, place: reader.place,
                    reason: "it is \(size) bytes long, more than \(StoreLimits.configByteCountMax)",
                    advice: healConfig(at: reader.place))
            }
            let piece = Piece()
            do {
                let count = try await reader.read(.config, from: .published, at: 0, count: Int(size), into: piece)
                return (Array(piece.bytes(0..<count)), modified)
            } catch var failure as Failure where failure.kind == .readWrite {
                failure.advice += failure.advice.isEmpty ? "" : ". "
                failure.advice += healConfig(at: reader.place)
                throw failure
            }
        }
    }

    static func healConfig(at place: String) -> String {
        "If another copy has it whole: sealift repair \(commandWord(place)) --from COPY"
    }
}

extension StoreReader {
    /// Makes sure that something is there which could be a store.
    ///
    /// - Throws: `.noStore`, also for a file: that is in the way of a target, but to anybody else it is no store.
    func requirePlace() async throws {
        var reason = "nothing is there"
        do {
            guard case .absent = try await presence() else { return }
        } catch let failure as Failure where failure.kind == .cannotWrite {
            reason = failure.reason
        }
        throw Failure(.noStore, "no store", place: place, reason: reason, advice: "Check the location.")
    }
}
