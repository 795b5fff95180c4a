internal import Catalog
internal import Kloset
internal import Planning
internal import Storage

/// From staged to published: what is written is read back, recorded, and gets its name.
extension TargetLane {
    /// Reads the chosen resources back from the medium. One that differs is discarded and fetched once more; the second time it is damage.
    func readBack(_ staged: [Staged]) async throws -> [Staged] {
        guard store.capabilities.showsStaged else { return staged }
        let (good, bad) = try await sorted(staged, from: .stagedOnMedium)
        for one in bad {
            try await store.discard([one.resource.key])
            try fetchOnceMore(one)
        }
        return good
    }

    /// The same after publishing, where nothing shows before. What differs is fetched once more and takes the place of what was published.
    func readBackPublished(_ staged: [Staged]) async throws -> [Staged] {
        guard !store.capabilities.showsStaged else { return staged }
        let (good, bad) = try await sorted(staged, from: .publishedOnMedium)
        for one in bad {
            if one.isServerCopy { mistrust() }
            try fetchOnceMore(one)
        }
        return good
    }

    private func fetchOnceMore(_ one: Staged) throws {
        guard readAgain.insert(one.resource.key).inserted else {
            throw Failure(
                .damage, "cannot store", resource: one.resource.key, place: store.place,
                reason: "what was read back is not what was written, twice",
                advice: "The medium or its driver loses data; nothing that depends on it was published.")
        }
        postponed.append(one.resource)
    }

    /// Those whose bytes are what they should be, or were not chosen, and those that are not.
    private func sorted(_ staged: [Staged], from view: ResourceView) async throws -> (good: [Staged], bad: [Staged]) {
        var (good, bad): ([Staged], [Staged]) = ([], [])
        for one in staged {
            guard one.isChecked else {
                good.append(one)
                continue
            }
            if try await proof(of: one.resource.key, size: one.proof.size, from: view) == one.proof {
                report.verified.add(one.resource.key.kind, bytes: one.proof.size)
                good.append(one)
            } else {
                bad.append(one)
            }
        }
        return (good, bad)
    }

    /// Digests go to catalog and ledger before the bytes get their names; with them goes what is known of the batches before. The catalog first:
    /// what it does not know yet it would have to take on the ledger's word, if we are cut between the two.
    func record(_ staged: [Staged]) async throws {
        let confirmed = takeCovered()
        guard !staged.isEmpty || !confirmed.isEmpty else { return }
        let (replica, repository, point) = (replica, source.repository, await ledger.nextPointSequence)
        let head = await ledger.head
        let unseen = confirmed.filter { unread.remove($0) != nil }
        let conflict = try await environment.catalog.write { db -> ResourceKey? in
            for one in staged {
                if case .conflict = try db.record(one.proof, for: one.resource.key, in: repository, authenticated: true) {
                    return one.resource.key
                }
                try db.hold(one.resource.key, in: replica, status: .pending, from: point)
            }
            try db.confirm(confirmed, in: replica)
            try db.mark(unseen, as: .unproven, in: replica)
            try db.setLedgerHead(head, of: replica)
            return nil
        }
        if let conflict {
            throw Failure(
                .damage, "cannot record", resource: conflict, place: store.place,
                reason: "the catalog knows other bytes of the same name", advice: "Compare the replicas with: sealift verify")
        }
        guard !staged.isEmpty else { return }
        try await ledger.write(
            staged.map { .resource($0.resource.key, size: $0.proof.size, digest: $0.proof.digest, chunks: $0.proof.chunks) })
    }

    /// Gives final names. A name that is taken already must have our bytes.
    ///
    /// - Returns: what has its name now; what the server was to copy and did not is fetched.
    @discardableResult
    func publish(_ staged: [Staged]) async throws -> [Staged] {
        var good: [Staged] = []
        let isReplaced = { [readAgain, store] (key: ResourceKey) in !store.capabilities.showsStaged && readAgain.contains(key) }
        for one in staged where isReplaced(one.resource.key) {
            try await store.exchange(one.resource.key)
            good.append(one)
        }
        let new = staged.filter { !isReplaced($0.resource.key) }
        for (var one, outcome) in zip(new, try await store.publish(new.map(\.resource.key))) {
            let key = one.resource.key
            switch outcome {
            case .published: break
            case .attested:
                one.isAttested = true
                report.attested.add(key.kind, bytes: one.proof.size)
            case .uncopied:
                mistrust()
                try fetchOnceMore(one)
                report.copied.add(key.kind, bytes: one.proof.size)
                continue
            case .failed(let failure): throw failure.at(store.place, key)
            case .taken:
                if isWriteOnly {
                    throw Failure(
                        .damage, "refusing to replace", resource: key, place: store.place,
                        reason: "the name was taken meanwhile by bytes that these credentials may not read",
                        advice: "Is another machine writing to it? Look at it with credentials that may read: "
                            + "sealift verify \(commandWord(store.place))")
                }
                guard try await proof(of: key, size: one.proof.size, from: .published) == one.proof else {
                    throw Failure(
                        .damage, "refusing to replace", resource: key, place: store.place,
                        reason: "the name is taken by other bytes than the source's",
                        advice: "Look at it with: sealift verify \(commandWord(store.place))")
                }
                try await store.discard([key])
            }
            report.copied.add(key.kind, bytes: one.proof.size)
            good.append(one)
        }
        return good
    }
}
