internal import Glibc
internal import Kloset
internal import Storage

extension LocalStore {
    public func document(_ name: String, byteCountMax: Int) async throws -> [UInt8]? {
        let path = try documentPath(name, writing: false)
        return try await run("cannot read \(path)") { [self] in
            guard let root = try rootIfPresent() else { return nil }
            do {
                return try read(path, byteCountMax, in: root)
            } catch let error as SystemError where error.code == ENOENT {
                return nil
            }
        }
    }

    private func read(_ path: String, _ byteCountMax: Int, in root: OpenFolder) throws -> [UInt8] {
        let file = try files.open(beneath: root.descriptor, path, .read)
        defer { files.close(file) }
        let status = try files.status(of: file)
        guard status.type == .regular else {
            throw failure(
                .damage, "cannot read \(path)", nil, "its name is taken by \(status.type.word)", "Look at what lies there")
        }
        guard status.size <= Int64(byteCountMax) else {
            throw failure(
                .damage, "cannot read \(path)", nil, "it is \(status.size) bytes long, at most \(byteCountMax) were expected")
        }
        var bytes = [UInt8](repeating: 0, count: Int(status.size))
        let count = try bytes.withUnsafeMutableBytes { try files.readFully(file, into: $0, at: 0) }
        bytes.removeLast(bytes.count - count)
        return bytes
    }

    public func documents(in folder: String) async throws -> [String] {
        let path = try documentPath(folder, writing: false)
        return try await run("cannot list \(path)") { [self] in
            guard try rootIfPresent() != nil, let open = try folderIfPresent(path) else { return [] }
            var names: [String] = []
            var seen = 0
            try files.list(open.descriptor) { name, type in
                seen += 1
                if type == .regular || type == .unknown, let text = String(validating: name, as: UTF8.self), text.isSafeWord {
                    names.append(text)
                }
                return seen <= StoreLimits.namesPerBucketMax
            }
            guard seen <= StoreLimits.namesPerBucketMax else {
                throw failure(.readWrite, "cannot list \(path)", nil, "it holds more than \(StoreLimits.namesPerBucketMax) names")
            }
            return names.sorted()
        }
    }

    public func replaceDocument(_ name: String, with bytes: [UInt8]) async throws {
        try await write(name, bytes) { files, temporary, uploads, name, folder in
            try files.rename(temporary, in: uploads.descriptor, to: name, in: folder.descriptor, .replace)
            return true
        }
    }

    public func createDocument(_ name: String, with bytes: [UInt8]) async throws {
        try await write(name, bytes) { [self] _, temporary, uploads, name, folder in
            try Names(files, probedCapabilities()).give(name, in: folder, to: temporary, in: uploads)
        }
    }

    public func quarantineDocument(_ name: String) async throws {
        let path = try documentPath(name, writing: true)
        try await run("cannot move \(path) aside", writing: true) { [self] in
            let root = try checkRoot()
            let cut = path.lastIndex(of: "/") ?? path.startIndex
            let last = String(path[path.index(after: cut)...])
            guard let folder = try root.folderIfPresent(String(path[..<cut])), try folder.statusIfPresent(last) != nil else {
                return
            }
            let quarantine = try root.folder(making: Layout.quarantine)
            let names = Names(files, try probedCapabilities())
            let kept = name.split(separator: "/").joined(separator: "-")
            // As many as a resource's damaged originals.
            for number in 0..<10_000 where try names.move(last, in: folder, to: "\(kept)-\(number)", in: quarantine) {
                for touched in [quarantine, folder] { try files.syncFolder(touched.descriptor) }
                return
            }
            throw failure(.readWrite, "cannot move \(path) aside", nil, "too many are kept in quarantine already")
        }
    }

    private typealias NameGiver =
        @Sendable (
            _ files: any FileOperations, _ temporary: String, _ uploads: OpenFolder, _ name: String, _ folder: OpenFolder
        ) throws -> Bool

    /// Writes a document under a name of the moment, makes it durable, and has `give` name it; false means that the name is taken.
    private func write(_ name: String, _ bytes: [UInt8], _ give: @escaping NameGiver) async throws {
        let path = try documentPath(name, writing: true)
        try await run("cannot write \(path)", writing: true) { [self] in
            let root = try checkRoot()
            let uploads = try uploads()
            let cut = path.lastIndex(of: "/") ?? path.startIndex
            let folder = try root.folder(making: String(path[..<cut]))
            let temporary = "document-\(UniqueNumber.next())"
            do {
                try writeDurably(bytes, temporary, in: uploads)
                guard try give(files, temporary, uploads, String(path[path.index(after: cut)...]), folder) else {
                    throw failure(.refused, "cannot write \(path)", nil, "it exists already")
                }
            } catch {
                try? files.unlink(in: uploads.descriptor, temporary)
                throw error
            }
            try files.syncFolder(folder.descriptor)
        }
    }

    private func writeDurably(_ bytes: [UInt8], _ name: String, in folder: OpenFolder) throws {
        let file = try createAnew(name, in: folder)
        defer { files.close(file) }
        try bytes.withUnsafeBytes { try files.writeFully(file, $0, at: 0) }
        try files.sync(file)
    }

    /// Where a document lies, relative to the root; a name that could mean anything else is refused.
    private func documentPath(_ name: String, writing: Bool) throws -> String {
        let parts = name.split(separator: "/", omittingEmptySubsequences: false)
        // What is ours for other purposes is no place for documents.
        let reserved = writing && ["uploads", "quarantine", "lock"].contains(parts.first)
        guard name.utf8.count <= 200, parts.count <= 4, parts.allSatisfy(\.isSafeWord), !reserved else {
            throw failure(.usage, "cannot use a document", nil, "\(LocalErrors.printable(name.utf8)) is no name for one")
        }
        return "\(Layout.own)/\(name)"
    }
}

extension StringProtocol {
    /// Letters, digits, `.`, `_` and `-` of ASCII, not beginning with a dot.
    fileprivate var isSafeWord: Bool {
        guard let first = utf8.first, first != UInt8(ascii: ".") else { return false }
        return utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
                true
            default: false
            }
        }
    }
}
