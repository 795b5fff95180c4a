public import S3Signing
public import Storage

/// Options of one store, as `stores.yml` and the command line give them. Any of them may be a secret.
public struct StoreOptions: Sendable, Equatable {
    private var values: [String: Secret]

    public init(_ values: [String: Secret] = [:]) {
        self.values = values
    }

    public subscript(name: String) -> Secret? {
        get { values[name].flatMap { $0.byteCount == 0 ? nil : $0 } }
        set { values[name] = newValue }
    }

    /// Those with these names.
    public func values(named names: Set<String>) -> [String: Secret] { values.filter { names.contains($0.key) } }

    /// One that is no secret; nil when it is not set, or empty.
    public func text(_ name: String) -> String? { self[name]?.revealed }

    /// One that is true or false.
    ///
    /// - Throws: `.configuration` for any other word.
    public func flag(_ name: String, place: String) throws(Failure) -> Bool? {
        switch text(name)?.lowercased() {
        case nil: return nil
        case "true", "1", "yes", "t": return true
        case "false", "0", "no", "f": return false
        default:
            throw Failure(
                .configuration, "cannot use", place: place, reason: "the option \(name) is neither true nor false",
                advice: "Write true or false.")
        }
    }
}

/// A location with the options that were found for it.
public struct LocatedStore: Sendable, Equatable {
    public var location: ResolvedLocation
    /// Empty for local places.
    public var options: StoreOptions
    /// Whether it came from `stores.yml`.
    public var isNamed: Bool
}
