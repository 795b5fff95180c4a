/// A word as a person would type it for a POSIX shell: as it is where that is safe, else between single quotes.
public func commandWord(_ word: String) -> String {
    let isPlain = !word.isEmpty && word.utf8.allSatisfy { $0 >= 0x80 || plainBytes.contains($0) }
    return isPlain ? word : "'" + word.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "'\\''") + "'"
}

/// What no shell takes for more than itself, wherever it stands in a word (POSIX.1-2017, Shell Command Language, 2.2; `~` matters only at the start).
private let plainBytes = Set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-./:@%+=,".utf8)
