internal import Kloset
internal import SFTPProtocol
internal import Storage

/// Times of states to the nanosecond, in a document for each bucket.
///
/// Version 3 has whole seconds, and the order of states within one second is part of a store's history: a copy of this copy has to publish
/// them in the same order. So before a state gets its name its time is written to `.sealift/times/<xx>`, as a line of id and
/// nanoseconds. Packfiles have no order.
struct KnownTimes {
    /// What the documents say that were read.
    var buckets: [UInt8: [ResourceID: Timestamp]] = [:]
    /// The buckets that have a document; nil before anybody looked.
    var there: Set<UInt8>?

    /// A line takes 85 bytes; this is a bucket of 190,000 states, and of 50 million in the store.
    static let byteCountMax = 16 << 20

    static func parse(_ bytes: [UInt8]) -> [ResourceID: Timestamp] {
        var times: [ResourceID: Timestamp] = [:]
        for line in bytes.split(separator: UInt8(ascii: "\n")) {
            // A line that says something else is of a later version, or damaged: seconds do then.
            guard line.count > 65, line[line.startIndex + 64] == UInt8(ascii: " "),
                let id = line.prefix(64).withUnsafeBytes({ ResourceID(hex: $0) }),
                let nanoseconds = Int64(String(decoding: line.dropFirst(65), as: UTF8.self))
            else { continue }
            times[id] = Timestamp(nanoseconds: nanoseconds)
        }
        return times
    }

    static func encode(_ times: [ResourceID: Timestamp]) -> [UInt8] {
        var bytes: [UInt8] = []
        for (id, time) in times.sorted(by: { $0.key < $1.key }) { bytes += "\(id.hex) \(time.nanoseconds)\n".utf8 }
        return bytes
    }
}

extension SFTPStore {
    /// The times that are written down, of the states among `keys`.
    func knownTimes(of keys: [ResourceKey], on connection: SFTPConnection) async throws -> [ResourceKey: Timestamp] {
        let states = keys.filter { $0.kind == .state }
        guard !states.isEmpty else { return [:] }
        try await loadTimes(of: Set(states.map(\.id.firstByte)), on: connection)
        return state.withLock { state in
            var found: [ResourceKey: Timestamp] = [:]
            for key in states { found[key] = state.times.buckets[key.id.firstByte]?[key.id] }
            return found
        }
    }

    private func loadTimes(of buckets: Set<UInt8>, on connection: SFTPConnection) async throws {
        // Nobody but a writer of states puts anything into a folder that we have just made.
        state.withLock { if $0.times.there == nil, $0.made.contains(Layout.times) { $0.times.there = [] } }
        if state.withLock({ $0.times.there }) == nil {
            var there: Set<UInt8> = []
            do {
                _ = try await visitNames(in: Layout.times, on: connection) { name in
                    if let bucket = UInt8(String(decoding: name.name, as: UTF8.self), radix: 16) { there.insert(bucket) }
                    return true
                }
            } catch let failure as Failure where failure.kind == .damage || failure.kind == .permission {
                there = []  // whole seconds do
            }
            state.withLock { $0.times.there = there }
        }
        let missing = state.withLock { state in
            buckets.filter { state.times.there?.contains($0) == true && state.times.buckets[$0] == nil }
        }
        for bucket in missing.sorted() {
            let name = "\(Layout.times)/\(hexText([bucket]))"
            var times: [ResourceID: Timestamp] = [:]
            do {
                times = KnownTimes.parse(try await read(name, KnownTimes.byteCountMax, on: connection) ?? [])
            } catch let failure as Failure where failure.kind == .damage || failure.kind == .permission {
                times = [:]
            }
            let found = times
            state.withLock { $0.times.buckets[bucket] = found }
        }
    }

    /// Begins to write down times while more is staged: what is written needs no waiting for when the names are given.
    func beginTimes(of staged: [Publication]) {
        let states = staged.filter { $0.key.kind == .state }
        guard !states.isEmpty else { return }
        state.withLock { state in
            let before = state.beside.keepingTimes
            // One after the other: a bucket's times are one document.
            state.beside.keepingTimes = Task { [self] in
                _ = try? await before?.value
                try await run { [self] connection, _ in try await keepTimes(of: states, on: connection) }
            }
        }
    }

    /// They are written down when this returns.
    func finishTimes(of wanted: [Publication], on connection: SFTPConnection) async throws {
        guard wanted.contains(where: { $0.key.kind == .state }) else { return }
        if let keeping = state.withLock({ $0.beside.keepingTimes }) { _ = try? await keeping.value }
        try await keepTimes(of: wanted, on: connection)
    }

    /// Writes down the times of states that are about to be published, where seconds do not say all.
    func keepTimes(of wanted: [Publication], on connection: SFTPConnection) async throws {
        var new: [UInt8: [ResourceID: Timestamp]] = [:]
        for one in wanted where one.key.kind == .state {
            guard let time = one.file.modified, time != Timestamp(seconds: Int64(time.sftpSeconds)) else { continue }
            new[one.key.id.firstByte, default: [:]][one.key.id] = time
        }
        guard !new.isEmpty else { return }
        try await loadTimes(of: Set(new.keys), on: connection)
        for (bucket, times) in new {
            let (known, all) = state.withLock { state in
                let known = state.times.buckets[bucket] ?? [:]
                return (known, known.merging(times) { _, new in new })
            }
            if known == all { continue }
            let name = "\(Layout.times)/\(hexText([bucket]))"
            try await write(name, KnownTimes.encode(all), mayReplace: true, on: connection)
            state.withLock { state in
                state.times.buckets[bucket] = all
                state.times.there?.insert(bucket)
            }
        }
    }
}
