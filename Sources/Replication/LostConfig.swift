internal import Catalog
internal import Hashing
internal import Kloset
internal import Reconciliation
internal import Storage

/// Judges whether a place without CONFIG is a store that lost it, so that a copy's CONFIG makes it whole again.
///
/// Without a key two things can be known. That it is this repository: names are MACs under a key of the repository, so one resource of the same
/// name with the same bytes proves it. That it is whole but for CONFIG: this machine remembers a recovery point that was taken from this very
/// place, and what that names and is gone is healed with CONFIG; or else the place has all that the donor has, less packfiles that a state which
/// the donor does not have may have dropped. An unfinished copy, which has no CONFIG for a good reason, has not all states.
struct LostConfig: Sendable {
    var reader: any StoreReader
    var donor: OpenedStore
    var environment: RunEnvironment

    /// - Throws: `.noStore` when nothing says that it is a store of the donor's repository, `.refused` when it may be an unfinished copy.
    func check() async throws {
        guard try await sharesBytes() else { throw try await reader.noConfig() }
        let (place, repository, anchor) = (reader.place, donor.repository, try await reader.footprint().anchor)
        let isKnown = try await environment.catalog.read { db in
            try !db.latestPoints(ofSource: place, anchor: anchor, in: repository).isEmpty
        }
        guard !isKnown, let lacking = try await firstLacking() else { return }
        throw Failure(
            .refused, "refusing to make a store of", place: reader.place,
            reason:
                "there is no CONFIG, and the donor \(donor.reader.place) has \(lacking), which is not there: it may be an unfinished copy",
            advice: "If it is one, copy anew into an empty folder. A machine that has synced from this place knows better.")
    }

    private func sharesBytes() async throws -> Bool {
        let (mine, theirs) = (Piece(), Piece())
        for key in try await reader.firstResources(atMost: Self.resourcesCompared) {
            guard case .regular(let size, _)? = try await donor.reader.attributes(of: [key]).first else { continue }
            do {
                let here = try await ResourceProof.reading(key, size: size, of: reader, from: .published, piece: mine)
                let there = try await ResourceProof.reading(key, size: size, of: donor.reader, from: .published, piece: theirs)
                if let here, here.digest == there?.digest { return true }
            } catch is Vanished {
                continue
            } catch let failure as Failure where failure.kind == .damage || failure.kind == .readWrite {
                continue
            }
        }
        return false
    }

    /// Some may be damaged, or newer than a replica; where all of so many are, it takes a person to say what it is.
    private static let resourcesCompared = 64

    /// What the donor has, the place has not, and no state can have dropped.
    private func firstLacking() async throws -> ResourceKey? {
        let (mine, theirs) = (
            try await SourceCut.make(of: reader, in: environment), try await SourceCut.make(of: donor.reader, in: environment)
        )
        var difference = SortedDifference(mine.cursor(), theirs.cursor())
        var hasNews = false
        while let step = try difference.next() {
            switch step {
            case .leftOnly(let resource): if resource.key.kind == .state { hasNews = true }
            // States come first.
            case .rightOnly(let resource): if resource.key.kind == .state || !hasNews { return resource.key }
            case .both: continue
            }
        }
        return nil
    }
}

extension StoreReader {
    /// The failure for a place without CONFIG that is no copy of ours. Where there are resources, CONFIG alone may be gone.
    func noConfig() async throws -> Failure {
        var hasResources = false
        if case .occupied(let names) = try await presence(), names.contains("packfiles") || names.contains("states") {
            hasResources = try await !firstResources(atMost: 1).isEmpty
        }
        return Failure(
            .noStore, "no store", place: place,
            reason: hasResources ? "there is no CONFIG, although there are packfiles or states" : "there is no CONFIG",
            advice: hasResources
                ? "If it is a store that lost its CONFIG, a replica of it has it: sealift repair \(commandWord(place)) --from REPLICA"
                : "Is the disk mounted?")
    }

    /// A few of the resources that are there, states first.
    func firstResources(atMost count: Int) async throws -> [ResourceKey] {
        var found: [ResourceKey] = []
        for kind in [ResourceKind.state, .packfile] {
            for bucket in UInt8.min...UInt8.max where found.count < count {
                let listing = try await list(kind, bucket: bucket)
                for id in listing.ids where found.count < count && !listing.irregular.contains(id) {
                    found.append(ResourceKey(kind, id))
                }
            }
        }
        return found
    }
}
