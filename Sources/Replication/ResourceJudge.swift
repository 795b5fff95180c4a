internal import Catalog
internal import Hashing
internal import Kloset
internal import Storage

/// What is to be said of one resource.
struct JudgedResource: Sendable {
    enum Verdict: Sendable, Equatable {
        case good
        /// Read, but there is nothing to compare with.
        case unknown
        case damaged(String)
        /// It differs from another copy that looks whole too, and nobody recorded which one is right.
        case disputed(String)
        /// We may not read it.
        case forbidden(String)
        /// It was listed and is gone.
        case vanished
    }
    var key: ResourceKey
    var verdict: Verdict
    /// Bytes read.
    var size: Int64
    /// Why the other copy that it was compared with is no good; nil when nothing is known against it.
    var otherDamage: String?

    init(_ key: ResourceKey, _ verdict: Verdict, size: Int64, otherDamage: String? = nil) {
        (self.key, self.verdict, self.size, self.otherDamage) = (key, verdict, size, otherDamage)
    }
}

/// Reads resources back from the medium and compares them with what this machine recorded itself, or else with another store, or else with what
/// a replica's ledger tells. For one task.
struct ResourceJudge: Sendable {
    private let reader: any StoreReader
    private let isReplica: Bool
    private let other: (any StoreReader)?
    /// Free again when what was read into it is hashed.
    private let piece = Piece()
    private let otherPiece = Piece()

    init(of reader: any StoreReader, isReplica: Bool, against other: (any StoreReader)?) {
        self.reader = reader
        self.isReplica = isReplica
        self.other = other
    }

    private struct Unknown {
        var key: ResourceKey
        var proof: ResourceProof
        /// What a ledger tells.
        var told: KnownResource?
    }

    /// Judges a group: small resources many at once.
    ///
    /// - Returns: what is to be said of each, in no particular order.
    /// - Throws: what is no matter of one resource.
    func judge(_ keys: [ResourceKey], recorded: [ResourceKey: KnownResource]) async throws -> [JudgedResource] {
        var judged: [JudgedResource] = []
        var rest = keys[...]
        while !rest.isEmpty {
            let reads = try await reader.readWhole(Array(rest), from: .publishedOnMedium, into: piece)
            var unknown: [Unknown] = []
            var large: [(key: ResourceKey, size: Int64)] = []
            for (key, read) in zip(rest, reads) {
                switch read {
                case .vanished: judged.append(JudgedResource(key, .vanished, size: 0))
                case .tooLarge(let size): large.append((key, size))
                case .failed(let failure): judged.append(JudgedResource(key, try Self.unreadable(failure), size: 0))
                case .bytes(let range, _):
                    let bytes = piece.bytes(range)
                    let face = ResourceFace.damage(header: bytes, size: Int64(range.count), kind: key.kind)
                    let proof = ResourceProof(ofSmall: bytes)
                    if let verdict = Self.verdict(proof, face: face, recorded: recorded[key]) {
                        judged.append(JudgedResource(key, verdict, size: proof.size))
                    } else {
                        unknown.append(Unknown(key: key, proof: proof, told: recorded[key]))
                    }
                }
            }
            rest = rest.dropFirst(reads.count)
            judged += try await compare(unknown)
            for (key, size) in large { judged.append(try await judge(large: key, size: size, recorded: recorded[key])) }
        }
        return judged
    }

    private func judge(large key: ResourceKey, size: Int64, recorded: KnownResource?) async throws -> JudgedResource {
        do {
            let count = try await reader.read(
                key, from: .published, at: 0, count: ResourceFace.headerByteCount, into: piece)
            let face = ResourceFace.damage(header: piece.bytes(0..<count), size: size, kind: key.kind)
            guard let proof = try await ResourceProof.reading(key, size: size, of: reader, from: .publishedOnMedium, piece: piece)
            else { return JudgedResource(key, .damaged("its length changed while it was read"), size: size) }
            if let verdict = Self.verdict(proof, face: face, recorded: recorded) {
                return JudgedResource(key, verdict, size: size)
            }
            let theirs = try await readLarge(key, size: size)
            return say(of: Unknown(key: key, proof: proof, told: recorded), theirs)
        } catch let failure as Failure {
            return JudgedResource(key, try Self.unreadable(failure), size: size)
        } catch is Vanished {
            return JudgedResource(key, .vanished, size: 0)
        }
    }

    /// What face and record say; nil when we recorded nothing ourselves.
    private static func verdict(_ proof: ResourceProof, face: String?, recorded: KnownResource?) -> JudgedResource.Verdict? {
        let recorded = recorded.flatMap { $0.authenticated ? $0 : nil }
        if let recorded, recorded.digest != nil, recorded.size != proof.size {
            return .damaged("it is \(proof.size) bytes long, \(recorded.size) were recorded")
        }
        if let face { return .damaged(face) }
        guard let digest = recorded?.digest else { return nil }
        return digest == proof.digest
            ? .good : .damaged(difference)
    }

    private static let difference = "its bytes are not those that were recorded (SHA-256 differs)"

    /// Why one resource cannot be read.
    ///
    /// - Throws: the failure, when it is not about this resource.
    private static func unreadable(_ failure: Failure) throws -> JudgedResource.Verdict {
        switch failure.kind {
        case .readWrite, .damage: .damaged("it cannot be read: \(failure.reason)")
        case .permission: .forbidden(failure.reason)
        default: throw failure
        }
    }

    // MARK: - where we recorded nothing

    /// What the other store has of a resource.
    private enum OtherCopy {
        /// Nothing that could be compared.
        case none
        case broken(String)
        /// It looks whole; the digest is nil where the size says enough.
        case whole(size: Int64, Digest?)
    }

    /// What is to be said of a resource of which nobody here knows a digest, and of the other copy. A copy that is damaged on its face blames
    /// nobody. A ledger is believed against a replica while nobody knows better, but never against another copy that looks whole: whoever wrote
    /// to the replica may have written its ledger. Of any other store it proves nothing bad: it was written somewhere else.
    private func say(of mine: Unknown, _ theirs: OtherCopy) -> JudgedResource {
        func judged(_ verdict: JudgedResource.Verdict, otherDamage: String? = nil) -> JudgedResource {
            JudgedResource(mine.key, verdict, size: mine.proof.size, otherDamage: otherDamage)
        }
        let told = mine.told?.digest
        let isAsTold = told == mine.proof.digest
        switch theirs {
        case .none, .broken:
            let reason: String? = if case .broken(let reason) = theirs { reason } else { nil }
            if isAsTold { return judged(.good, otherDamage: reason) }
            return judged(told != nil && isReplica ? .damaged(Self.difference) : .unknown, otherDamage: reason)
        case .whole(let size, let digest):
            if digest == mine.proof.digest { return judged(.good) }
            var news = size == mine.proof.size ? "its bytes differ from those" : "it is \(mine.proof.size) bytes long, \(size)"
            news += " at \(other?.place ?? "")" + (isAsTold ? ", although a replica's ledger names them" : "")
            let areTheirsAsTold = told != nil && (digest.map { $0 == told } ?? (mine.told?.size == size))
            return judged(areTheirsAsTold && isReplica ? .damaged(news) : .disputed(news))
        }
    }

    private func compare(_ unknown: [Unknown]) async throws -> [JudgedResource] {
        guard let other else { return unknown.map { say(of: $0, .none) } }
        var judged: [JudgedResource] = []
        var rest = unknown[...]
        while !rest.isEmpty {
            let reads = try await other.readWhole(rest.map(\.key), from: .published, into: otherPiece)
            for (mine, read) in zip(rest, reads) {
                let theirs: OtherCopy
                switch read {
                case .vanished: theirs = .none
                case .failed(let failure): theirs = try Self.unreadableThere(failure)
                case .tooLarge(let size): theirs = try await face(of: mine.key, size: size, at: other)
                case .bytes(let range, _):
                    let bytes = otherPiece.bytes(range)
                    let size = Int64(range.count)
                    theirs =
                        ResourceFace.damage(header: bytes, size: size, kind: mine.key.kind).map { .broken($0) }
                        ?? .whole(size: size, ResourceProof(ofSmall: bytes).digest)
                }
                judged.append(say(of: mine, theirs))
            }
            rest = rest.dropFirst(reads.count)
        }
        return judged
    }

    private func readLarge(_ key: ResourceKey, size: Int64) async throws -> OtherCopy {
        guard let other else { return .none }
        do {
            guard case .regular(let found, _) = try await other.attributes(of: [key])[0] else { return .none }
            guard found == size else { return try await face(of: key, size: found, at: other) }
            let read = try await ReadResource.reading(key, size: size, of: other, from: .published, piece: otherPiece)
            guard let read else { return .none }
            return read.faceDamage.map { .broken($0) } ?? .whole(size: size, read.proof.digest)
        } catch let failure as Failure {
            return try Self.unreadableThere(failure)
        } catch is Vanished {
            return .none
        }
    }

    /// The other copy has another size: its header says whether it can be whole at all.
    private func face(of key: ResourceKey, size: Int64, at other: any StoreReader) async throws -> OtherCopy {
        do {
            let count = try await other.read(
                key, from: .published, at: 0, count: ResourceFace.headerByteCount, into: piece)
            let damage = ResourceFace.damage(header: piece.bytes(0..<count), size: size, kind: key.kind)
            return damage.map { .broken($0) } ?? .whole(size: size, nil)
        } catch let failure as Failure {
            return try Self.unreadableThere(failure)
        } catch is Vanished {
            return .none
        }
    }

    private static func unreadableThere(_ failure: Failure) throws -> OtherCopy {
        switch try unreadable(failure) {
        case .damaged(let reason): .broken(reason)
        default: .none
        }
    }
}
