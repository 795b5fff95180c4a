/// What a server was found to do. Nil: nobody has asked, or its answer said nothing.
public struct S3Abilities: Sendable, Equatable {
    /// A PUT with `If-None-Match: *` is refused when the name is taken.
    public var conditionalPut: Bool?
    /// The same of the Complete of a multipart upload.
    public var conditionalComplete: Bool?
    /// It computes SHA-256 itself: a wrong one is refused.
    public var checksums: Bool?
    /// It removes many objects with one call.
    public var deleteMany: Bool?
    /// `none`, `enabled`, or the default rule: `governance 30 days`.
    public var objectLock: String?
    /// `none`, `enabled`, `suspended`.
    public var versioning: String?
    /// The region that it wants in signatures.
    public var region: String?

    public init() {}

    /// From the words that ``words`` gave; others are passed over.
    public init(words: [String: String]) {
        func truth(_ name: String) -> Bool? { words[name].flatMap { $0 == "yes" ? true : $0 == "no" ? false : nil } }
        conditionalPut = truth("conditional_put")
        conditionalComplete = truth("conditional_complete")
        checksums = truth("checksums")
        deleteMany = truth("delete_many")
        objectLock = words["object_lock"]
        versioning = words["versioning"]
        region = words["region"]
    }

    /// What is known, by name.
    public var words: [String: String] {
        func word(_ truth: Bool?) -> String? { truth.map { $0 ? "yes" : "no" } }
        let all: [String: String?] = [
            "conditional_put": word(conditionalPut), "conditional_complete": word(conditionalComplete),
            "checksums": word(checksums), "delete_many": word(deleteMany), "object_lock": objectLock, "versioning": versioning,
            "region": region,
        ]
        return all.compactMapValues { $0 }
    }
}

/// What outlives a run: the answers of the endpoint's server.
public struct S3Memory: Sendable {
    /// What earlier runs found out, unless it is too old.
    public var known: S3Abilities
    /// Keeps what this run found out.
    public var keep: @Sendable (S3Abilities) async throws -> Void

    public init(known: S3Abilities, keep: @escaping @Sendable (S3Abilities) async throws -> Void) {
        self.known = known
        self.keep = keep
    }
}
