import FoundationEssentials
import Testing

/// What the compiler does not check of the borders.
@Suite("The core is pure")
struct TidyTests {
    /// Words that mean I/O, a clock, chance or a task. The generator of a random choice is always an argument.
    private static let banned = [
        "async ", "await ", "Task ", "Task.", "Glibc", "FileManager", "ContinuousClock", "Date()", "SystemRandomNumberGenerator",
        "print(",
    ]

    @Test(arguments: ["Kloset", "Hashing", "Reconciliation", "Planning"])
    func aCoreModuleHasNoInputOutputClockOrTask(module: String) throws {
        let folder = Self.root + "/Sources/" + module
        let names = try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0.hasSuffix(".swift") }
        #expect(!names.isEmpty)
        for name in names {
            let text = try String(contentsOfFile: folder + "/" + name, encoding: .utf8)
            for line in text.split(separator: "\n") where !line.contains("///") {
                for word in Self.banned where line.contains(word) { Issue.record("\(module)/\(name): \(word) in: \(line)") }
            }
        }
    }

    /// The package's folder, from where this file was compiled.
    private static var root: String {
        #filePath.split(separator: "/").dropLast(3).reduce("") { $0 + "/" + $1 }
    }
}
