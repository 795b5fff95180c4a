import S3Testing
import StorageTesting
import Testing

/// The storage contract, promise by promise, on real servers.
@Suite struct StoreRuleTests {
    @Test(.enabled(if: Gateway.isThere, Comment(rawValue: Gateway.reason)), arguments: StoreRule.allCases)
    func gateway(_ rule: StoreRule) async throws {
        try await rule.check(at: try await BucketPlace())
    }

    @Test(.enabled(if: OtherServer.swift.isThere, Comment(rawValue: OtherServer.swift.reason)), arguments: StoreRule.allCases)
    func openStackSwift(_ rule: StoreRule) async throws {
        try await rule.check(at: try await OtherServer.swift.place())
    }

    @Test(.enabled(if: OtherServer.moto.isThere, Comment(rawValue: OtherServer.moto.reason)), arguments: StoreRule.allCases)
    func moto(_ rule: StoreRule) async throws {
        try await rule.check(at: try await OtherServer.moto.place())
    }

    @Test(.enabled(if: OtherServer.rclone.isThere, Comment(rawValue: OtherServer.rclone.reason)), arguments: StoreRule.allCases)
    func rclone(_ rule: StoreRule) async throws {
        try await rule.check(at: try await OtherServer.rclone.place())
    }
}
