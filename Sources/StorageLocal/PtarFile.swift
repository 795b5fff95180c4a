internal import CLinux
internal import Glibc
public import Kloset
internal import Storage

/// A single-file archive on this machine: it can be looked at and read, not unpacked.
public struct PtarFile: Sendable {
    private let path: String

    public init(path: String) {
        self.path = path
    }

    /// What can be known without a key.
    public struct Facts: Sendable {
        public var configuration: StoreConfiguration?
        public var ptar: Ptar
        public var byteCount: Int64
        /// Parts that cannot be what they should be.
        public var damage: [(kind: ResourceKind, reason: String)]
    }

    /// Reads the frame and the heads of its three parts. Blocks.
    ///
    /// - Throws: `.noStore`, `.permission`, `.readWrite`; `.damage` when it is no archive.
    public func inspect() throws -> Facts { try look(readingAll: false) }

    /// The same, and reads every byte. Blocks.
    public func check() throws -> Facts { try look(readingAll: true) }

    private func look(readingAll: Bool) throws -> Facts {
        let descriptor = Glibc.open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw failure(errno) }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw failure(errno) }
        guard status.st_mode & S_IFMT == S_IFREG else {
            throw Failure(.noStore, "no archive", place: place, reason: "it is no regular file")
        }
        let size = Int64(status.st_size)
        let head = try read(descriptor, 0..<min(size, Int64(Ptar.headByteCount)))
        let trailer = try read(descriptor, max(0, size - Int64(Ptar.trailerByteCount))..<size)
        let parsed = head.withUnsafeBytes { head in
            trailer.withUnsafeBytes { trailer in
                Result { () throws(PtarDamage) in try Ptar(fileByteCount: size, head: head, trailer: trailer) }
            }
        }
        guard case .success(let ptar) = parsed else {
            guard case .failure(let damage) = parsed else { preconditionFailure("a result is one of two") }
            throw Failure(.damage, "cannot understand the archive", place: place, reason: "it \(damage.reason)")
        }
        var facts = Facts(configuration: nil, ptar: ptar, byteCount: size, damage: [])
        for (kind, range) in [(ResourceKind.config, ptar.config), (.packfile, ptar.packfile), (.state, ptar.state)] {
            let header = try read(descriptor, range.lowerBound..<min(range.upperBound, range.lowerBound + 16))
            if let reason = header.withUnsafeBytes({ ResourceFace.damage(header: $0, size: Int64(range.count), kind: kind) }) {
                facts.damage.append((kind, reason))
            }
        }
        try readConfiguration(descriptor, &facts)
        if readingAll { try readAll(descriptor, size) }
        return facts
    }

    private func readConfiguration(_ descriptor: Int32, _ facts: inout Facts) throws {
        guard !facts.damage.contains(where: { $0.kind == .config }) else { return }
        guard facts.ptar.config.count <= StoreLimits.configByteCountMax else {
            return facts.damage.append((.config, "is \(facts.ptar.config.count) bytes long, more than a CONFIG may be"))
        }
        let bytes = try read(descriptor, facts.ptar.config)
        let parsed = bytes.withUnsafeBytes { bytes in
            Result { () throws(ConfigurationDamage) in try StoreConfiguration(parsing: bytes) }
        }
        switch parsed {
        case .success(let configuration): facts.configuration = configuration
        case .failure(let damage): facts.damage.append((.config, damage.reason))
        }
    }

    private func readAll(_ descriptor: Int32, _ size: Int64) throws {
        var offset: Int64 = 0
        while offset < size {
            let end = min(size, offset + Int64(ChunkLayout.chunkByteCount))
            guard try read(descriptor, offset..<end).count == Int(end - offset) else {
                throw Failure(.damage, "cannot read the archive", place: place, reason: "it became shorter while it was read")
            }
            offset = end
        }
    }

    private func read(_ descriptor: Int32, _ range: Range<Int64>) throws -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: range.count)
        var done = 0
        while done < bytes.count {
            let wanted = bytes.count - done
            let count = bytes.withUnsafeMutableBytes { memory in
                pread(descriptor, memory.baseAddress.map { $0 + done }, wanted, off_t(range.lowerBound) + off_t(done))
            }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw failure(errno) }
            if count == 0 { break }
            done += count
        }
        return Array(bytes.prefix(done))
    }

    private var place: String { "ptar:\(path)" }

    private func failure(_ code: Int32) -> Failure {
        let kind: Failure.Kind =
            switch code {
            case ENOENT, ENOTDIR: .noStore
            case EACCES, EPERM: .permission
            default: .readWrite
            }
        return Failure(kind, "cannot read the archive", place: place, reason: String(cString: strerror(code)))
    }
}
