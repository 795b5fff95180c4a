import CZstd
import Hashing
import Kloset
import Storage
import Testing

@testable import Catalog

@Suite struct LedgerTests {
    @Test func whatIsWrittenIsRead() async throws {
        var random = Seeded("roundtrip")
        for _ in 0..<50 {
            let (header, entries) = Self.segment(&random, count: Int.random(in: 0...60, using: &random))
            let (bytes, head) = try Self.encode(header, entries)
            #expect(head == LedgerHead(sequence: header.sequence, digest: SHA256.digest(of: bytes)))
            let decoded = try Self.decode(bytes)
            #expect(decoded.header == header)
            #expect(decoded.entries == entries)
        }
    }

    /// The text itself, so that the form cannot change unnoticed.
    @Test func theFormIsTheOneThatIsDocumented() throws {
        let (a, b) = (String(repeating: "0a", count: 32), String(repeating: "b0", count: 32))
        let (low, high) = (try #require(Bits256(hex: a)), try #require(Bits256(hex: b)))
        let replica = try #require(ReplicaID(hex: "000102030405060708090a0b0c0d0e0f"))
        let repository = try #require(RepositoryID(text: "00010203-0405-0607-0809-0a0b0c0d0e0f"))
        let point = RecoveryPoint(
            id: "p1", created: Timestamp(seconds: 1), name: nil, source: "/back ups", sourceIdentity: "", root: low,
            namesDigest: high,
            packfiles: 2, states: 3, bytes: 4, missing: [ResourceKey(.packfile, high)])
        let entries: [LedgerEntry] = [
            .resource(
                ResourceKey(.packfile, low), size: (1 << 20) + 1, digest: high,
                chunks: [
                    ChunkHash(high: 1, low: 0xabc), ChunkHash(high: .max, low: 0),
                ]),
            .resource(.config, size: 7, digest: nil, chunks: []), .gone(ResourceKey(.state, high)), .point(point),
        ]
        let header = LedgerHeader(sequence: 2, replica: replica, repository: repository, previous: high)
        let text = try Self.text(of: Self.encode(header, entries).bytes)
        #expect(
            text == """
                sealift-ledger 1
                sequence 2
                replica 000102030405060708090a0b0c0d0e0f
                repository 00010203-0405-0607-0809-0a0b0c0d0e0f
                previous \(b)
                resource packfile \(a) 1048577 \(b) 00000000000000010000000000000abc,ffffffffffffffff0000000000000000
                resource config \(String(repeating: "0", count: 64)) 7 -
                gone state \(b)
                point p1 1000000000 \(a) \(b) incomplete 2 3 4 /back%20ups - -
                missing packfile \(b)
                end 5

                """)
    }

    @Test func documentNames() {
        #expect(LedgerFormat.documentName(sequence: 1) == "ledger/00000001.zst")
        #expect(LedgerFormat.documentName(sequence: 123_456_789) == "ledger/123456789.zst")
        #expect(LedgerFormat.sequence(ofDocument: "ledger/00000042.zst") == 42)
        #expect(LedgerFormat.sequence(ofDocument: "123456789.zst") == 123_456_789)
        for name in [
            "0000042.zst", "00000000.zst", "+0000001.zst", "00000001", "000000042.zst", "ledger/x.zst", "-0000001.zst", "",
        ] {
            #expect(LedgerFormat.sequence(ofDocument: name) == nil, "\(name)")
        }
    }

    // MARK: - Limits, on each side

    @Test func entriesAreBounded() throws {
        var random = Seeded("full of entries")
        let (header, key) = (Self.header(&random), random.key())
        var encoder = LedgerEncoder(header)
        for _ in 0..<LedgerFormat.entriesMax { #expect(try encoder.append(.gone(key))) }
        #expect(try encoder.append(.gone(key)) == false)
        let bytes = encoder.finish().bytes
        #expect(try Self.decode(bytes).entries.count == LedgerFormat.entriesMax)
        let text = try Self.text(of: bytes)
        let more = text.replacing("end 65536\n", with: "gone \(key.kind.name) \(key.id.hex)\nend 65537\n")
        #expect(Self.reason(Self.compress(Array(more.utf8))) == "it has too many entries")
    }

    @Test func textIsBounded() throws {
        var random = Seeded("full of text")
        let header = Self.header(&random)
        let size: Int64 = 20 << 30
        let chunks = (0..<ChunkLayout.count(size: size)).map { _ in ChunkHash(high: random.next(), low: random.next()) }
        let entry = LedgerEntry.resource(random.key(), size: size, digest: random.bits(), chunks: chunks)
        var encoder = LedgerEncoder(header)
        var count = 0
        while try encoder.append(entry) { count += 1 }
        let bytes = encoder.finish().bytes
        #expect(count == (LedgerFormat.textByteCountMax - 1024) / (33 * chunks.count + 150))
        #expect(bytes.count <= LedgerFormat.storedByteCountMax)
        #expect(try Self.decode(bytes).entries == Array(repeating: entry, count: count))
    }

    @Test func aListOfChunksThatIsTooLongIsLeftOut() throws {
        var random = Seeded("long line")
        for (gibibytes, kept) in [(64, true), (200, false)] {
            let size = Int64(gibibytes) << 30
            let chunks = Array(repeating: ChunkHash(high: 1, low: 2), count: ChunkLayout.count(size: size))
            let key = random.key()
            let entry = LedgerEntry.resource(key, size: size, digest: .zero, chunks: chunks)
            let decoded = try Self.decode(Self.encode(Self.header(&random), [entry]).bytes).entries
            #expect(decoded == [.resource(key, size: size, digest: .zero, chunks: kept ? chunks : [])])
        }
    }

    @Test func aPointThatMissesTooMuchIsRefused() async throws {
        var random = Seeded("too much missing")
        var point = random.point()
        point.missing = (0..<LedgerFormat.entriesMax).map { _ in random.key() }.sorted()
        let (header, full, entry) = (Self.header(&random), point, LedgerEntry.gone(random.key()))
        let refused = await failure {
            var encoder = LedgerEncoder(header)
            _ = try encoder.append(.point(full))
        }
        #expect(refused?.kind == .refused)
        // With one less it fits into a segment of its own, and asks for one.
        point.missing.removeLast()
        var encoder = LedgerEncoder(header)
        #expect(try encoder.append(entry))
        #expect(try encoder.append(.point(point)) == false)
        #expect(try Self.decode(Self.encode(header, [.point(point)]).bytes).entries == [.point(point)])
    }

    // MARK: - Hostile segments

    @Test func mutatedSegmentsAreReadTheSameOrRefused() async throws {
        var random = Seeded("mutated segments")
        var refused = 0
        for _ in 0..<100 {
            let (header, entries) = Self.segment(&random, count: 12)
            let (bytes, _) = try Self.encode(header, entries)
            for _ in 0..<60 where Self.isRefusedOr(header, entries, Self.mutate(bytes, &random)) { refused += 1 }
            // The same to the text, which a forger would compress again: here it may well be another legible segment.
            let text = Array(try Self.text(of: bytes).utf8)
            for _ in 0..<60 where Self.reason(Self.compress(Self.mutate(text, &random))) != nil { refused += 1 }
        }
        #expect(refused > 6000)
    }

    /// - Returns: whether it is refused. Read as anything else than it was is an issue: the frame's checksum is 32 bits, so by
    ///   chance one in four billion would be.
    private static func isRefusedOr(_ header: LedgerHeader, _ entries: [LedgerEntry], _ bytes: [UInt8]) -> Bool {
        guard let decoded = try? decode(bytes) else { return true }
        #expect(decoded.header == header && decoded.entries == entries)
        return false
    }

    @Test func framesThatAreNoneOfOurs() throws {
        var random = Seeded("odd frames")
        let (header, entries) = Self.segment(&random, count: 5)
        let (bytes, _) = try Self.encode(header, entries)
        let skippable: [UInt8] = [0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4]
        #expect(Self.reason([]) == "it is no zstd frame")
        #expect(Self.reason(skippable + bytes) == "it is no zstd frame")
        #expect(Self.reason(bytes + skippable) == "something follows its end")
        #expect(Self.reason(bytes + bytes) == "something follows its end")
        #expect(Self.reason(bytes + [0]) == "something follows its end")
        #expect(Self.reason(Array(repeating: 0, count: LedgerFormat.storedByteCountMax + 1)) == "it is too long")
        for count in 4..<bytes.count { #expect(Self.reason(Array(bytes[..<count])) != nil, "cut to \(count) bytes") }
    }

    @Test func bombsAreDefused() throws {
        var random = Seeded("bombs")
        let (bytes, _) = try Self.encode(Self.header(&random), [])
        let head = Array(try Self.text(of: bytes).utf8.dropLast("end 0\n".utf8.count))
        // 64 MiB of zeros are a few kilobytes.
        let line = Self.compress(head + Array(repeating: 0, count: 64 << 20))
        #expect(line.count < 16 << 10)
        #expect(Self.reason(line) == "a line is too long")
        // Short lines whose number counts, not their length.
        let lines = Self.compress(head + (0..<(4 << 20)).flatMap { _ in Array("gone \n".utf8) })
        #expect(Self.reason(lines) == "a line with an empty word")
        // Legible lines up to the bound and beyond, which is reached before 65,536 entries.
        let chunks = (0..<2048).map { _ in hexText(random.bytes(16)) }.joined(separator: ",")
        let entry = Array("resource packfile \(random.bits().hex) \(Int64(2) << 30) \(random.bits().hex) \(chunks)\n".utf8)
        let count = LedgerFormat.textByteCountMax / entry.count + 1
        #expect(Self.reason(Self.compress(head + (0..<count).flatMap { _ in entry })) == "its text is too long")
        // A frame that asks for a window of 2 GiB.
        #expect(Self.reason([0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00]) != nil)
        let window = Self.compress(head + Array("end 0\n".utf8), windowLog: 27)
        #expect(Self.reason(window)?.contains("memory") == true)
    }

    static let wrongBodies: [(String, String)] = {
        let (a, b) = (String(repeating: "0a", count: 32), String(repeating: "b0", count: 32))
        let point = "point p 1 \(a) \(b)"
        let chunk = String(repeating: "1", count: 32)
        return [
            ("", "its last line is missing"), ("end 1\n", "it has 0 entries and should have 1"),
            ("end 0", "the last line is cut short"),
            ("end 0\n\n", "something follows its end"), ("end 0\nend 0\n", "something follows its end"),
            ("end 00\n", "a number is none"), ("end -0\n", "a number is none"), ("end 9223372036854775808\n", "a number is none"),
            ("end 0 \n", "a line is too long for its kind"), ("end  0\n", "a line with an empty word"),
            ("end 0 0\n", "a line is too long for its kind"),
            ("\nend 0\n", "a line with an empty word"), ("lost packfile \(a)\nend 1\n", "a line of an unknown kind"),
            ("gone lock \(a)\nend 1\n", "a resource of an unknown kind"), ("gone config \(a)\nend 1\n", "CONFIG has no id"),
            ("gone packfile \(a.uppercased())\nend 1\n", "a digest or id has not 64 digits"),
            ("gone packfile \(a)\r\nend 1\n", "a digest or id has not 64 digits"),
            ("gone packfile\nend 1\n", "a line is cut short"),
            ("resource packfile \(a) 1\nend 1\n", "a line is cut short"),
            ("resource packfile \(a) -1 -\nend 1\n", "a number is none"),
            ("resource packfile \(a) 1 \(b.dropLast())\nend 1\n", "a digest has not 64 digits"),
            ("resource packfile \(a) 9223372036854775807 \(b) \(chunk)\nend 1\n", "a resource of 9223372036854775807 bytes"),
            ("resource packfile \(a) 3000000 - \(chunk)\nend 1\n", "a line is too long for its kind"),
            ("resource packfile \(a) 3000000 \(b) \(chunk)\nend 1\n", "a list of chunk hashes does not fit its resource"),
            ("resource packfile \(a) 1 \(b) \(chunk)\nend 1\n", "a list of chunk hashes does not fit its resource"),
            ("resource packfile \(a) 2000000 \(b) \(chunk);\(chunk)\nend 1\n", "a chunk hash has not 32 digits"),
            ("resource packfile \(a) 2000000 \(b) \(chunk),g\(chunk.dropLast())\nend 1\n", "a chunk hash has not 32 digits"),
            ("missing packfile \(a)\nend 1\n", "a missing resource without an incomplete point before it"),
            ("\(point) incomplete 1 1 1 s i -\nend 1\n", "an incomplete point that misses nothing"),
            (
                "\(point) complete 1 1 1 s i -\nmissing packfile \(a)\nend 2\n",
                "a missing resource without an incomplete point before it"
            ),
            (
                "\(point) incomplete 1 1 1 s i -\nmissing packfile \(b)\nmissing packfile \(a)\nend 3\n",
                "missing resources are not in order"
            ),
            (
                "\(point) incomplete 1 1 1 s i -\nmissing packfile \(a)\nmissing packfile \(a)\nend 3\n",
                "missing resources are not in order"
            ),
            ("\(point) partial 1 1 1 s i -\nend 1\n", "a point neither complete nor not"),
            ("\(point) complete 1 1 1 s i\nend 1\n", "a line is cut short"),
            ("point - 1 \(a) \(b) complete 1 1 1 s i -\nend 1\n", "a point without an id"),
            ("\(point) complete 1 1 1 s%2 i -\nend 1\n", "a text is not encoded as it should be"),
            ("\(point) complete 1 1 1 s%2f i -\nend 1\n", "a text is not encoded as it should be"),
            ("\(point) complete 1 1 1 s%41 i -\nend 1\n", "a text is not encoded as it should be"),
            ("\(point) complete 1 1 1 s%FF i -\nend 1\n", "a text is not encoded as it should be"),
            ("\(point) complete 1 1 1 s\té i -\nend 1\n", "a text is not encoded as it should be"),
        ]
    }()

    @Test(arguments: wrongBodies)
    func wrongBodiesAreRefused(body: String, reason: String) throws {
        var random = Seeded("wrong bodies")
        let text = try Self.text(of: Self.encode(Self.header(&random), []).bytes)
        let head = text.dropLast("end 0\n".count)
        #expect(Self.reason(Self.compress(Array((head + body).utf8))) == reason)
    }

    @Test(arguments: [
        ("sealift-ledger 1", "sealift-ledger 2", "its version is not known"),
        ("sealift-ledger 1", "Sealift-ledger 1", "there is no sealift-ledger where it should be"),
        ("sequence 1", "sequence 0", "its number does not fit what it says of the previous one"),
        ("sequence 1", "sequence 2", "its number does not fit what it says of the previous one"),
        ("replica 00", "replica 0", "no replica id"), ("replica 00", "replica 0G", "no replica id"),
        ("repository 00", "repository 0", "no repository id"), ("repository 0000000", "repository -0000000", "no repository id"),
        ("previous 00", "previous 01", "its number does not fit what it says of the previous one"),
        ("previous 00", "previous 0", "a digest or id has not 64 digits"),
        ("previous", "next", "there is no previous where it should be"),
    ])
    func wrongHeadersAreRefused(right: String, wrong: String, reason: String) throws {
        let zeros = Array(repeating: UInt8(0), count: 16)
        let header = LedgerHeader(
            after: .none, replica: try #require(ReplicaID(bytes: zeros)), repository: try #require(RepositoryID(bytes: zeros)))
        let text = try Self.text(of: Self.encode(header, []).bytes)
        #expect(text.contains(right))
        #expect(Self.reason(Self.compress(Array(text.replacing(right, with: wrong).utf8))) == reason)
    }

    // MARK: -

    static func header(_ random: inout Seeded) -> LedgerHeader {
        let sequence = Int64.random(in: 1...3, using: &random)
        return LedgerHeader(
            sequence: sequence, replica: random.replica(), repository: random.repository(),
            previous: sequence == 1 ? .zero : random.bits())
    }

    static func segment(_ random: inout Seeded, count: Int) -> (LedgerHeader, [LedgerEntry]) {
        let entries: [LedgerEntry] = (0..<count).map { _ in
            switch Int.random(in: 0..<6, using: &random) {
            case 0: .gone(random.key())
            case 1: .point(random.point(missing: random.chance(50) ? 2 : 0))
            case 2: .resource(random.key(), size: Int64.random(in: 0...(1 << 60), using: &random), digest: nil, chunks: [])
            case 3: .resource(.config, random.proof())
            default: .resource(random.key(), random.proof(large: true))
            }
        }
        return (header(&random), entries)
    }

    static func encode(_ header: LedgerHeader, _ entries: [LedgerEntry]) throws -> (bytes: [UInt8], head: LedgerHead) {
        var encoder = LedgerEncoder(header)
        for entry in entries { #expect(try encoder.append(entry)) }
        return encoder.finish()
    }

    static func decode(_ bytes: [UInt8]) throws -> (header: LedgerHeader, entries: [LedgerEntry]) {
        let decoder = try LedgerDecoder(bytes)
        var entries: [LedgerEntry] = []
        while let entry = try decoder.next() { entries.append(entry) }
        return (decoder.header, entries)
    }

    /// Why the bytes are refused, or nil. Anything but damage is an issue.
    static func reason(_ bytes: [UInt8]) -> String? {
        do {
            _ = try decode(bytes)
            return nil
        } catch {
            let failure = error as? Failure
            #expect(failure?.kind == .damage, "\(error)")
            return failure?.reason
        }
    }

    static func text(of bytes: [UInt8]) throws -> String {
        let lines = try DecompressedLines(bytes)
        var text = ""
        while let line = try lines.next({ String(decoding: $0, as: UTF8.self) }) { text += line + "\n" }
        return text
    }

    static func compress(_ text: [UInt8], windowLog: Int32 = 0) -> [UInt8] {
        let context = ZSTD_createCCtx()
        defer { ZSTD_freeCCtx(context) }
        ZSTD_CCtx_setParameter(context, ZSTD_c_compressionLevel, 1)
        ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, 0)
        ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, windowLog)
        return [UInt8](unsafeUninitializedCapacity: ZSTD_compressBound(text.count)) { target, count in
            var output = ZSTD_outBuffer(dst: target.baseAddress, size: target.count, pos: 0)
            // In two steps: in one, zstd would learn the text's length and ask for no more memory than that.
            text.withUnsafeBytes { bytes in
                var input = ZSTD_inBuffer(src: bytes.baseAddress, size: bytes.count, pos: 0)
                ZSTD_compressStream2(context, &output, &input, ZSTD_e_continue)
                while ZSTD_compressStream2(context, &output, &input, ZSTD_e_end) > 0 {}
            }
            count = output.pos
        }
    }

    /// One to three changes of a byte, a cut, a doubled or a removed part.
    static func mutate(_ bytes: [UInt8], _ random: inout Seeded) -> [UInt8] {
        var bytes = bytes
        for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
            let start = Int.random(in: 0..<bytes.count, using: &random)
            let end = min(bytes.count, start + Int.random(in: 1...40, using: &random))
            switch Int.random(in: 0..<6, using: &random) {
            case 0: bytes[start] ^= 1 << UInt8.random(in: 0..<8, using: &random)
            case 1: bytes[start] = UInt8.random(in: 0...255, using: &random)
            case 2: bytes.removeSubrange(start..<end)
            case 3: bytes.insert(contentsOf: bytes[start..<end], at: start)
            case 4: bytes.removeLast(bytes.count - start)
            default: bytes.insert(contentsOf: random.bytes(end - start), at: start)
            }
        }
        return bytes
    }
}
