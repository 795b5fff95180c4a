internal import Kloset
internal import Storage

/// What everything that is published gets: as the caller wants it, with the date that the days come to.
struct S3Lock: Sendable, Equatable {
    var wanted: ResourceLock
    /// Whole seconds.
    var until: Timestamp

    /// A call that makes an object, with the header lines of its lock. S3 wants `Content-MD5` beside them, which all our bodies have.
    func on(_ call: S3Call) -> S3Call {
        var call = call
        if let retention = wanted.retention {
            call = call.with("x-amz-object-lock-mode", retention.mode.rawValue.uppercased())
                .with("x-amz-object-lock-retain-until-date", until.isoText)
        }
        return wanted.isHeld ? call.with("x-amz-object-lock-legal-hold", "ON") : call
    }
}

/// The retention of an object, as a server tells it.
struct S3Retention: Sendable, Equatable {
    var mode: ResourceLock.Mode
    var until: Timestamp

    init(mode: ResourceLock.Mode, until: Timestamp) {
        self.mode = mode
        self.until = until
    }

    /// Nil for anything that is no such document: servers that do not know the question send the object itself.
    init?(parsing bytes: [UInt8]) {
        guard let xml = try? S3XML(parsing: bytes), xml.rootName == "Retention",
            let mode = xml.text("Mode").flatMap({ ResourceLock.Mode(rawValue: $0.lowercased()) }),
            let until = xml.text("RetainUntilDate").flatMap({ Timestamp(isoDate: $0) })
        else { return nil }
        self.init(mode: mode, until: until)
    }

    /// Whether this keeps an object at least as well: the stronger mode will do, and a later date.
    func covers(_ other: S3Retention) -> Bool {
        until >= other.until && (mode == .compliance || other.mode == .governance)
    }

    /// What covers both.
    func extended(by other: S3Retention) -> S3Retention {
        S3Retention(mode: mode == .compliance ? .compliance : other.mode, until: max(until, other.until))
    }

    var document: [UInt8] {
        Array(
            "<Retention><Mode>\(mode.rawValue.uppercased())</Mode><RetainUntilDate>\(until.isoText)</RetainUntilDate></Retention>"
                .utf8)
    }
}
