internal import Catalog
internal import Hashing
internal import Kloset
internal import Storage

/// How proven bytes are put together: small resources come whole from the donor, of large ones only the chunks that are not good any more.
extension RepairWork {
    /// Stages a batch and reads it back.
    ///
    /// - Returns: those whose staged bytes are proven and durable, in the batch's order; the others have failed, and nothing of them is
    ///   staged.
    mutating func stageProven(_ batch: [Patient]) async throws -> [Healed] {
        var staged = try await stageSmall(batch.filter { Self.isSmall($0.size) })
        for patient in batch where !Self.isSmall(patient.size) { staged[patient.key] = try await stageLarge(patient) }
        guard !staged.isEmpty else { return [] }
        try await store.makeDurable()
        let healed = batch.compactMap { patient in staged[patient.key].map { Healed(patient: patient, proof: $0) } }
        // Where nothing shows before it has its name, that is read.
        guard store.capabilities.showsStaged else { return healed }
        let good = try await readBack(healed, from: .stagedOnMedium)
        for one in healed where !good.contains(one.key) {
            fail(one.key, "what was read back before the exchange is not what was written")
            try await store.discard([one.key])
        }
        return healed.filter { good.contains($0.key) }
    }

    private static func isSmall(_ size: Int64) -> Bool { size <= Int64(ChunkLayout.chunkByteCount) }

    private mutating func stageSmall(_ patients: [Patient]) async throws -> [ResourceKey: ResourceProof] {
        var staged: [ResourceKey: ResourceProof] = [:]
        var rest = patients[...]
        while !rest.isEmpty {
            let reads = try await donor.readWhole(rest.map(\.key), from: .published, into: piece)
            var good: [SmallResource] = []
            for (patient, read) in zip(rest, reads) {
                switch read {
                case .vanished: fail(patient.key, Self.donorHasNone)
                case .tooLarge: fail(patient.key, patient.objection)
                case .failed(let failure): fail(patient.key, try Self.donorTrouble(failure).reason)
                case .bytes(let range, _):
                    report.bytesFromDonor += Int64(range.count)
                    let proof = ResourceProof(ofSmall: piece.bytes(range))
                    guard patient.accepts(proof) else {
                        fail(patient.key, patient.objection)
                        continue
                    }
                    staged[patient.key] = proof
                    good.append(SmallResource(key: patient.key, piece: piece, range: range, modified: patient.modified))
                }
            }
            for (small, failure) in zip(good, try await store.stage(good)) {
                if let failure { throw failure.at(store.place, small.key) }
            }
            rest = rest.dropFirst(reads.count)
        }
        return staged
    }

    /// - Returns: what the staged bytes are, or nil when it failed.
    private mutating func stageLarge(_ patient: Patient) async throws -> ResourceProof? {
        var reason = patient.objection
        do {
            let chunks = patient.isLost ? [] : patient.recorded?.chunks ?? []
            for own in chunks.isEmpty ? [[]] : [chunks, []] {
                if let proof = try await assemble(patient, own: own), patient.accepts(proof) { return proof }
            }
        } catch let trouble as DonorTrouble {
            reason = trouble.reason
        }
        try await store.discard([patient.key])
        fail(patient.key, reason)
        return nil
    }

    /// - Parameter own: what each chunk should hash to; empty when nothing of our own can be used.
    /// - Returns: what the staged bytes are, or nil when the donor ended early.
    private mutating func assemble(_ patient: Patient, own: [ChunkHash]) async throws -> ResourceProof? {
        let upload = try await store.upload(patient.key, size: patient.size, modified: patient.modified)
        var hasher = ResourceHasher()
        do {
            for index in 0..<ChunkLayout.count(size: patient.size) {
                let range = ChunkLayout.range(index, size: patient.size)
                if !(try await readOwn(patient.key, chunks: own, index: index, range: range)) {
                    let count = try await readFromDonor(patient.key, range: range)
                    report.bytesFromDonor += Int64(count)
                    guard count == range.count else {
                        await upload.abandon()
                        return nil
                    }
                }
                hasher.update(chunk: piece.bytes(0..<range.count))
                try await upload.write(chunk: index, from: piece, count: range.count)
            }
        } catch {
            await upload.abandon()
            throw error
        }
        try await upload.finish()
        return hasher.finalize()
    }

    private func readOwn(_ key: ResourceKey, chunks: [ChunkHash], index: Int, range: Range<Int64>) async throws -> Bool {
        guard index < chunks.count else { return false }
        do {
            let count = try await store.read(key, from: .published, at: range.lowerBound, count: range.count, into: piece)
            return count == range.count && ChunkHash(of: piece.bytes(0..<count)) == chunks[index]
        } catch is Vanished {
            return false
        } catch let failure as Failure where failure.kind == .readWrite || failure.kind == .damage {
            return false
        }
    }

    private func readFromDonor(_ key: ResourceKey, range: Range<Int64>) async throws -> Int {
        do {
            return try await donor.read(key, from: .published, at: range.lowerBound, count: range.count, into: piece)
        } catch is Vanished {
            throw DonorTrouble(reason: Self.donorHasNone)
        } catch let failure as Failure {
            throw try Self.donorTrouble(failure)
        }
    }

    /// The donor cannot give one resource.
    private struct DonorTrouble: Error {
        var reason: String
    }

    /// - Throws: the failure, when it is not about one resource.
    private static func donorTrouble(_ failure: Failure) throws -> DonorTrouble {
        guard failure.kind == .readWrite || failure.kind == .damage || failure.kind == .permission else { throw failure }
        return DonorTrouble(reason: "the donor cannot read it: \(failure.reason)")
    }

    /// Those whose bytes are what they should be.
    func readBack(_ healed: [Healed], from view: ResourceView) async throws -> Set<ResourceKey> {
        var good: Set<ResourceKey> = []
        var rest = healed.filter { Self.isSmall($0.proof.size) }[...]
        while !rest.isEmpty {
            let reads = try await store.readWhole(rest.map(\.key), from: view, into: piece)
            for (one, read) in zip(rest, reads) {
                guard case .bytes(let range, _) = read, SHA256.digest(of: piece.bytes(range)) == one.proof.digest else {
                    continue
                }
                good.insert(one.key)
            }
            rest = rest.dropFirst(reads.count)
        }
        for one in healed where !Self.isSmall(one.proof.size) {
            let found = try await ResourceProof.reading(
                one.key, size: one.proof.size, of: store, from: view, piece: piece)
            if found?.digest == one.proof.digest { good.insert(one.key) }
        }
        return good
    }
}
