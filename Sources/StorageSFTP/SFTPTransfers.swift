internal import Kloset
internal import SFTPProtocol
internal import Storage

/// Data by ranges, in as many requests as the server's limits make of them, all under way at once.
extension SFTPConnection {
    /// Reads until `range` of the piece is full or the file ends; the number of bytes read. Refusals are the caller's to word.
    func readFully(
        _ handle: SFTPHandle, at offset: Int64, into piece: Piece, _ range: Range<Int>
    ) async throws -> Result<Int, RefusedRead> {
        var missing = [range]
        var end = range.upperBound
        while !missing.isEmpty {
            let parts = missing.flatMap { cut($0, readMax) }
            let calls = parts.map { part in
                SFTPCall.read(handle, at: offset + Int64(part.lowerBound - range.lowerBound), into: piece, part)
            }
            missing = []
            for (part, reply) in zip(parts, try await send(calls)) {
                switch reply {
                case .data(let got) where got.count == part.count: break
                // Fewer bytes are no sign of the end (draft, section 6.4): the rest is asked for again.
                case .data(let got): missing.append(part.lowerBound + got.count..<part.upperBound)
                case .status(let status) where status.code == .endOfFile: end = min(end, part.lowerBound)
                case .status(let status): return .failure(RefusedRead(status: status))
                default: return .failure(RefusedRead(status: SFTPStatus(code: .badMessage)))
                }
            }
            missing.removeAll { $0.lowerBound >= end }
        }
        return .success(end - range.lowerBound)
    }

    struct RefusedRead: Error {
        var status: SFTPStatus
    }

    /// The requests that write a range of a piece.
    func writes(_ handle: SFTPHandle, at offset: Int64, from piece: Piece, _ range: Range<Int>) -> [SFTPCall] {
        cut(range, writeMax).map { part in
            .write(handle, at: offset + Int64(part.lowerBound - range.lowerBound), from: piece, part)
        }
    }

    /// Parts of about the same size, whole pages, none longer than `most`.
    private func cut(_ range: Range<Int>, _ most: Int) -> [Range<Int>] {
        guard range.count > most else { return range.isEmpty ? [] : [range] }
        let count = (range.count + most - 1) / most
        let even = (range.count + count - 1) / count
        let page = 4096
        let step = min(most, (even + page - 1) / page * page)
        return stride(from: range.lowerBound, to: range.upperBound, by: step).map { $0..<min($0 + step, range.upperBound) }
    }
}
