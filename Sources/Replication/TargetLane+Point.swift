internal import Catalog
internal import Kloset
internal import Planning
internal import Reconciliation
internal import Storage

/// The recovery point: an immutable inventory of the source's cut, in catalog and ledger.
extension TargetLane {
    /// What comparing the cut with what the replica holds gives.
    private struct Sealed: Sendable {
        var root: Digest
        var tally: Tally
        /// Members of earlier points that the cut no longer has, and members that came back.
        var gone: InventorySpool
        var back: InventorySpool
        /// In the cut, not on the replica: left out with --allow-incomplete.
        var missing: [ResourceKey]
        /// Digests among them come from a ledger.
        var isTold: Bool
    }

    /// Makes the point, or finds that the last one says the same; confirms what was published until then.
    func makePoint(cut: SourceCut, moment: Timestamp) async throws {
        let last = try await lastPoint()
        // Another machine may have made one from another source meanwhile.
        if plan.isUnchanged, report.copied == Tally(), let last, last.point.namesDigest == cut.names {
            return try await keep(last)
        }
        let sealed = try await seal(cut)
        // The root hash is that of what is held; an inventory is also what is missing.
        if let last, last.point.root == sealed.root, last.point.missing == sealed.missing {
            try await keep(last)
            try await authenticate()
            return try await summarize(cut, sealed)
        }
        let point = RecoveryPoint(
            id: try await freePointID(moment, root: sealed.root), created: moment, name: options.name,
            source: source.reader.place,
            sourceIdentity: source.identity, root: sealed.root, namesDigest: cut.names,
            packfiles: Int64(sealed.tally.packfiles), states: Int64(sealed.tally.states), bytes: sealed.tally.bytes,
            missing: sealed.missing)
        report.recoveryPoint = point.id
        try await record(point, sealed, cut)
        report.madePoint = true
        try await authenticate()
    }

    /// The last point says what there is to say.
    private func keep(_ last: CatalogPoint) async throws {
        report.recoveryPoint = last.point.id
        try await record([])
        let (identity, anchor, repository) = (source.identity, source.anchor, source.repository)
        let (isRenounced, isKnown) = try await environment.catalog.read { db in
            let known = try db.latestPoints(ofSource: identity, anchor: anchor, in: repository)
            return (try db.isRenounced(last), known.contains { $0.replica == last.replica && $0.sequence == last.sequence })
        }
        guard isRenounced || !isKnown else { return }
        try await environment.catalog.write { db in
            try db.uphold(last)
            // It was taken from another source: from now on it is a measure of this one too.
            if !isKnown { try db.met(last, at: identity, anchor: anchor) }
        }
    }

    /// Members that are looked at in one run, over all points, but for one point at least: about a second of work.
    private static let membersAtOnce = 2_000_000

    /// Points that only the ledger told of are proven when this machine has seen the bytes of all their members itself, and the root hash over
    /// them is the point's.
    private func authenticate() async throws {
        let replica = replica
        let proven = try await environment.catalog.read { db -> [CatalogPoint] in
            var told = try db.seenToldPoints(of: replica)
            var (proven, walked): ([CatalogPoint], Int) = ([], 0)
            // The newest matters most; of the others some in each run, so that those which cannot be proven stand in nobody's way.
            for point in [told.popLast()].compactMap({ $0 }) + told.shuffled() where walked < Self.membersAtOnce {
                var root = RootHash()
                var members = try db.members(of: point)
                while let member = try members.next() {
                    root.add(member.key, size: member.size, digest: member.digest)
                    walked += 1
                }
                if root.finalize() == point.point.root { proven.append(point) }
            }
            return proven
        }
        guard !proven.isEmpty else { return }
        try await environment.catalog.write { db in try db.authenticate(proven) }
    }

    /// What stands behind what is known of this replica; noted when all of it is this machine's own by now.
    func knowledge() async throws -> LedgerSource {
        let (replica, repository) = (replica, source.repository)
        let (found, isNoted) = try await environment.catalog.read { db in
            (try LedgerSource(of: replica, repository, in: db), try db.replica(replica)?.authenticated ?? true)
        }
        // The next run need not look at each resource again.
        if found == .catalog, !isNoted { try await environment.catalog.write { db in try db.setAuthenticated(true, replica) } }
        return found
    }

    private func lastPoint() async throws -> CatalogPoint? {
        let replica = replica
        return try await environment.catalog.read { db in try db.latestPoint(of: replica) }
    }

    /// A name that sorts by time and shows the root hash's beginning: the same on all targets of a run.
    private func pointID(_ moment: Timestamp, root: Digest) -> String {
        "\(moment.compactText)-\(root.hex.prefix(8))"
    }

    /// The same with a number where the replica has one of that name: two sources may take turns within a second.
    private func freePointID(_ moment: Timestamp, root: Digest) async throws -> String {
        let (replica, id) = (replica, pointID(moment, root: root))
        return try await environment.catalog.read { db in
            var (free, number) = (id, 1)
            while try db.point(id: free, of: replica) != nil {
                number += 1
                free = "\(id)-\(number)"
            }
            return free
        }
    }

    private func seal(_ cut: SourceCut) async throws -> Sealed {
        let (gone, back) = (try await environment.makeSpool(), try await environment.makeSpool())
        let replica = replica
        let sealed = try await environment.catalog.read { db -> Sealed in
            var root = RootHash()
            var tally = Tally()
            var missing: [ResourceKey] = []
            var holdings = try db.holdings(of: replica)
            guard let config = try holdings.next(), config.key == .config else {
                throw Failure(.damage, "cannot make a recovery point", reason: "CONFIG is not on record")
            }
            var isTold = config.isTold
            root.add(.config, size: config.size, digest: config.digest)
            tally.add(.config, bytes: config.size)
            var difference = SortedDifference(cut.cursor(), holdings)
            while let step = try difference.next() {
                switch step {
                case .leftOnly(let resource): missing.append(resource.key)
                case .rightOnly(let holding):
                    if holding.lastPoint == nil { try gone.append(ListedResource(key: holding.key)) }
                case .both(_, let holding):
                    if holding.lastPoint != nil {
                        let isAdopted = holding.status == .unproven
                        try back.append(ListedResource(key: holding.key, size: holding.size, isAdopted: isAdopted))
                    }
                    if holding.isTold { isTold = true }
                    root.add(holding.key, size: holding.size, digest: holding.digest)
                    tally.add(holding.key.kind, bytes: holding.size)
                }
            }
            return Sealed(root: root.finalize(), tally: tally, gone: gone, back: back, missing: missing, isTold: isTold)
        }
        try gone.seal()
        try back.seal()
        return sealed
    }

    /// Ledger first: a catalog that never heard of the point reads it there.
    private func record(_ point: RecoveryPoint, _ sealed: Sealed, _ cut: SourceCut) async throws {
        let sequence = await ledger.nextPointSequence
        let (replica, repository, anchor) = (replica, source.repository, source.anchor)
        var entries: [LedgerEntry] = []
        var gone = sealed.gone.cursor()
        while let resource = try gone.next() { entries.append(.gone(resource.key)) }
        var back = sealed.back.cursor()
        while let resource = try back.next() {
            let known = try await environment.catalog.read { db in try db.proof(of: resource.key, in: repository) }
            entries.append(
                .resource(resource.key, size: resource.size ?? 0, digest: known?.digest, chunks: known?.chunks ?? []))
        }
        entries.append(.point(point))
        try await ledger.write(entries)
        let (head, confirmed, summary) = (await ledger.head, takeCovered(), try summary(cut, sealed))
        try await environment.catalog.write { db in
            try db.confirm(confirmed, in: replica)
            var gone = sealed.gone.cursor()
            while let resource = try gone.next() { try db.endMembership(of: resource.key, in: replica, at: sequence - 1) }
            var back = sealed.back.cursor()
            while let resource = try back.next() {
                try db.hold(resource.key, in: replica, status: resource.isAdopted ? .unproven : .confirmed, from: sequence)
            }
            _ = try db.insertPoint(point, of: replica, anchor: anchor, isTold: sealed.isTold)
            try db.setLedgerHead(head, of: replica)
            if let summary { try db.setSummary(summary, of: replica) }
        }
        await ledger.pointMade()
    }

    private func summarize(_ cut: SourceCut, _ sealed: Sealed) async throws {
        guard let summary = try summary(cut, sealed) else { return }
        let replica = replica
        try await environment.catalog.write { db in try db.setSummary(summary, of: replica) }
    }

    /// What makes the next run short when nothing has changed; nil for a point that is incomplete.
    private func summary(_ cut: SourceCut, _ sealed: Sealed) throws -> ReplicaSummary? {
        guard sealed.missing.isEmpty else { return nil }
        let tally = sealed.tally
        return ReplicaSummary(
            sourceNames: cut.names, targetNames: plan.isUnchanged ? plan.targetNames : try namesNow(cut),
            packfiles: Int64(tally.packfiles),
            states: Int64(tally.states), bytes: tally.bytes, unproven: Int64(report.unproven),
            targetOnlyPackfiles: Int64(plan.targetOnly.packfiles), targetOnlyBytes: plan.targetOnly.bytes,
            lastPoint: report.recoveryPoint)
    }

    /// The names that the target has now: the cut's, and those that only the target has.
    private func namesNow(_ cut: SourceCut) throws -> Digest {
        var packfiles = NamesDigest()
        var difference = SortedDifference(cut.packfiles.spool.cursor(), plan.extra.cursor())
        while let step = try difference.next() {
            switch step {
            case .leftOnly(let resource), .rightOnly(let resource), .both(let resource, _): packfiles.add(resource.key)
            }
        }
        return InventoryNames.joined(cut.states.names, packfiles.finalize())
    }
}

extension Holding {
    /// What is known of its bytes comes from a ledger.
    fileprivate var isTold: Bool { digest != nil && !authenticated }
}
