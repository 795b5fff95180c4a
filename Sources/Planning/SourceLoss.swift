public import Kloset

/// What a source no longer has of what a recovery point of it names.
///
/// Clients never delete states, and a maintenance commits a state before it deletes packfiles (kloset-format 2): a state that is gone is a loss, a
/// packfile that is gone is one unless the source has a state that the point does not name.
public struct SourceLoss: Sendable, Equatable {
    public private(set) var states = 0
    public private(set) var packfiles = 0
    /// Up to ``Refusal/idsMax`` of them.
    public private(set) var ids: [ResourceKey] = []
    /// States that the source has and the point does not name.
    public var newStates = 0

    public init() {}

    /// Whether a packfile that is gone may be gone rightly.
    public var mayDropPackfiles: Bool { newStates > 0 }
    public var isEmpty: Bool { states == 0 && packfiles == 0 }

    /// Counts a resource that is gone and that nothing explains.
    public mutating func add(_ key: ResourceKey) {
        if key.kind == .state { states += 1 } else { packfiles += 1 }
        if ids.count < Refusal.idsMax { ids.append(key) }
    }
}

extension Guards {
    /// Something that a recovery point of the source names is gone, and nothing says why.
    ///
    /// - Parameters:
    ///   - point: the recovery point that names it.
    ///   - repair: what to type to get it back.
    public static func loss(_ loss: SourceLoss, since point: String, repair: String) -> Refusal? {
        guard !loss.isEmpty else { return nil }
        let lost = [counted(loss.states, "state"), counted(loss.packfiles, "packfile")].compactMap { $0 }
        // A new state may drop packfiles, and never states.
        let unexplained = loss.packfiles > 0 ? ", and no new state says why" : ""
        let excuse =
            loss.states > 0
            ? "If the source was put back to an older state and that is meant, copy it to another place with --allow-loss."
            : "If a maintenance was deleting while the last sync ran, the next backup explains it, and so does --allow-loss."
        return Refusal(
            reason: "the source lost \(lost.joined(separator: " and ")) that recovery point \(point) names\(unexplained)",
            ids: loss.ids,
            advice: "\(excuse) Else restore what is gone with: \(repair)")
    }

    private static func counted(_ count: Int, _ thing: String) -> String? {
        count == 0 ? nil : "\(count) \(thing)\(count == 1 ? "" : "s")"
    }
}

/// The 256 folders of one kind of resource, as a listing found them at a place that has folders.
public struct FolderCensus: Sendable, Equatable {
    /// First bytes of the ids whose folder is not there, ascending.
    public var absent: [UInt8] = []
    /// Folders that are there and hold no resource.
    public var empty = 0
    /// Resources in all of them.
    public var resources = 0

    public init(absent: [UInt8] = [], empty: Int = 0, resources: Int = 0) {
        self.absent = absent
        self.empty = empty
        self.resources = resources
    }

    /// With so many resources an empty folder is no chance any more: ids are MACs, evenly spread, so n of them leave 256 × (255/256)^n folders empty,
    /// which is one in a million for n = 256 × ln(256 × 10^6) = 4955.
    static let resourcesThatFillAll = 4955

    /// Folders that are lost, with all that they held. Clients make all 256 when they create a store (kloset-format 4), but tools that copy from
    /// object stores make none that would be empty: where an absent one can be explained so, it is.
    public var lost: [UInt8] {
        let isExplained = absent.count < 256 && empty == 0 && resources < Self.resourcesThatFillAll
        return isExplained ? [] : absent
    }
}
