/// Whether a resource can be read at once.
public enum Warmth: Sendable, Equatable {
    case ready
    /// It must be recalled first; the storage class, as the place names it.
    case cold(storageClass: String)
    /// It was asked for, in this run or before, and is not there yet.
    case recalling(storageClass: String)
}

/// The wish to have cold resources brought back.
public struct Recall: Sendable, Equatable {
    /// The faster, the dearer.
    public enum Tier: String, Sendable, CaseIterable {
        case expedited, standard, bulk
    }

    public var tier: Tier
    /// How long they stay readable, 1 to ``daysMax``.
    public var days: Int

    public init(tier: Tier, days: Int = Recall.daysStandard) {
        (self.tier, self.days) = (tier, days)
    }

    /// Bulk recalls take up to two days; a run may have to be repeated over a weekend.
    public static let daysStandard = 7
    public static let daysMax = 365
}
