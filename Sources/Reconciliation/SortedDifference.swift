public import Kloset

/// One step of comparing two sorted inventories.
public enum DifferenceStep<Left, Right> {
    case leftOnly(Left)
    case rightOnly(Right)
    case both(Left, Right)
}

extension DifferenceStep where Left: Keyed, Right: Keyed {
    /// What the step is about.
    public var key: ResourceKey {
        switch self {
        case .leftOnly(let element), .both(let element, _): element.key
        case .rightOnly(let element): element.key
        }
    }
}

/// Thrown when a cursor does not ascend: the difference would be wrong without anybody noticing.
public struct CursorOutOfOrder: Error, Equatable {
    public var key: ResourceKey
}

/// The exact difference of two sorted inventories, streamed: memory holds one element of each side, however large they are.
///
/// Sketch-based reconciliation comes behind the same shape when the other side is a node.
public struct SortedDifference<Left: SortedCursor & ~Copyable, Right: SortedCursor & ~Copyable>: ~Copyable {
    private var left: Ascending<Left>
    private var right: Ascending<Right>

    public init(_ left: consuming Left, _ right: consuming Right) {
        self.left = Ascending(left)
        self.right = Ascending(right)
    }

    /// The next step in ascending order of keys, or nil at the end of both.
    ///
    /// - Throws: what a cursor throws; ``CursorOutOfOrder``.
    public mutating func next() throws -> DifferenceStep<Left.Element, Right.Element>? {
        try left.begin()
        try right.begin()
        switch (left.head, right.head) {
        case (nil, nil): return nil
        case (let mine?, nil):
            try left.advance()
            return .leftOnly(mine)
        case (nil, let theirs?):
            try right.advance()
            return .rightOnly(theirs)
        case (let mine?, let theirs?):
            if mine.key < theirs.key {
                try left.advance()
                return .leftOnly(mine)
            }
            if theirs.key < mine.key {
                try right.advance()
                return .rightOnly(theirs)
            }
            try left.advance()
            try right.advance()
            return .both(mine, theirs)
        }
    }
}

/// A cursor with its next element in view, checked to ascend strictly.
struct Ascending<Cursor: SortedCursor & ~Copyable>: ~Copyable {
    private var cursor: Cursor
    private var hasBegun = false
    private(set) var head: Cursor.Element?

    init(_ cursor: consuming Cursor) {
        self.cursor = cursor
    }

    /// Brings the first element into view. Not part of `init`, which must not throw: it may own the cursor.
    mutating func begin() throws {
        guard !hasBegun else { return }
        hasBegun = true
        head = try cursor.next()
    }

    mutating func advance() throws {
        let before = head?.key
        head = try cursor.next()
        if let before, let now = head?.key, now <= before { throw CursorOutOfOrder(key: now) }
    }
}
