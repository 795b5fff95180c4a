import Kloset

/// What of the unsynced changes reaches the medium before the power goes.
public enum PowerLoss: Sendable {
    /// None of them.
    case none
    /// All of them.
    case all
    /// Just one: an index below ``SimulatedDisk/pendingCount``.
    case only(Int)
    /// Each with a chance of one half, by a seed.
    case random(UInt64)
}

extension DiskImage {
    /// fsync of a file: its content, length and time, nothing of its names.
    mutating func syncFile(_ inode: Inode) {
        self[inode].durableData = self[inode].data
        self[inode].dirtyBlocks = []
        self[inode].dirtyAttributes = false
    }

    /// fsync of a folder: the pending operations that gave or took names there, and those that they lean on. A move counts for the folder
    /// that it leads to; the folder's own name in the folder around it is not covered.
    mutating func syncFolder(_ folder: Inode) {
        var needed: Set<Place> = []
        var chosen: Set<Int> = []
        for (index, operation) in pending.enumerated().reversed() {
            guard operation.settledBy(folder) || !needed.isDisjoint(with: operation.places) else { continue }
            chosen.insert(index)
            needed.formUnion(operation.places)
        }
        var rest: [DirectoryOperation] = []
        for (index, operation) in pending.enumerated() {
            if chosen.contains(index) { settle(operation) } else { rest.append(operation) }
        }
        pending = rest
    }

    /// syncfs: everything.
    mutating func syncAll() {
        for operation in pending { settle(operation) }
        pending = []
        for (inode, node) in nodes where node.dirtyAttributes || !node.dirtyBlocks.isEmpty { syncFile(inode) }
    }

    /// How many changes the medium does not hold: operations on names, blocks, and lengths with times.
    var pendingCount: Int { pending.count + dirtyFiles.reduce(0) { $0 + $1.blocks.count + 1 } }

    /// Files with changes, in a fixed order.
    private var dirtyFiles: [(inode: Inode, blocks: [Int])] {
        nodes.filter { $0.value.dirtyAttributes || !$0.value.dirtyBlocks.isEmpty }.sorted { $0.key < $1.key }
            .map { ($0.key, $0.value.dirtyBlocks.sorted()) }
    }

    /// The disk that is found when the power is back.
    func afterPowerLoss(_ loss: PowerLoss) -> DiskImage {
        var image = self
        var random = SeededRandom(seed: 0)
        if case .random(let seed) = loss { random = SeededRandom(seed: seed) }
        var index = 0
        func reaches() -> Bool {
            defer { index += 1 }
            switch loss {
            case .none: return false
            case .all: return true
            case .only(let wanted): return index == wanted
            case .random: return Bool.random(using: &random)
            }
        }
        for operation in pending where reaches() { image.settle(operation) }
        for (inode, blocks) in dirtyFiles {
            for block in blocks where reaches() { image.settle(block: block, of: inode) }
            if reaches() {
                image[inode].durableData.size = self[inode].data.size
                image[inode].durableData.modified = self[inode].data.modified
            }
        }
        image.restart()
        return image
    }

    /// A block reaches the medium; the file is at least long enough to show it.
    private mutating func settle(block: Int, of inode: Inode) {
        self[inode].durableData.blocks[block] = self[inode].data.blocks[block]
        let end = min(self[inode].data.size, Int64((block + 1) * Self.blockByteCount))
        self[inode].durableData.size = max(self[inode].durableData.size, end)
    }

    /// An operation reaches the medium, unless what it needs is not there.
    private mutating func settle(_ operation: DirectoryOperation) {
        switch operation {
        case .add(let inode, let folder, let name):
            guard self[folder].durableEntries[name] == nil else { return }
            self[folder].durableEntries[name] = inode
        case .remove(let inode, let folder, let name):
            guard self[folder].durableEntries[name] == inode else { return }
            self[folder].durableEntries[name] = nil
        case .move(let inode, let from, let name, let to, let newName):
            guard self[from].durableEntries[name] == inode else { return }
            self[from].durableEntries[name] = nil
            self[to].durableEntries[newName] = inode
        case .exchange(let first, let folder, let name, let second, let other, let otherName):
            guard self[folder].durableEntries[name] == first, self[other].durableEntries[otherName] == second else { return }
            self[folder].durableEntries[name] = second
            self[other].durableEntries[otherName] = first
        }
    }

    /// Processes see what the medium holds; what has no name any more is gone.
    private mutating func restart() {
        pending = []
        var found: [Inode: Node] = [:]
        var waiting: [(inode: Inode, parent: Inode)] = [(Self.root, Self.root)]
        while let (inode, parent) = waiting.popLast() {
            if found[inode] != nil {
                found[inode]?.links += 1
                continue
            }
            var node = self[inode]
            (node.parent, node.links) = (parent, 1)
            (node.entries, node.data) = (node.durableEntries, node.durableData)
            (node.dirtyBlocks, node.dirtyAttributes) = ([], false)
            node.data.blocks = node.data.blocks.filter { Int64($0.key * Self.blockByteCount) < node.data.size }
            node.durableData = node.data
            found[inode] = node
            waiting += node.entries.values.map { ($0, inode) }
        }
        nodes = found
    }
}

/// A name in a folder.
struct Place: Hashable {
    var folder: DiskImage.Inode
    var name: String
}

extension DiskImage.DirectoryOperation {
    var places: [Place] {
        switch self {
        case .add(_, let folder, let name), .remove(_, let folder, let name): [Place(folder: folder, name: name)]
        case .move(_, let from, let name, let to, let newName):
            [Place(folder: from, name: name), Place(folder: to, name: newName)]
        case .exchange(_, let folder, let name, _, let other, let otherName):
            [Place(folder: folder, name: name), Place(folder: other, name: otherName)]
        }
    }

    /// Whether an fsync of this folder makes the operation durable.
    func settledBy(_ folder: DiskImage.Inode) -> Bool {
        switch self {
        case .add(_, let other, _), .remove(_, let other, _): other == folder
        case .move(_, _, _, let to, _): to == folder
        case .exchange(_, let first, _, _, let second, _): first == folder || second == folder
        }
    }
}
