public import Kloset

/// A place as its own server knows it: between two places of one server and one account, that server can copy by itself.
public struct CopyOrigin: Sendable, Equatable {
    /// Which server, as whom: copies are possible where both places have the same. Compared, never parsed, and without secrets.
    public var server: String
    /// Where at that server; the words are its own.
    public var root: String

    public init(server: String, root: String) {
        (self.server, self.root) = (server, root)
    }
}

/// A resource to be copied by the server, and what its bytes are known to be.
public struct CopiedResource: Sendable {
    public var key: ResourceKey
    public var size: Int64
    public var digest: Digest

    public init(key: ResourceKey, size: Int64, digest: Digest) {
        (self.key, self.size, self.digest) = (key, size, digest)
    }
}

/// What became of the wish to have a resource copied by the server.
public enum StagedCopy: Sendable, Equatable {
    /// It is staged like any other; when the original was last modified.
    case staged(modified: Timestamp)
    /// The server does not do it, or what lies there is not what was announced: it is to be read.
    case refused(reason: String)
}
