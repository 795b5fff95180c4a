import Catalog
import Replication

extension PointsRun {
    /// A point with all that it names, ascending by key: test stores are small.
    func members(of id: String) async throws -> (point: CatalogPoint, members: [PointMember]) {
        let point = try await point(id)
        let list = MemberList()
        try await forEachMember(of: point) { list.members.append($0) }
        return (point, list.members)
    }
}

private final class MemberList: @unchecked Sendable {
    // @unchecked: filled on the catalog's thread before the call that fills it returns.
    var members: [PointMember] = []
}
