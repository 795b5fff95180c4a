/// Completion scripts, made from the table of verbs. Operands complete as files; a store's name of stores.yml is typed.
enum Completions {
    static func script(for shell: Shell) -> String {
        switch shell {
        case .bash: bash
        case .zsh: zsh
        case .fish: fish
        }
    }

    /// Verbs of one word: what completes first.
    private static var verbs: [Verb] { HelpText.visible.filter { !$0.rawValue.contains(" ") } }

    /// The second words that a verb offers: `show` and `diff`, shells, help's topics.
    private static func words(behind verb: Verb) -> [String] {
        if verb == .help { return verbs.map(\.rawValue) + ["exit-codes"] }
        let longer = HelpText.visible.filter { $0.rawValue.hasPrefix("\(verb.rawValue) ") }
        return longer.map { String($0.rawValue.dropFirst(verb.rawValue.count + 1)) } + verb.shape.operands.flatMap(\.choices)
    }

    /// Whether an operand may be a file: not where only words fit.
    private static func takesFiles(_ verb: Verb) -> Bool {
        verb != .help && verb.shape.operands.contains { $0.choices.isEmpty }
    }

    private static var bash: String {
        var text = """
            # bash completion for sealift
            _sealift() {
                local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD-1]} options= words= files=
                COMPREPLY=()
                if [ "$COMP_CWORD" -eq 1 ]; then
                    COMPREPLY=($(compgen -W "\(verbs.map(\.rawValue).joined(separator: " ")) --help --version" -- "$word"))
                    return
                fi
                case ${COMP_WORDS[1]}:$previous in

            """
        for verb in verbs {
            for option in verb.shape.options where !option.choices.isEmpty {
                let choices = option.choices.joined(separator: " ")
                text +=
                    "        \(verb.rawValue):--\(option.name)) COMPREPLY=($(compgen -W \"\(choices)\" -- \"$word\")); return;;\n"
            }
        }
        text += "    esac\n    case ${COMP_WORDS[1]} in\n"
        for verb in verbs {
            let options = (verb.shape.options.map { "--\($0.name)" } + ["--help"]).joined(separator: " ")
            text +=
                "        \(verb.rawValue)) options=\"\(options)\" words=\"\(words(behind: verb).joined(separator: " "))\" files=\(takesFiles(verb) ? "yes" : "");;\n"
        }
        return text + """
                esac
                case $word in
                    -*) COMPREPLY=($(compgen -W "$options" -- "$word"));;
                    *)
                        if [ "$files" ]; then
                            compopt -o filenames 2>/dev/null
                            COMPREPLY=($(compgen -f -- "$word"))
                        fi
                        if [ "$COMP_CWORD" -eq 2 ]; then COMPREPLY+=($(compgen -W "$words" -- "$word")); fi;;
                esac
            }
            complete -F _sealift sealift

            """
    }

    private static var zsh: String {
        var text = """
            #compdef sealift
            _sealift() {
                local -a verbs
                verbs=(

            """
        for verb in verbs { text += "        \(quoted("\(verb.rawValue):\(verb.shape.summary)"))\n" }
        text += """
                )
                if (( CURRENT == 2 )); then
                    _describe verb verbs
                    return
                fi
                case $words[2] in

            """
        for verb in verbs {
            let options = verb.shape.options.map { option in
                let value =
                    option.value.map {
                        option.choices.isEmpty ? ":\($0):_files" : ":value:(\(option.choices.joined(separator: " ")))"
                    } ?? ""
                return quoted("--\(option.name)[\(option.help)]\(value)")
            }
            let words = words(behind: verb)
            let second = words.isEmpty ? [] : [quoted("2:word:(\(words.joined(separator: " ")))")]
            let files = takesFiles(verb) ? [quoted("*:location:_files")] : []
            let arguments = (options + [quoted("--help[print help]")] + second + files).joined(separator: " ")
            text += "        \(verb.rawValue)) _arguments \(arguments);;\n"
        }
        return text
            + "    esac\n}\nif [ \"$funcstack[1]\" = _sealift ]; then _sealift \"$@\"; else compdef _sealift sealift; fi\n"
    }

    private static var fish: String {
        var text = "# fish completion for sealift\n"
        for verb in verbs {
            text += "complete -c sealift -n __fish_use_subcommand -f -a \(verb.rawValue) -d \(quoted(verb.shape.summary))\n"
        }
        for verb in verbs {
            let start = "complete -c sealift -n \(quoted("__fish_seen_subcommand_from \(verb.rawValue)"))"
            for option in verb.shape.options {
                let short = option.short.map { " -s \($0)" } ?? ""
                let value =
                    option.value == nil
                    ? "" : option.choices.isEmpty ? " -r" : " -x -a \(quoted(option.choices.joined(separator: " ")))"
                text += "\(start) -l \(option.name)\(short)\(value) -d \(quoted(option.help))\n"
            }
            if !takesFiles(verb) { text += "\(start) -f\n" }
            for word in words(behind: verb) { text += "\(start) -a \(word)\n" }
        }
        return text
    }

    /// In single quotes, as all three shells read them.
    private static func quoted(_ text: String) -> String { "'\(text.replacing("'", with: "'\\''"))'" }
}
