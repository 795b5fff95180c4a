public import Kloset

/// The whole storage contract: a place that a replica can live in.
///
/// A resource goes through three steps: **staged** (its bytes are at the place, under a name of ours that no client looks at), **durable**
/// (a power loss keeps them), **published** (under its final name, which never had other bytes and never will). What is staged survives a
/// crash and can be continued, unless ``StoreCapabilities/staging`` says otherwise. Every method may be called concurrently, each key by one
/// task at a time.
public protocol Store: StoreReader {
    /// Takes the place for writing, for as long as the lock lives. A lock of a process that is gone never blocks. Where
    /// ``StoreCapabilities/locking`` is `.none` it only informs.
    ///
    /// - Parameter holder: who we are, for the message that another one gets.
    /// - Throws: `.tryAgain` naming the holder.
    func lock(holder: String) async throws -> any StoreLock

    /// Makes the place ready for a store: plakar's own layout without CONFIG, and our `.sealift/`. What is there stays.
    ///
    /// - Throws: `.cannotWrite`, `.permission`.
    func prepare() async throws

    /// Whether what lies there may be read back. Only looks. Never `.unknown` after ``prepare()``.
    ///
    /// Where it says `.denied`, ``StoreReader/attributes(of:)`` and all listings still answer; whatever gives bytes throws `.permission`.
    func readAccess() async throws -> ReadAccess

    /// From now on whatever is published or exchanged here gets this lock, in the step that names it where the place can do that, and is looked
    /// at whether it has it: one that has not is a failure of that resource. What was staged before may be taken along. Nothing of our own under
    /// `.sealift/` is locked. Only looks.
    ///
    /// - Returns: until when the retention lasts; nil for a hold alone.
    /// - Throws: `.refused` where the place could lock, but is not set up for it; `.usage` where there is no such thing; `.permission`.
    func lockPublished(_ lock: ResourceLock) async throws -> Timestamp?

    /// Gives the lock of ``lockPublished(_:)`` to resources that are there already, where they have less. Nothing is ever shortened or lifted.
    ///
    /// - Returns: how many had less.
    func extendLocks(of keys: [ResourceKey]) async throws -> Int

    /// Stages many small resources at once; each replaces what an earlier run left staged under its key.
    ///
    /// - Returns: for each resource nil, or why it could not be staged. A full disk fails all that did not fit.
    func stage(_ resources: [SmallResource]) async throws -> [Failure?]

    /// Stages resources without reading them: when they are published, or before, the server copies them from another place of its own. Only
    /// where ``StoreReader/copyOrigin()`` of both places names the same server. What it then says of a copy is its word; see ``PublishOutcome``.
    ///
    /// - Returns: for each resource what became of it.
    /// - Throws: ``Vanished`` when one is no longer there.
    func stage(copiesOf resources: [CopiedResource], from origin: CopyOrigin) async throws -> [StagedCopy]

    /// Starts staging one large resource, or continues what an earlier run left.
    func upload(_ key: ResourceKey, size: Int64, modified: Timestamp) async throws -> any Upload

    /// Makes everything durable that was staged or published before the call, by this run or any earlier one.
    ///
    /// - Throws: when it throws, nothing staged since the last success may be believed: discard it (a second try could return success
    ///   although the kernel dropped the pages).
    func makeDurable() async throws

    /// Makes the published names of just these resources durable: cheaper than ``makeDurable()`` where that matters.
    func makeDurable(namesOf keys: [ResourceKey]) async throws

    /// Gives staged resources their final names, never replacing anything.
    ///
    /// - Returns: an outcome for each key, in order.
    func publish(_ keys: [ResourceKey]) async throws -> [PublishOutcome]

    /// Removes what is staged under these keys. Nothing staged is no error.
    func discard(_ keys: [ResourceKey]) async throws

    /// Everything that earlier runs left staged and nobody will ask for again is removed; `keep` says what stays.
    func discardStaged(except keep: @Sendable (ResourceKey) -> Bool) async throws

    /// Ends an upload that ``StoreReader/standing()`` listed, without an object. One that is gone is no error.
    func abort(_ upload: UnfinishedUpload) async throws

    /// The one exception to "never replaced" (design.md, invariant 3): the staged bytes take the final name in one step and what was there
    /// goes to `.sealift/quarantine/`; with nothing there it is a plain publish. Durable when it returns.
    func exchange(_ key: ResourceKey) async throws

    /// Writes one of our own small documents: whole, durable, replacing an older one in one step.
    func replaceDocument(_ name: String, with bytes: [UInt8]) async throws

    /// Writes one of our own small documents that must not exist yet: whole and durable.
    ///
    /// - Throws: `.refused` when the name is taken.
    func createDocument(_ name: String, with bytes: [UInt8]) async throws

    /// Gives our own documents that were removed, at a place that keeps what is removed, the content that they had last: the mark of the replica
    /// if it is missing, and the segments of the ledger if none is there. Others were removed by ourselves, or are proven missing by the ledger.
    ///
    /// - Returns: how many came back.
    func recoverDocuments() async throws -> Int

    /// Moves whatever has the name of one of our own small documents to `.sealift/quarantine/`, beside what is kept there under that name
    /// already. With nothing there it does nothing. Durable when it returns.
    func quarantineDocument(_ name: String) async throws
}

extension Store {
    /// For places without such uploads.
    public func abort(_ upload: UnfinishedUpload) async throws {}

    /// For places without locks.
    public func lockPublished(_ lock: ResourceLock) async throws -> Timestamp? {
        throw Failure(
            .usage, "cannot lock what is copied to", place: place, reason: "only buckets with Object Lock can do that",
            advice: "Leave --object-lock and --legal-hold out for this place.")
    }

    public func extendLocks(of keys: [ResourceKey]) async throws -> Int { 0 }

    /// For places whose server copies nothing.
    public func stage(copiesOf resources: [CopiedResource], from origin: CopyOrigin) async throws -> [StagedCopy] {
        resources.map { _ in .refused(reason: "nobody copies there") }
    }

    /// For places that keep nothing.
    public func recoverDocuments() async throws -> Int { 0 }
}

/// Whether those who may write to a place may read it, too.
public enum ReadAccess: Sendable, Equatable {
    case allowed
    /// They may list and write, and no more.
    case denied
    /// Nothing is there yet that could tell.
    case unknown
}

/// Held while a run writes to a place; releases itself when it is dropped.
public protocol StoreLock: Sendable {
    /// Gives the place free. Calling it twice does nothing.
    func release() async
}

/// A resource of at most one chunk that is at hand as a whole.
public struct SmallResource: Sendable {
    public var key: ResourceKey
    public var piece: Piece
    /// Where its bytes are in the piece.
    public var range: Range<Int>
    /// The source's modification time, kept on the copy.
    public var modified: Timestamp

    public init(key: ResourceKey, piece: Piece, range: Range<Int>, modified: Timestamp) {
        self.key = key
        self.piece = piece
        self.range = range
        self.modified = modified
    }
}

/// A large resource on its way in, chunk by chunk. Used by one task at a time.
public protocol Upload: Sendable {
    /// The hashes of the chunks that an earlier run left, in order, read back from the place; empty for a new upload. A chunk is believed
    /// only if its hash equals that of the source's chunk.
    func heldChunks() async throws -> [ChunkHash]

    /// Writes the first `count` bytes of `piece` as chunk `index`.
    func write(chunk index: Int, from piece: Piece, count: Int) async throws

    /// All chunks are there: sets length and time. The resource is now staged.
    func finish() async throws

    /// Lets go of the upload and leaves what was written for a later run.
    func abandon() async
}

/// What became of a publish.
public enum PublishOutcome: Sendable, Equatable {
    /// The final name now has the staged bytes.
    case published
    /// The same, and the place says that it has computed the SHA-256 of what it stored, and that it is that of the staged bytes.
    case attested
    /// Only of copies by the server: it made none, or one that differs from the original by its own words. Whatever has the final name now is
    /// not to be leant on: read the resource, and exchange it.
    case uncopied(reason: String)
    /// The final name was taken already; nothing was touched, the staged bytes are still staged.
    case taken
    case failed(Failure)
}
