internal import Hashing
internal import Kloset
public import Storage

extension StateCatalog {
    /// Reads the whole chain of a replica's ledger as far as the catalog knows it: every segment's bytes, and that each names the one before it.
    ///
    /// - Parameter segment: gives the stored bytes of a segment by number, or nil when there is none; asked in ascending order.
    /// - Returns: what is wrong, or nil.
    /// - Throws: what `segment` throws, ``Failure`` of the catalog itself.
    public func checkLedger(of replica: ReplicaID, segment: @Sendable (Int64) async throws -> [UInt8]?) async throws -> Failure? {
        guard let known = try await read({ try $0.replica(replica) }) else { return nil }
        var head = LedgerHead.none
        while head.sequence < known.ledgerHead.sequence {
            let expected = LedgerHeader(after: head, replica: replica, repository: known.repository)
            guard let bytes = try await segment(expected.sequence) else {
                return Self.cannotFollow("segment \(expected.sequence) is gone")
            }
            do {
                let header = try LedgerDecoder(bytes).header
                if let reason = header.difference(from: expected) { return Self.cannotFollow(reason) }
            } catch let failure as Failure {
                return Self.cannotFollow("segment \(expected.sequence): \(failure.reason)")
            }
            head = LedgerHead(sequence: expected.sequence, digest: SHA256.digest(of: bytes))
        }
        // What precedes the last segment is bound to it by the chain.
        return head == known.ledgerHead ? nil : Self.cannotFollow("segment \(head.sequence) is another one than was written")
    }
}

extension LedgerHeader {
    /// Why a segment is not the one that should follow; nil when it is.
    func difference(from expected: LedgerHeader) -> String? {
        let number = expected.sequence
        if sequence != number { return "segment \(number) calls itself \(sequence)" }
        if replica != expected.replica { return "segment \(number) belongs to replica \(replica)" }
        if repository != expected.repository { return "segment \(number) belongs to repository \(repository)" }
        if previous != expected.previous { return "segment \(number) does not follow the one before it" }
        return nil
    }
}
