public import Kloset
internal import Storage

/// A damaged or lost resource of which the place keeps older versions: a lock protects versions, not the view.
public struct CoveredResource: Sendable, Equatable {
    public var key: ResourceKey
    /// A mark stands above them which says that the name was removed; else a newer version.
    public var isRemoved: Bool
    /// When that came; nil when the place does not say.
    public var since: Timestamp?
    /// How many versions with bytes lie beneath.
    public var beneath: Int

    /// One call each: enough to see what happened.
    static let lookedAtMax = 1000

    /// Nil when nothing lies beneath.
    init?(_ key: ResourceKey, _ versions: [ResourceVersion]) {
        let beneath = versions.dropFirst().count { !$0.isRemoval }
        guard let top = versions.first, beneath > 0 else { return nil }
        (self.key, self.beneath, isRemoved, since) = (key, beneath, top.isRemoval, top.made)
    }

    static func found(below report: VerifyReport, at reader: any StoreReader) async throws -> [CoveredResource] {
        var found: [CoveredResource] = []
        for key in (report.damaged.map(\.key) + report.lost).sorted().prefix(lookedAtMax) {
            guard let versions = try await reader.versions(of: key) else { return [] }
            if let covered = CoveredResource(key, versions) { found.append(covered) }
        }
        return found
    }

    /// There is no store, but there was one: what to say instead.
    static func removed(at reader: any StoreReader) async throws -> Failure? {
        guard let versions = try await reader.versions(of: .config), let covered = CoveredResource(.config, versions),
            covered.isRemoved
        else { return nil }
        let since = covered.since.map { " on \($0.isoText)" } ?? ""
        return Failure(
            .damage, "cannot find", resource: .config, place: reader.place,
            reason: "it was removed\(since); the bucket keeps older versions",
            advice: "Bring the store back with: sealift repair \(commandWord(reader.place)) --from \(commandWord(reader.place))")
    }
}
