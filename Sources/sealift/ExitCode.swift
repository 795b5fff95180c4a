internal import Storage

/// How the process ends. The one table: help, manual pages and docs/exit-codes.md are made from it. A code never changes its meaning.
enum ExitCode: Int32, CaseIterable, Sendable {
    case done = 0
    case incomplete = 1
    case refused = 3
    case usage = 64
    case damage = 65
    case noStore = 66
    case unavailable = 69
    case cannotWrite = 73
    case readWrite = 74
    case tryAgain = 75
    case permission = 77
    case configuration = 78
    case interrupted = 130
    case terminated = 143

    /// The code for a failure.
    init(_ kind: Failure.Kind) {
        self =
            switch kind {
            case .usage: .usage
            case .refused: .refused
            case .damage: .damage
            case .noStore: .noStore
            case .unavailable: .unavailable
            case .cannotWrite: .cannotWrite
            case .readWrite: .readWrite
            case .tryAgain: .tryAgain
            case .permission: .permission
            case .configuration: .configuration
            case .incomplete: .incomplete
            case .interrupted: .interrupted
            }
    }

    /// What it means, as a phrase.
    var meaning: String {
        switch self {
        case .done: "everything that the run's inventory named is on every target, verified as asked"
        case .incomplete: "some of it is not (listed), or targets ended in different ways"
        case .refused: "refused by a guard, before any state was published"
        case .usage: "the call makes no sense"
        case .damage: "damage or loss was found"
        case .noStore: "there is no store at the place"
        case .unavailable: "the place is unavailable"
        case .cannotWrite: "the target cannot be written"
        case .readWrite: "reading or writing failed, or the disk is full"
        case .tryAgain: "try again: the source kept changing, or the target is busy"
        case .permission: "permission denied"
        case .configuration: "a configuration file is wrong"
        case .interrupted: "interrupted by Ctrl-C"
        case .terminated: "ended by SIGTERM"
        }
    }

    /// What `sealift help exit-codes` prints.
    static var table: String {
        let intro = """
            A code never changes its meaning. With several targets, each has its own
            code in the JSON; the process ends with that code if all ended alike, else
            with 1.


            """
        return intro + allCases.map { HelpText.row("\($0.rawValue)", $0.meaning) }.joined()
    }

    /// docs/exit-codes.md.
    static var markdown: String {
        let intro = """
            # Exit codes

            The same table as `sealift help exit-codes`. A code never changes its meaning. With several targets, each has its own code in the JSON; the
            process ends with that code if all ended alike, else with 1.

            | code | meaning |
            |---|---|

            """
        return intro + allCases.map { "| \($0.rawValue) | \($0.meaning) |\n" }.joined()
    }
}
