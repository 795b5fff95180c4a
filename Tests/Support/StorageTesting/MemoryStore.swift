public import Kloset
public import Storage
internal import Synchronization

/// A store in memory that keeps every promise of the contract, until it is told not to by ``faults``.
public final class MemoryStore: Store {
    public let place: String
    public let capabilities: StoreCapabilities
    /// How it misbehaves.
    public let faults: Faults
    /// What stays with it when it is moved.
    public let anchor: String?
    /// Where it lies, with others.
    let server: MemoryServer?

    /// Bytes with their time.
    public struct Held: Sendable, Equatable {
        public var bytes: [UInt8]
        public var modified: Timestamp

        public init(bytes: [UInt8], modified: Timestamp) {
            self.bytes = bytes
            self.modified = modified
        }
    }

    /// All that is there; tests may change it.
    public struct Content: Sendable {
        /// False until somebody makes the place.
        public var exists = false
        public var published: [ResourceKey: Held] = [:]
        public var staged: [ResourceKey: Held] = [:]
        /// Of what is staged, what the server is to copy.
        var serverCopies: Set<ResourceKey> = []
        /// Damaged originals, oldest first.
        public var quarantine: [(key: ResourceKey, held: Held)] = []
        public var documents: [String: [UInt8]] = [:]
        /// Documents that were moved aside, oldest first.
        public var quarantinedDocuments: [(name: String, bytes: [UInt8])] = []
        /// Ids that something other than a resource has.
        public var irregular: Set<ResourceKey> = []
        public var locks = 0
        public var foreign = 0
        /// Listings tell sizes, which are wrong by so many bytes; nil for listings of names alone.
        public var listedSizesAreOffBy: Int64?
        /// May be listed and written, but not read.
        public var isWriteOnly = false
        /// Who writes to it.
        public var holder: String?
        var lockNumber = 0
    }

    private let content = Mutex(Content())

    /// What a place promises that shows nothing before it is published.
    public static let hiding = StoreCapabilities(
        publication: .conditional, durability: .acknowledged, exchange: .copyThenReplace,
        staging: .hidden(small: 8 << 20, memory: 2 << 20))

    /// The same, where an account may be kept from reading.
    public static let hidingMore = {
        var capabilities = hiding
        capabilities.mayBeWriteOnly = true
        return capabilities
    }()

    public init(
        place: String = "memory", faults: Faults = Faults(),
        capabilities: StoreCapabilities = StoreCapabilities(publication: .atomic, durability: .fileSystemSync, exchange: .atomic),
        anchor: String? = nil, server: MemoryServer? = nil
    ) {
        self.server = server
        self.anchor = anchor
        self.place = place
        self.faults = faults
        self.capabilities = capabilities
        server?.add(self)
    }

    /// Looks at the content, or changes it behind the contract's back.
    public func withContent<Value: Sendable>(_ body: (inout Content) -> Value) -> Value {
        content.withLock { body(&$0) }
    }

    /// Puts a resource there, as a client would.
    public func put(_ key: ResourceKey, _ bytes: [UInt8], modified: Timestamp = Timestamp(seconds: 1)) {
        withContent { content in
            content.exists = true
            content.published[key] = Held(bytes: bytes, modified: modified)
        }
    }

    /// The bytes under a final name.
    public func bytes(of key: ResourceKey) -> [UInt8]? { withContent { $0.published[key]?.bytes } }

    /// Does one operation under its fault.
    ///
    /// - Parameters:
    ///   - lie: what a lying call answers.
    ///   - half: does the first half, for a torn call.
    ///   - body: does the whole.
    func perform<Value: Sendable>(
        _ operation: StoreOperation, _ key: ResourceKey? = nil, lie: @autoclosure () -> Value? = nil,
        half: (inout Content) throws -> Void = { _ in }, _ body: (inout Content, Fault?) throws -> Value
    ) async throws -> Value {
        try Task.checkCancellation()
        let fault = faults.due(operation)
        let failure = Faults.failure(operation, place, key)
        try checkAllowed(operation)
        switch fault {
        case .once, .always, .late: throw failure
        case .torn:
            try content.withLock { try half(&$0) }
            throw failure
        case .lying: if let value = lie() { return value }
        case .doneButFailed:
            _ = try content.withLock { try body(&$0, nil) }
            throw failure
        case .flipping, .items, nil: break
        }
        nonisolated(unsafe) var result: Result<Value, any Error>?
        content.withLock { content in result = Result { try body(&content, fault) } }
        guard let result else { throw failure }
        return try result.get()
    }

    /// What needs to read is not allowed to those who may not.
    private func checkAllowed(_ operation: StoreOperation) throws {
        guard [.readWhole, .read, .document, .exchange, .quarantineDocument, .extras].contains(operation),
            withContent({ $0.isWriteOnly })
        else { return }
        throw fail(.permission, "cannot read", nil, "it is not allowed")
    }

    func fail(_ kind: Failure.Kind, _ what: String, _ key: ResourceKey? = nil, _ reason: String) -> Failure {
        Failure(kind, what, resource: key, place: place, reason: reason)
    }
}

extension MemoryStore.Held {
    /// The same with another byte in the middle.
    var flipped: Self {
        var copy = self
        if !copy.bytes.isEmpty { copy.bytes[copy.bytes.count / 2] ^= 1 }
        return copy
    }

    /// The first half.
    var half: Self { Self(bytes: Array(bytes.prefix(bytes.count / 2)), modified: modified) }
}
