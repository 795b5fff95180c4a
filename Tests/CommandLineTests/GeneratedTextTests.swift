import Glibc
import Kloset
import Planning
import Storage
import Testing

@testable import sealift

@Suite struct ExitCodeTests {
    @Test func theNumbersAreThoseOfTheInterface() {
        #expect(ExitCode.allCases.map(\.rawValue) == [0, 1, 3, 64, 65, 66, 69, 73, 74, 75, 77, 78, 130, 143])
        let expected: [Failure.Kind: Int32] = [
            .usage: 64, .refused: 3, .damage: 65, .noStore: 66, .unavailable: 69, .cannotWrite: 73, .readWrite: 74, .tryAgain: 75,
            .permission: 77,
            .configuration: 78, .incomplete: 1, .interrupted: 130,
        ]
        for kind in Failure.Kind.allCases { #expect(ExitCode(kind).rawValue == expected[kind]) }
    }

    private func document(_ name: String) throws -> String {
        let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
        let file = try #require(fopen("\(root)/docs/\(name)", "r"))
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var byte = fgetc(file)
        while byte != EOF {
            bytes.append(UInt8(byte))
            byte = fgetc(file)
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func theDocumentIsTheTable() throws {
        #expect(try document("exit-codes.md") == ExitCode.markdown, "sealift generate-manual writes it")
    }

    /// Whoever searches docs/operations.md for what stood on the screen must find it.
    @Test func operationsQuoteWhatGuardsSay() throws {
        let operations = try document("operations.md")
        let (one, other) = (
            RepositoryID(bytes: [UInt8](repeating: 1, count: 16)), RepositoryID(bytes: [UInt8](repeating: 2, count: 16))
        )
        let source = try #require(one)
        func reason(
            config: RepositoryID? = nil, marked: RepositoryID? = nil, replica: String? = nil, expected: String? = nil
        ) -> String? {
            let facts = TargetFacts(
                configRepository: config, markedRepository: marked, markedReplica: replica, isOccupied: true,
                expectedReplica: expected)
            return Guards.target(facts, repository: source, newReplicaAllowed: false)?.reason
        }
        func packfileLoss(_ count: Int) -> SourceLoss {
            var loss = SourceLoss()
            for _ in 0..<count { loss.add(ResourceKey(.packfile, .zero)) }
            return loss
        }
        let quoted: [(String?, [String])] = [
            (reason(config: other), ["the target holds another store"]),
            (reason(marked: other), ["the target is a copy of another store"]),
            (reason(), ["the target is not empty and holds no store"]),
            (reason(config: source, expected: "a"), ["replica ", " was here, now there is no replica"]),
            (reason(config: source, replica: "b", expected: "a"), ["replica ", "now there is replica "]),
            (
                Guards.divergence(targetOnlyStates: [.config], count: 2)?.reason,
                ["the replica has ", "states that the source does not have"]
            ),
            (
                Guards.loss(packfileLoss(2), since: "P", repair: "")?.reason,
                ["the source lost ", " that recovery point ", ", and no new state says why"]
            ),
        ]
        for (reason, parts) in quoted {
            for part in parts {
                #expect(reason?.contains(part) == true, "\(part)")
                #expect(operations.contains(part), "\(part)")
            }
        }
    }
}

@Suite struct HelpTests {
    @Test func everyVerbHasAShapeAndFitsTheTerminal() {
        for verb in Verb.allCases {
            #expect(VerbShape.all[verb] != nil, "\(verb)")
            let text = HelpText.text(.verb(verb))
            for option in verb.shape.options { #expect(text.contains("--\(option.name)"), "\(verb)") }
            for line in text.split(separator: "\n") { #expect(line.count <= 79, "\(line)") }
        }
        for topic in [HelpTopic.overview, .exitCodes] {
            for line in HelpText.text(topic).split(separator: "\n") { #expect(line.count <= 79, "\(line)") }
        }
        #expect(!HelpText.text(.overview).contains("generate-manual"))
    }

    @Test func usageIsThatOfTheInterface() {
        #expect(
            HelpText.usage(of: .sync)
                == "sealift sync SOURCE TARGET [TARGET …] [--verify none|sample|all] [--name TEXT] [--relist] [--allow-incomplete] "
                + "[--allow-loss] [--new-replica] [--object-lock MODE:DAYS] [--legal-hold] [--recall TIER[,DAYS]] [--limit RATE] [--jobs N] [--dry-run] [--connections N] [--option NAME=VALUE …] [--json] [--quiet]"
        )
        #expect(
            HelpText.usage(of: .plan)
                == "sealift plan SOURCE TARGET [-o FILE] [--object-lock MODE:DAYS] [--legal-hold] [--connections N] "
                + "[--option NAME=VALUE …] [--json]"
        )
        #expect(
            HelpText.usage(of: .verify)
                == "sealift verify LOCATION [--against LOCATION] [--server-checksums] [--remote-hash] [--connections N] [--option NAME=VALUE …] [--json]"
        )
        #expect(
            HelpText.usage(of: .repair)
                == "sealift repair LOCATION --from LOCATION [--connections N] [--option NAME=VALUE …] [--json]")
        #expect(HelpText.usage(of: .points) == "sealift points [LOCATION] [--connections N] [--option NAME=VALUE …] [--json]")
        #expect(HelpText.usage(of: .pointsDiff) == "sealift points diff A B [--json]")
    }

    @Test func manualPagesHaveEverySection() {
        #expect(Manual.pages.count == HelpText.visible.count + 1)
        for (name, text) in Manual.pages {
            for heading in ["NAME", "SYNOPSIS", "DESCRIPTION", "EXIT STATUS"] {
                #expect(text.contains(".SH \"\(heading)\""), "\(name)")
            }
            #expect(text.utf8.allSatisfy { $0 < 0x80 }, "\(name) is ASCII, for every man(1)")
        }
        #expect(Manual.pages.map(\.name).contains("sealift-points-diff.1"))
    }

    /// Runs a shell over a script of ours, if the shell is there.
    private func isAccepted(_ script: String, by command: String) throws -> Bool {
        let pipe = try #require(popen("\(command) 2>/dev/null", "w"))
        fputs(script, pipe)
        return pclose(pipe) == 0
    }

    @Test func completionsNameEverythingAndParse() throws {
        for shell in Shell.allCases {
            let script = Completions.script(for: shell)
            for verb in HelpText.visible where !verb.rawValue.contains(" ") {
                #expect(script.contains(verb.rawValue), "\(shell): \(verb)")
                for option in verb.shape.options { #expect(script.contains(option.name), "\(shell): \(option.name)") }
            }
            #expect(!script.contains("generate-manual"))
        }
        #expect(try isAccepted(Completions.script(for: .bash), by: "bash -n"))
        let sync =
            Completions.script(for: .bash)
            + "COMP_WORDS=(sealift sync --rel) COMP_CWORD=2; _sealift; [ \"${COMPREPLY[*]}\" = --relist ]\n"
        #expect(try isAccepted(sync, by: "bash"))
        let verb =
            Completions.script(for: .bash) + "COMP_WORDS=(sealift in) COMP_CWORD=1; _sealift; [ \"${COMPREPLY[*]}\" = inspect ]\n"
        #expect(try isAccepted(verb, by: "bash"))
        let choice =
            Completions.script(for: .bash)
            + "COMP_WORDS=(sealift sync --verify s) COMP_CWORD=3; _sealift; [ \"${COMPREPLY[*]}\" = sample ]\n"
        #expect(try isAccepted(choice, by: "bash"))
        // Where only words fit, files are not offered: there are some in every folder that tests run in.
        for (words, wanted) in [("completions", "bash zsh fish"), ("version", "")] {
            let script =
                Completions.script(for: .bash)
                + "COMP_WORDS=(sealift \(words) '') COMP_CWORD=2; _sealift; [ \"${COMPREPLY[*]}\" = '\(wanted)' ]\n"
            #expect(try isAccepted(script, by: "bash"), "\(words)")
        }
    }
}
