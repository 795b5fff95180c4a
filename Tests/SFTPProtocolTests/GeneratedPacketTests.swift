import Glibc
import SFTPProtocol
import StorageTesting
import Testing

/// A million packets, right ones and spoiled ones, in all kinds of pieces. Whatever comes, the codec returns, and its memory does not grow.
@Suite struct GeneratedPacketTests {
    private let requests: [SFTPRequest] = {
        let handle = SFTPHandle(bytes: [1])
        let path = Array("/a".utf8)
        return [
            .lstat(path: path), .opendir(path: path), .readdir(handle), .read(handle, offset: 0, count: 100_000),
            .remove(path: path),
            .realpath(path: path), .statvfs(path: path), .limits, .fsync(handle), .write(handle, offset: 0, count: 1),
        ]
    }()

    /// Seed and count can be set, to repeat or to go on for longer.
    private func setting(_ name: String, _ standard: UInt64) -> UInt64 {
        getenv(name).flatMap { UInt64(String(cString: $0)) } ?? standard
    }

    @Test func everyPacketIsUnderstoodOrRefused() {
        let seed = setting("SEALIFT_SEED", UInt64.random(in: .min ... .max))
        let count = setting("SEALIFT_PACKETS", 1_000_000)
        var random = SeededRandom(seed: seed)
        var understood = 0
        var packets: UInt64 = 0
        while packets < count {
            var stream: [UInt8] = [0, 0, 0, 5, 2, 0, 0, 0, 3]
            // As many answers as there are questions, in any order.
            for id in requests.indices.shuffled(using: &random) { stream += packet(answering: id, &random) }
            packets += UInt64(requests.count)
            // Every other stream is spoiled at one to three places.
            if random.next() % 2 == 0 {
                for _ in 0...Int(random.next() % 3) {
                    let at = Int(random.next() % UInt64(stream.count))
                    switch random.next() % 4 {
                    case 0: stream[at] ^= UInt8(1 << (random.next() % 8))
                    case 1: stream[at] = [0, 0x7F, 0x80, 0xFF][Int(random.next() % 4)]
                    case 2: stream.remove(at: at)
                    default: stream.insert(UInt8(truncatingIfNeeded: random.next()), at: at)
                    }
                }
            }
            let split = Int(random.next() % UInt64(stream.count + 1))
            understood += stream.withUnsafeBytes { understandPackets($0, split: split, requests: requests) }
        }
        #expect(understood > Int(count) / 2, "seed \(seed): most right packets were refused")
    }

    /// One byte at a time gives what one piece gives.
    @Test func piecesDoNotMatter() throws {
        let seed = setting("SEALIFT_SEED", UInt64.random(in: .min ... .max))
        var random = SeededRandom(seed: seed)
        for _ in 0..<200 {
            var stream: [UInt8] = []
            for id in requests.indices.shuffled(using: &random) { stream += packet(answering: id, &random) }
            var cut: [[UInt8]] = []
            for pieces in [[Int](repeating: 1, count: stream.count), [stream.count]] {
                var decoder = PacketDecoder()
                var found: [[UInt8]] = []
                var position = 0
                for piece in pieces {
                    var left = piece
                    while left > 0 {
                        let taken = decoder.receive { room in
                            let count = min(left, room.count)
                            room.copyBytes(from: stream[position..<position + count])
                            return count
                        }
                        (position, left) = (position + taken, left - taken)
                        while let packet = try decoder.next({ Array($0) }) { found.append(packet) }
                    }
                }
                #expect(!decoder.isInsidePacket, "seed \(seed)")
                cut.append(Array(found.joined()))
                #expect(found.count == requests.count, "seed \(seed)")
            }
            #expect(cut[0] == cut[1], "seed \(seed)")
        }
    }

    private func packet(answering id: Int, _ random: inout SeededRandom) -> [UInt8] {
        var body = Body()
        func begin(_ type: UInt8) {
            body.bytes.append(type)
            body.add(UInt32(id))
        }
        if random.next() % 5 == 0 {
            begin(101)
            body.add(UInt32(1 + random.next() % 9))
            body.add(random.bytes(5))
            body.add([])
            return body.packet
        }
        switch id {
        case 0:
            begin(105)
            body.addAttributes(random.next() % 2 == 0)
        case 1:
            begin(102)
            body.add(random.bytes(1 + Int(random.next() % 256)))
        case 2:
            begin(104)
            let count = Int(random.next() % 20)
            body.add(UInt32(count))
            for index in 0..<count {
                body.add(Array("name-\(index)".utf8))
                body.add([0x6C])
                body.addAttributes(true)
            }
        case 3:
            begin(103)
            body.add(random.bytes(1 + Int(random.next() % 2000)))
        case 5:
            begin(104)
            body.add(UInt32(1))
            body.add([0x2F])
            body.add([])
            body.add(UInt32(0))
        case 6, 7:
            begin(201)
            body.bytes += random.bytes(id == 6 ? 88 : 32)
        default:
            begin(101)
            body.add(UInt32(0))
            body.add([])
            body.add([])
        }
        return body.packet
    }
}

/// A packet that is being put together.
private struct Body {
    var bytes: [UInt8] = []

    mutating func add(_ number: UInt32) { withUnsafeBytes(of: number.bigEndian) { bytes.append(contentsOf: $0) } }

    mutating func add(_ string: [UInt8]) {
        add(UInt32(string.count))
        bytes.append(contentsOf: string)
    }

    mutating func addAttributes(_ hasMode: Bool) {
        add(UInt32(hasMode ? 4 : 8))
        add(UInt32(0o100644))
        if !hasMode { add(UInt32(7)) }
    }

    var packet: [UInt8] {
        var whole = Body()
        whole.add(bytes)
        return whole.bytes
    }
}
