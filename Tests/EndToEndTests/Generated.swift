internal import Kloset
internal import StorageTesting

/// Puts a generated store below a folder of a test's own.
struct FolderSink: StoreSink {
    private let folder: TestFolder
    private let root: String

    init(_ folder: TestFolder, _ root: String) {
        self.folder = folder
        self.root = root
    }

    func put(_ path: String, _ bytes: [UInt8], modified: Timestamp) throws {
        try folder.put("\(root)/\(path)", bytes, modified: modified)
    }

    func putFolder(_ path: String) throws { try folder.putFolder("\(root)/\(path)") }
    func remove(_ path: String) throws { try folder.remove("\(root)/\(path)") }
}

enum Shape {
    /// A store of a few dozen small resources: what a test about something else needs.
    static func small(states: Int) -> GeneratedStore.Shape {
        var shape = GeneratedStore.Shape()
        shape.states = states
        return shape
    }

    /// Packfiles on both sides of a chunk's 1 MiB, a few MiB in all: a run long enough to be disturbed.
    static func heavy(states: Int) -> GeneratedStore.Shape {
        var shape = GeneratedStore.Shape()
        shape.states = states
        shape.packfilesPerState = 1...2
        shape.packfileByteCounts = 200_000...1_500_000
        // More than any update here brings at once, as real clients' seven days are (docs/decisions/0002).
        shape.graceStates = 5
        return shape
    }
}

extension ClosureCheck {
    /// What is wrong with a copy below a workplace.
    func violations(in place: Workplace, _ store: String, stateCountWithConfig: Int? = nil) -> [String] {
        violations(in: place.folder.files(below: store), stateCountWithConfig: stateCountWithConfig)
    }
}
