internal import FoundationEssentials
internal import Storage

/// Verbs that only print what is known without looking at anything.
enum StandingText {
    /// What goes to standard output, or nil when the command is another one.
    static func text(of command: Command) -> String? {
        switch command {
        case .help(let topic): HelpText.text(topic)
        case .version: "sealift \(Product.version)\n"
        case .completions(let shell): Completions.script(for: shell)
        case .generateManual: ""
        default: nil
        }
    }

    /// Writes manual pages and docs/exit-codes.md to a folder that is there; blocks.
    ///
    /// - Throws: `.cannotWrite`.
    static func generateManual(in folder: String) throws(Failure) {
        for (name, text) in Manual.pages + [("exit-codes.md", ExitCode.markdown)] {
            do {
                try text.write(toFile: "\(folder)/\(name)", atomically: true, encoding: .utf8)
            } catch {
                throw Failure(
                    .cannotWrite, "cannot write the manual", place: "\(folder)/\(name)", reason: "the folder takes no files",
                    advice: "Name a folder that is there and can be written.")
            }
        }
    }
}
