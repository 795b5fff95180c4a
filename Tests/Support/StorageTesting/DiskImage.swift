import Kloset
import StorageLocal

/// A file system as a value: what running processes see, what the medium holds, and the difference between the two.
struct DiskImage: Sendable {
    typealias Inode = UInt64

    var nodes: [Inode: Node]
    /// Directory operations that the medium does not hold yet, oldest first.
    var pending: [DirectoryOperation] = []
    private var nextInode: Inode = 2
    private var ticks: Int64 = 0

    static let root: Inode = 1
    static let blockByteCount = 4096

    /// An empty disk: the root folder alone.
    init() {
        nodes = [Self.root: Node(isFolder: true, parent: Self.root)]
    }

    /// A file or folder.
    struct Node: Sendable {
        var isFolder: Bool
        /// Of a folder: the one that contains it.
        var parent: Inode
        /// Names as processes see them, and as the medium has them.
        var entries: [String: Inode] = [:]
        var durableEntries: [String: Inode] = [:]
        var data = FileData()
        var durableData = FileData()
        var dirtyBlocks: Set<Int> = []
        /// Whether size and time differ from what the medium holds.
        var dirtyAttributes = false
        /// How many names processes see.
        var links = 1

        init(isFolder: Bool, parent: Inode) {
            self.isFolder = isFolder
            self.parent = parent
        }
    }

    /// Content of a file; blocks that were never written are zeros.
    struct FileData: Sendable {
        var size: Int64 = 0
        var modified = Timestamp(nanoseconds: 0)
        var blocks: [Int: [UInt8]] = [:]
    }

    /// A change of names, atomic by itself.
    enum DirectoryOperation: Sendable {
        case add(Inode, in: Inode, String)
        case remove(Inode, in: Inode, String)
        case move(Inode, from: Inode, String, to: Inode, String)
        case exchange(Inode, in: Inode, String, with: Inode, inside: Inode, String)
    }

    subscript(inode: Inode) -> Node {
        get { nodes[inode] ?? Node(isFolder: false, parent: Self.root) }
        _modify {
            yield &nodes[inode, default: Node(isFolder: false, parent: Self.root)]
        }
    }

    mutating func make(isFolder: Bool, in parent: Inode, _ name: String) -> Inode {
        let inode = nextInode
        nextInode += 1
        nodes[inode] = Node(isFolder: isFolder, parent: parent)
        ticks += 1
        self[inode].data.modified = Timestamp(seconds: ticks)
        self[parent].entries[name] = inode
        pending.append(.add(inode, in: parent, name))
        return inode
    }

    mutating func link(_ inode: Inode, in folder: Inode, _ name: String) {
        self[folder].entries[name] = inode
        self[inode].links += 1
        pending.append(.add(inode, in: folder, name))
    }

    mutating func unlink(_ inode: Inode, in folder: Inode, _ name: String) {
        self[folder].entries[name] = nil
        self[inode].links -= 1
        pending.append(.remove(inode, in: folder, name))
    }

    mutating func move(_ inode: Inode, from: Inode, _ name: String, to: Inode, _ newName: String) {
        if let replaced = self[to].entries[newName] { self[replaced].links -= 1 }
        self[from].entries[name] = nil
        self[to].entries[newName] = inode
        if self[inode].isFolder { self[inode].parent = to }
        pending.append(.move(inode, from: from, name, to: to, newName))
    }

    mutating func exchange(
        _ first: Inode, in folder: Inode, _ name: String, _ second: Inode, in other: Inode, _ otherName: String
    ) {
        self[folder].entries[name] = second
        self[other].entries[otherName] = first
        if self[first].isFolder { self[first].parent = other }
        if self[second].isFolder { self[second].parent = folder }
        pending.append(.exchange(first, in: folder, name, with: second, inside: other, otherName))
    }

    // MARK: content

    func read(_ inode: Inode, into target: UnsafeMutableRawBufferPointer, at offset: Int64) -> Int {
        let data = self[inode].data
        let count = Int(max(0, min(Int64(target.count), data.size - offset)))
        var done = 0
        while done < count {
            let position = Int(offset) + done
            let start = position % Self.blockByteCount
            let part = min(count - done, Self.blockByteCount - start)
            let slot = UnsafeMutableRawBufferPointer(rebasing: target[done..<done + part])
            if let block = data.blocks[position / Self.blockByteCount] {
                slot.copyBytes(from: block[start..<start + part])
            } else {
                slot.initializeMemory(as: UInt8.self, repeating: 0)
            }
            done += part
        }
        return count
    }

    mutating func write(_ inode: Inode, _ bytes: UnsafeRawBufferPointer, at offset: Int64) {
        var done = 0
        while done < bytes.count {
            let position = Int(offset) + done
            let (index, start) = (position / Self.blockByteCount, position % Self.blockByteCount)
            let part = min(bytes.count - done, Self.blockByteCount - start)
            let slice = bytes[done..<done + part]
            self[inode].data.blocks[index, default: [UInt8](repeating: 0, count: Self.blockByteCount)]
                .replaceSubrange(start..<start + part, with: slice)
            self[inode].dirtyBlocks.insert(index)
            done += part
        }
        self[inode].data.size = max(self[inode].data.size, offset + Int64(bytes.count))
        self[inode].dirtyAttributes = true
    }

    mutating func setSize(_ inode: Inode, _ size: Int64) {
        let kept = Int(size) / Self.blockByteCount
        if size < self[inode].data.size {
            self[inode].data.blocks = self[inode].data.blocks.filter { $0.key <= kept }
            self[inode].dirtyBlocks = self[inode].dirtyBlocks.filter { $0 <= kept }
            let rest = Int(size) % Self.blockByteCount
            if self[inode].data.blocks[kept] != nil {
                let zeros = [UInt8](repeating: 0, count: Self.blockByteCount - rest)
                self[inode].data.blocks[kept]?.replaceSubrange(rest..., with: zeros)
                self[inode].dirtyBlocks.insert(kept)
            }
        }
        self[inode].data.size = size
        self[inode].dirtyAttributes = true
    }

    mutating func setModified(_ inode: Inode, _ time: Timestamp) {
        self[inode].data.modified = time
        self[inode].dirtyAttributes = true
    }

    /// Bytes that all files occupy, in whole blocks.
    var usedByteCount: Int64 {
        nodes.values.reduce(0) { $0 + Int64($1.data.blocks.count * Self.blockByteCount) }
    }

    /// The inode at a path of names separated by `/`, from `folder` on.
    func find(_ path: some StringProtocol, from folder: Inode = root) -> Inode? {
        var inode = folder
        for part in path.split(separator: "/") where part != "." {
            guard self[inode].isFolder, let next = self[inode].entries[String(part)] else { return nil }
            inode = next
        }
        return inode
    }
}
