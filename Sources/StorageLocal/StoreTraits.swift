internal import Storage

/// What is known of a type of file system before anything is tried on it.
struct StoreTraits {
    var capabilities: StoreCapabilities

    /// Nothing is there to ask: the weakest promises.
    static let unknown = StoreTraits(fileSystemType: 0, syncReports: false)

    /// - Parameters:
    ///   - fileSystemType: `f_type` of statfs(2), values of <linux/magic.h>.
    ///   - syncReports: whether syncfs reports errors on this kernel.
    init(fileSystemType type: UInt64, syncReports: Bool) {
        let known = Self.local.contains(type) || Self.memory.contains(type)
        let durability: StoreCapabilities.Durability =
            if Self.memory.contains(type) { .unproven } else if known && syncReports { .fileSystemSync } else { .fileSync }
        // Renaming with flags is up to each file system, and those that are not known here mostly refuse it.
        capabilities = StoreCapabilities(
            publication: known ? .atomic : Self.linkless.contains(type) ? .checkThenRename : .linkThenUnlink,
            durability: durability,
            exchange: known ? .atomic : Self.linkless.contains(type) ? .copyThenReplace : .linkThenReplace)
    }

    /// Where syncfs reaches the medium. Everything else (FUSE, NFS, CIFS, 9p, whatever comes) gets an fsync of each file and folder.
    private static let local: Set<UInt64> = [
        0xEF53,  // ext2, ext3, ext4
        0x5846_5342,  // XFS
        0x9123_683E,  // Btrfs
        0xF2F5_2010,  // F2FS
        0x2FC1_2FC1,  // ZFS
        0xCA45_1A4E,  // bcachefs
        0x794C_7630,  // overlay: syncs the upper layer
        0x3153_464A,  // JFS
    ]

    /// tmpfs and ramfs: nothing survives a power loss, whatever is called.
    private static let memory: Set<UInt64> = [0x0102_1994, 0x8584_58F6]

    /// FAT and exFAT have no second names; FUSE may be anything, exFAT too.
    private static let linkless: Set<UInt64> = [0x4D44, 0x2011_BAB0, 0x6573_5546]
}
