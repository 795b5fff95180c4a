internal import Glibc

/// Bytes that must not be seen: a key, a token. Printing, dumping and reflecting one shows that there is a secret, nothing more.
public struct Secret: Sendable, Equatable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// Memory that is overwritten when nobody needs it any more.
    private final class Memory: @unchecked Sendable {  // @unchecked: never written after init
        let bytes: UnsafeMutableRawBufferPointer

        init(_ source: some Collection<UInt8>) {
            bytes = .allocate(byteCount: source.count, alignment: 1)
            bytes.copyBytes(from: source)
        }

        deinit {
            if let start = bytes.baseAddress { explicit_bzero(start, bytes.count) }
            bytes.deallocate()
        }
    }

    private let memory: Memory

    public init(_ bytes: some Collection<UInt8>) {
        memory = Memory(bytes)
    }

    public init(_ text: String) {
        memory = Memory(text.utf8)
    }

    public var byteCount: Int { memory.bytes.count }

    /// Lends the bytes; they must not be kept.
    public func withBytes<Value>(_ body: (UnsafeRawBufferPointer) throws -> Value) rethrows -> Value {
        try body(UnsafeRawBufferPointer(memory.bytes))
    }

    /// The secret as text, for a header of a request. The caller keeps it out of everything that is printed.
    public var revealed: String { withBytes { String(decoding: $0, as: UTF8.self) } }

    public static func == (left: Secret, right: Secret) -> Bool {
        left.memory.bytes.elementsEqual(right.memory.bytes)
    }

    public var description: String { "(secret)" }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: EmptyCollection<Mirror.Child>()) }
}
