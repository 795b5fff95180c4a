public import Kloset

/// One of the things that have had a name, at places that keep what is replaced or removed.
public struct ResourceVersion: Sendable, Equatable {
    /// What the place calls it.
    public var id: String
    /// In bytes; nil for a mark which says that the name was removed.
    public var size: Int64?
    /// When it was put there; nil when the place does not say.
    public var made: Timestamp?

    public init(id: String, size: Int64?, made: Timestamp?) {
        self.id = id
        self.size = size
        self.made = made
    }

    /// Nothing is there, by this.
    public var isRemoval: Bool { size == nil }

    /// More of one name are not listed: whoever wants to hide a good version below bad ones must write each of them.
    public static let listedMax = 10_000
}
