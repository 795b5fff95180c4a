internal import Glibc
public import Kloset
public import Storage

extension LocalStore {
    public func attributes(of keys: [ResourceKey]) async throws -> [ResourceAttributes] {
        guard !keys.isEmpty else { return [] }
        return try await runSliced("cannot look at resources", count: keys.count) { [self] range in
            let root = try root()
            let paths = PathBuffer()
            var current: (number: Int, folder: OpenFolder?)?
            return try keys[range].map { key in
                // Keys mostly come in order, so one open folder serves a bucket.
                if current?.number != key.folderNumber {
                    current = (key.folderNumber, key.kind == .config ? root : try folderIfPresent(key.folderPath))
                }
                guard let folder = current?.folder else { return .absent }
                return try attributes(paths.name(of: key), in: folder)
            }
        }
    }

    private func attributes(_ name: UnsafePointer<CChar>, in folder: OpenFolder) throws(SystemError) -> ResourceAttributes {
        guard let status = try folder.statusIfPresent(name) else { return .absent }
        guard status.type == .regular else { return .irregular(status.type.word) }
        return .regular(size: status.size, modified: status.modified)
    }

    public func readWhole(_ keys: [ResourceKey], from view: ResourceView, into piece: Piece) async throws -> [WholeRead] {
        guard !keys.isEmpty else { return [] }
        return try await run("cannot read") { [self] in
            let paths = PathBuffer()
            let base = try self.base(of: view)
            var reads: [WholeRead] = []
            var used = 0
            for key in keys {
                let path = view.isStaged ? paths.stagedName(of: key) : paths.path(of: key)
                guard let read = readWhole(key, path, in: base, view, into: piece, at: used) else { break }
                if case .bytes(let range, _) = read { used = range.upperBound }
                reads.append(read)
            }
            return reads
        }
    }

    /// Reads one resource behind what is in the piece already; nil when the rest of the piece is too small for it.
    private func readWhole(
        _ key: ResourceKey, _ path: UnsafePointer<CChar>, in base: OpenFolder?, _ view: ResourceView, into piece: Piece,
        at start: Int
    ) -> WholeRead? {
        do {
            guard let base else { return .vanished }
            let file = try files.open(beneath: base.descriptor, path, .read)
            defer { files.close(file) }
            let status = try files.status(of: file)
            if let irregular = irregular(status, key) { return .failed(irregular) }
            guard status.size <= Int64(piece.memory.count) else { return .tooLarge(size: status.size) }
            let range = start..<start + Int(status.size)
            guard range.upperBound <= piece.memory.count else { return nil }
            if view.isOnMedium { files.dropCache(file, at: 0, count: 0) }
            let target = UnsafeMutableRawBufferPointer(rebasing: piece.memory[range])
            guard try files.readFully(file, into: target, at: 0) == target.count else {
                return .failed(failure(.readWrite, "cannot read", key, "it became shorter while it was read"))
            }
            return .bytes(range: range, modified: status.modified)
        } catch {
            guard let failure = readFailure(error, key) else { return .vanished }
            return .failed(failure)
        }
    }

    public func read(
        _ key: ResourceKey, from view: ResourceView, at offset: Int64, count: Int, into piece: Piece
    ) async throws -> Int {
        try await run("cannot read", key) { [self] in
            do {
                guard offset >= 0, count >= 0, count <= piece.memory.count else {
                    throw failure(.usage, "cannot read", key, "the range \(offset)+\(count) does not fit a piece")
                }
                guard let base = try self.base(of: view) else { throw Vanished(key) }
                let paths = PathBuffer()
                let path = view.isStaged ? paths.stagedName(of: key) : paths.path(of: key)
                let file = try files.open(beneath: base.descriptor, path, .read)
                defer { files.close(file) }
                if let irregular = irregular(try files.status(of: file), key) { throw irregular }
                if view.isOnMedium { dropCache(file, at: offset, count: count) }
                return try files.readFully(
                    file, into: UnsafeMutableRawBufferPointer(rebasing: piece.memory[..<count]), at: offset)
            } catch let error as SystemError {
                guard let failure = readFailure(error, key) else { throw Vanished(key) }
                throw failure
            }
        }
    }

    /// Only whole pages are dropped, so the range grows to whole ones.
    private func dropCache(_ file: Int32, at offset: Int64, count: Int) {
        let page: Int64 = 4096
        let start = offset / page * page
        let end = (offset.addingReportingOverflow(Int64(count) + page - 1).partialValue) / page * page
        // A count of zero would mean all the rest.
        if end > start { files.dropCache(file, at: start, count: end - start) }
    }

    /// The folder that a view's paths are relative to; nil when nothing can be there.
    private func base(of view: ResourceView) throws -> OpenFolder? {
        view.isStaged ? try uploadsIfPresent() : try root()
    }

    private func irregular(_ status: FileStatus, _ key: ResourceKey) -> Failure? {
        guard status.type != .regular else { return nil }
        return failure(.damage, "cannot read", key, "its name is taken by \(status.type.word)", "Look at what lies there")
    }

    /// What a failed open or read means; nil when the resource is simply not there.
    private func readFailure(_ error: any Error, _ key: ResourceKey) -> Failure? {
        guard let error = error as? SystemError else {
            return failure(.readWrite, "cannot read", key, "\(error)")
        }
        switch (error.call, error.code) {
        case (_, ENOENT): return nil
        // What open says of a socket or a device without a driver, and of a symlink.
        case ("openat2", ENXIO), ("openat2", ELOOP), ("openat2", ENODEV), ("openat2", ENOTDIR):
            return failure(
                .damage, "cannot read", key, "its name, or that of its folder, is taken by something that is no regular file",
                "Look at what lies there; nothing below a location is reached through links")
        default: return failure(error, "cannot read", key)
        }
    }
}

extension ResourceView {
    var isStaged: Bool { self == .stagedOnMedium }
    var isOnMedium: Bool { self != .published }
}

extension FileType {
    /// For messages.
    var word: String {
        switch self {
        case .regular: "a regular file"
        case .folder: "a folder"
        case .symlink: "a symbolic link"
        case .other, .unknown: "a device, pipe or socket"
        }
    }
}
