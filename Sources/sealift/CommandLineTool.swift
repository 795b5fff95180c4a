internal import Catalog
internal import Glibc
internal import Replication
internal import Storage

/// Parses, calls, prints.
enum CommandLineTool {
    /// - Returns: the process's exit code.
    static func run(_ words: [String]) async -> Int32 {
        Output.occupyClosedStreams()
        return await exitCode(of: words).rawValue
    }

    private static func exitCode(of words: [String]) async -> ExitCode {
        switch Command.parseCall(words) {
        case .failure(let error):
            Output.line("sealift: \(error)")
            let wantsJSON = words.prefix { $0 != "--" }.contains("--json")
            let verb = error.verb ?? words.first.flatMap { Verb(rawValue: $0) }
            return finish(
                ResultWriter(wantsJSON ? .json : .nothing),
                with: failureMembers(error.failure, verb: verb?.command, code: .usage), code: .usage)
        case .success((let command, let options)):
            do {
                if case .generateManual(let folder) = command { try StandingText.generateManual(in: folder) }
            } catch {
                Output.line("sealift: \(error)")
                return ExitCode(error)
            }
            guard let text = StandingText.text(of: command) else { return await carryOut(command, options) }
            return lost(Output.write(Array(text.utf8), to: STDOUT_FILENO), code: .done)
        }
    }

    private static func carryOut(_ command: Command, _ options: LocationOptions) async -> ExitCode {
        let interruption = Interruption()
        defer { withExtendedLifetime(interruption) {} }
        let context: RunContext
        do {
            try await OwnFiles.check(command)
            context = try RunContext(for: command, options)
        } catch {
            Output.line("sealift: \(error)")
            let code = ExitCode(error)
            return finish(
                ResultWriter(command.resultForm), with: failureMembers(Failure(any: error), verb: command.name, code: code),
                code: code)
        }
        let code = await carryOut(command, context, interruption)
        await context.environment.catalog.close()
        await context.answers.close()
        return code
    }

    private static func carryOut(
        _ command: Command, _ context: RunContext, _ interruption: Interruption
    ) async -> ExitCode {
        let work = Task { try await Dispatch(command: command, context: context).run() }
        interruption.onSignal { work.cancel() }
        let display = startDisplay(command, context)
        let outcome = await work.result
        display?.cancel()
        await display?.value
        let (result, code) = ending(outcome, of: command, context, signal: interruption.received)
        let final = finish(context.output, with: result.json, summary: result.summary, code: code)
        await record(final, result, of: command, context, told: told(outcome))
        return final
    }

    private static func startDisplay(_ command: Command, _ context: RunContext) -> Task<Void, Never>? {
        let isTerminal = isatty(STDERR_FILENO) == 1
        // A plan is printed while it is read: redrawing lines between those would erase some of them.
        guard !command.isQuiet, !Dispatch.isReadOnly(command), isTerminal || !command.wantsJSON else { return nil }
        let notes = context.notes
        let display = ProgressDisplay(
            progress: context.environment.progress, isTerminal: isTerminal, expected: { notes.places.targets })
        return Task { await display.run() }
    }

    /// Says on standard error what went wrong, and makes one result of every kind of ending.
    ///
    /// A run that was done before the signal could stop it is done.
    private static func ending(
        _ outcome: Result<CommandResult, any Error>, of command: Command, _ context: RunContext, signal: Interruption.Signal?
    ) -> (CommandResult, ExitCode) {
        switch outcome {
        case .success(var result):
            for warning in result.warnings { say(warning, "sealift: warning: ") }
            for complaint in result.complaints { say(complaint, "sealift: ") }
            var code = result.exitCode
            if let signal, code != .done {
                code = signal.exitCode
                Output.line("sealift: \(command.interruption)")
                result.json.append(("error", command.interruption.json))
            }
            result.json = opening(command.name, code) + result.json + context.closing()
            return (result, code)
        case .failure(let error):
            let failure = signal == nil ? Failure(any: error) : command.interruption
            let code = signal?.exitCode ?? ExitCode(failure.kind)
            Output.line("sealift: \(failure)")
            let members = failureMembers(failure, verb: command.name, code: code, context)
            return (CommandResult(exitCode: code, json: members, summary: []), code)
        }
    }

    private static func say(_ notice: Notice, _ prefix: String) {
        Output.line(prefix + Failure.sentence(notice.text))
        for detail in notice.details { Output.line("  \(detail)") }
    }

    /// What every object begins with.
    private static func opening(_ verb: String?, _ code: ExitCode) -> [(String, JSONText)] {
        [("command", .init(verb)), ("ok", .boolean(code == .done)), ("exit_code", .init(Int(code.rawValue)))]
    }

    private static let verbsWithTargets: Set<String> = ["sync", "apply", "plan"]

    /// The object of a call that has no result.
    private static func failureMembers(
        _ failure: Failure, verb: String?, code: ExitCode, _ context: RunContext? = nil
    ) -> [(String, JSONText)] {
        var members = opening(verb, code)
        let places = context?.notes.places
        if let source = places?.source { members.append(("source", .string(source))) }
        if places?.source != nil, let verb, verbsWithTargets.contains(verb) { members.append(("targets", .array([]))) }
        members.append(("error", failure.json))
        return members + (context?.closing() ?? RunContext.closing(seconds: 0))
    }

    /// Writes the result out.
    private static func finish(
        _ output: ResultWriter, with members: [(String, JSONText)], summary: [String] = [], code: ExitCode
    ) -> ExitCode {
        for line in summary { output.line(line) }
        return lost(output.finish(members), code: code)
    }

    /// A result that did not arrive is an error, unless the run had a worse one.
    private static func lost(_ error: Int32?, code: ExitCode) -> ExitCode {
        guard let error else { return code }
        let failure = Failure(
            .readWrite, "cannot write the result to standard output", reason: String(cString: strerror(error)),
            advice: "What the run did is done; run it again for the result.")
        Output.line("sealift: \(failure)")
        return code == .done ? .readWrite : code
    }

    /// What standard error has said of the run already.
    private static func told(_ outcome: Result<CommandResult, any Error>) -> [Notice] {
        switch outcome {
        case .success(let result): result.complaints
        case .failure(let error): [Notice(Failure(any: error))]
        }
    }

    /// A line in the catalog for each run. That it cannot be written is no reason to call the run failed, and no news where a catalog that cannot
    /// be used has failed the run already.
    private static func record(
        _ code: ExitCode, _ result: CommandResult, of command: Command, _ context: RunContext, told: [Notice]
    ) async {
        guard command.isRecorded else { return }
        let places = context.notes.places
        let run = RunRecord(
            started: context.started, finished: RunContext.now(), command: command.name, source: places.source,
            targets: places.targets, exitCode: Int64(code.rawValue), packfiles: Int64(result.copied.packfiles),
            states: Int64(result.copied.states), bytes: result.copied.bytes)
        do {
            try await context.environment.catalog.write { db in try db.recordRun(run) }
        } catch {
            let place = (error as? Failure)?.place
            if let place, told.contains(where: { $0.place == place }) { return }
            Output.line("sealift: warning: the run could not be noted in the catalog: \(error)")
        }
    }
}

extension Command {
    /// How the result is printed.
    var resultForm: ResultWriter.Form { wantsJSON ? .json : isQuiet ? .nothing : .text }

    /// What is to be said when a signal ended it.
    fileprivate var interruption: Failure {
        let advice =
            switch self {
            case .sync, .apply: "What was copied stays; the next run goes on from there."
            case .repair: "What was repaired stays; the next run goes on from there."
            default: ""
            }
        return Failure(.interrupted, "interrupted", reason: "a signal ended the run", advice: advice, retryable: true)
    }
}

extension Failure {
    /// Any error as a failure: ours as it is, everything else as what it says of itself.
    fileprivate init(any error: any Error) {
        self =
            switch error {
            case let failure as Failure: failure
            case is CancellationError: Failure(.interrupted, "interrupted", reason: "the run was stopped", retryable: true)
            default: Failure(.readWrite, "failed", reason: "\(error)")
            }
    }
}

extension ExitCode {
    init(_ error: any Error) { self.init(Failure(any: error).kind) }
}
