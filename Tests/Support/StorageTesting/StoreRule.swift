internal import Kloset
internal import Storage

/// The promises of the storage contract, one case each. Every kind of place runs all of them.
public enum StoreRule: String, Sendable, CaseIterable {
    // looking
    case nothingIsThereAtFirst, presenceNamesWhatIsThere, footprintIsOfThePlace, prepareKeepsWhatIsThere
    case listsOneBucketInOrder, listsMissingBucketsAsEmpty, listsConfig, countsForeignNames, countsLocks, marksIrregularNames
    case attributesComeInOrder
    // reading
    case readsWholePrefix, readsLargeAndVanished, readsRanges, readsStagedBytes, refusesNonsenseRanges
    // staging
    case stagedIsInvisible, stagingReplacesStaged, stagedSurvivesTheRun, stagesManyAtOnce, stagesEmptyResources, keepsTimes
    case discardsStaged, discardsLeftovers
    // uploading
    case uploadsInAnyOrder, uploadsContinue, uploadsSetTheLength, uploadsEndOnce, unfinishedUploadsAreInvisible,
        refusesNonsenseChunks
    // publishing
    case neverReplaces, publishesOnlyStaged, publishAnswersInOrder, publishesConcurrently, publishesConfig, durableWithNothingToDo
    // replacing
    case exchangeKeepsTheOriginal, exchangePublishesWhereNothingIs, exchangeNeedsStagedBytes, exchangeReplacesIrregularNames
    // our own documents, the lock
    case documentsAreReplacedWhole, documentsAreCreatedOnce, documentsAreListed, documentsAreBounded, documentNamesAreSafe,
        documentsAreMovedAside
    case lockExcludesOthers, lockOfThePastFreesNothing

    /// Tries the promise at a fresh place.
    ///
    /// - Throws: ``RuleBroken`` when it does not hold, or whatever the store threw.
    public func check(at place: any StorePlace) async throws {
        let context = RuleContext(place: place, store: place.open(), random: SeededRandom(seed: 0x5EA1))
        switch self {
        case .nothingIsThereAtFirst: try await context.nothingIsThereAtFirst()
        case .presenceNamesWhatIsThere: try await context.presenceNamesWhatIsThere()
        case .footprintIsOfThePlace: try await context.footprintIsOfThePlace()
        case .prepareKeepsWhatIsThere: try await context.prepareKeepsWhatIsThere()
        case .listsOneBucketInOrder: try await context.listsOneBucketInOrder()
        case .listsMissingBucketsAsEmpty: try await context.listsMissingBucketsAsEmpty()
        case .listsConfig: try await context.listsConfig()
        case .countsForeignNames: try await context.countsForeignNames()
        case .countsLocks: try await context.countsLocks()
        case .marksIrregularNames: try await context.marksIrregularNames()
        case .attributesComeInOrder: try await context.attributesComeInOrder()
        case .readsWholePrefix: try await context.readsWholePrefix()
        case .readsLargeAndVanished: try await context.readsLargeAndVanished()
        case .readsRanges: try await context.readsRanges()
        case .readsStagedBytes: try await context.readsStagedBytes()
        case .refusesNonsenseRanges: try await context.refusesNonsenseRanges()
        default: try await checkWriting(context)
        }
    }

    private func checkWriting(_ context: RuleContext) async throws {
        try await context.store.prepare()
        switch self {
        case .stagedIsInvisible: try await context.stagedIsInvisible()
        case .stagingReplacesStaged: try await context.stagingReplacesStaged()
        case .stagedSurvivesTheRun: try await context.stagedSurvivesTheRun()
        case .stagesManyAtOnce: try await context.stagesManyAtOnce()
        case .stagesEmptyResources: try await context.stagesEmptyResources()
        case .keepsTimes: try await context.keepsTimes()
        case .discardsStaged: try await context.discardsStaged()
        case .discardsLeftovers: try await context.discardsLeftovers()
        case .uploadsInAnyOrder: try await context.uploadsInAnyOrder()
        case .uploadsContinue: try await context.uploadsContinue()
        case .uploadsSetTheLength: try await context.uploadsSetTheLength()
        case .uploadsEndOnce: try await context.uploadsEndOnce()
        case .unfinishedUploadsAreInvisible: try await context.unfinishedUploadsAreInvisible()
        case .refusesNonsenseChunks: try await context.refusesNonsenseChunks()
        case .neverReplaces: try await context.neverReplaces()
        case .publishesOnlyStaged: try await context.publishesOnlyStaged()
        case .publishAnswersInOrder: try await context.publishAnswersInOrder()
        case .publishesConcurrently: try await context.publishesConcurrently()
        case .publishesConfig: try await context.publishesConfig()
        case .durableWithNothingToDo: try await context.durableWithNothingToDo()
        case .exchangeKeepsTheOriginal: try await context.exchangeKeepsTheOriginal()
        case .exchangePublishesWhereNothingIs: try await context.exchangePublishesWhereNothingIs()
        case .exchangeNeedsStagedBytes: try await context.exchangeNeedsStagedBytes()
        case .exchangeReplacesIrregularNames: try await context.exchangeReplacesIrregularNames()
        case .documentsAreReplacedWhole: try await context.documentsAreReplacedWhole()
        case .documentsAreCreatedOnce: try await context.documentsAreCreatedOnce()
        case .documentsAreListed: try await context.documentsAreListed()
        case .documentsAreBounded: try await context.documentsAreBounded()
        case .documentsAreMovedAside: try await context.documentsAreMovedAside()
        case .documentNamesAreSafe: try await context.documentNamesAreSafe()
        case .lockExcludesOthers: try await context.lockExcludesOthers()
        case .lockOfThePastFreesNothing: try await context.lockOfThePastFreesNothing()
        default: throw RuleBroken(description: "\(rawValue) has no check")
        }
    }
}
