internal import Kloset
internal import SFTPProtocol
internal import Storage

extension SFTPStore {
    func failure(
        _ kind: Failure.Kind, _ what: String, _ key: ResourceKey? = nil, _ reason: String, _ advice: String = ""
    ) -> Failure {
        Failure(kind, what, resource: key, place: place, reason: reason, advice: advice)
    }

    /// What a server's refusal means.
    func failure(_ status: SFTPStatus, _ what: String, _ key: ResourceKey? = nil, writing: Bool = false) -> Failure {
        switch status.code {
        case .permissionDenied:
            return failure(
                .permission, what, key, "the server does not permit it",
                "Use an account that may \(writing ? "write" : "read") there")
        case .noSuchFile:
            return failure(.unavailable, what, key, "something that was there is gone", "Look at the place, then run again")
        case .unsupported: return failure(.unavailable, what, key, "the server cannot do that (\(word(status)))")
        default:
            return failure(.readWrite, what, key, "the server refused (\(word(status)))", "The server's log may say more")
        }
    }

    private func word(_ status: SFTPStatus) -> String { status.message.isEmpty ? "\(status.code)" : status.message }

    /// An answer of a type that the codec would not have let through; said instead of trusted.
    func unexpected(_ what: String, _ key: ResourceKey? = nil) -> Failure {
        failure(.readWrite, what, key, "the server's answer makes no sense")
    }

    /// Makes sure that a step worked.
    func check(_ reply: SFTPReply, _ what: String, _ key: ResourceKey? = nil, writing: Bool = false) throws(Failure) {
        if case .status(let status) = reply, !status.isOK { throw failure(status, what, key, writing: writing) }
    }

    /// A server says `Failure` for a full disk as for much else: asks for the room that is left and says it better where that explains it.
    func explained(_ failure: Failure, on connection: SFTPConnection) async -> Failure {
        guard failure.kind == .readWrite, connection.server.offers(SFTPExtension.statvfs),
            let path = try? await root(on: connection),
            case .fileSystem(let system)? = try? await connection.send(.statvfs(path: Array(path.utf8))).first
        else { return failure }
        var better = failure
        if system.isReadOnly {
            better.kind = .cannotWrite
            better.reason = "the file system there is read-only"
            better.advice = "Choose another target"
        } else if system.freeByteCount < Int64(ChunkLayout.chunkByteCount) {
            better.reason = "the disk there is full"
            better.advice = "Free space there and run again; what is already copied is kept"
        }
        return better
    }
}

/// How much may still be written, as far as it is known.
struct KnownRoom {
    private var left: Int64?
    /// With less than this it is looked at again before each write: others may write too.
    private static let byteCountNear: Int64 = 256 << 20

    /// Takes room; false when it has to be looked at first.
    mutating func take(_ count: Int64) -> Bool {
        guard let known = left, known - count >= Self.byteCountNear else { return false }
        left = known - count
        return true
    }

    mutating func look(_ found: Int64, taking count: Int64) { left = found - count }
}

extension SFTPStore {
    /// Refuses to begin what will not fit, where the server tells. A quota that it does not tell of is met later, by a write.
    func takeRoom(for byteCount: Int64, _ key: ResourceKey, on connection: SFTPConnection) async throws {
        guard connection.server.offers(SFTPExtension.statvfs), !state.withLock({ $0.room.take(byteCount) }) else { return }
        let path = try await root(on: connection).bytes
        guard case .fileSystem(let system)? = try await connection.send(.statvfs(path: path)).first else { return }
        guard !system.isReadOnly else {
            throw failure(.cannotWrite, "cannot write", key, "the file system there is read-only", "Choose another target")
        }
        guard system.freeByteCount >= byteCount else {
            throw failure(
                .readWrite, "cannot write", key,
                "the disk there is full: \(byteCount) bytes are needed, \(system.freeByteCount) are free",
                "Free space there and run again; what is already copied is kept")
        }
        state.withLock { $0.room.look(system.freeByteCount, taking: byteCount) }
    }
}

extension SFTPReply {
    var isOK: Bool { if case .status(let status) = self { status.isOK } else { true } }

    var isMissing: Bool { if case .status(let status) = self { status.code == .noSuchFile } else { false } }

    var handle: SFTPHandle? { if case .handle(let handle) = self { handle } else { nil } }

    var attributes: SFTPAttributes? { if case .attributes(let attributes) = self { attributes } else { nil } }
}

extension SFTPFileType {
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
