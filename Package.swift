// swift-tools-version:6.0
import PackageDescription

/// One row per module: what it may import. Rows name only rows above them; every build checks it
/// (`--explicit-target-dependency-import-check error`). The map with reasons is docs/architecture.md.
let modules: [(name: String, imports: [Target.Dependency])] = [
    // core: values only, no I/O, no clock, no tasks
    ("Kloset", []),
    ("Hashing", ["Kloset", "CCrypto", "CXXHash"]),
    ("Reconciliation", ["Kloset"]),
    ("Planning", ["Kloset", "Hashing", "Reconciliation"]),
    ("SFTPProtocol", []),
    // storage: one contract, one module per kind of place
    ("Storage", ["Kloset", "CLinux"]),
    ("StorageLocal", ["Kloset", "Hashing", "Storage", "CLinux"]),
    ("HTTPClient", ["Storage", "CCurl"]),
    ("S3Signing", ["Kloset", "Hashing"]),
    ("S3Identity", ["Kloset", "Storage", "HTTPClient", "S3Signing", "CLinux"]),
    ("StorageS3", ["Kloset", "Hashing", "Storage", "HTTPClient", "S3Signing", "CCrypto"]),
    ("SSHClient", ["Storage", "CCrypto", "CLinux", "CSSH2"]),
    ("StorageSFTP", ["Kloset", "Hashing", "SFTPProtocol", "Storage", "SSHClient", "CLinux"]),
    ("Configuration", ["Storage", "S3Signing", "CYAML"]),
    // state
    ("Catalog", ["Kloset", "Hashing", "Reconciliation", "Storage", "CSQLite", "CZstd"]),
    // services
    ("Replication", ["Kloset", "Hashing", "Reconciliation", "Planning", "Storage", "Catalog", "CLinux"]),
]

/// One row per test target: what it tests and with what.
let tests: [(name: String, imports: [Target.Dependency])] = [
    ("KlosetTests", ["Kloset"]),
    ("PlanningTests", ["Hashing", "Kloset", "Planning", "Reconciliation", "StorageTesting"]),
    ("SSHClientTests", ["SSHClient", "Storage", "StorageTesting"]),
    ("SFTPProtocolTests", ["SFTPProtocol", "StorageTesting"]),
    ("StorageTests", ["Storage"]),
    ("StorageLocalTests", ["Kloset", "Hashing", "Storage", "StorageLocal", "StorageTesting"]),
    ("HTTPClientTests", ["HTTPClient", "HTTPTesting", "Storage"]),
    ("S3IdentityTests", ["HTTPClient", "Kloset", "S3Identity", "S3Signing", "Storage", "StorageTesting"]),
    ("S3SigningTests", ["S3Signing", "Hashing", "Kloset"]),
    (
        "StorageS3Tests",
        ["HTTPClient", "HTTPTesting", "Hashing", "Kloset", "S3Signing", "S3Testing", "Storage", "StorageS3", "StorageTesting"]
    ),
    (
        "StorageSFTPTests",
        ["CLinux", "Kloset", "Hashing", "SFTPProtocol", "SSHClient", "Storage", "StorageSFTP", "StorageTesting"]
    ),
    ("ConfigurationTests", ["Configuration", "S3Signing", "Storage"]),
    ("CatalogTests", ["Catalog", "Kloset", "Hashing", "Storage", "CZstd", "CSQLite"]),
    (
        "ReplicationTests",
        [
            "Catalog", "Hashing", "Kloset", "Planning", "Reconciliation", "Replication", "Storage", "StorageLocal",
            "StorageTesting",
        ]
    ),
    (
        "CommandLineTests",
        ["sealift", "Kloset", "Planning", "Replication", "SSHClient", "Storage", "StorageSFTP"]
    ),
    (
        "EndToEndTests",
        ["Kloset", "Hashing", "HTTPClient", "HTTPTesting", "S3Testing", "Storage", "StorageS3", "StorageTesting"]
    ),
]

let settings: [SwiftSetting] = [
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
]

let package = Package(
    name: "sealift",
    products: [.executable(name: "sealift", targets: ["sealift"])],
    targets: [
        // C libraries from the system, one wrapper target each
        .systemLibrary(name: "CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CXXHash", pkgConfig: "libxxhash", providers: [.apt(["libxxhash-dev"])]),
        .systemLibrary(name: "CZstd", pkgConfig: "libzstd", providers: [.apt(["libzstd-dev"])]),
        .systemLibrary(name: "CSQLite", pkgConfig: "sqlite3", providers: [.apt(["libsqlite3-dev"])]),
        .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
        // no pkg-config: what it says of Kerberos's headers, which Sealift does not read, makes the package manager print a warning
        .systemLibrary(name: "CCurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(name: "CSSH2", providers: [.apt(["libssh2-1-dev"])]),
        .systemLibrary(name: "CLinux"),
    ]
        + modules.map { .target(name: $0.name, dependencies: $0.imports, swiftSettings: settings) }
        + [
            .executableTarget(
                name: "sealift",
                dependencies: [
                    "Kloset", "Hashing", "Planning", "Storage", "StorageLocal", "HTTPClient", "S3Signing", "S3Identity",
                    "StorageS3", "SSHClient", "StorageSFTP",
                    "Configuration", "Catalog", "Replication",
                ],
                swiftSettings: settings),
            // what reads the answers of S3 servers, under generated input; a release build of it runs in `make test`
            .executableTarget(
                name: "fuzz", dependencies: ["HTTPClient", "StorageS3", "StorageTesting"], path: "Tests/Fuzz",
                swiftSettings: settings),
            // what tests share: a simulated disk, a store in memory, generated stores, the rules of the storage contract
            .target(
                name: "StorageTesting", dependencies: ["Kloset", "Hashing", "Storage", "StorageLocal"],
                path: "Tests/Support/StorageTesting", swiftSettings: settings),
            // a real S3 server for tests
            .target(
                name: "S3Testing",
                dependencies: ["HTTPClient", "Kloset", "S3Signing", "Storage", "StorageS3", "StorageTesting", "CLinux"],
                path: "Tests/Support/S3Testing", swiftSettings: settings),
            // what tests of HTTP share: a server that follows a script, certificates
            .target(
                name: "HTTPTesting", dependencies: ["Storage", "StorageTesting", "CLinux"], path: "Tests/Support/HTTPTesting",
                swiftSettings: settings),
        ]
        + tests.map { .testTarget(name: $0.name, dependencies: $0.imports, path: "Tests/\($0.name)", swiftSettings: settings) }
)
