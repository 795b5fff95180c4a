internal import StorageTesting
internal import Testing

/// The members of every verb's JSON, as the issue and docs/format.md list them: what is here never changes its meaning.
@Suite("JSON", .serialized, .enabled(if: Binary.isThere, Binary.reason))
struct SchemaTests {
    /// The type that a member must have.
    indirect enum Kind: Sendable {
        case text, count, seconds, truth
        case object([String: Kind])
        case list([String: Kind])
        case maybe(Kind)
    }

    private static let tally = Kind.object(["packfiles": .count, "states": .count, "bytes": .count])
    private static let every: [String: Kind] = [
        "command": .text, "ok": .truth, "exit_code": .count, "seconds": .seconds, "peak_memory_bytes": .count,
    ]
    private static let failed = Kind.list(["kind": .text, "id": .text, "reason": .text, "retryable": .truth])
    private static let damaged = Kind.list(["kind": .text, "id": .text, "reason": .text])
    private static let folders = Kind.list(["folder": .text, "reason": .text, "forbidden": .truth])
    private static let sync = every.merging([
        "source": .text, "bytes_read": .count, "bytes_written": .count,
        "targets": .list([
            "location": .text, "exit_code": .count, "copied": tally, "copied_by_server": tally, "already_there": tally,
            "target_only": tally,
            "failed": failed,
            "verified": .object(["resources": .count, "bytes": .count, "reason": .maybe(.text)]),
            "attested": .object(["resources": .count, "bytes": .count]),
            "unproven": .count, "restored": .count,
            "recovery_point": .maybe(.text), "recovery_point_is_new": .truth, "renounced_points": .list([:]),
            "failed_count": .count, "ledger": .maybe(.text),
            "learned": .count,
        ]),
    ]) { $1 }
    private static let plan = every.merging([
        "source": .text,
        "targets": .list([
            "location": .text, "exit_code": .count, "to_copy": tally, "already_there": tally, "target_only": tally,
            "failed": failed,
        ]),
    ]) { $1 }
    private static let inspect = every.merging([
        "source": .text, "repository_id": .text, "created": .text, "encrypted": .truth, "packfiles": .count, "states": .count,
        "locks": .count, "foreign": .count, "bytes": .count, "mark_damage": .maybe(.text), "unlisted": folders,
    ]) { $1 }
    private static let verify = every.merging([
        "source": .text, "checked": .count, "damaged": damaged, "lost": .list(["kind": .text, "id": .text]), "unknown": .count,
        "unreadable": damaged, "unlisted": folders, "against": .maybe(.text), "against_damaged": damaged,
        "only_against": .list(["kind": .text, "id": .text]),
        "ledger": .text, "ledger_damage": .maybe(.text), "mark_damage": .maybe(.text), "complete": .truth, "bytes_read": .count,
        "attested": .object(["resources": .count, "bytes": .count]),
    ]) { $1 }
    private static let repair = every.merging([
        "source": .text, "failed": damaged, "unlisted": folders, "ledger_damage": .maybe(.text), "mark_damage": .maybe(.text),
        "mark_restored": .truth,
        "bytes_read": .count,
    ]) { $1 }
    private static let points = every.merging([
        "points": .list([
            "id": .text, "name": .maybe(.text), "created": .text, "packfiles": .count, "states": .count, "bytes": .count,
            "root_hash": .text, "complete": .truth, "authenticated": .truth,
        ])
    ]) { $1 }

    @Test("Every verb that succeeds")
    func successes() async throws {
        let (place, _) = try CallTests.placeWithStore()
        let (source, target) = (place("source"), place("target"))
        expect(try await place.json("plan", source, target), Self.plan, "plan")
        expect(try await place.json("sync", source, target, "--dry-run"), Self.plan, "sync --dry-run")
        expect(try await place.json("sync", source, target, "--name", "first"), Self.sync, "sync")
        expect(try await place.json("plan", source, target, "-o", place("plan.json")), Self.plan, "plan")
        expect(try await place.json("apply", place("plan.json")), Self.sync, "apply")
        expect(try await place.json("inspect", source), Self.inspect, "inspect")
        expect(try await place.json("inspect", target), Self.inspect, "inspect")
        expect(try await place.json("verify", target), Self.verify, "verify")
        expect(try await place.json("verify", target, "--against", source), Self.verify, "verify --against")
        expect(try await place.json("repair", target, "--from", source), Self.repair, "repair")
        let listed = try await place.json("points", target)
        expect(listed, Self.points, "points")
        let point = try #require(listed["points"]?[0])
        #expect(point["name"] == .string("first"))
        let id = try #require(point["id"]?.text)
        expect(try await place.json("points", "show", id), Self.points, "points show")
        expect(try await place.json("points", "diff", id, id), Self.points, "points diff")
    }

    @Test("Verbs that find damage and loss")
    func damage() async throws {
        let (place, store) = try CallTests.placeWithStore()
        let (source, target) = (place("source"), place("target"))
        try await place.sealift("sync", source, target)
        let packfiles = store.keys().filter { $0.kind == .packfile }
        var bytes = try #require(place.folder.contents(of: "target/\(packfiles[0].path)"))
        bytes[bytes.count / 2] ^= 1
        try place.folder.put("target/\(packfiles[0].path)", bytes)
        try place.folder.remove("target/\(packfiles[1].path)")
        let found = try await place.json("verify", target, expect: 65)
        expect(found, Self.verify, "verify")
        #expect(found["damaged"]?[0]?["id"] == .string(packfiles[0].id.hex))
        #expect(found["lost"]?[0] == .object(["kind": .string("packfile"), "id": .string(packfiles[1].id.hex)]))
        #expect(found["damaged"]?.elements.count == 1 && found["lost"]?.elements.count == 1)
        let healed = try await place.json("repair", target, "--from", source)
        expect(healed, Self.repair, "repair")
        #expect(healed["repaired"]?.elements.count == 2)
        expect(try await place.json("verify", target), Self.verify, "verify")
    }

    @Test("A sync that leaves something out names it")
    func leftOut() async throws {
        let (place, store) = try CallTests.placeWithStore()
        let victim = try #require(store.keys().first { $0.kind == .packfile })
        try place.folder.put("source/\(victim.path)", Array("nothing".utf8))
        let report = try await place.json("sync", place("source"), place("target"), expect: 65)
        expect(report, Self.sync, "sync")
        #expect(report.target?["failed"]?[0]?["id"] == .string(victim.id.hex))
        #expect(report.target?["failed"]?[0]?["kind"] == .string("packfile"))
        #expect(report.target?["recovery_point"] == .null)
    }

    @Test("A single-file archive", .enabled(if: RealStores.ptar != nil, RealStores.noPtar))
    func archive() async throws {
        let place = try Workplace()
        let archive = "ptar:" + (RealStores.ptar ?? "")
        let seen = try await place.json("inspect", archive)
        expect(seen, Self.inspect, "inspect")
        #expect(seen.counts == [1, 1])
        expect(try await place.json("verify", archive), Self.verify, "verify")
    }

    // MARK: - comparing

    private func expect(_ value: JSONValue, _ members: [String: Kind], _ what: String, source: SourceLocation = #_sourceLocation)
    {
        let wrong = Self.faults(value, .object(members), what) + Self.oddNames(value, what)
        #expect(wrong.isEmpty, "\(value)", sourceLocation: source)
    }

    private static func faults(_ value: JSONValue?, _ kind: Kind, _ path: String) -> [String] {
        guard let value else { return ["\(path) is missing"] }
        switch (kind, value) {
        case (.text, .string), (.truth, .boolean), (.maybe, .null): return []
        case (.count, .number(let number)): return number >= 0 && number == number.rounded() ? [] : ["\(path) is no count"]
        case (.seconds, .number(let number)): return number >= 0 ? [] : ["\(path) is negative"]
        case (.maybe(let inner), _): return faults(value, inner, path)
        case (.object(let members), .object(let there)): return members.flatMap { faults(there[$0], $1, "\(path).\($0)") }
        case (.list(let members), .array(let elements)):
            return elements.enumerated().flatMap { faults($1, .object(members), "\(path)[\($0)]") }
        default: return ["\(path) has another type"]
        }
    }

    private static func oddNames(_ value: JSONValue, _ path: String) -> [String] {
        switch value {
        case .object(let members):
            members.flatMap { name, inner in
                let isSnake = name.allSatisfy { $0.isLowercase || $0.isNumber || $0 == "_" }
                return (isSnake ? [] : ["\(path).\(name) is not snake_case"]) + oddNames(inner, "\(path).\(name)")
            }
        case .array(let elements): elements.flatMap { oddNames($0, path) }
        default: []
        }
    }
}
