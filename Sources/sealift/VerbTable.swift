internal import Replication
internal import Storage

/// The verbs of the command line. The raw value is what a person types.
enum Verb: String, CaseIterable, Sendable {
    case sync, plan, apply, inspect, verify, repair, cleanup, points
    case pointsShow = "points show"
    case pointsDiff = "points diff"
    case help, version, completions
    case generateManual = "generate-manual"

    /// The verb as JSON names it: that of `points show` is `points`.
    var command: String { String(rawValue.prefix { $0 != " " }) }

    /// How the verb is used.
    var shape: VerbShape { VerbShape.all[self] ?? VerbShape(summary: "", codes: []) }
}

/// An option of a verb: a flag, or with a value.
struct OptionShape: Sendable {
    var name: String
    var short: Character?
    /// What stands for the value in help; nil for a flag.
    var value: String?
    /// The values that are allowed; empty when any is.
    var choices: [String] = []
    var isRequired = false
    /// May stand there several times.
    var isRepeated = false
    var help: String
}

/// Words of a verb that are no options, in their order.
struct OperandShape: Sendable {
    var name: String
    /// How many there must and may be.
    var count: ClosedRange<Int> = 1...1
    var choices: [String] = []
    var help: String
}

/// One row of the table that parsing, help, manual pages and completions are made from.
struct VerbShape: Sendable {
    var summary: String
    var details = ""
    var operands: [OperandShape] = []
    var options: [OptionShape] = []
    var codes: [ExitCode]
    /// Left out of help, manual and completions.
    var isHidden = false
}

extension VerbShape {
    private static let json = OptionShape(name: "json", help: "print one JSON object instead of text")
    private static let option = OptionShape(
        name: "option", value: "NAME=VALUE", isRepeated: true,
        help:
            "an option of locations on servers, as in stores.yml (use_tls=false); no secrets: those come from stores.yml or the environment"
    )
    private static let connections = OptionShape(
        name: "connections", value: "N", help: "connections to an SFTP server at most, 1 to \(SFTPAddress.connectionsLimit) (2)")
    private static let objectLock = OptionShape(
        name: "object-lock", value: "MODE:DAYS",
        help: "what is copied to buckets with Object Lock cannot be removed for so long: governance:30, compliance:365; "
            + "with --relist also what is there already")
    private static let legalHold = OptionShape(name: "legal-hold", help: "the same until the hold is lifted")
    private static let location = OperandShape(name: "LOCATION", help: locationHelp)
    private static let locationHelp =
        "a path, fs:///path, s3://endpoint:port/bucket/prefix, sftp://user@host:port/path, @name or @name:sub of plakar's stores.yml"
    private static let readingCodes: [ExitCode] = [
        .done, .usage, .damage, .noStore, .unavailable, .readWrite, .tryAgain, .permission, .configuration, .interrupted,
        .terminated,
    ]
    /// More copies of one read than this would need more memory and descriptors than a run may take.
    private static let targetsMax = SyncRun.targetsMax

    static let all: [Verb: VerbShape] = [
        .sync: VerbShape(
            summary: "bring targets up to date with a store",
            details: """
                Copies every packfile and state that a target lacks, byte for byte, and never needs a key. At every instant each target \
                is a store that plakar opens, or not yet a store. One read of the source feeds all targets. Nothing on a target is \
                deleted or replaced.
                """,
            operands: [
                OperandShape(name: "SOURCE", help: locationHelp),
                OperandShape(name: "TARGET", count: 1...targetsMax, help: "the same; a folder that is not there yet is made"),
            ],
            options: [
                OptionShape(
                    name: "verify", value: "none|sample|all", choices: ["none", "sample", "all"],
                    help: "how much is read back before states become visible (sample)"),
                OptionShape(name: "name", value: "TEXT", help: "a name for the recovery point"),
                OptionShape(name: "relist", help: "look at the size of every resource instead of trusting what is recorded"),
                OptionShape(
                    name: "allow-incomplete",
                    help: "publish states although resources of the source are damaged; remembered for those and this target"),
                OptionShape(
                    name: "allow-loss",
                    help:
                        "copy a source that lost what recovery points of it name, or was put back to an older state; remembered for those points"
                ),
                OptionShape(
                    name: "new-replica", help: "make a new replica where another one is known, or where the mark cannot be read"),
                objectLock, legalHold,
                OptionShape(
                    name: "recall", value: "TIER[,DAYS]",
                    help:
                        "have what lies in cold storage classes of the source brought back for so many days (7): expedited, standard, bulk"
                ),
                OptionShape(name: "limit", value: "RATE", help: "read at most so many bytes a second: 10M, 512K, 1.5G"),
                OptionShape(name: "jobs", value: "N", help: "how many resources are worked on at once, 1 to 64"),
                OptionShape(name: "dry-run", help: "say what would be done, write nothing"),
                connections, option, json,
                OptionShape(name: "quiet", help: "print no progress and no result"),
            ],
            codes: ExitCode.allCases),
        .plan: VerbShape(
            summary: "say what sync would do, to the resource and the byte",
            details: "Writes nothing but the plan. A plan can be read, kept, and handed to apply.",
            operands: [
                OperandShape(name: "SOURCE", help: locationHelp), OperandShape(name: "TARGET", help: "the same"),
            ],
            options: [
                OptionShape(name: "output", short: "o", value: "FILE", help: "write the plan to a file"),
                OptionShape(
                    name: "object-lock", value: "MODE:DAYS",
                    help: "as for sync; what apply copies cannot be removed for so long, counted from then"),
                legalHold, connections, option, json,
            ],
            codes: [
                .done, .refused, .usage, .damage, .noStore, .unavailable, .cannotWrite, .readWrite, .tryAgain, .permission,
                .configuration,
                .interrupted, .terminated,
            ]),
        .apply: VerbShape(
            summary: "do what a plan says, and nothing else",
            details: "Computes the plan again, guards included, and does it only if it is equal, with the locks that it names.",
            operands: [OperandShape(name: "PLAN", help: "a file that plan wrote")], options: [connections, option, json],
            codes: ExitCode.allCases),
        .inspect: VerbShape(
            summary: "say what can be known of a store without a key",
            details: """
                Looking at a replica with plakar: set XDG_CACHE_HOME to a folder of its own, else plakar shows the snapshots of the origin.
                """,
            operands: [OperandShape(name: "LOCATION", help: locationHelp + ", or ptar:/path/file.ptar")],
            options: [connections, option, json],
            codes: readingCodes),
        .verify: VerbShape(
            summary: "read every byte back and compare it with the ledger of digests",
            operands: [OperandShape(name: "LOCATION", help: locationHelp + ", or ptar:/path/file.ptar")],
            options: [
                OptionShape(name: "against", value: "LOCATION", help: "compare with another copy, where there is no digest too"),
                OptionShape(
                    name: "server-checksums",
                    help: "do not read what a server attests, if it was seen to compute checksums; counted apart"),
                OptionShape(
                    name: "remote-hash",
                    help: "run sha256sum at an SFTP location and read only what it does not confirm; counted apart"),
                connections, option, json,
            ],
            codes: ExitCode.allCases.filter { ![.incomplete, .cannotWrite].contains($0) }),
        .repair: VerbShape(
            summary: "replace damaged or lost resources with proven bytes",
            details: """
                Reads from the donor only the chunks that are damaged or lost, proves the whole before anything moves, and keeps the \
                damaged original under .sealift/quarantine/. With the place itself as the donor, a bucket that keeps versions: what was \
                overwritten or removed there comes back from the version that has the recorded digest; nothing is deleted.
                """,
            operands: [location],
            options: [
                OptionShape(
                    name: "from", value: "LOCATION", isRequired: true,
                    help: "the donor: another copy of the same store, or a bucket's own versions"),
                connections, option, json,
            ],
            codes: ExitCode.allCases.filter { $0 != .incomplete }),
        .cleanup: VerbShape(
            summary: "abort uploads that nobody will end",
            details: """
                In buckets, parts of uploads that were begun and not ended cost money and show nowhere. The next sync ends its own; \
                this ends all that are old enough, whoever began them, under the names of this store. Other places have none.
                """,
            operands: [location],
            options: [
                OptionShape(
                    name: "uploads-older-than", value: "AGE", isRequired: true, help: "how old they must be: 12h, 7d, 2w"),
                OptionShape(name: "dry-run", help: "say what would be done, write nothing"), option, json,
            ],
            codes: ExitCode.allCases.filter { ![.incomplete, .refused, .damage].contains($0) }),
        .points: VerbShape(
            summary: "list recovery points",
            details: "A folder called show or diff is written ./show or ./diff.",
            operands: [OperandShape(name: "LOCATION", count: 0...1, help: "only those of this replica: " + locationHelp)],
            options: [connections, option, json], codes: readingCodes),
        .pointsShow: VerbShape(
            summary: "show one recovery point",
            operands: [OperandShape(name: "ID", help: "of a recovery point, or its beginning")], options: [json],
            codes: readingCodes),
        .pointsDiff: VerbShape(
            summary: "show what changed from one recovery point to another",
            operands: [
                OperandShape(name: "A", help: "the id of a recovery point, or its beginning"),
                OperandShape(name: "B", help: "another one"),
            ],
            options: [json], codes: readingCodes),
        .help: VerbShape(
            summary: "explain a verb, or the exit codes",
            operands: [OperandShape(name: "TOPIC", count: 0...2, help: "a verb, or exit-codes")], codes: [.done, .usage]),
        .version: VerbShape(summary: "print the version", codes: [.done, .usage]),
        .completions: VerbShape(
            summary: "print a completion script for a shell",
            operands: [OperandShape(name: "SHELL", choices: ["bash", "zsh", "fish"], help: "bash, zsh or fish")],
            codes: [.done, .usage]),
        .generateManual: VerbShape(
            summary: "write manual pages and docs/exit-codes.md to a folder",
            operands: [OperandShape(name: "FOLDER", help: "where they go; it must be there")],
            codes: [.done, .usage, .cannotWrite],
            isHidden: true),
    ]
}
