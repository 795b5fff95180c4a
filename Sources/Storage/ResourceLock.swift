/// What keeps published resources from being removed: a retention lock until a date, a hold until it is lifted, or both.
public struct ResourceLock: Sendable, Equatable {
    public enum Mode: String, Sendable, CaseIterable {
        /// Those with a right of their own may lift it.
        case governance
        /// Nobody may, not even the owner.
        case compliance
    }

    public struct Retention: Sendable, Equatable {
        public var mode: Mode
        /// From the run's beginning on; 1 to ``daysMax``.
        public var days: Int

        public init(mode: Mode, days: Int) {
            self.mode = mode
            self.days = days
        }

        /// A hundred years: S3's own bound.
        public static let daysMax = 36_500
    }

    public var retention: Retention?
    public var isHeld: Bool

    public init(retention: Retention?, isHeld: Bool) {
        self.retention = retention
        self.isHeld = isHeld
    }
}
