internal import Storage

/// A call that makes no sense, and why.
struct UsageError: Error, Sendable, Equatable, CustomStringConvertible {
    var reason: String
    /// Where help is.
    var verb: Verb?

    init(_ reason: String, verb: Verb? = nil) {
        self.reason = reason
        self.verb = verb
    }

    private var advice: String { "See “sealift help\(verb.map { " \($0.rawValue)" } ?? "")”." }

    var description: String { "\(reason). \(advice)" }

    /// The same for code that knows failures only.
    var failure: Failure { Failure(.usage, "cannot do that", reason: reason, advice: advice) }
}

/// A verb with its words, as its shape in the table sorts them.
struct ParsedWords: Sendable, Equatable {
    var verb: Verb
    var operands: [String] = []
    /// By the option's name; a flag's value is empty.
    var options: [String: String] = [:]
    /// Values of options that may stand there several times.
    var repeated: [String: [String]] = [:]

    subscript(name: String) -> String? { options[name] }
    func has(_ name: String) -> Bool { options[name] != nil }
}

extension Command {
    /// Understands a command line. A pure function: nothing is looked at but the words.
    ///
    /// `--help` anywhere before `--` asks for help, `--version` in place of a verb for the version.
    ///
    /// - Parameter words: the arguments without the program's own name.
    static func parse(_ words: [String]) -> Result<Command, UsageError> {
        parseCall(words).map(\.0)
    }

    /// The same with what is said about locations.
    static func parseCall(_ words: [String]) -> Result<(Command, LocationOptions), UsageError> {
        Result { () throws(UsageError) in
            guard let first = words.first else { throw UsageError("a verb is missing") }
            if first == "--help" || first == "-h" { return (.help(.overview), LocationOptions()) }
            if first == "--version" { return (.version, LocationOptions()) }
            var verb = try verb(first)
            var rest = words[1...]
            if let second = rest.first, let longer = Verb(rawValue: "\(first) \(second)") {
                verb = longer
                rest = rest.dropFirst()
            }
            guard let sorted = try sort(rest, for: verb) else { return (.help(.verb(verb)), LocationOptions()) }
            return (try Command(sorted), try LocationOptions(sorted))
        }
    }

    private static func verb(_ word: String) throws(UsageError) -> Verb {
        if let verb = Verb(rawValue: word), !word.contains(" ") { return verb }
        if word.hasPrefix("-") { throw UsageError("options come behind a verb") }
        let known = Verb.allCases.filter { !$0.shape.isHidden }.map(\.rawValue)
        throw UsageError("there is no verb “\(printable(word))”" + suggestion(for: word, among: known))
    }

    /// Sorts words into options and operands; nil when help is asked for.
    private static func sort(_ words: ArraySlice<String>, for verb: Verb) throws(UsageError) -> ParsedWords? {
        var sorted = ParsedWords(verb: verb)
        var rest = words
        while let word = rest.popFirst() {
            if word == "--" {
                sorted.operands += rest
                break
            }
            if word == "--help" || word == "-h" { return nil }
            if word.hasPrefix("-"), word != "-" {
                try takeOption(word, &rest, into: &sorted)
            } else {
                sorted.operands.append(word)
            }
        }
        try check(sorted)
        return sorted
    }

    private static func takeOption(_ word: String, _ rest: inout ArraySlice<String>, into sorted: inout ParsedWords)
        throws(UsageError)
    {
        let verb = sorted.verb
        let (option, attached) = try option(word, of: verb)
        let shown = "--\(option.name)"
        guard option.value != nil else {
            if attached != nil { throw UsageError("\(shown) takes no value", verb: verb) }
            sorted.options[option.name] = ""
            return
        }
        guard option.isRepeated || sorted.options[option.name] == nil else {
            throw UsageError("\(shown) stands there twice", verb: verb)
        }
        guard let value = attached ?? rest.popFirst() else { throw UsageError("\(shown) wants a value", verb: verb) }
        if attached == nil, value.hasPrefix("--") {
            throw UsageError("\(shown) wants a value; one that begins with -- is written \(shown)=--…", verb: verb)
        }
        guard option.choices.isEmpty || option.choices.contains(value) else {
            throw UsageError("\(shown) wants one of \(option.choices.joined(separator: ", "))", verb: verb)
        }
        sorted.options[option.name] = value
        if option.isRepeated { sorted.repeated[option.name, default: []].append(value) }
    }

    /// The option that a word names, and the value attached to it: `--verify=all`, `-oFILE`.
    private static func option(_ word: String, of verb: Verb) throws(UsageError) -> (OptionShape, String?) {
        let options = verb.shape.options
        if word.hasPrefix("--") {
            let name = word.dropFirst(2).prefix { $0 != "=" }
            let value = word.dropFirst(2 + name.count)
            if let option = options.first(where: { $0.name == name }) {
                return (option, value.isEmpty ? nil : String(value.dropFirst()))
            }
            let near = suggestion(for: String(name), among: options.map(\.name) + ["help"], prefix: "--")
            throw UsageError("\(verb.rawValue) has no option --\(printable(String(name)))" + near, verb: verb)
        }
        let letter = word.dropFirst().prefix(1)
        guard let option = options.first(where: { $0.short.map { String($0) } == String(letter) }) else {
            throw UsageError("\(verb.rawValue) has no option -\(printable(String(letter)))", verb: verb)
        }
        let value = word.dropFirst(2)
        return (option, value.isEmpty ? nil : String(value.hasPrefix("=") ? value.dropFirst() : value))
    }

    private static func check(_ sorted: ParsedWords) throws(UsageError) {
        let (verb, shape) = (sorted.verb, sorted.verb.shape)
        if let missing = shape.options.first(where: { $0.isRequired && sorted.options[$0.name] == nil }) {
            throw UsageError("\(verb.rawValue) wants --\(missing.name) \(missing.value ?? "")", verb: verb)
        }
        let least = shape.operands.reduce(0) { $0 + $1.count.lowerBound }
        let most = shape.operands.reduce(0) { $0 + $1.count.upperBound }
        guard (least...most).contains(sorted.operands.count) else {
            let wanted = HelpText.operands(of: verb)
            let few = sorted.operands.count < least
            throw UsageError(
                few
                    ? "\(verb.rawValue) wants \(wanted)"
                    : "\(verb.rawValue) wants \(wanted.isEmpty ? "nothing" : wanted), there is more",
                verb: verb)
        }
        for (operand, word) in zip(shape.operands, sorted.operands)
        where !operand.choices.isEmpty && !operand.choices.contains(word) {
            throw UsageError("\(operand.name) is one of \(operand.choices.joined(separator: ", "))", verb: verb)
        }
    }
}

/// Text of the caller's in a message: without control characters, and not endless.
func printable(_ text: String) -> String {
    let shownMax = 200
    let clean = String(text.unicodeScalars.filter { $0.value >= 0x20 && !(0x7f...0x9f).contains($0.value) }.map { Character($0) })
    return clean.count <= shownMax ? clean : "\(clean.prefix(shownMax))…"
}

/// ` (did you mean “sync”?)` when a known word is near, else nothing.
func suggestion(for word: String, among known: [String], prefix: String = "") -> String {
    let wordCountMax = 40  // the distance takes time in the product of the lengths, and no word of ours is as long
    guard word.count <= wordCountMax else { return "" }
    let near = known.map { (name: $0, distance: editDistance(word.lowercased(), $0)) }.min { $0.distance < $1.distance }
    guard let near, near.distance <= max(1, min(2, near.name.count / 3)) else { return "" }
    return " (did you mean “\(prefix)\(near.name)”?)"
}

/// Levenshtein's distance, counting a swap of neighbours as one.
func editDistance(_ left: String, _ right: String) -> Int {
    let (left, right) = (Array(left), Array(right))
    var rows = [Array(0...right.count)]
    for i in 0..<left.count {
        var row = [i + 1]
        for j in 0..<right.count {
            var best = min(rows[i][j] + (left[i] == right[j] ? 0 : 1), rows[i][j + 1] + 1, row[j] + 1)
            if i > 0, j > 0, left[i] == right[j - 1], left[i - 1] == right[j] { best = min(best, rows[i - 1][j - 1] + 1) }
            row.append(best)
        }
        rows.append(row)
    }
    return rows[left.count][right.count]
}
