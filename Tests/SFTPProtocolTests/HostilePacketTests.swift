import SFTPProtocol
import StorageTesting
import Testing

/// What a server must not get away with, and what it may.
@Suite struct HostilePacketTests {
    private let handle = SFTPHandle(bytes: [1])
    private let path = Array("/a".utf8)

    private func violates(_ request: SFTPRequest, _ packet: [UInt8], _ about: Comment) {
        #expect(throws: SFTPViolation.self, about) { try Talk().answer(request, packet) }
    }

    @Test func lengthsAreBounded() {
        violates(.readdir(handle), [104, 0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF], "four billion names")
        violates(.readdir(handle), [104, 0, 0, 0, 0, 0, 0, 0, 1, 0xFF, 0xFF, 0xFF, 0xFF], "a name of four billion bytes")
        violates(
            .opendir(path: path), joined([102, 0, 0, 0, 0, 0, 0, 1, 1], Array(repeating: 7, count: 257)), "a handle of 257 bytes")
        violates(.opendir(path: path), [102, 0, 0, 0, 0, 0, 0, 0, 0], "an empty handle")
        violates(.read(handle, offset: 0, count: 2), [103, 0, 0, 0, 0, 0, 0, 0, 3, 1, 2, 3], "more data than was asked for")
        violates(.read(handle, offset: 0, count: 2), [103, 0, 0, 0, 0, 0, 0, 0, 0], "no data, for ever")
        violates(.lstat(path: path), [105, 0, 0, 0, 0, 0, 0, 0, 1, 0x80, 0, 0, 0, 0, 0, 0, 0], "a negative size")
        violates(
            .lstat(path: path), [105, 0, 0, 0, 0, 0x80, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF], "four billion extended attributes")
        violates(.lstat(path: path), [105, 0, 0, 0, 0, 0, 0, 0, 0x10], "attributes of a later version")
        violates(.lstat(path: path), [105, 0, 0, 0, 0, 0, 0, 0, 0, 9], "something behind the end")
    }

    @Test func namesAreNames() {
        func named(_ name: [UInt8]) -> [UInt8] {
            joined([104, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, UInt8(name.count)], name, [0, 0, 0, 0, 0, 0, 0, 0])
        }
        violates(.readdir(handle), named([]), "an empty name")
        violates(.readdir(handle), named(Array("../x".utf8)), "a name that leads elsewhere")
        violates(.readdir(handle), named([0x61, 0, 0x62]), "a name with a NUL")
        violates(.realpath(path: path), [104, 0, 0, 0, 0, 0, 0, 0, 0], "no name for a path")
    }

    @Test func answersMatchQuestions() {
        violates(.opendir(path: path), [101, 0, 0, 0, 0, 0, 0, 0, 0], "OK instead of a handle")
        violates(.remove(path: path), [102, 0, 0, 0, 0, 0, 0, 0, 1, 1], "a handle instead of a status")
        violates(.lstat(path: path), [101, 0, 0, 0, 9, 0, 0, 0, 4], "an id that was not given")
        violates(.lstat(path: path), [250, 0, 0, 0, 0], "a type that there is not")
        violates(.lstat(path: path), [], "an empty packet")
    }

    @Test func answersComeInAnyOrderAndOnce() throws {
        var session = SFTPSession<Int>(firstID: .max - 1)
        func receive(_ packet: [UInt8]) throws -> SFTPSession<Int>.Event {
            try packet.withUnsafeBytes { bytes in Result { () throws(SFTPViolation) in try session.receive(bytes) } }.get()
        }
        _ = try receive([2, 0, 0, 0, 3])
        for token in 0..<4 { _ = session.send(.remove(path: path), token) }
        // Ids run over the end of their 32 bits.
        for (id, token) in [(UInt32(0), 2), (.max, 1), (1, 3), (.max - 1, 0)] {
            let bytes = withUnsafeBytes(of: id.bigEndian) { Array($0) }
            guard case .answer(token, .status) = try receive(joined([101], bytes, [0, 0, 0, 0])) else {
                #expect(Bool(false), "another one's answer")
                return
            }
        }
        #expect(session.outstanding == 0)
        #expect(throws: SFTPViolation.self) { _ = try receive([101, 0, 0, 0, 0, 0, 0, 0, 0]) }
    }

    @Test func greetingsAreOfVersionThree() {
        for packet: [UInt8] in [[2, 0, 0, 0, 4], [101, 0, 0, 0, 3], [2, 0, 0], [2, 0, 0, 0, 3, 0, 0, 0, 9]] {
            #expect(throws: SFTPViolation.self) { try Talk().greet(packet) }
        }
        var many: [UInt8] = [2, 0, 0, 0, 3]
        for number in 0..<300 { many.append(contentsOf: [0, 0, 0, 2, UInt8(number / 256), UInt8(number % 256), 0, 0, 0, 0]) }
        #expect(throws: SFTPViolation.self) { try Talk().greet(many) }
    }

    @Test func messagesAreSafeOnATerminal() throws {
        let text: [UInt8] = Array("\u{1B}[31mred\u{202E}".utf8)
        let packet: [UInt8] = joined([101, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, UInt8(text.count)], text, [0, 0, 0, 0])
        guard case .status(let status) = try Talk().answer(.remove(path: path), packet) else { return }
        #expect(status.message == "\u{FFFD}[31mred\u{FFFD}")
    }

    /// What a login shell prints is told apart from a strange length.
    @Test func textInsteadOfPacketsIsNamed() {
        var decoder = PacketDecoder()
        _ = decoder.receive { room in
            room.copyBytes(from: Array("Welcome to the NAS\n".utf8))
            return 19
        }
        do throws(SFTPViolation) {
            _ = try decoder.next { _ in 0 }
            #expect(Bool(false), "a packet of text")
        } catch { #expect(error.reason.contains("text")) }
    }
}

private func joined(_ parts: [UInt8]...) -> [UInt8] { Array(parts.joined()) }
