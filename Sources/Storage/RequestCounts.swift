/// Requests to a place that has them paid for, by the classes of a bill.
public struct RequestCounts: Sendable, Equatable {
    /// PUT, COPY, POST: the dear ones.
    public var puts: Int
    /// LIST: as dear.
    public var lists: Int
    /// GET and HEAD.
    public var gets: Int
    /// DELETE: mostly free.
    public var deletes: Int

    public init(puts: Int = 0, lists: Int = 0, gets: Int = 0, deletes: Int = 0) {
        (self.puts, self.lists, self.gets, self.deletes) = (puts, lists, gets, deletes)
    }

    public static func += (sum: inout RequestCounts, more: RequestCounts) {
        sum = RequestCounts(
            puts: sum.puts + more.puts, lists: sum.lists + more.lists, gets: sum.gets + more.gets,
            deletes: sum.deletes + more.deletes)
    }
}

/// How work at a place becomes requests.
public struct RequestModel: Sendable, Equatable {
    /// Larger resources are sent in parts of this size.
    public var partByteCount: Int64
    /// Keys that one LIST shows.
    public var keysPerPage: Int
    /// A PUT is refused when the name is taken, so that nobody looks first.
    public var refusesPut: Bool
    /// The same of parts that are put together.
    public var refusesParts: Bool
    /// What a run that writes asks the server first.
    public var questions: RequestCounts

    public init(partByteCount: Int64, keysPerPage: Int, refusesPut: Bool, refusesParts: Bool, questions: RequestCounts) {
        (self.partByteCount, self.keysPerPage, self.questions) = (partByteCount, keysPerPage, questions)
        (self.refusesPut, self.refusesParts) = (refusesPut, refusesParts)
    }
}
