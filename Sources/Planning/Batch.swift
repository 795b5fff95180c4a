/// How much is staged before it is made durable and published together.
public struct BatchLimits: Sendable {
    /// Bytes in a batch: what a crash makes us copy again at most. One sync for 128 MiB costs a few percent of writing them.
    public var byteCountMax: Int64
    /// Resources in a batch.
    public var resourceCountMax: Int
    /// How long a batch stays open, so that a slow source does not keep work unpublished for ever.
    public var age: Duration

    /// Half of what may be lost (256 MiB, 4,096 resources), because one batch fills while the one before it is committed.
    public static let standard = BatchLimits(byteCountMax: 128 << 20, resourceCountMax: 2048, age: .seconds(10))

    public init(byteCountMax: Int64, resourceCountMax: Int, age: Duration) {
        self.byteCountMax = byteCountMax
        self.resourceCountMax = resourceCountMax
        self.age = age
    }

    /// Whether a batch of this size and age is to be committed now.
    public func isFull(bytes: Int64, resources: Int, age: Duration) -> Bool {
        bytes >= byteCountMax || resources >= resourceCountMax || (resources > 0 && age >= self.age)
    }
}
