internal import Glibc
public import Kloset
public import Storage

extension LocalStore {
    public func publish(_ keys: [ResourceKey]) async throws -> [PublishOutcome] {
        guard !keys.isEmpty else { return [] }
        return try await run("cannot publish", writing: true) { [self] in
            let root = try checkRoot()
            let uploads = try uploads()
            let names = Names(files, try probedCapabilities())
            var outcomes = [PublishOutcome?](repeating: nil, count: keys.count)
            var current: (number: Int, folder: OpenFolder)?
            // In order of folders, so that each is opened once.
            for index in keys.indices.sorted(by: { keys[$0].folderNumber < keys[$1].folderNumber }) {
                let key = keys[index]
                do {
                    if current?.number != key.folderNumber {
                        current = (key.folderNumber, key.kind == .config ? root : try root.folder(making: key.folderPath))
                    }
                    guard let folder = current?.folder else { continue }
                    outcomes[index] = try publish(key, from: uploads, to: folder, names)
                } catch let error as SystemError {
                    current = nil
                    outcomes[index] = .failed(publishFailure(error, key))
                }
            }
            return outcomes.map { $0 ?? .failed(failure(.readWrite, "cannot publish", nil, "it was not tried")) }
        }
    }

    private func publish(
        _ key: ResourceKey, from uploads: OpenFolder, to folder: OpenFolder, _ names: borrowing Names
    ) throws -> PublishOutcome {
        if let lost = lost(key) { return .failed(lost) }
        let given = try names.give(names.new.name(of: key), in: folder, to: names.old.stagedName(of: key), in: uploads)
        guard given else { return .taken }
        state.withLock { $0.unsynced.didPublish(in: key.folderNumber) }
        return .published
    }

    /// Why what is staged for a key must not be used, if a sync failed since.
    private func lost(_ key: ResourceKey) -> Failure? {
        state.withLock { state in
            guard state.unsynced.isLost(key) else { return nil }
            return state.unsynced.standing?.at(place, key)
        }
    }

    private func publishFailure(_ error: SystemError, _ key: ResourceKey) -> Failure {
        guard error.code == ENOENT else { return failure(error, "cannot publish", key, writing: true) }
        return failure(.readWrite, "cannot publish", key, "nothing is staged for it")
    }

    public func exchange(_ key: ResourceKey) async throws {
        try await run("cannot replace", key, writing: true) { [self] in
            let root = try checkRoot()
            if let lost = lost(key) { throw lost }
            let uploads = try uploads()
            let names = Names(files, try probedCapabilities())
            let quarantine = try root.folder(making: Layout.quarantine)
            let folder = key.kind == .config ? root : try root.folder(making: key.folderPath)
            do {
                try syncFile(names.old.stagedName(of: key), in: uploads)
                try exchange(key, names, uploads, folder, quarantine)
                for touched in [quarantine, folder, uploads] { try files.syncFolder(touched.descriptor) }
            } catch let error as SystemError where error.code == ENOENT {
                throw publishFailure(error, key)
            }
            state.withLock { $0.unsynced.didDiscard([key]) }
        }
    }

    private func exchange(
        _ key: ResourceKey, _ names: borrowing Names, _ uploads: OpenFolder, _ folder: OpenFolder, _ quarantine: OpenFolder
    ) throws {
        // Nothing there: a plain publish.
        if try names.give(names.new.name(of: key), in: folder, to: names.old.stagedName(of: key), in: uploads) { return }
        switch names.capabilities.exchange {
        case .atomic:
            // First the good bytes move to the free name in quarantine, then the two swap: at no moment is the original under a name
            // that is ever cleaned up.
            let number = try names.numbered(key) { name throws(SystemError) in
                try names.give(name, in: quarantine, to: names.old.stagedName(of: key), in: uploads)
            }
            do throws(SystemError) {
                try files.rename(
                    names.old.quarantineName(of: key, number), in: quarantine.descriptor, to: names.new.name(of: key),
                    in: folder.descriptor, .exchange)
            } catch {
                try files.rename(
                    names.old.quarantineName(of: key, number), in: quarantine.descriptor, to: names.new.stagedName(of: key),
                    in: uploads.descriptor, .refuse)
                throw error
            }
        case .linkThenReplace, .copyThenReplace, .moveThenRename:
            try keep(key, names, folder, quarantine)
            try files.syncFolder(quarantine.descriptor)
            try files.rename(
                names.old.stagedName(of: key), in: uploads.descriptor, to: names.new.name(of: key), in: folder.descriptor,
                .replace)
        }
    }

    /// Gives what lies under the final name a second name in quarantine, or a copy where there are no second names.
    private func keep(_ key: ResourceKey, _ names: borrowing Names, _ folder: OpenFolder, _ quarantine: OpenFolder) throws {
        let status = try files.status(in: folder.descriptor, names.new.name(of: key))
        if status.type != .regular {
            // No resource, whatever it is: nobody misses it for the moment between the two renames. A folder has no second names.
            _ = try names.numbered(key) { name throws(SystemError) in
                try names.move(names.old.name(of: key), in: folder, to: name, in: quarantine)
            }
        } else if names.capabilities.exchange == .linkThenReplace {
            _ = try names.numbered(key) { name throws(SystemError) in
                do throws(SystemError) {
                    try files.link(names.old.name(of: key), in: folder.descriptor, to: name, in: quarantine.descriptor)
                    return true
                } catch  where error.code == EEXIST { return false }
            }
        } else {
            try copy(key, names, folder, quarantine)
        }
    }

    private func copy(_ key: ResourceKey, _ names: borrowing Names, _ folder: OpenFolder, _ quarantine: OpenFolder) throws {
        let source = try files.open(beneath: folder.descriptor, names.old.name(of: key), .read)
        defer { files.close(source) }
        var target: Int32?
        defer { if let target { files.close(target) } }
        _ = try names.numbered(key) { name throws(SystemError) in
            do throws(SystemError) {
                target = try files.open(beneath: quarantine.descriptor, name, .create)
                return true
            } catch  where error.code == EEXIST { return false }
        }
        guard let target else { return }
        let piece = Piece()
        var offset: Int64 = 0
        while true {
            let count = try files.readFully(source, into: piece.memory, at: offset)
            if count == 0 { break }
            try files.writeFully(target, piece.bytes(0..<count), at: offset)
            offset += Int64(count)
        }
        try files.sync(target)
    }
}
