/// Where a place is, in terms that all names of the same place share: from the outermost container inwards.
///
/// For a folder the steps are device and inode of each ancestor, so that symlinks and bind mounts do not hide that two names mean one
/// folder; for a bucket they are endpoint, bucket and each part of the prefix.
public struct Footprint: Sendable, Equatable {
    /// The world the steps are unique in: `local`, `s3 127.0.0.1:9000`.
    public var realm: String
    /// At least one.
    public var steps: [String]
    /// What stays the same when the place is moved, mounted elsewhere, or the machine is started again: file system and inode of a folder. A
    /// copy of the place has another one. Nil where nothing is there, or where there is no such thing.
    public var anchor: String?

    public init(realm: String, steps: [String], anchor: String? = nil) {
        precondition(!steps.isEmpty, "a place is somewhere")
        self.realm = realm
        self.steps = steps
        self.anchor = anchor
    }

    /// How one place lies to another.
    public enum Relation: Sendable, Equatable {
        case apart, same, inside, around
    }

    /// How this place lies to `other`: `.inside` when `other` contains it.
    public func relation(to other: Footprint) -> Relation {
        guard realm == other.realm else { return .apart }
        if steps.last == other.steps.last { return .same }
        if let end = other.steps.last, steps.contains(end) { return .inside }
        if let end = steps.last, other.steps.contains(end) { return .around }
        return .apart
    }
}
