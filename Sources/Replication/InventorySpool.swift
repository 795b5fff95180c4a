internal import CLinux
internal import Glibc
internal import Kloset
internal import Reconciliation
internal import Storage

/// A resource as a listing shows it.
struct ListedResource: Keyed, Sendable {
    var key: ResourceKey
    /// Bytes; nil when nobody asked.
    var size: Int64?
    /// When its place says it was written; nil when nobody asked.
    var modified: Timestamp?
    /// The name is taken by something that is no regular file.
    var isIrregular = false
    /// An earlier run recorded it as there, but nobody has read it yet.
    var isAdopted = false
}

/// A sorted inventory on disk: written once in ascending order, then read as often as needed. Memory holds one buffer however large it is.
///
/// The file has no name: it is gone when the process is. All calls block; only the page cache is involved unless memory is short.
final class InventorySpool: @unchecked Sendable {
    // @unchecked: written by one task until `seal`, read-only afterwards; readers have buffers of their own.
    private let descriptor: Int32
    private var buffer: UnsafeMutableRawBufferPointer
    private var filled = 0
    private var written: off_t = 0
    private(set) var count = 0

    /// Kind, flags, id, size, time; -1 and the least integer stand for "nobody asked".
    fileprivate static let recordByteCount = 2 + 32 + 8 + 8
    /// 256 KiB of records: large enough that system calls do not matter, small enough for dozens of spools.
    fileprivate static let bufferRecordsMax = 5242

    /// - Parameter folder: an existing folder for temporary files.
    init(folder: String) throws {
        descriptor = clinux_open_temporary(folder)
        guard descriptor >= 0 else { throw Self.failure("cannot make a temporary file in", folder, -descriptor) }
        buffer = .allocate(byteCount: Self.recordByteCount * Self.bufferRecordsMax, alignment: 16)
    }

    deinit {
        close(descriptor)
        buffer.deallocate()
    }

    /// Adds the next resource.
    func append(_ resource: ListedResource) throws {
        buffer[filled] = resource.key.kind.rawValue
        buffer[filled + 1] = (resource.isIrregular ? 1 : 0) | (resource.isAdopted ? 2 : 0)
        resource.key.id.write(to: UnsafeMutableRawBufferPointer(rebasing: buffer[(filled + 2)...]))
        buffer.storeBytes(of: resource.size ?? -1, toByteOffset: filled + 34, as: Int64.self)
        buffer.storeBytes(of: resource.modified?.nanoseconds ?? .min, toByteOffset: filled + 42, as: Int64.self)
        filled += Self.recordByteCount
        count += 1
        if filled == buffer.count { try flush() }
    }

    /// No more will come.
    func seal() throws {
        try flush()
        buffer.deallocate()
        buffer = UnsafeMutableRawBufferPointer(start: nil, count: 0)
    }

    private func flush() throws {
        var done = 0
        while done < filled {
            let n = pwrite(descriptor, buffer.baseAddress.map { $0 + done }, filled - done, written)
            if n < 0, errno == EINTR { continue }
            guard n > 0 else { throw Self.failure("cannot write a temporary file in", "the state folder", errno) }
            done += n
            written += n
        }
        filled = 0
    }

    /// Reads from the start. The spool must be sealed.
    func cursor() -> Cursor { Cursor(self) }

    struct Cursor: SortedCursor, Sendable {
        private let spool: InventorySpool
        private var buffer: [UInt8] = []
        private var position = 0
        private var offset: off_t = 0

        fileprivate init(_ spool: InventorySpool) {
            self.spool = spool
        }

        mutating func next() throws -> ListedResource? {
            if position == buffer.count {
                try refill()
                if buffer.isEmpty { return nil }
            }
            defer { position += InventorySpool.recordByteCount }
            return buffer.withUnsafeBytes { bytes in
                let record = UnsafeRawBufferPointer(rebasing: bytes[position...])
                guard let kind = ResourceKind(rawValue: record[0]) else { preconditionFailure("a spool holds what was put in") }
                let size = record.loadUnaligned(fromByteOffset: 34, as: Int64.self)
                let time = record.loadUnaligned(fromByteOffset: 42, as: Int64.self)
                return ListedResource(
                    key: ResourceKey(kind, ResourceID(bytes: UnsafeRawBufferPointer(rebasing: record[2...]))),
                    size: size < 0 ? nil : size, modified: time == .min ? nil : Timestamp(nanoseconds: time),
                    isIrregular: record[1] & 1 != 0, isAdopted: record[1] & 2 != 0)
            }
        }

        private mutating func refill() throws {
            position = 0
            let left = Int(spool.written - offset)
            let wanted = min(left, InventorySpool.recordByteCount * InventorySpool.bufferRecordsMax)
            if buffer.count != wanted { buffer = [UInt8](repeating: 0, count: wanted) }
            var done = 0
            while done < wanted {
                let n = buffer.withUnsafeMutableBytes {
                    pread(spool.descriptor, $0.baseAddress.map { $0 + done }, wanted - done, offset + done)
                }
                if n < 0, errno == EINTR { continue }
                guard n > 0 else { throw InventorySpool.failure("cannot read a temporary file in", "the state folder", errno) }
                done += n
            }
            offset += off_t(wanted)
        }
    }

    private static func failure(_ what: String, _ place: String, _ code: Int32) -> Failure {
        Failure(
            code == EACCES || code == EPERM ? .permission : .readWrite, what, place: place,
            reason: String(cString: strerror(code)),
            advice: "Sealift keeps working lists there; free space or set SEALIFT_STATE.")
    }
}

extension SortedCursor where Element == ListedResource, Self: ~Copyable {
    /// The next `limit` resources, fewer at the end, or nil when there are none left.
    mutating func next(atMost limit: Int) throws -> [ListedResource]? {
        var part: [ListedResource] = []
        while part.count < limit, let resource = try next() { part.append(resource) }
        return part.isEmpty ? nil : part
    }
}
