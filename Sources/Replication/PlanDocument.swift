internal import FoundationEssentials
internal import Kloset
internal import Planning
public import Storage

/// The plan file: one target's plan as JSON with a fixed spelling (docs/format.md, "Plan file"). Two plans are equal if their files are.
///
/// A plan file is hostile input: only where to and where from are read out of it; whether it may be carried out is decided by writing the
/// plan of this moment and comparing it byte for byte.
public enum PlanDocument {
    /// Everything before the resources; real ones have under a kilobyte and two locations of at most 4 KiB.
    public static let headerByteCountMax = 32 << 10
    private static let format = "sealift-plan-1"
    /// What every plan file of this version begins with.
    public static let beginning = "{\n  \"format\": \"\(format)\",\n"
    private static let resourcesBegin = "\"resources\": ["

    /// What is read out of a plan file.
    public struct Header: Sendable, Equatable {
        public var source: String
        public var target: String
        /// What is copied gets it.
        public var lock: ResourceLock?
    }

    private struct Fields: Decodable {
        var format: String
        var source: String
        var target: String
        var lock: Lock?
    }

    private struct Lock: Decodable {
        var mode: String?
        var days: Int?
        var legal_hold: Bool

        /// Nil for what no plan says.
        var wanted: ResourceLock? {
            guard let mode, let days else {
                return legal_hold && self.mode == nil && self.days == nil ? ResourceLock(retention: nil, isHeld: true) : nil
            }
            guard let known = ResourceLock.Mode(rawValue: mode), (1...ResourceLock.Retention.daysMax).contains(days) else {
                return nil
            }
            return ResourceLock(retention: ResourceLock.Retention(mode: known, days: days), isHeld: legal_hold)
        }
    }

    /// Reads the head of a plan file.
    ///
    /// - Parameter beginning: the file's first ``headerByteCountMax`` bytes, fewer if it has fewer.
    /// - Throws: `.usage` when it is no plan of this version.
    public static func header(parsing beginning: [UInt8], place: String) throws -> Header {
        let marker = Array(resourcesBegin.utf8)
        let start = beginning.indices.first { beginning[$0...].starts(with: marker) }
        guard let start,
            let fields = try? JSONDecoder().decode(Fields.self, from: Data(beginning[..<start] + marker + Array("]}".utf8))),
            fields.format == format, fields.lock == nil || fields.lock?.wanted != nil
        else {
            throw Failure(
                .usage, "cannot apply", place: place, reason: "it is no plan that this version of Sealift wrote",
                advice: "Make one with: sealift plan SOURCE TARGET -o \(commandWord(place))")
        }
        return Header(source: fields.source, target: fields.target, lock: fields.lock?.wanted)
    }

    /// Writes a plan, piece by piece.
    ///
    /// - Parameter quote: how a string is written as JSON, quotes included.
    public static func write(_ plan: PlannedTarget, quote: (String) -> String, to output: (String) throws -> Void) throws {
        try output(
            """
            \(beginning)  "source": \(quote(plan.source)),
              "target": \(quote(plan.target)),
              "repository_id": "\(plan.repository)",
              "replica_id": \(plan.replica.map(quote) ?? "null"),
              "copies_config": \(plan.copiesConfig),
              "config_bytes": \(plan.configByteCount),\(lockText(plan.lock))
              "to_copy": \(text(plan.toCopy)),
              "already_there": \(text(plan.alreadyThere)),
              "target_only": \(text(plan.targetOnly)),
              "damaged": \(plan.damage.count),
              \(resourcesBegin)
            """)
        var isFirst = true
        try plan.forEachCopy { key, bytes in
            try output(
                "\(isFirst ? "" : ",")\n    {\"kind\": \"\(key.kind.name)\", \"id\": \"\(key.id.hex)\", \"bytes\": \(bytes)}")
            isFirst = false
        }
        try output("\n  ]\n}\n")
    }

    /// Only where there is one, so that plans without are as they always were.
    private static func lockText(_ lock: ResourceLock?) -> String {
        guard let lock else { return "" }
        let (mode, days) = (lock.retention.map { "\"\($0.mode)\"" } ?? "null", lock.retention.map { "\($0.days)" } ?? "null")
        return "\n  \"lock\": {\"mode\": \(mode), \"days\": \(days), \"legal_hold\": \(lock.isHeld)},"
    }

    private static func text(_ tally: Tally) -> String {
        "{\"packfiles\": \(tally.packfiles), \"states\": \(tally.states), \"bytes\": \(tally.bytes)}"
    }
}
