internal import Kloset
internal import Planning
internal import Storage

/// About how many requests a sync sends, by where they go: what a plan knows of the work, put through each place's model. Repetitions, random
/// looks and the ages of batches make the difference to what is counted in the end.
struct RequestEstimate: Sendable {
    /// What is copied.
    private var states = 0
    private var packfiles = 0
    private var bytes: Int64 = 0
    /// Chunks that are read one by one: of states, and of packfiles larger than a chunk.
    private var chunks = 0
    private var smallPackfiles = 0
    private var largePackfiles = 0
    /// What goes in parts at the target.
    private var multiparts = 0
    private var parts = 0
    private var smallBytes: Int64 = 0

    /// How many names each side has, and what is found at the target.
    struct Scene: Sendable {
        var source: (states: Int, packfiles: Int)
        var target: (states: Int, packfiles: Int)
        var common: Int
        /// Segments of the target's ledger.
        var segments: Int
        /// A replica, with a CONFIG, that may be read, whose server has been met.
        var isReplica: Bool
        var isUnfinished: Bool
        var isWriteOnly: Bool
        var verify: VerificationDepth
    }

    private let scene: Scene
    private let partByteCount: Int64

    init(_ scene: Scene, model: RequestModel?) {
        self.scene = scene
        partByteCount = model?.partByteCount ?? .max
    }

    mutating func add(_ key: ResourceKey, _ size: Int64) {
        bytes += size
        let count = ChunkLayout.count(size: size)
        if key.kind == .state {
            states += 1
            chunks += count
        } else {
            packfiles += 1
            if count > 1 { (chunks, largePackfiles) = (chunks + count, largePackfiles + 1) } else { smallPackfiles += 1 }
        }
        if size > partByteCount {
            multiparts += 1
            parts += Int((size + partByteCount - 1) / partByteCount)
        } else {
            smallBytes += size
        }
    }

    private var isEmpty: Bool { states + packfiles == 0 && !scene.isUnfinished }

    /// Requests for one listing of so many names: one page, or after that sixteenths of up to four pages, or 256 buckets.
    private static func lists(_ names: Int, _ model: RequestModel) -> Int {
        let page = model.keysPerPage
        guard names > page else { return 1 }
        let slices = names <= 32 * page ? 16 : 256
        return 1 + slices * ((names + slices * page - 1) / (slices * page))
    }

    func source(_ model: RequestModel) -> RequestCounts {
        var counts = RequestCounts()
        // One look whether there is anything; states, packfiles, states again.
        counts.lists = 1 + 2 * Self.lists(scene.source.states, model) + Self.lists(scene.source.packfiles, model)
        // CONFIG's head and bytes, and the mark; each state's head; one look in a hundred at what both have.
        counts.gets = 3 + states + chunks + smallPackfiles + largePackfiles + scene.common / 100
        return counts
    }

    func target(_ model: RequestModel) -> RequestCounts {
        var counts = looking(model)
        guard !isEmpty else { return counts }
        counts += model.questions
        // All of the ledger is looked at, eight segments ahead.
        if scene.isReplica, !scene.isWriteOnly { counts.gets += scene.segments + 8 }
        // A ledger segment for each batch of packfiles, for the states, and for the point; with CONFIG for that, too.
        let segments = batches + (states > 0 ? 1 : 0) + 1 + (scene.isUnfinished ? 1 : 0)
        // Whole objects; parts with a beginning, a record and an end.
        let singles = states + packfiles - multiparts + (scene.isUnfinished ? 1 : 0)
        counts.puts += segments + singles + parts + 3 * multiparts
        if !model.refusesPut { counts.gets += segments + singles }
        counts.gets += multiparts * (model.refusesParts ? 1 : 2)
        counts.deletes = scene.isWriteOnly ? 0 : multiparts
        if !scene.isReplica { counts.puts += 2 }
        // The nameplate, what earlier runs left, and that again at the end.
        counts.lists += scene.isReplica ? 1 : 2
        counts.lists += scene.isWriteOnly ? 0 : multiparts > 0 ? 2 : 1
        if states > 0, !scene.isUnfinished { counts.lists += Self.lists(scene.target.states, model) }
        counts.gets += readBack
        return counts
    }

    /// What is asked before anything is known to be missing.
    private func looking(_ model: RequestModel) -> RequestCounts {
        // Two looks at the place, and the ledger's names.
        var counts = RequestCounts(lists: 3)
        guard scene.isReplica else {
            // Whether it may be read, whether somebody has marked it meanwhile, and two ledger segments that are not there.
            counts.gets = 7
            counts.lists += 1
            return counts
        }
        counts.lists += Self.lists(scene.target.states, model) + Self.lists(scene.target.packfiles, model)
        guard !scene.isWriteOnly else {
            counts.lists += 5 + scene.common / 100
            return counts
        }
        // Whether it may be read; twice the mark and CONFIG's head and bytes; the mark again; the ledger's end.
        counts.gets = 1 + 2 * (scene.isUnfinished ? 2 : 3) + 1 + 5 + scene.common / 100
        return counts
    }

    private var batches: Int {
        let limits = BatchLimits.standard
        // Half of the memory for what is staged: S3Store.stagedMemoryMax.
        let byMemory = smallBytes / (16 << 20)
        let byBytes = bytes / limits.byteCountMax
        return packfiles == 0 ? 0 : 1 + max(packfiles / limits.resourceCountMax, Int(max(byBytes, byMemory)))
    }

    /// Each chunk of what is chosen, and a look behind its end.
    private var readBack: Int {
        guard !scene.isWriteOnly, scene.verify != .none, states + packfiles > 0 else { return 0 }
        let chosen = SampleSelection(count: states + packfiles, bytes: bytes, depth: scene.verify).expectedCount
        let mean = Double(chunks + smallPackfiles) / Double(states + packfiles)
        return Int(Double(chosen) * (mean + 1)) + (scene.isUnfinished ? 2 : 0)
    }
}
