internal import Glibc
internal import HTTPClient
internal import StorageS3
internal import StorageTesting

// What reads the answers of S3 servers, under generated input:
//
//     fuzz [--count N] [--seed S]   generated answers, a million by default
//     fuzz --input                  one answer from standard input: head, empty line, body; what other fuzzers call
//
// A parser that breaks its promises ends the process with a trap; the seed was printed before.

func say(_ text: String) {
    let line = Array("\(text)\n".utf8)
    _ = write(STDOUT_FILENO, line, line.count)
}

/// Returns how many of the parsers made sense of it.
func understand(_ answer: GeneratedAnswers.Answer) -> Int {
    guard let head = understandHead(answer.head) else {
        return understandS3Answer(status: 200, headers: [], body: answer.body)
    }
    return 1 + understandS3Answer(status: head.status, headers: head.fields, body: answer.body)
}

func readInput() -> [UInt8] {
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    while case let count = read(STDIN_FILENO, &buffer, buffer.count), count > 0 { bytes += buffer[..<count] }
    return bytes
}

func number(after name: String) -> UInt64? {
    let words = CommandLine.arguments
    guard let index = words.firstIndex(of: name), index + 1 < words.count else { return nil }
    return UInt64(words[index + 1])
}

func main() -> Int32 {
    if CommandLine.arguments.contains("--input") {
        say("\(understand(GeneratedAnswers.Answer(readInput()))) understood it")
        return 0
    }
    let seed = number(after: "--seed") ?? SeededRandom.freshSeed()
    let count = number(after: "--count") ?? 1_000_000
    say("fuzz --count \(count) --seed \(seed)")
    var answers = GeneratedAnswers(seed: seed)
    var understood: UInt64 = 0
    for _ in 0..<count where understand(answers.next()) > 2 { understood += 1 }
    say("\(count) answers, \(understood) of them understood by three parsers or more")
    // Else the generator makes nothing but noise, and the test proves nothing.
    guard understood > count / 10, understood < count else {
        say("too few, or all, were understood")
        return 1
    }
    return 0
}

exit(main())
