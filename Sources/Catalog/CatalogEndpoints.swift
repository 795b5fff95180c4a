public import Kloset

/// What servers were found to do.
extension CatalogReading {
    /// The answers of a server by ability, as far as they are not older than `oldest`.
    public func answers(of endpoint: String, since oldest: Timestamp) throws -> [String: String] {
        try database.with("SELECT ability, answer FROM endpoints WHERE name = ? AND asked >= ?") { row in
            row.bind(1, endpoint)
            row.bind(2, oldest.nanoseconds)
            var found: [String: String] = [:]
            while try row.step() {
                if let ability = row.text(0), let answer = row.text(1) { found[ability] = answer }
            }
            return found
        }
    }
}

extension CatalogWriting {
    /// Keeps a server's answers in place of all earlier ones.
    public func keepAnswers(_ answers: [String: String], of endpoint: String, asked: Timestamp) throws {
        try database.with("DELETE FROM endpoints WHERE name = ?") { row in
            row.bind(1, endpoint)
            try row.run()
        }
        for (ability, answer) in answers {
            try database.with("INSERT INTO endpoints VALUES (?, ?, ?, ?)") { row in
                row.bind(1, endpoint)
                row.bind(2, ability)
                row.bind(3, answer)
                row.bind(4, asked.nanoseconds)
                try row.run()
            }
        }
    }
}
