internal import SFTPProtocol
internal import Storage

extension SFTPServer {
    /// Whether requests are carried out in the order they were sent in, so that one may be sent behind another that it leans on without waiting
    /// for the answer. The draft promises that for one file only. Servers that answer to `fsync@openssh.com` (OpenSSH above all)
    /// take one request at a time; those that work on several at once (rclone's and others in Go) do not have it.
    var keepsOrder: Bool { offers(SFTPExtension.fsync) }
}

/// What a server can do, announced or tried.
struct SFTPTraits: Sendable, Equatable {
    /// `fsync@openssh.com` works.
    var syncsFiles: Bool
    /// It works on an opened folder too, which nothing promises: OpenSSH opens folders like files.
    var syncsFolders = false
    /// The plain rename refuses to replace.
    var renameRefuses: Bool
    /// The plain rename replaces.
    var renameReplaces = false
    /// `posix-rename@openssh.com`
    var posixRename: Bool
    /// A second name can be given, and is refused when it is taken.
    var links: Bool

    /// What the greeting alone promises. Whether a rename refuses is not in it.
    init(announcedBy server: SFTPServer) {
        syncsFiles = server.offers(SFTPExtension.fsync)
        posixRename = server.offers(SFTPExtension.posixRename)
        links = server.offers(SFTPExtension.hardlink)
        renameRefuses = false
    }

    /// Each bucket is two round trips: this many at a time make a listing of 256 take four. More would only hold more names in memory.
    private static let bucketsInFlight = 128

    /// 6 MiB under way fill 1 Gbit/s at 20 ms (2.5 MB) with as much again for what the server has not answered yet.
    private static let writersInFlight = 6
    /// One more than on a disk: a file's first chunk waits three round trips.
    private static let readersInFlight = 3

    var canReplace: Bool { posixRename || renameReplaces }

    var capabilities: StoreCapabilities {
        let publication: StoreCapabilities.Publication =
            renameRefuses ? .atomic : links ? .linkThenUnlink : .checkThenRename
        let exchange: StoreCapabilities.Exchange =
            !canReplace ? .moveThenRename : links ? .linkThenReplace : .copyThenReplace
        return StoreCapabilities(
            publication: publication, durability: syncsFiles ? .fileSync : .unproven, exchange: exchange, locking: .none,
            bucketsInFlight: Self.bucketsInFlight, times: .seconds, readersInFlight: Self.readersInFlight,
            writersInFlight: Self.writersInFlight)
    }
}
