public import Kloset

/// What went wrong, for a person and for a caller that has to decide what to do next.
///
/// Rules: a failure is made where the cause is known; layers above add the place or the resource, never a second sentence with the same
/// news. The printed form reads *what failed, on which resource, where: because; do this*. No failure ever carries a secret.
public struct Failure: Error, Sendable, Equatable, CustomStringConvertible {
    /// The broad class to switch on; the command line turns it into an exit code (docs/exit-codes.md).
    public enum Kind: String, Sendable, CaseIterable {
        /// The call itself makes no sense.
        case usage
        /// A guard refused before anything was written.
        case refused
        /// Bytes are damaged or lost.
        case damage
        /// There is no store at the place.
        case noStore
        /// The place cannot be reached.
        case unavailable
        /// The target cannot be written (read-only, not a folder, name taken).
        case cannotWrite
        /// Reading or writing failed, or the disk is full.
        case readWrite
        /// Something else is going on there; the same call may work later.
        case tryAgain
        /// Not allowed.
        case permission
        /// A configuration file is wrong.
        case configuration
        /// Part of what was asked for was done; the rest is listed.
        case incomplete
        /// A signal ended the run.
        case interrupted
    }

    public var kind: Kind
    /// What failed, as a phrase without a full stop: `cannot read`, `refusing to copy`.
    public var what: String
    /// The resource it failed on, if there is one.
    public var resource: ResourceKey?
    /// The resources that it is about when they are several; the reason names them.
    public var resources: [ResourceKey] = []
    /// Where, as a person wrote it: a location without secrets.
    public var place: String?
    /// Because of what, as a phrase without a full stop.
    public var reason: String
    /// What to do about it, as a sentence; empty when there is nothing to say.
    public var advice: String
    /// Whether the same call can succeed later without anybody doing anything.
    public var retryable: Bool

    public init(
        _ kind: Kind, _ what: String, resource: ResourceKey? = nil, place: String? = nil, reason: String, advice: String = "",
        retryable: Bool = false
    ) {
        self.kind = kind
        self.what = what
        self.resource = resource
        self.place = place
        self.reason = reason
        self.advice = advice
        self.retryable = retryable
    }

    public var description: String {
        var text = what
        if let resource { text += " \(resource)" }
        if let place { text += resource == nil ? " \(place)" : " at \(place)" }
        text += ": \(reason)"
        return Self.sentence(advice.isEmpty ? text : "\(text). \(advice)")
    }

    /// Ends a text with a full stop, unless its last words are a call to be copied, which begins behind a colon.
    public static func sentence(_ text: String) -> String {
        let last = text.split(separator: ": ").last ?? ""
        return text.hasSuffix(".") || text.hasSuffix("…") || text.hasSuffix("?") || last.hasPrefix("sealift ") ? text : "\(text)."
    }

    /// The same failure with the place and the resource filled in where they are missing.
    public func at(_ place: String, _ resource: ResourceKey? = nil) -> Failure {
        var copy = self
        copy.place = copy.place ?? place
        copy.resource = copy.resource ?? resource
        return copy
    }
}
