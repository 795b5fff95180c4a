internal import Catalog
internal import Hashing
internal import Kloset
internal import Storage

/// What the target's own server copies. Its word is no proof: of the copies that nobody reads back, and of which it does not name the SHA-256,
/// the replica's record says that they are unproven, and later runs read some of them, too.
extension TargetLane {
    /// Has the server stage what it can copy; the rest is fetched.
    func stage(_ copies: [ServerCopy]) async throws {
        guard let origin = origin.current else { return postpone(copies.map(\.resource)) }
        let wanted = copies.map { CopiedResource(key: $0.resource.key, size: $0.proof.size, digest: $0.proof.digest) }
        var staged: [Staged] = []
        for (copy, outcome) in zip(copies, try await store.stage(copiesOf: wanted, from: origin)) {
            switch outcome {
            case .staged(let modified):
                var resource = copy.resource
                resource.modified = resource.modified ?? modified
                staged.append(Staged(resource: resource, proof: copy.proof, isChecked: false, isServerCopy: true))
            case .refused:
                // One that refuses is not asked again in this run.
                self.origin.with { $0 = nil }
                postpone([copy.resource])
            }
        }
        try await add(staged)
    }

    /// Takes note of what is published and has been seen by nobody.
    func note(unread good: [Staged]) {
        for one in good where one.isServerCopy { report.serverCopied.add(one.resource.key.kind, bytes: one.proof.size) }
        let unseen = good.filter(\.isUnproven).map(\.resource.key)
        unread.formUnion(unseen)
        unreadCount += unseen.count
    }

    /// The server has made another copy than it was asked for: it is not asked again, and nothing that it copied is believed.
    func mistrust() {
        origin.with { $0 = nil }
        isMistrusted = true
    }

    /// Reads everything back that this run has copied, and fetches what is not what it should be. The rare case: it goes by the plan, since
    /// nobody keeps a list of what the server copied.
    func readCopiesBack() async throws {
        setPhase("reading back what the server copied")
        var cursor = plan.copies.cursor()
        while let resource = try cursor.next() {
            let key = resource.key
            guard key.kind == .packfile, !readAgain.contains(key), let known = try await knownResource(key)?.proof,
                case .regular = try await store.attributes(of: [key])[0]
            else { continue }
            if try await proof(of: key, size: known.size, from: .publishedOnMedium) == known { continue }
            readAgain.insert(key)
            postpone([resource])
        }
    }
}
