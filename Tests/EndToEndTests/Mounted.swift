internal import Glibc
internal import StorageTesting
internal import Testing

/// A small tmpfs over a folder of a workplace; unmounted when nobody holds it any more.
final class Mounted: Sendable {
    private let path: String

    init(over name: String, in place: Workplace, megabytes: Int) async throws {
        try place.folder.putFolder(name)
        path = place(name)
        try await place.run(["mount", "-t", "tmpfs", "-o", "size=\(megabytes)m,mode=0700", "sealift-test", path])
    }

    /// Takes it away, also from under somebody who uses it.
    func unmount() { umount2(path, Int32(MNT_DETACH)) }

    deinit { unmount() }
}

/// What only root may do, tried once.
enum Root {
    static let isRoot = geteuid() == 0
    static let reason: Comment = "not root"

    static let canMount: Bool = {
        guard isRoot, let folder = try? TestFolder() else { return false }
        guard mount("sealift-test", folder.path, "tmpfs", 0, "size=1m") == 0 else { return false }
        umount2(folder.path, Int32(MNT_DETACH))
        return true
    }()
    static let noMount: Comment = "not root, or a container that may not mount a tmpfs"

    /// Makes a call as somebody who may do nothing here: the user and group nobody (65534 on Linux).
    static let asNobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    static let canChangeUser = isRoot && Programs.isThere("setpriv")
    static let noOtherUser: Comment = "not root, or no setpriv (util-linux)"
}

enum Programs {
    static func isThere(_ name: String) -> Bool {
        (Workplace.variable("PATH") ?? "").split(separator: ":").contains { access("\($0)/\(name)", X_OK) == 0 }
    }
}
