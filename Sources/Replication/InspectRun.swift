internal import Catalog
public import Kloset
public import Storage

/// What can be known about a store without a key.
public struct InspectReport: Sendable {
    public var location: String
    /// Nil when CONFIG cannot be understood, or is not there yet.
    public var configuration: StoreConfiguration?
    /// What CONFIG says, or else the mark of a replica.
    public var repository: RepositoryID?
    /// Why CONFIG cannot be understood.
    public var configDamage: String?
    /// The damage is only that we may not read it.
    public var isConfigForbidden = false
    /// Folders that could not be listed; what is in them is not counted.
    public var folders: [UnlistedFolder] = []
    public var packfiles = 0
    public var states = 0
    public var locks = 0
    public var foreign = 0
    /// Bytes of CONFIG, packfiles and states.
    public var bytes: Int64 = 0
    /// Set for a replica of ours.
    public var replica: String?
    /// Why the mark of a replica of ours cannot be read, and what to do.
    public var markDamage: Failure?
    /// CONFIG has not been copied yet: it is no store.
    public var isUnfinished = false
    public var capabilities: StoreCapabilities
    public var standing = PlaceStanding()

    public init(location: String, capabilities: StoreCapabilities) {
        self.location = location
        self.capabilities = capabilities
    }
}

/// Looks at a store without reading its content.
public struct InspectRun: Sendable {
    private let reader: any StoreReader
    private let environment: RunEnvironment
    private static let attributesAtOnce = 2048

    public init(of reader: any StoreReader, environment: RunEnvironment) {
        self.reader = reader
        self.environment = environment
    }

    /// - Throws: `.noStore` when there is nothing that could be a store.
    public func run() async throws -> InspectReport {
        var report = InspectReport(location: reader.place, capabilities: reader.capabilities)
        try await reader.requirePlace()
        // A server's greeting says more than its address does.
        report.capabilities = reader.capabilities
        let mark = try await ReplicaMark.look(at: reader)
        (report.replica, report.markDamage) = (mark.marker?.replicaID, mark.damage)
        report.repository = mark.marker?.repository
        do {
            let opened = try await OpenedStore.open(reader)
            report.configuration = opened.configuration
            report.repository = opened.repository
            report.bytes = Int64(opened.configBytes.count)
        } catch let failure as Failure where [.damage, .readWrite, .permission].contains(failure.kind) {
            (report.configDamage, report.isConfigForbidden) = (failure.reason, failure.kind == .permission)
        } catch let failure as Failure where failure.kind == .noStore && (mark.marker != nil || mark.damage != nil) {
            report.isUnfinished = true
        }
        let states = try await StoreListing.list(.state, of: reader, in: environment, passingOver: true)
        let packfiles = try await StoreListing.list(.packfile, of: reader, in: environment, passingOver: true)
        report.folders = states.unlisted + packfiles.unlisted
        if mark.marker == nil, mark.damage == nil { report.folders += states.lostFolders + packfiles.lostFolders }
        var extras = StoreExtras()
        do {
            extras = try await reader.extras()
        } catch let failure as Failure where !report.folders.isEmpty && [.permission, .readWrite, .damage].contains(failure.kind)
        {
            // It looks into the same folders once more.
        }
        report.standing = try await reader.standing()
        // By now a server has been asked something.
        report.capabilities = reader.capabilities
        report.states = states.count
        report.packfiles = packfiles.count
        report.locks = extras.locks
        report.foreign = extras.foreign + states.foreign + packfiles.foreign
        var cursor = ChainedCursor(states.spool.cursor(), packfiles.spool.cursor())
        while let part = try cursor.next(atMost: Self.attributesAtOnce) {
            report.bytes += try await reader.byteCount(of: part)
        }
        return report
    }
}
