import SFTPProtocol
import Testing

/// Packets written by hand from the text of draft-ietf-secsh-filexfer-02: length, type, id, then the fields that section 6 or 7 names.
@Suite struct GoldenPacketTests {
    private let handle = SFTPHandle(bytes: [0xAA, 0xBB])
    private let path = Array("/a".utf8)

    @Test func greeting() {
        // Section 4: uint32 length, byte SSH_FXP_INIT (1), uint32 version (3).
        #expect(SFTPSession<Int>.greeting == [0, 0, 0, 5, 1, 0, 0, 0, 3])
    }

    @Test func opening() {
        // Section 6.3: id, filename, pflags, attrs. SSH_FXF_WRITE 2, CREAT 8, EXCL 0x20.
        let request = SFTPRequest.open(path: path, flags: [.write, .create, .exclusive])
        let expected: [UInt8] = [
            0, 0, 0, 19, 3, 0, 0, 0, 7, 0, 0, 0, 2, 0x2F, 0x61, 0, 0, 0, 0x2A, 0, 0, 0, 0,
        ]
        #expect(request.encoded(id: 7) == expected)
    }

    @Test func closing() {
        #expect(SFTPRequest.close(handle).encoded(id: 1) == [0, 0, 0, 11, 4, 0, 0, 0, 1, 0, 0, 0, 2, 0xAA, 0xBB])
    }

    @Test func reading() {
        // Section 6.4: id, handle, uint64 offset, uint32 len.
        let expected: [UInt8] = [
            0, 0, 0, 23, 5, 0, 0, 0, 2, 0, 0, 0, 2, 0xAA, 0xBB, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0x80, 0,
        ]
        #expect(SFTPRequest.read(handle, offset: 0x1_0000_0005, count: 0x8000).encoded(id: 2) == expected)
    }

    @Test func writing() {
        // The length counts the data that follows.
        let expected: [UInt8] = [0, 0, 0, 26, 6, 0, 0, 0, 3, 0, 0, 0, 2, 0xAA, 0xBB, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 3]
        #expect(SFTPRequest.write(handle, offset: 9, count: 3).encoded(id: 3) == expected)
    }

    @Test func paths() {
        let tail: [UInt8] = [0, 0, 0, 4, 0, 0, 0, 2, 0x2F, 0x61]
        for (request, type) in [
            (SFTPRequest.lstat(path: path), UInt8(7)), (.opendir(path: path), 11), (.remove(path: path), 13),
            (.rmdir(path: path), 15), (.realpath(path: path), 16), (.stat(path: path), 17),
        ] {
            #expect(request.encoded(id: 4) == Array([[0, 0, 0, 11, type], tail].joined()))
        }
    }

    @Test func attributes() {
        // Section 5: flags, then size, permissions, atime and mtime as the flags say. 0x1 size, 0x4 permissions, 0x8 times.
        let mkdir: [UInt8] = [0, 0, 0, 19, 14, 0, 0, 0, 5, 0, 0, 0, 2, 0x2F, 0x61, 0, 0, 0, 4, 0, 0, 0x01, 0xED]
        #expect(SFTPRequest.mkdir(path: path, SFTPAttributes(permissions: 0o755)).encoded(id: 5) == mkdir)
        let time: [UInt8] = [0, 0, 0, 23, 10, 0, 0, 0, 6, 0, 0, 0, 2, 0xAA, 0xBB, 0, 0, 0, 8, 0, 0, 0, 9, 0, 0, 0, 9]
        #expect(SFTPRequest.fsetstat(handle, SFTPAttributes(modified: 9)).encoded(id: 6) == time)
        let size: [UInt8] = [
            0, 0, 0, 23, 10, 0, 0, 0, 6, 0, 0, 0, 2, 0xAA, 0xBB, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 1, 0,
        ]
        #expect(SFTPRequest.fsetstat(handle, SFTPAttributes(size: 256)).encoded(id: 6) == size)
    }

    @Test func renaming() {
        // Section 6.5: id, oldpath, newpath.
        let expected: [UInt8] = [0, 0, 0, 17, 18, 0, 0, 0, 8, 0, 0, 0, 2, 0x2F, 0x61, 0, 0, 0, 2, 0x2F, 0x62]
        #expect(SFTPRequest.rename(from: path, to: Array("/b".utf8)).encoded(id: 8) == expected)
    }

    /// OpenSSH's PROTOCOL, section 4: SSH_FXP_EXTENDED (200), id, the name, its fields.
    @Test func extensions() {
        let a: [UInt8] = [0, 0, 0, 2, 0x2F, 0x61]
        let h: [UInt8] = [0, 0, 0, 2, 0xAA, 0xBB]
        #expect(SFTPRequest.fsync(handle).encoded(id: 9) == expected("fsync@openssh.com", [h]))
        #expect(SFTPRequest.statvfs(path: path).encoded(id: 9) == expected("statvfs@openssh.com", [a]))
        #expect(SFTPRequest.limits.encoded(id: 9) == expected("limits@openssh.com", []))
        #expect(SFTPRequest.posixRename(from: path, to: path).encoded(id: 9) == expected("posix-rename@openssh.com", [a, a]))
        #expect(SFTPRequest.hardlink(from: path, to: path).encoded(id: 9) == expected("hardlink@openssh.com", [a, a]))
        #expect(SFTPRequest.expandPath(path).encoded(id: 9) == expected("expand-path@openssh.com", [a]))
        let mode: [UInt8] = [0, 0, 0, 4, 0, 0, 1, 0xED]
        let lsetstat = SFTPRequest.lsetstat(path: path, SFTPAttributes(permissions: 0o755))
        #expect(lsetstat.encoded(id: 9) == expected("lsetstat@openssh.com", [a, mode]))
        let copy = SFTPRequest.copyData(from: handle, at: 1, count: 2, to: handle, toOffset: 3)
        let numbers: [[UInt8]] = [[0, 0, 0, 0, 0, 0, 0, 1], [0, 0, 0, 0, 0, 0, 0, 2], [0, 0, 0, 0, 0, 0, 0, 3]]
        #expect(copy.encoded(id: 9) == expected("copy-data", [h, numbers[0], numbers[1], h, numbers[2]]))
    }

    private func expected(_ name: String, _ fields: [[UInt8]]) -> [UInt8] {
        var body: [UInt8] = [200, 0, 0, 0, 9, 0, 0, 0, UInt8(name.utf8.count)]
        body.append(contentsOf: Array(name.utf8))
        for field in fields { body.append(contentsOf: field) }
        return [0, 0, 0, UInt8(body.count)] + body
    }

    // MARK: - answers (section 7), without their length

    @Test func version() throws {
        let talk = Talk()
        // Version 3 and one extension pair: "a", "1".
        let server = try talk.greet([2, 0, 0, 0, 3, 0, 0, 0, 1, 0x61, 0, 0, 0, 1, 0x31])
        #expect(server == SFTPServer(extensions: ["a": "1"]))
    }

    @Test func status() throws {
        // SSH_FXP_STATUS: id, code 2 (NO_SUCH_FILE), message, language.
        let packet: [UInt8] = [101, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 2, 0x6E, 0x6F, 0, 0, 0, 0]
        #expect(try Talk().answer(.lstat(path: path), packet) == .status(SFTPStatus(code: .noSuchFile, message: "no")))
        // Servers of old send the code alone.
        let bare: [UInt8] = [101, 0, 0, 0, 0, 0, 0, 0, 4]
        #expect(try Talk().answer(.remove(path: path), bare) == .status(SFTPStatus(code: .failure)))
    }

    @Test func handleAndData() throws {
        #expect(
            try Talk().answer(.opendir(path: path), [102, 0, 0, 0, 0, 0, 0, 0, 2, 0xAA, 0xBB]) == .handle(handle))
        let data: [UInt8] = [103, 0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3]
        #expect(try Talk().answer(.read(handle, offset: 0, count: 3), data) == .data(9..<12))
    }

    @Test func names() throws {
        // SSH_FXP_NAME: id, count, then filename, longname, attrs.
        let packet: [UInt8] = [
            104, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0x78, 0, 0, 0, 2, 0x2D, 0x78, 0, 0, 0, 4, 0, 0, 0x81, 0xA4,
        ]
        let name = SFTPName(name: [0x78], attributes: SFTPAttributes(permissions: 0o100644))
        #expect(try Talk().answer(.readdir(handle), packet) == .names([name]))
        #expect(name.attributes.type == .regular)
    }

    @Test func attributesOfAFile() throws {
        // All that version 3 has: size 5, owner 1 and 2, mode, times 3 and 4, one extended pair.
        let packet: [UInt8] = [
            105, 0, 0, 0, 0, 0x80, 0, 0, 0x0F, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0x41, 0xED, 0, 0, 0, 3, 0,
            0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 1, 0x61, 0, 0, 0, 1, 0x62,
        ]
        let expected = SFTPAttributes(size: 5, permissions: 0o40755, accessed: 3, modified: 4)
        #expect(try Talk().answer(.fstat(handle), packet) == .attributes(expected))
        #expect(expected.type == .folder)
    }

    @Test func extendedReplies() throws {
        func reply(_ values: [UInt64]) -> [UInt8] {
            var packet: [UInt8] = [201, 0, 0, 0, 0]
            for value in values { withUnsafeBytes(of: value.bigEndian) { packet.append(contentsOf: $0) } }
            return packet
        }
        let limits = try Talk().answer(.limits, reply([262_144, 261_120, 261_120, 1019]))
        guard case .limits(let said) = limits else { return #expect(Bool(false), "\(limits)") }
        #expect([said.packet, said.read, said.write, said.handles] == [262_144, 261_120, 261_120, 1019])
        let system = try Talk().answer(.statvfs(path: path), reply([4096, 1024, 10, 9, 8, 7, 6, 5, 4, 1, 255]))
        guard case .fileSystem(let disk) = system else { return #expect(Bool(false), "\(system)") }
        #expect(disk.freeByteCount == 8 * 1024 && disk.isReadOnly)
    }
}

/// One question and its answer.
struct Talk {
    func greet(_ packet: [UInt8]) throws -> SFTPServer? {
        var session = SFTPSession<Int>()
        _ = try packet.withUnsafeBytes { bytes in Result { () throws(SFTPViolation) in try session.receive(bytes) } }.get()
        return session.server
    }

    func answer(_ request: SFTPRequest, _ packet: [UInt8]) throws -> SFTPReply {
        var session = SFTPSession<Int>()
        let greeting: [UInt8] = [2, 0, 0, 0, 3]
        _ = try greeting.withUnsafeBytes { bytes in Result { () throws(SFTPViolation) in try session.receive(bytes) } }.get()
        _ = session.send(request, 42)
        let event = try packet.withUnsafeBytes { bytes in
            Result { () throws(SFTPViolation) in try session.receive(bytes) }
        }.get()
        guard case .answer(42, let reply) = event else { throw Unanswered() }
        #expect(session.outstanding == 0)
        return reply
    }

    struct Unanswered: Error {}
}
