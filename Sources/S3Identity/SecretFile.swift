internal import Glibc
internal import S3Signing
internal import Storage

/// Reads a whole small file into memory that is overwritten afterwards. Blocks.
enum SecretFile {
    /// Nil when there is no such file.
    static func read(_ path: String, byteCountMax: Int) throws(Failure) -> Secret? {
        // Not waiting for a writer, should someone have put a FIFO there.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        if descriptor < 0 {
            if errno == ENOENT || errno == ENOTDIR { return nil }
            throw unreadable(path, errno)
        }
        defer { close(descriptor) }
        // One byte more than allowed shows a file that is too long.
        switch readAll(descriptor, byteCountMax: byteCountMax + 1) {
        case .failure(let code): throw unreadable(path, code.rawValue)
        case .success(let content):
            guard content.byteCount <= byteCountMax else {
                throw Failure(.configuration, "cannot use", place: path, reason: "it is longer than \(byteCountMax) bytes")
            }
            return content
        }
    }

    struct SystemError: Error {
        var rawValue: Int32
    }

    /// Everything up to the end, but no more than `byteCountMax`.
    static func readAll(_ descriptor: Int32, byteCountMax: Int) -> Result<Secret, SystemError> {
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: byteCountMax, alignment: 1)
        defer {
            if let start = buffer.baseAddress { explicit_bzero(start, buffer.count) }
            buffer.deallocate()
        }
        var count = 0
        while count < buffer.count {
            let got = Glibc.read(descriptor, buffer.baseAddress.map { $0 + count }, buffer.count - count)
            if got < 0 && errno == EINTR { continue }
            if got < 0 { return .failure(SystemError(rawValue: errno)) }
            if got == 0 { break }
            count += got
        }
        return .success(Secret(UnsafeMutableRawBufferPointer(rebasing: buffer[..<count])))
    }

    private static func unreadable(_ path: String, _ code: Int32) -> Failure {
        let denied = code == EACCES || code == EPERM
        return Failure(denied ? .permission : .readWrite, "cannot read", place: path, reason: String(cString: strerror(code)))
    }
}

extension CredentialOptions.SecretPlace {
    /// Bytes of a secret key or token at most; AWS's secret keys have 40, its session tokens and web identities some thousands.
    static let byteCountMax = 16 << 10

    /// Fetches the secret. Blocks.
    func read(_ environment: [String: String]) throws(Failure) -> Secret {
        switch self {
        case .value(let secret): return secret
        case .file(let path):
            guard let content = try SecretFile.read(path, byteCountMax: Self.byteCountMax) else {
                throw CredentialOptions.unusable("there is no file \(path)")
            }
            return try Self.firstLine(content, of: path)
        case .environment(let name):
            guard let text = environment[name], !text.isEmpty else {
                throw CredentialOptions.unusable("the environment has no variable \(name)")
            }
            return Secret(text)
        case .command(let command):
            return try Self.firstLine(
                try CommandOutput.read(command, byteCountMax: Self.byteCountMax), of: "the command's output")
        }
    }

    /// Without the end of the line and spaces around it.
    static func firstLine(_ content: Secret, of place: String) throws(Failure) -> Secret {
        let line = content.withBytes { bytes -> Secret? in
            guard let end = bytes.firstIndex(of: 10) ?? (bytes.isEmpty ? nil : bytes.endIndex) else { return nil }
            let start = bytes[..<end].drop { $0 == 32 || $0 == 9 || $0 == 13 }
            let last = start.lastIndex { $0 != 32 && $0 != 9 && $0 != 13 }
            return last.map { Secret(start[...$0]) }
        }
        guard let line else { throw CredentialOptions.unusable("there is no secret in \(place)") }
        return line
    }
}
