internal import Catalog
internal import Kloset
internal import Planning
public import Storage

/// What is said of damage, and what is remembered of it.
extension TargetLane {
    func damaged(_ key: ResourceKey, _ reason: String) {
        let failed = FailedResource(key: key, reason: reason, retryable: false, side: .target)
        if plan.targetDamage.append(failed) { report.add(failed: failed) }
    }

    /// Found damage is read again by every run until it is healed: a run that happens not to look there must not call the replica good.
    func rememberDamage() async throws {
        let (replica, repository, keys) = (replica, source.repository, plan.targetDamage.map(\.key))
        try await environment.catalog.write { db in
            try db.doubt(keys, in: replica, of: repository)
        }
    }

    /// What was accepted for this target, and for no other: a new copy that lacks something is a new decision.
    func acceptedKeys() async throws -> Set<ResourceKey> {
        let replica = replica
        return Set(try await environment.catalog.read { db in try db.acceptedKeys(of: replica) })
    }

    /// What of the source's damage stands in the way of new states.
    func refusedSource() async throws -> [FailedResource] {
        guard !plan.sourceDamage.isEmpty else { return [] }
        let accepted = try await acceptedKeys()
        return plan.sourceDamage.filter { !accepted.contains($0.key) }
    }

    func accept(_ damaged: [FailedResource]) async throws {
        guard !damaged.isEmpty else { return }
        let (replica, keys) = (replica, damaged.map(\.key))
        try await environment.catalog.write { db in try db.accept(keys, for: replica) }
    }

    // MARK: - what is said

    /// Why no state may become visible.
    ///
    /// - Parameter source: the source's damage that nobody accepted; not empty unless the target is damaged.
    func damageFailure(_ source: [FailedResource]) async throws -> Failure {
        guard plan.targetDamage.isEmpty else {
            let advice = "Nothing of it was touched and no new state was published. \(try await targetAdvice())"
            return Failure(
                .damage, of: Array(plan.targetDamage), one: "found damage in", several: { "found damage in \($0) resources at" },
                place: store.place, reason: "their bytes are not what they should be", advice: advice)
        }
        return Failure(
            .damage, of: source, one: "cannot copy", several: { "cannot copy \($0) resources of" },
            place: self.source.reader.place, reason: "they are damaged, or cannot be read", advice: sourceAdvice(source))
    }

    /// What was left out of a run that was told to go on without it.
    func incompleteFailure() -> Failure {
        Failure(
            .incomplete, of: plan.sourceDamage.map(\.asSeenFromTheTarget), one: "left out",
            several: { "left out \($0) resources at" }, place: store.place,
            reason: "at the source they are damaged, or cannot be read",
            advice: "That was accepted with --allow-incomplete; repair the source if another copy has them whole.")
    }

    private func sourceAdvice(_ source: [FailedResource]) -> String {
        var words = ["All packfiles that are whole were copied, no new state was published."]
        if source.contains(where: \.isForbidden) { words.append("Run as a user who may read what is there.") }
        if !source.allSatisfy(\.isForbidden) {
            words.append("Say --allow-incomplete to go on without them, or heal them from a copy that has them whole:")
            words.append("sealift repair \(commandWord(self.source.reader.place)) --from COPY")
        }
        return words.joined(separator: " ")
    }

    /// A repair needs a digest on record, or exactly one side that looks whole.
    private func targetAdvice() async throws -> String {
        var (isHealable, isHopeless, isDisputed) = (false, false, false)
        // Those that are named.
        for key in plan.targetDamage.prefix(Refusal.idsMax).map(\.key) {
            if try await knownResource(key)?.digest != nil {
                isHealable = true
            } else if try await !source.reader.looksWhole(key, piece: checkPiece) {
                isHopeless = true
            } else if try await store.looksWhole(key, piece: checkPiece) {
                isDisputed = true
            } else {
                isHealable = true
            }
        }
        var advice: [String] = []
        if isDisputed { advice.append(Failure.disputeAdvice) }
        if isHopeless { advice.append("Where the source is no better, another copy has to be the donor.") }
        if isHealable {
            let heal = "sealift repair \(commandWord(store.place)) --from \(commandWord(source.reader.place))"
            advice.append((advice.isEmpty ? "Heal it with: " : "Heal the others with: ") + heal)
        }
        return advice.joined(separator: " ")
    }
}

extension FailedResource {
    fileprivate var asSeenFromTheTarget: FailedResource {
        var copy = self
        copy.reason = "at the source \(reason)"
        return copy
    }
}

extension Failure {
    /// What helps where two copies of one resource look whole and differ, and nobody recorded which is right.
    public static let disputeAdvice =
        "Both sides look whole, and this machine recorded no digest: plakar check tells which one is right. Sync that one to a new place, "
        + "which records its digests; then repair can heal the other from it."

    /// A failure about one resource, which it names with its reason, or about several, which are in ``resources``.
    init(
        _ kind: Kind, of failed: [FailedResource], one: String, several: (Int) -> String, place: String, reason: String,
        advice: String
    ) {
        if failed.count == 1, let only = failed.first {
            self.init(kind, one, resource: only.key, place: place, reason: only.reason, advice: advice)
        } else {
            self.init(kind, several(failed.count), place: place, reason: reason, advice: advice)
            resources = failed.prefix(TargetReport.failedMax).map(\.key)
        }
    }
}
