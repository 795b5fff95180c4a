/// Manual pages (man(7)), made from the table of verbs.
enum Manual {
    /// File names and their content: `sealift.1` and one for each verb.
    static var pages: [(name: String, text: String)] {
        [("sealift.1", overview)] + HelpText.visible.map { ("\(title($0)).1", page($0)) }
    }

    private static func title(_ verb: Verb) -> String { "sealift-" + verb.rawValue.replacing(" ", with: "-") }

    private static var overview: String {
        var text = heading("sealift", "second copies of encrypted Kloset stores, without a key")
        text += section("SYNOPSIS", "\\fBsealift\\fR \\fIVERB\\fR \\&...")
        text += section(
            "DESCRIPTION",
            escaped(
                "Copies encrypted Kloset stores (the store format of plakar). It moves only the ciphertext that is missing, never needs a key, "
            )
                + escaped("and leaves a store that plakar opens in place."))
        text += ".SH VERBS\n" + HelpText.visible.map { tagged("\\fB\(escaped($0.rawValue))\\fR", $0.shape.summary) }.joined()
        text += section(
            "LOCATIONS",
            escaped(
                "A path, fs:///path, s3://endpoint:port/bucket/prefix, sftp://user@host:port/path, or @name or @name:sub of plakar's stores.yml; inspect and verify also take ptar:/path/file.ptar."
            ))
        text += codes(ExitCode.allCases)
        text += ".SH ENVIRONMENT\n"
        text += tagged(
            "\\fBSEALIFT_STATE\\fR", "The folder of the catalog; else $XDG_STATE_HOME/sealift, else ~/.local/state/sealift.")
        text += tagged("\\fBSEALIFT_SSH\\fR", "The program that reaches SFTP servers; else ssh of PATH.")
        text += tagged("\\fBXDG_CONFIG_HOME\\fR", "Where plakar/stores.yml is; else ~/.config.")
        return text + section("SEE ALSO", HelpText.visible.map { "\\fB\(escaped(title($0)))\\fR(1)" }.joined(separator: ",\n"))
    }

    private static func page(_ verb: Verb) -> String {
        let shape = verb.shape
        var text = heading(title(verb), shape.summary)
        text += section("SYNOPSIS", escaped(HelpText.usage(of: verb)))
        text += section(
            "DESCRIPTION",
            escaped(HelpText.sentence(shape.summary)) + (shape.details.isEmpty ? "" : "\n.PP\n" + escaped(shape.details)))
        if !shape.operands.isEmpty {
            text += ".SH OPERANDS\n" + shape.operands.map { tagged("\\fI\($0.name)\\fR", $0.help) }.joined()
        }
        text += ".SH OPTIONS\n" + shape.options.map { tagged("\\fB\(escaped(HelpText.form(of: $0)))\\fR", $0.help) }.joined()
        text += tagged("\\fB\\-h, \\-\\-help\\fR", "print help")
        text += codes(shape.codes)
        return text + section("SEE ALSO", "\\fBsealift\\fR(1)")
    }

    private static func heading(_ name: String, _ summary: String) -> String {
        ".TH \"\(name.uppercased())\" \"1\" \"\" \"sealift \(Product.version)\" \"Sealift\"\n"
            + section("NAME", "\(escaped(name)) \\- \(escaped(summary))")
    }

    private static func section(_ title: String, _ text: String) -> String { ".SH \"\(title)\"\n\(text)\n" }

    private static func tagged(_ tag: String, _ text: String) -> String { ".TP\n\(tag)\n\(escaped(text))\n" }

    private static func codes(_ codes: [ExitCode]) -> String {
        ".SH \"EXIT STATUS\"\n" + codes.map { tagged("\\fB\($0.rawValue)\\fR", $0.meaning) }.joined()
    }

    /// Text that roff takes as it stands (groff_char(7)).
    private static func escaped(_ text: String) -> String {
        let plain = text.replacing("\\", with: "\\e").replacing("-", with: "\\-").replacing("'", with: "\\(aq")
            .replacing("“", with: "\\(lq").replacing("”", with: "\\(rq").replacing("…", with: "...")
        return plain.hasPrefix(".") ? "\\&\(plain)" : plain
    }
}
