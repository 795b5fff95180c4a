public import Kloset

/// What is found out about a place that is somebody else's machine.
public struct PlaceStanding: Sendable, Equatable {
    /// What it can do; empty where nothing has to be found out.
    public var abilities: [PlaceAbility]
    /// Uploads that were begun below the store's root and not ended; nil when these credentials may not list them.
    public var uploads: [UnfinishedUpload]?

    public init(abilities: [PlaceAbility] = [], uploads: [UnfinishedUpload]? = []) {
        self.abilities = abilities
        self.uploads = uploads
    }
}

extension PlaceStanding {
    /// What keeps objects there from being removed or replaced, in the server's words; nil where nobody knows.
    public var protection: (objectLock: String?, versioning: String?) {
        func answer(_ name: String) -> String? { abilities.first { $0.name == name }?.answer }
        return (answer("object_lock"), answer("versioning"))
    }
}

/// One thing that a server does or does not do.
public struct PlaceAbility: Sendable, Equatable {
    /// As JSON names it: `conditional_put`.
    public var name: String
    /// `yes`, `no`, or what there is; nil when nobody knows.
    public var answer: String?
    /// What protection is missing for it, as a phrase.
    public var missing: String?

    public init(name: String, answer: String?, missing: String?) {
        self.name = name
        self.answer = answer
        self.missing = missing
    }
}

/// A large resource whose upload was begun and not ended: its parts cost money and show nowhere.
public struct UnfinishedUpload: Sendable, Equatable {
    /// Where it would lie below the store's root.
    public var name: String
    /// What the place calls it.
    public var id: String
    /// Nil when the place does not say.
    public var begun: Timestamp?
    /// The next sync continues it, or ends it.
    public var isOurs: Bool

    public init(name: String, id: String, begun: Timestamp?, isOurs: Bool) {
        self.name = name
        self.id = id
        self.begun = begun
        self.isOurs = isOurs
    }

    /// More than that are not listed.
    public static let listedMax = 100_000
}
