internal import Planning
internal import Replication
internal import Storage

/// What a person asked for, checked as far as the words alone allow.
enum Command: Sendable {
    case sync(SyncCall)
    case plan(source: String, target: String, lock: ResourceLock?, output: String?, json: Bool)
    case apply(plan: String, json: Bool)
    case inspect(location: String, json: Bool)
    case verify(location: String, against: String?, belief: Belief, json: Bool)
    case repair(location: String, donor: String, json: Bool)
    /// Uploads of at least so many seconds.
    case cleanup(location: String, seconds: Int64, isRehearsal: Bool, json: Bool)
    case points(PointsQuery, json: Bool)
    case help(HelpTopic)
    case version
    case completions(Shell)
    case generateManual(folder: String)
}

struct SyncCall: Sendable {
    var source: String
    /// At least one.
    var targets: [String]
    var options: SyncOptions
    /// Bytes a second, at least 1.
    var byteRateMax: Int64?
    /// 1 to 64.
    var jobs: Int?
    var isDryRun: Bool
    var json: Bool
    var quiet: Bool
}

enum PointsQuery: Sendable, Equatable {
    case list(location: String?)
    case show(id: String)
    case difference(from: String, to: String)
}

/// What a place says of its bytes that is taken for reading them.
enum Belief: Sendable, Equatable {
    case none
    /// What a server keeps beside what it stores.
    case checksums
    /// What a program says that runs there.
    case hashesThere
}

enum HelpTopic: Sendable, Equatable {
    case overview
    case exitCodes
    case verb(Verb)
}

enum Shell: String, Sendable, CaseIterable {
    case bash, zsh, fish
}

extension Command {
    /// Gives the words their meaning. Counts, choices and required options were checked before.
    init(_ words: ParsedWords) throws(UsageError) {
        let (operands, json) = (words.operands, words.has("json"))
        switch words.verb {
        case .sync: self = .sync(try SyncCall(words))
        case .plan:
            self = .plan(
                source: operands[0], target: operands[1], lock: try SyncCall.lock(words), output: words["output"], json: json)
        case .apply: self = .apply(plan: operands[0], json: json)
        case .inspect: self = .inspect(location: operands[0], json: json)
        case .verify:
            self = .verify(
                location: operands[0], against: words["against"],
                belief: words.has("remote-hash") ? .hashesThere : words.has("server-checksums") ? .checksums : .none, json: json)
        case .repair: self = .repair(location: operands[0], donor: words["from"] ?? "", json: json)
        case .cleanup:
            guard let seconds = Self.seconds(words["uploads-older-than"] ?? "") else {
                throw UsageError("--uploads-older-than wants an age like 12h, 7d or 2w", verb: .cleanup)
            }
            self = .cleanup(location: operands[0], seconds: seconds, isRehearsal: words.has("dry-run"), json: json)
        case .points: self = .points(.list(location: operands.first), json: json)
        case .pointsShow: self = .points(.show(id: operands[0]), json: json)
        case .pointsDiff: self = .points(.difference(from: operands[0], to: operands[1]), json: json)
        case .help: self = .help(try HelpTopic(operands))
        case .version: self = .version
        case .completions: self = .completions(Shell(rawValue: operands[0]) ?? .bash)
        case .generateManual: self = .generateManual(folder: operands[0])
        }
    }
}

extension Command {
    /// The seconds of an age as a person writes it: `90s`, `30m`, `12h`, `7d`, `2w`; nil for anything else.
    static func seconds(_ text: String) -> Int64? {
        let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800]
        // Six digits of weeks are 19,000 years.
        guard let unit = text.last.flatMap({ units[$0] }), (2...7).contains(text.utf8.count),
            text.dropLast().utf8.allSatisfy({ (0x30...0x39).contains($0) }), let count = Int64(text.dropLast())
        else { return nil }
        return count * unit
    }
}

extension HelpTopic {
    init(_ words: [String]) throws(UsageError) {
        let topic = words.joined(separator: " ")
        if topic.isEmpty {
            self = .overview
        } else if topic == "exit-codes" {
            self = .exitCodes
        } else if let verb = Verb(rawValue: topic) {
            self = .verb(verb)
        } else {
            let known = Verb.allCases.filter { !$0.shape.isHidden }.map(\.rawValue) + ["exit-codes"]
            throw UsageError("there is no help on “\(printable(topic))”" + suggestion(for: topic, among: known), verb: .help)
        }
    }
}

extension SyncCall {
    /// More at once than this only moves the disk's heads.
    static let jobsMax = 64
    /// A name is a label in lists, no essay.
    static let nameByteCountMax = 200

    init(_ words: ParsedWords) throws(UsageError) {
        let name = words["name"]
        if let name {
            guard !name.isEmpty, name.utf8.count <= Self.nameByteCountMax, name == printable(name) else {
                throw UsageError("--name wants 1 to \(Self.nameByteCountMax) bytes without control characters", verb: .sync)
            }
        }
        if let text = words["limit"] {
            guard let rate = ByteRate(text) else {
                throw UsageError("--limit wants a rate like 10M, 512K or 1.5G (bytes a second)", verb: .sync)
            }
            byteRateMax = rate.bytesPerSecond
        }
        if let text = words["jobs"] {
            guard let number = Int(text), (1...Self.jobsMax).contains(number), text.utf8.allSatisfy({ $0 != UInt8(ascii: "+") })
            else {
                throw UsageError("--jobs wants a number from 1 to \(Self.jobsMax)", verb: .sync)
            }
            jobs = number
        }
        source = words.operands[0]
        targets = Array(words.operands.dropFirst())
        options = SyncOptions(
            verify: words["verify"].flatMap { VerificationDepth(rawValue: $0) } ?? .sample, name: name,
            relist: words.has("relist"),
            allowIncomplete: words.has("allow-incomplete"), allowLoss: words.has("allow-loss"),
            newReplica: words.has("new-replica"),
            isVerifyDemanded: words["verify"] != nil, lock: try Self.lock(words),
            recall: try Self.recall(words))
        isDryRun = words.has("dry-run")
        json = words.has("json")
        quiet = words.has("quiet")
    }
}

extension SyncCall {
    /// What `--recall TIER[,DAYS]` asks for; nil without it.
    private static func recall(_ words: ParsedWords) throws(UsageError) -> Recall? {
        guard let text = words["recall"] else { return nil }
        let parts = text.split(separator: ",", omittingEmptySubsequences: false)
        let days = parts.count == 2 && parts[1].utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int(parts[1]) : nil
        guard let tier = Recall.Tier(rawValue: String(parts[0])),
            parts.count == 1 || days.map({ (1...Recall.daysMax).contains($0) }) == true
        else {
            throw UsageError(
                "--recall wants expedited, standard or bulk, and after a comma 1 to \(Recall.daysMax) days", verb: words.verb)
        }
        return Recall(tier: tier, days: days ?? Recall.daysStandard)
    }

    /// What `--object-lock MODE:DAYS` and `--legal-hold` ask for; nil without them.
    static func lock(_ words: ParsedWords) throws(UsageError) -> ResourceLock? {
        var retention: ResourceLock.Retention?
        if let text = words["object-lock"] {
            let parts = text.split(separator: ":", omittingEmptySubsequences: false)
            guard parts.count == 2, let mode = ResourceLock.Mode(rawValue: String(parts[0])),
                parts[1].utf8.allSatisfy({ (0x30...0x39).contains($0) }), let days = Int(parts[1]),
                (1...ResourceLock.Retention.daysMax).contains(days)
            else {
                throw UsageError(
                    "--object-lock wants governance:DAYS or compliance:DAYS, 1 to \(ResourceLock.Retention.daysMax) days",
                    verb: words.verb)
            }
            retention = ResourceLock.Retention(mode: mode, days: days)
        }
        let isHeld = words.has("legal-hold")
        return retention == nil && !isHeld ? nil : ResourceLock(retention: retention, isHeld: isHeld)
    }
}

/// A rate as a person writes it: a number, a unit of 1024 (`K`, `M`, `G`, `T`), then `B` or `iB` and `/s` as they like. `1.5G`, `800 KiB/s`.
struct ByteRate: Equatable {
    /// At least 1.
    var bytesPerSecond: Int64

    /// Nil for anything that is no rate of at least a byte a second.
    init?(_ text: String) {
        var rest = text.lowercased()[...]
        let number = rest.prefix { $0.isASCII && $0.isNumber || $0 == "." }
        rest = rest.dropFirst(number.count).drop { $0 == " " }
        if rest.hasSuffix("/s") { rest = rest.dropLast(2) }
        let parts = number.split(separator: ".", omittingEmptySubsequences: false)
        guard !number.isEmpty, parts.count <= 2, parts.allSatisfy({ !$0.isEmpty && $0.count <= 12 }), let value = Double(number)
        else {
            return nil
        }
        let exponent: Int
        switch rest {
        case "", "b": exponent = 0
        case "k", "kb", "kib": exponent = 1
        case "m", "mb", "mib": exponent = 2
        case "g", "gb", "gib": exponent = 3
        case "t", "tb", "tib": exponent = 4
        default: return nil
        }
        let bytes = value * Double(1 << (10 * exponent))
        guard bytes >= 1, bytes < Double(Int64.max) else { return nil }
        bytesPerSecond = Int64(bytes)
    }
}
