public import Kloset

extension Timestamp {
    /// Parses a header's date: `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, section 5.6.7; the obsolete forms are not taken). Nil for anything else.
    public init?(httpDate text: String) {
        let parts = text.split(separator: " ", maxSplits: 6)
        guard text.utf8.count == 29, parts.count == 6, parts[5] == "GMT", parts[0].utf8.count == 4, parts[0].hasSuffix(","),
            let month = Self.months.firstIndex(of: String(parts[2]))
        else { return nil }
        self.init(year: parts[3], month: month + 1, day: parts[1], time: parts[4])
    }

    /// Parses `2026-11-21T08:35:12Z`, with or without a fraction of a second, which is cut off (RFC 3339; only UTC). Nil for anything else.
    public init?(isoDate text: String) {
        guard text.utf8.count <= 40, text.utf8.last == UInt8(ascii: "Z") else { return nil }
        let halves = text.dropLast().split(separator: "T", maxSplits: 1, omittingEmptySubsequences: false)
        guard halves.count == 2 else { return nil }
        let date = halves[0].split(separator: "-", omittingEmptySubsequences: false)
        let time = halves[1].split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
        guard date.count == 3, let month = Self.number(date[1], digits: 2) else { return nil }
        if time.count == 2 { guard !time[1].isEmpty, time[1].utf8.allSatisfy(Self.isDigit) else { return nil } }
        self.init(year: date[0], month: month, day: date[2], time: time[0])
    }

    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

    private init?(year: Substring, month: Int, day: Substring, time: Substring) {
        let clock = time.split(separator: ":", omittingEmptySubsequences: false)
        guard clock.count == 3, let year = Self.number(year, digits: 4), let day = Self.number(day, digits: 2),
            let hour = Self.number(clock[0], digits: 2), let minute = Self.number(clock[1], digits: 2),
            let second = Self.number(clock[2], digits: 2),
            // Before 1970 and after 2261 nanoseconds do not fit, and no server's clock is there. A leap second counts as the next second.
            (1970...2261).contains(year), (1...12).contains(month), hour < 24, minute < 60, second <= 60
        else { return nil }
        let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
        let lengths = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
        guard (1...lengths[month - 1]).contains(day) else { return nil }
        let years = year - 1
        // Days since 1970-01-01; 719,162 days lie between 0001-01-01 and then.
        let days = years * 365 + years / 4 - years / 100 + years / 400 - 719_162 + lengths[..<(month - 1)].reduce(0, +) + day - 1
        self.init(seconds: Int64(days) * 86_400 + Int64(hour * 3600 + minute * 60 + second))
    }

    private static func number(_ text: Substring, digits: Int) -> Int? {
        guard text.utf8.count == digits, text.utf8.allSatisfy(isDigit) else { return nil }
        return Int(text)
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }
}

/// How far a server's clock is from ours, learned from the `Date` lines of its answers. A value: whoever asks the server keeps it.
public struct ClockOffset: Sendable, Equatable {
    /// Servers allow 15 minutes either way; a difference below one minute is a slow answer as likely as a wrong clock.
    public static let toleranceSeconds: Int64 = 60

    /// Added to our time to get the server's.
    public private(set) var seconds: Int64 = 0

    public init() {}

    /// Takes in what the server said. A `Date` that cannot be read changes nothing.
    ///
    /// - Parameter now: our time when the answer came.
    /// - Returns: whether the offset changed, so that a request refused for its time (403 RequestTimeTooSkewed) is worth signing again.
    public mutating func learn(serverDate: String, now: Timestamp) -> Bool {
        guard let date = Timestamp(httpDate: serverDate) else { return false }
        let difference = date.nanoseconds / 1_000_000_000 - now.nanoseconds / 1_000_000_000
        guard abs(difference - seconds) >= Self.toleranceSeconds else { return false }
        seconds = difference
        return true
    }

    /// The server's time at our `now`.
    public func serverTime(_ now: Timestamp) -> Timestamp { Timestamp(nanoseconds: now.nanoseconds + seconds * 1_000_000_000) }
}
