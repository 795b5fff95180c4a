internal import Glibc
public import Kloset
public import Storage

extension LocalStore {
    public func stage(_ resources: [SmallResource]) async throws -> [Failure?] {
        guard !resources.isEmpty else { return [] }
        return try await runSliced("cannot write", count: resources.count, writing: true) { [self] range in
            let uploads = try uploads()
            let failures = state.withLock { $0.unsynced.failures }
            let paths = PathBuffer()
            var outcomes: [Failure?] = []
            outcomes.reserveCapacity(range.count)
            for resource in resources[range] {
                do throws(SystemError) {
                    try stage(resource, as: paths.stagedName(of: resource.key), in: uploads)
                    outcomes.append(nil)
                } catch {
                    outcomes.append(failure(error, "cannot write", resource.key, writing: true))
                }
            }
            state.withLock { state in
                let staged = zip(resources[range], outcomes).lazy.filter { $0.1 == nil }.map(\.0.key)
                state.unsynced.didStage(staged, since: failures)
            }
            return outcomes
        }
    }

    /// Four calls a file: open, write, time, close.
    private func stage(_ resource: SmallResource, as name: UnsafePointer<CChar>, in uploads: OpenFolder) throws(SystemError) {
        let file = try createAnew(name, in: uploads)
        do throws(SystemError) {
            defer { files.close(file) }
            try files.writeFully(file, resource.piece.bytes(resource.range), at: 0)
            try files.setModified(file, resource.modified)
        } catch {
            // What is half written only takes room; if this fails too, the next run replaces it.
            try? files.unlink(in: uploads.descriptor, name)
            throw error
        }
    }

    /// A new empty file in place of whatever has the name. Never an old one cut to nothing: that could have a second name elsewhere.
    func createAnew(_ name: UnsafePointer<CChar>, in folder: OpenFolder) throws(SystemError) -> Int32 {
        do throws(SystemError) {
            return try files.open(beneath: folder.descriptor, name, .create)
        } catch  where error.code == EEXIST {
            try files.unlink(in: folder.descriptor, name)
            return try files.open(beneath: folder.descriptor, name, .create)
        }
    }

    public func upload(_ key: ResourceKey, size: Int64, modified: Timestamp) async throws -> any Upload {
        try await run("cannot write", key, writing: true) { [self] in
            guard size > 0 else { throw failure(.usage, "cannot write", key, "an upload has at least one byte") }
            let uploads = try uploads()
            let (failures, isLost) = state.withLock { ($0.unsynced.failures, $0.unsynced.isLost(key)) }
            let paths = PathBuffer()
            let name = paths.stagedName(of: key)
            let held = isLost ? nil : try reopen(name, in: uploads)
            let file = try held ?? createAnew(name, in: uploads)
            return LocalUpload(store: self, key: key, size: size, modified: modified, file: file, failures: failures)
        }
    }

    /// What an earlier run left under the name, if that is a file of ours alone.
    private func reopen(_ name: UnsafePointer<CChar>, in uploads: OpenFolder) throws(SystemError) -> Int32? {
        let file: Int32
        do throws(SystemError) {
            file = try files.open(beneath: uploads.descriptor, name, .update)
        } catch  where [ENOENT, ELOOP, ENXIO, ENODEV].contains(error.code) {
            return nil  // nothing there, or no regular file
        }
        do throws(SystemError) {
            let status = try files.status(of: file)
            // A second name may be a published resource: a publish by link was cut before its unlink.
            if status.type == .regular, status.links == 1 { return file }
        } catch {
            files.close(file)
            throw error
        }
        files.close(file)
        return nil
    }

    public func discard(_ keys: [ResourceKey]) async throws {
        guard !keys.isEmpty else { return }
        try await run("cannot remove what was staged", writing: true) { [self] in
            if let uploads = try uploadsIfPresent() {
                let paths = PathBuffer()
                for key in keys { try remove(paths.stagedName(of: key), in: uploads) }
            }
            state.withLock { $0.unsynced.didDiscard(keys) }
        }
    }

    public func discardStaged(except keep: @Sendable (ResourceKey) -> Bool) async throws {
        // In rounds, so that memory stays bounded however much is there; what a round keeps is skipped in the next.
        var kept = 0
        while true {
            let skip = kept
            let found = try await run("cannot list what was staged", writing: true) { [self] in try leftovers(skip: skip) }
            let keys = found.names.compactMap(\.key)
            let unwanted = keys.filter { !keep($0) }
            kept += keys.count - unwanted.count
            try await run("cannot remove what was staged", writing: true) { [self] in
                guard let uploads = try uploadsIfPresent() else { return }
                for case .other(let name) in found.names { try remove(name, in: uploads) }
            }
            try await discard(unwanted)
            if found.complete { return }
        }
    }

    private enum Leftover: Sendable {
        case staged(ResourceKey)
        /// A document or a probe that was cut.
        case other(String)

        var key: ResourceKey? { if case .staged(let key) = self { key } else { nil } }
    }

    /// Up to 65,536 names in `.sealift/uploads` (16 batches; 3 MiB).
    private func leftovers(skip: Int) throws -> (names: [Leftover], complete: Bool) {
        guard try uploadsIfPresent() != nil, let folder = try folderIfPresent(Layout.uploads) else { return ([], true) }
        var names: [Leftover] = []
        var complete = true
        try files.list(folder.descriptor) { name, _ in
            guard names.count < skip + 65_536 else {
                complete = false
                return false
            }
            if let key = ResourceKey(stagedName: name) {
                names.append(.staged(key))
            } else if let text = String(validating: name, as: UTF8.self) {
                names.append(.other(text))
            }
            return true
        }
        return (names, complete)
    }

    private func remove(_ name: UnsafePointer<CChar>, in folder: OpenFolder) throws(SystemError) {
        do throws(SystemError) {
            try files.unlink(in: folder.descriptor, name)
        } catch  where error.code == ENOENT {
            // Nothing staged is no error.
        } catch  where error.code == EISDIR || error.code == EPERM {
            // A folder is nothing of ours; it stays.
        }
    }

    /// `.sealift/uploads`, made if it is missing.
    func uploads() throws -> OpenFolder {
        if let uploads = state.withLock({ $0.uploads }) { return uploads }
        let found = try root().folder(making: Layout.uploads)
        return state.withLock { state in
            let uploads = state.uploads ?? found
            state.uploads = uploads
            return uploads
        }
    }

    /// `.sealift/uploads`, or nil.
    func uploadsIfPresent() throws -> OpenFolder? {
        if let uploads = state.withLock({ $0.uploads }) { return uploads }
        return try folderIfPresent(Layout.uploads)
    }
}
