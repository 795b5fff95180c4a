public import Kloset

/// Something with a resource's name, so that inventories of different detail can be compared.
public protocol Keyed {
    var key: ResourceKey { get }
}

extension ResourceKey: Keyed {
    public var key: ResourceKey { self }
}

/// A sequence that is read once, in ascending order of keys, and may fail while it is read: a spool, a page of a listing, a catalog query.
public protocol SortedCursor<Element>: ~Copyable {
    associatedtype Element: Keyed

    /// The next element, or nil at the end.
    mutating func next() throws -> Element?
}

/// A cursor over values that are at hand.
public struct ArrayCursor<Element: Keyed>: SortedCursor {
    private var rest: ArraySlice<Element>

    /// - Parameter elements: ascending by key.
    public init(_ elements: [Element]) {
        rest = elements[...]
    }

    public mutating func next() -> Element? { rest.popFirst() }
}
