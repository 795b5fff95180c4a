import S3Testing
import StorageTesting
import Testing

/// The storage contract, promise by promise, on a real server.
@Suite(.enabled(if: Gateway.isThere, Comment(rawValue: Gateway.reason))) struct StoreRuleTests {
    @Test(arguments: StoreRule.allCases)
    func gateway(_ rule: StoreRule) async throws {
        try await rule.check(at: try await BucketPlace())
    }
}
