internal import Glibc
public import Storage

extension LocalStore {
    public func presence() async throws -> Presence {
        try await run("cannot look at the store") { [self] in
            guard let root = try rootIfPresent() else { return .absent }
            // The kept descriptor has been listed to its end by an earlier call; a fresh one starts at the beginning.
            let listing = try root.folder(".")
            var names: [String] = []
            try files.list(listing.descriptor) { name, _ in
                // mkfs makes it; it belongs to nobody.
                if !name.elementsEqual("lost+found".utf8) { names.append(LocalErrors.printable(name)) }
                return names.count < 5  // enough for a person to recognise the folder
            }
            return names.isEmpty ? .empty : .occupied(names: names.sorted())
        }
    }

    public func footprint() async throws -> Footprint {
        try await run("cannot look at the place") { [self] in
            var missing: [String] = []
            var existing = path
            var folder = try openLocation(existing)
            while folder == nil {
                let cut = existing.cutLastPart()
                guard cut.name != "..", cut.name != ".", !cut.name.isEmpty else {
                    throw failure(
                        .usage, "cannot look at the place", nil, "a folder that the path goes through does not exist")
                }
                missing.append(cut.name)
                existing = cut.parent
                folder = try openLocation(existing)
            }
            var steps = try folder.map { try chain(from: $0) } ?? []
            for name in missing.reversed() { steps.append("\(steps.last ?? "")/\(name)") }
            return Footprint(realm: "local", steps: steps, anchor: missing.isEmpty ? folder.flatMap(anchor) : nil)
        }
    }

    /// Not the device, whose number may be another after each mount. With the generation, for a folder that is removed leaves its number to the next.
    private func anchor(of folder: OpenFolder) -> String? {
        guard let status = try? files.fileSystem(of: folder.descriptor), status.id != 0 else { return nil }
        return "\(String(status.id, radix: 16)):\(folder.identity.inode):\(String(status.generation, radix: 16))"
    }

    /// Device and inode of `folder` and of all folders around it, outermost first.
    private func chain(from folder: OpenFolder) throws -> [String] {
        var steps = [folder.identity.text]
        var inner = folder
        // PATH_MAX is 4096 bytes, so no path that a call accepts has more than 2048 parts.
        while steps.count <= 4096 {
            let outer = try OpenFolder(files.openParent(of: inner.descriptor), files)
            if outer.identity == inner.identity { break }
            steps.append(outer.identity.text)
            inner = outer
        }
        return steps.reversed()
    }

    /// The location, or nil when nothing has its name.
    private func openLocation(_ path: String) throws -> OpenFolder? {
        guard !path.isEmpty else { throw failure(.usage, "cannot open the store", nil, "the path is empty") }
        do throws(SystemError) {
            return try OpenFolder(files.openLocation(path), files)
        } catch {
            switch error.code {
            case ENOENT: return nil
            case ENOTDIR:
                throw failure(
                    .cannotWrite, "cannot open the store", nil, "something that is no folder is in the way", "Choose another path"
                )
            case ELOOP, ENAMETOOLONG:
                throw failure(.usage, "cannot open the store", nil, "the path is too long or its links form a circle")
            default: throw failure(error, "cannot open the store")
            }
        }
    }

    /// The location, kept open from the first time it is found; nil as long as nothing has its name.
    ///
    /// It is opened before anything is written through this object, so a sync of it reports every failed write.
    func rootIfPresent() throws -> OpenFolder? {
        if let root = state.withLock({ $0.root }) { return root }
        guard let found = try openLocation(path) else { return nil }
        return state.withLock { state in
            // Another thread may have been faster; all have to use one descriptor.
            let root = state.root ?? found
            state.root = root
            return root
        }
    }

    /// The location.
    ///
    /// - Throws: `.noStore` when nothing has its name.
    func root() throws -> OpenFolder {
        if let root = try rootIfPresent() { return root }
        throw failure(
            .noStore, "cannot open the store", nil, "there is no such folder",
            "Look whether the path is right and the disk mounted")
    }

    /// The location, made with all that is missing above it.
    func makeRoot() throws -> OpenFolder {
        if let root = try rootIfPresent() { return root }
        var missing: [String] = []
        var existing = path
        while try openLocation(existing) == nil {
            missing.append(existing)
            existing = existing.cutLastPart().parent
        }
        for path in missing.reversed() {
            do { try files.makeLocationIfAbsent(path) } catch {
                guard error.code == ENOENT else { throw error }
                throw failure(
                    .cannotWrite, "cannot make the folder", nil, "nothing can be made there: \(path)", "Choose another path")
            }
            // The new name has to survive a power loss like all that will be put below it.
            guard let parent = try openLocation(path.cutLastPart().parent) else { continue }
            try files.syncFolder(parent.descriptor)
        }
        if let root = try rootIfPresent() { return root }
        throw failure(
            .cannotWrite, "cannot make the folder", nil, "a symbolic link there leads to nothing",
            "Remove it or choose another path")
    }

    /// Makes sure that the location is still the folder that was opened first.
    func checkRoot() throws -> OpenFolder {
        let root = try root()
        guard let now = try openLocation(path), now.identity == root.identity else {
            throw failure(
                .unavailable, "cannot write", nil, "the target is no longer what it was when the run began",
                "Look whether its disk is still mounted, then run again")
        }
        return root
    }
}

extension String {
    /// The path without its last part, and that part; a path of one part lies in `.`.
    fileprivate func cutLastPart() -> (parent: String, name: String) {
        var text = Substring(self)
        while text.count > 1, text.last == "/" { text.removeLast() }
        guard let slash = text.lastIndex(of: "/") else { return (text == "." ? "" : ".", String(text)) }
        let name = String(text[text.index(after: slash)...])
        return (slash == text.startIndex ? "/" : String(text[..<slash]), name)
    }
}
