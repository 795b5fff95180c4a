public import Kloset

/// What is known of a resource's bytes, the same in all replicas of a repository.
public struct KnownResource: Sendable, Hashable {
    /// Bytes.
    public var size: Int64
    /// Nil when nobody has read the bytes yet; the size is then what a listing said.
    public var digest: Digest?
    /// One hash for each chunk, or empty: for resources of at most one chunk, and where they are not known.
    public var chunks: [ChunkHash]
    /// Whether we took the digest ourselves; false when it comes from a replica's ledger.
    public var authenticated: Bool

    public init(size: Int64, digest: Digest?, chunks: [ChunkHash] = [], authenticated: Bool) {
        self.size = size
        self.digest = digest
        self.chunks = chunks
        self.authenticated = authenticated
    }

    /// What a proof says.
    public init(_ proof: ResourceProof, authenticated: Bool) {
        self.init(size: proof.size, digest: proof.digest, chunks: proof.chunks, authenticated: authenticated)
    }

    /// Everything but the trust in it, or nil while there is no digest.
    public var proof: ResourceProof? { digest.map { ResourceProof(size: size, digest: $0, chunks: chunks) } }
}

/// What became of an attempt to record what is known of a resource.
public enum RecordOutcome: Sendable, Equatable {
    /// New, or more than was known before.
    case recorded
    /// Nothing new.
    case known
    /// The catalog knows other bytes under this key: damage or attack. Nothing was changed.
    case conflict(KnownResource)
}

extension CatalogReading {
    /// What is known of a resource's bytes; nil when it was never recorded.
    public func proof(of key: ResourceKey, in repository: RepositoryID) throws -> KnownResource? {
        guard let number = try number(of: repository), var known = try knownResource(key, number) else { return nil }
        if known.digest != nil, known.size > Int64(ChunkLayout.chunkByteCount) { known.chunks = try chunks(of: key, number) }
        return known
    }

    /// Whether any digest of a repository is on record: one of our own, or else one that a ledger told. Stops at the first; looks at every row
    /// where there is none.
    public func hasDigests(of repository: RepositoryID, authenticated: Bool) throws -> Bool {
        guard let number = try number(of: repository) else { return false }
        return try database.with(
            """
            SELECT EXISTS (SELECT 1 FROM resources WHERE repository = ? AND digest IS NOT NULL AND authenticated = ?)
            """
        ) { statement in
            statement.bind(1, number)
            statement.bind(2, authenticated)
            _ = try statement.step()
            return statement.bool(0)
        }
    }

    /// Without the chunk hashes.
    func knownResource(_ key: ResourceKey, _ repository: Int64) throws -> KnownResource? {
        try database.with("SELECT size, digest, authenticated FROM resources WHERE repository = ? AND kind = ? AND id = ?") {
            statement in
            statement.bind(1, repository)
            statement.bind(2, key)
            guard try statement.step() else { return nil }
            return KnownResource(size: statement.int(0), digest: try statement.bitsIfAny(1), authenticated: statement.bool(2))
        }
    }

    private func chunks(of key: ResourceKey, _ repository: Int64) throws -> [ChunkHash] {
        try database.with("SELECT hashes FROM chunks WHERE repository = ? AND kind = ? AND id = ?") { statement in
            statement.bind(1, repository)
            statement.bind(2, key)
            guard try statement.step() else { return [] }
            if let chunks = ChunkHash.unpack(statement.blob(0)) { return chunks }
            throw statement.damage("a list of chunk hashes is cut short")
        }
    }
}

extension CatalogWriting {
    /// Records what we saw of a resource's bytes.
    @discardableResult
    public func record(
        _ proof: ResourceProof, for key: ResourceKey, in repository: RepositoryID, authenticated: Bool
    ) throws -> RecordOutcome {
        try record(KnownResource(proof, authenticated: authenticated), for: key, in: repository)
    }

    /// Records what is known of a resource's bytes.
    ///
    /// A digest that we took ourselves is never replaced by another one, nor forgotten. It replaces one that a ledger told, and
    /// makes unproven again what was believed because of that one. A size without a digest gives way to any digest (but an
    /// authenticated size not to an unauthenticated digest with another size). The same digest from a better source makes it
    /// authenticated.
    public func record(_ news: KnownResource, for key: ResourceKey, in repository: RepositoryID) throws -> RecordOutcome {
        let number = try makeNumber(of: repository)
        let inserted = try database.with("INSERT INTO resources VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING") { statement in
            statement.bind(1, number)
            statement.bind(2, key)
            statement.bind(4, news.size)
            statement.bind(5, news.digest)
            statement.bind(6, news.authenticated)
            try statement.run()
            return database.changes == 1
        }
        if inserted {
            try setChunks(news.chunks, of: key, number)
            return .recorded
        }
        return try merge(news, for: key, number)
    }

    private func merge(_ news: KnownResource, for key: ResourceKey, _ repository: Int64) throws -> RecordOutcome {
        guard let known = try knownResource(key, repository) else { preconditionFailure("a row in the way of another is there") }
        switch (known.digest, news.digest) {
        case (let old?, let new?):
            let better = news.authenticated && !known.authenticated
            guard old == new, known.size == news.size else {
                guard better else { return .conflict(known) }
                try correct(with: news, for: key, repository)
                return .recorded
            }
            if better { try replace(with: news, for: key, repository) }
            // Chunk hashes only locate differences, so those of the better source replace the others without further ado.
            if better || news.authenticated == known.authenticated { try setChunks(news.chunks, of: key, repository) }
            return better ? .recorded : .known
        case (.some, nil):
            return known.size == news.size ? .known : .conflict(known)
        case (nil, _):
            guard known.size == news.size || news.authenticated || !known.authenticated else { return .conflict(known) }
            if news.digest == nil, news.size == known.size, news.authenticated == known.authenticated || known.authenticated {
                return .known
            }
            try replace(with: news, for: key, repository)
            try setChunks(news.chunks, of: key, repository)
            return .recorded
        }
    }

    private func replace(with news: KnownResource, for key: ResourceKey, _ repository: Int64) throws {
        try database.with(
            "UPDATE resources SET size = ?4, digest = ?5, authenticated = ?6 WHERE repository = ?1 AND kind = ?2 AND id = ?3"
        ) { statement in
            statement.bind(1, repository)
            statement.bind(2, key)
            statement.bind(4, news.size)
            statement.bind(5, news.digest)
            statement.bind(6, news.authenticated)
            try statement.run()
        }
    }

    /// Puts what we saw in the place of what a ledger told. Whatever replicas hold under this key was never compared with it.
    private func correct(with news: KnownResource, for key: ResourceKey, _ repository: Int64) throws {
        try replace(with: news, for: key, repository)
        try removeChunks(of: key, repository)
        try setChunks(news.chunks, of: key, repository)
        for replica in try holders(of: key, repository) { try markUnproven(key, in: replica) }
    }

    /// Forgets a digest about which two ledgers contradict each other: nobody is believed until the bytes are compared.
    func forgetDigest(of key: ResourceKey, in repository: RepositoryID) throws {
        let number = try makeNumber(of: repository)
        guard var known = try knownResource(key, number) else { return }
        known.digest = nil
        try replace(with: known, for: key, number)
        try removeChunks(of: key, number)
    }

    /// Puts what a ledger says later in the place of what the same ledger said before.
    func replaceUnauthenticated(with news: KnownResource, for key: ResourceKey, in repository: RepositoryID) throws {
        let number = try makeNumber(of: repository)
        try replace(with: news, for: key, number)
        try removeChunks(of: key, number)
        try setChunks(news.chunks, of: key, number)
    }

    private func removeChunks(of key: ResourceKey, _ repository: Int64) throws {
        try database.with("DELETE FROM chunks WHERE repository = ? AND kind = ? AND id = ?") { statement in
            statement.bind(1, repository)
            statement.bind(2, key)
            try statement.run()
        }
    }

    private func setChunks(_ chunks: [ChunkHash], of key: ResourceKey, _ repository: Int64) throws {
        guard !chunks.isEmpty else { return }
        try database.with("INSERT OR REPLACE INTO chunks VALUES (?, ?, ?, ?)") { statement in
            statement.bind(1, repository)
            statement.bind(2, key)
            statement.bind(4, ChunkHash.pack(chunks))
            try statement.run()
        }
    }
}

extension ChunkHash {
    /// Bytes of one packed hash.
    static let byteCount = 16

    /// High word, then low word, big-endian, one hash after the other.
    static func pack(_ chunks: [ChunkHash]) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: chunks.count * byteCount) { buffer, count in
            let target = UnsafeMutableRawBufferPointer(buffer)
            for (index, chunk) in chunks.enumerated() {
                target.storeBytes(of: chunk.high.bigEndian, toByteOffset: index * byteCount, as: UInt64.self)
                target.storeBytes(of: chunk.low.bigEndian, toByteOffset: index * byteCount + 8, as: UInt64.self)
            }
            count = chunks.count * byteCount
        }
    }

    /// The reverse; nil unless the length is a multiple of 16.
    static func unpack(_ bytes: UnsafeRawBufferPointer) -> [ChunkHash]? {
        guard bytes.count % byteCount == 0 else { return nil }
        return stride(from: 0, to: bytes.count, by: byteCount).map { offset in
            ChunkHash(
                high: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset, as: UInt64.self)),
                low: UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: offset + 8, as: UInt64.self)))
        }
    }
}
