public import Kloset
internal import SFTPProtocol
public import Storage

extension SFTPStore {
    public func stage(_ resources: [SmallResource]) async throws -> [Failure?] {
        guard !resources.isEmpty else { return [] }
        return try await run { [self] connection, _ in
            let traits = try await triedTraits(on: connection)
            beginMark()
            _ = try await stagedFiles(on: connection)
            do {
                try await takeRoom(for: resources.reduce(0) { $0 + Int64($1.range.count) }, resources[0].key, on: connection)
            } catch let failure as Failure where failure.kind != .unavailable {
                return resources.map { failure.at(place, $0.key) }
            }
            var outcomes: [Failure?] = []
            // In rounds, so that no more handles are open than any server bears.
            for start in stride(from: 0, to: resources.count, by: Self.filesAtOnce) {
                let round = resources[start..<min(start + Self.filesAtOnce, resources.count)]
                outcomes += try await stage(Array(round), syncing: traits.syncsFiles, on: connection)
            }
            if let failure = outcomes.compactMap({ $0 }).first {
                let better = await explained(failure, on: connection)
                outcomes = outcomes.map { failure in
                    guard var failure, failure.kind == .readWrite, better.kind != .readWrite || better.reason != failure.reason
                    else { return failure }
                    (failure.kind, failure.reason, failure.advice) = (better.kind, better.reason, better.advice)
                    return failure
                }
            }
            return outcomes
        }
    }

    /// Half of the handles that OpenSSH has when it may open 1,024 files.
    static let filesAtOnce = 500

    /// Two round trips: open all; then write, set the time, sync and close all.
    private func stage(
        _ resources: [SmallResource], syncing: Bool, on connection: SFTPConnection
    ) async throws -> [Failure?] {
        let names = resources.map { freshName($0.key.stem) }
        let root = try await root(on: connection)
        let paths = names.map { join(root, "\(Layout.uploads)/\($0)") }
        let opened = try await connection.send(paths.map { SFTPCall(.open(path: $0, flags: [.write, .create, .exclusive])) })
        var calls: [SFTPCall] = []
        var owners: [(index: Int, isTime: Bool)] = []
        for (index, (resource, reply)) in zip(resources, opened).enumerated() {
            guard let handle = reply.handle else { continue }
            for call in connection.writes(handle, at: 0, from: resource.piece, resource.range) {
                calls.append(call)
                owners.append((index, false))
            }
            calls.append(SFTPCall(.fsetstat(handle, SFTPAttributes(modified: resource.modified.sftpSeconds))))
            owners.append((index, true))
            if syncing {
                calls.append(SFTPCall(.fsync(handle)))
                owners.append((index, false))
            }
            calls.append(SFTPCall(.close(handle)))
            owners.append((index, false))
        }
        var refused: [Int: SFTPReply] = [:]
        for (index, reply) in opened.enumerated() where reply.handle == nil { refused[index] = reply }
        // A server that cannot set times still holds the bytes; the times of states are kept beside them.
        for (owner, reply) in zip(owners, try await connection.send(calls)) where !reply.isOK && !owner.isTime {
            refused[owner.index] = refused[owner.index] ?? reply
        }
        return try await noteStaged(resources, names, refused, isSynced: syncing, on: connection)
    }

    private func noteStaged(
        _ resources: [SmallResource], _ names: [String], _ refused: [Int: SFTPReply], isSynced: Bool,
        on connection: SFTPConnection
    ) async throws -> [Failure?] {
        var old: [String] = []
        var outcomes: [Failure?] = []
        state.withLock { state in
            for (index, resource) in resources.enumerated() {
                guard refused[index] == nil else {
                    old.append(names[index])
                    continue
                }
                // Somebody who listed meanwhile may have seen the new one already.
                if let before = state.staged?[resource.key] {
                    old += (before.older + [before.name]).filter { $0 != names[index] }
                }
                state.staged?[resource.key] = StagedFile(
                    name: names[index], size: Int64(resource.range.count), modified: resource.modified, isSynced: isSynced)
            }
        }
        let kept = resources.indices.filter { refused[$0] == nil }.map { index in
            let file = StagedFile(name: names[index], modified: resources[index].modified)
            return Publication(key: resources[index].key, file: file)
        }
        beginTimes(of: kept)
        for (index, resource) in resources.enumerated() {
            guard let reply = refused[index] else {
                outcomes.append(nil)
                continue
            }
            if case .status(let status) = reply {
                outcomes.append(failure(status, "cannot write", resource.key, writing: true))
            } else {
                outcomes.append(unexpected("cannot write", resource.key))
            }
        }
        // What is half written, or was left by an earlier run, only takes room.
        _ = try await removeStaged(old, on: connection)
        return outcomes
    }

    /// What lies in `.sealift/uploads`, listed once.
    ///
    /// - Parameter other: gets the names that are staged for nothing.
    func stagedFiles(
        on connection: SFTPConnection, again: Bool = false, other: (String) -> Void = { _ in }
    ) async throws -> [ResourceKey: StagedFile] {
        let known = state.withLock { state in
            // Nobody staged anything yet in a folder that this object has just made.
            if state.staged == nil, state.made.contains(Layout.uploads) { state.staged = [:] }
            return state.staged
        }
        if !again, let known { return known }
        var found: [ResourceKey: [String]] = [:]
        _ = try await visitNames(in: Layout.uploads, on: connection) { name in
            let text = String(decoding: name.name, as: UTF8.self)
            if let key = ResourceKey(stagedName: name.name) { found[key, default: []].append(text) } else { other(text) }
            return true
        }
        return state.withLock { state in
            var staged = state.staged ?? [:]
            for (key, names) in found where staged[key] == nil {
                // The longest lived are left alone until one is staged anew; which one goes on is decided by what it holds.
                let sorted = names.sorted()
                staged[key] = StagedFile(name: sorted[sorted.count - 1], older: Array(sorted.dropLast()))
            }
            state.staged = staged
            return staged
        }
    }

    /// The file that is staged for a key; nil when there is none.
    func stagedFile(for key: ResourceKey, on connection: SFTPConnection) async throws -> StagedFile? {
        if let file = try await stagedFiles(on: connection)[key] { return file }
        return nil
    }

    @discardableResult
    func removeStaged(_ names: [String], on connection: SFTPConnection) async throws -> [SFTPReply] {
        guard !names.isEmpty else { return [] }
        let root = try await root(on: connection)
        return try await connection.send(names.map { SFTPCall(.remove(path: join(root, "\(Layout.uploads)/\($0)"))) })
    }

    public func discard(_ keys: [ResourceKey]) async throws {
        guard !keys.isEmpty else { return }
        try await run { [self] connection, _ in
            let staged = try await stagedFiles(on: connection)
            let files = keys.compactMap { staged[$0] }
            for reply in try await removeStaged(files.flatMap { $0.older + [$0.name] }, on: connection) where !reply.isMissing {
                try check(reply, "cannot remove what was staged", writing: true)
            }
            state.withLock { state in
                for key in keys { state.staged?[key] = nil }
            }
        }
    }

    public func discardStaged(except keep: @Sendable (ResourceKey) -> Bool) async throws {
        // Listed before anything else, because `keep` cannot be taken along to another connection.
        let (unwanted, others) = try await run { [self] connection, _ in
            var others: [String] = []
            let own = nonce
            let hasTried = state.withLock { $0.traits != nil }
            let staged = try await stagedFiles(on: connection, again: true) { name in
                // Documents and probes that were cut; those of this object may be under way. 3 MiB of names; the next run removes the rest.
                let mayBeUnderWay = name.contains(own) && !(name.hasPrefix("probe-") && hasTried)
                if !mayBeUnderWay, others.count < 65_536 { others.append(name) }
            }
            return (Array(staged.keys), others)
        }
        try await run { [self] connection, _ in _ = try await removeStaged(others, on: connection) }
        try await discard(unwanted.filter { !keep($0) })
    }
}

extension Timestamp {
    /// What version 3 can say of it: whole seconds from 1970 to 2106.
    var sftpSeconds: UInt32 { UInt32(clamping: nanoseconds >= 0 ? nanoseconds / 1_000_000_000 : 0) }
}
