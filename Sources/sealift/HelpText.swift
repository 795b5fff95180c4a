/// Help, made from the table of verbs.
enum HelpText {
    /// Lines stay below this, so that they fit the smallest usual terminal.
    private static let columns = 79
    private static let indent = 2
    /// Where the second column begins.
    private static let second = 26

    static func text(_ topic: HelpTopic) -> String {
        switch topic {
        case .overview: overview
        case .exitCodes: ExitCode.table
        case .verb(let verb): page(verb)
        }
    }

    static var visible: [Verb] { Verb.allCases.filter { !$0.shape.isHidden } }

    private static var overview: String {
        var text = """
            sealift \(Product.version): second copies of encrypted Kloset stores, without a key

            Usage: sealift VERB …


            """
        for verb in visible { text += row(verb.rawValue, verb.shape.summary) }
        return text + """

            A LOCATION is a path, fs:///path, s3://endpoint:port/bucket/prefix,
            sftp://user@host:port/path, or @name or @name:sub of plakar's stores.yml;
            inspect and verify also take ptar:/path/file.ptar.

            “sealift help VERB” explains a verb, “sealift help exit-codes” the exit codes.

            """
    }

    private static func page(_ verb: Verb) -> String {
        let shape = verb.shape
        var text =
            "Usage: " + wrapped(usage(of: verb), indent: 7).dropFirst(7) + "\n" + wrapped("\(sentence(shape.summary))", indent: 0)
        if !shape.details.isEmpty { text += "\n" + wrapped(shape.details, indent: 0) }
        if !shape.operands.isEmpty { text += "\n" + shape.operands.map { row($0.name, $0.help) }.joined() }
        text += "\nOptions:\n" + shape.options.map { row(form(of: $0), $0.help) }.joined() + row("-h, --help", "print this")
        text += "\nExit codes:\n" + shape.codes.map { row("\($0.rawValue)", $0.meaning) }.joined()
        return text
    }

    /// `sealift verify LOCATION [--against LOCATION] [--json]`
    static func usage(of verb: Verb) -> String {
        let options = verb.shape.options.map { option in
            let form = option.short.map { "-\($0)" } ?? "--\(option.name)"
            let text = option.value.map { "\(form) \($0)" } ?? form
            return option.isRequired ? text : option.isRepeated ? "[\(text) …]" : "[\(text)]"
        }
        return (["sealift", verb.rawValue, operands(of: verb)] + options).filter { !$0.isEmpty }.joined(separator: " ")
    }

    /// `SOURCE TARGET [TARGET …]`
    static func operands(of verb: Verb) -> String {
        verb.shape.operands.map { operand in
            let one = operand.count.lowerBound == 0 ? "[\(operand.name)]" : operand.name
            return operand.count.upperBound > 2 ? "\(one) [\(operand.name) …]" : one
        }.joined(separator: " ")
    }

    /// `-o, --output FILE`
    static func form(of option: OptionShape) -> String {
        let names = (option.short.map { "-\($0), " } ?? "") + "--\(option.name)"
        return option.value.map { "\(names) \($0)" } ?? names
    }

    static func sentence(_ phrase: String) -> String { phrase.prefix(1).uppercased() + phrase.dropFirst() + "." }

    /// A line of two columns; the second one is wrapped.
    static func row(_ left: String, _ right: String) -> String {
        let start = String(repeating: " ", count: indent) + left
        let body = wrapped(right, indent: second)
        guard start.count < second - 1 else { return "\(start)\n\(body)" }
        return start + body.dropFirst(start.count)
    }

    private static func wrapped(_ text: String, indent: Int) -> String {
        let margin = String(repeating: " ", count: indent)
        var lines: [String] = []
        var line = margin
        for word in text.split(separator: " ") {
            if line.count > indent, line.count + 1 + word.count > columns {
                lines.append(line)
                line = margin
            }
            line += line.count > indent ? " \(word)" : "\(word)"
        }
        lines.append(line)
        return lines.map { "\($0)\n" }.joined()
    }
}

/// What this program is.
enum Product {
    /// Semantic versioning 2.0.0: what documented verbs, options, codes, JSON and formats mean changes with the first number only.
    static let version = "0.1.0"
}
