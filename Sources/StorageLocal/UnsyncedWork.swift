internal import Kloset
internal import Storage

/// What was written and not yet synced, and what a failed sync took.
///
/// Linux reports a failed write-out once and then treats the pages as clean, so a second sync would succeed over lost bytes. Hence what was
/// unsynced when one failed is lost until it is discarded, and lost names stay lost.
struct UnsyncedWork {
    /// Grows with each failed sync, so that work that was under way meanwhile knows.
    private(set) var failures = 0
    private var staged: Set<ResourceKey> = []
    private var folders: Set<Int> = []
    private var lost: Set<ResourceKey> = []
    private var failure: Failure?
    private var namesAreLost = false

    /// What one sync has to cover.
    struct Batch {
        /// Staged, and perhaps published since.
        var staged: Set<ResourceKey>
        /// ``ResourceKey/folderNumber`` of buckets with new names.
        var folders: Set<Int>
    }

    /// The failure that still stands, if any.
    var standing: Failure? { lost.isEmpty && !namesAreLost ? nil : failure }

    func isLost(_ key: ResourceKey) -> Bool { lost.contains(key) }

    /// Notes what was staged; what was staged while a sync failed is lost with the rest.
    mutating func didStage(_ keys: some Sequence<ResourceKey>, since failuresBefore: Int) {
        if failures == failuresBefore {
            for key in keys {
                staged.insert(key)
                lost.remove(key)  // staging writes a new file, so whatever was lost under this key is replaced
            }
        } else {
            lost.formUnion(keys)
        }
    }

    mutating func didPublish(in folder: Int) { folders.insert(folder) }

    mutating func didDiscard(_ keys: some Sequence<ResourceKey>) {
        for key in keys {
            staged.remove(key)
            lost.remove(key)
        }
    }

    /// All that a sync which begins now covers.
    mutating func take() -> Batch {
        defer { (staged, folders) = ([], []) }
        return Batch(staged: staged, folders: folders)
    }

    /// The buckets among `wanted` that a sync which begins now covers.
    mutating func take(folders wanted: Set<Int>) -> Batch {
        folders.subtract(wanted)
        return Batch(staged: [], folders: wanted)
    }

    /// The sync of `batch` failed.
    mutating func didFail(_ batch: Batch, _ failure: Failure) {
        failures += 1
        lost.formUnion(batch.staged)
        lost.formUnion(staged)
        namesAreLost = namesAreLost || !batch.folders.isEmpty || !folders.isEmpty
        (staged, folders) = ([], [])
        self.failure = failure
    }
}
