import Storage
import Testing

@Suite struct PieceTests {
    /// Who keeps pieces leaves a quarter of the pool to those who pass them on.
    @Test func keptPiecesLeaveSomeToGoOnWith() async throws {
        let pool = PiecePool(capacity: 8)
        var kept: [Piece] = []
        for number in 0..<7 {
            let piece = try await pool.acquire()
            piece.memory[0] = UInt8(number)
            let own = piece.kept(1)
            #expect((own === piece) == (number < 6), "the seventh is a copy, so that two can still be lent")
            #expect(own.memory[0] == UInt8(number))
            #expect(own.kept(1) === own || number == 6, "to keep the same piece again takes no other")
            kept.append(own)
        }
        let two = [pool.acquireIfIdle(leaving: 0), pool.acquireIfIdle(leaving: 0)]
        #expect(two.allSatisfy { $0 != nil } && pool.acquireIfIdle(leaving: 0) == nil)
        kept = []
        for _ in 0..<6 {
            let piece = try await pool.acquire()
            #expect(piece.kept(1) === piece, "what is let go of may be kept anew")
            kept.append(piece)
        }
    }

    /// The smallest pool lends its only piece for nobody to keep.
    @Test func theLastPieceIsNeverKept() async throws {
        let piece = try await PiecePool(capacity: 1).acquire()
        piece.memory[0] = 7
        let kept = piece.kept(1)
        #expect(kept !== piece && kept.memory[0] == 7)
    }
}
