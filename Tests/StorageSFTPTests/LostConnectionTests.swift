import Kloset
import Storage
import StorageSFTP
import StorageTesting
import Testing

/// A server that goes away in the middle: the work goes on over another connection, whatever was under way, done or not done.
@Suite(.withServer) struct LostConnectionTests {
    /// Types of requests that the scenario makes, and how often each is let through before the end.
    static let moments: [String] =
        ["3", "4", "5", "6", "7", "8", "10", "11", "12", "13", "14", "17", "18"]
        .flatMap { type in ["\(type):1", "\(type):3"] }
        + [
            "fsync@openssh.com:1", "fsync@openssh.com:4", "posix-rename@openssh.com:1", "posix-rename@openssh.com:3",
            "hardlink@openssh.com:3",
        ]

    @Test func nothingIsLostWithoutTrouble() async throws {
        try await Scenario.run(try LocalServer().sftp())
    }

    @Test(arguments: moments) func diesBeforeItIsDone(_ moment: String) async throws {
        let place = try LocalServer(["before:\(moment)"])
        try await Scenario.run(place.sftp())
        try expectClean(place)
    }

    /// The request was carried out and its answer is lost: what is there is looked at, and nothing is done twice.
    @Test(arguments: moments) func diesAfterItWasDone(_ moment: String) async throws {
        let place = try LocalServer(["after:\(moment)"])
        try await Scenario.run(place.sftp())
        try expectClean(place)
    }

    @Test(arguments: ["6:2", "18:1", "7:5", "fsync@openssh.com:3"]) func fallsSilent(_ moment: String) async throws {
        let patience = SFTPPatience(connecting: 20, answering: 1, syncing: 1)
        let place = try LocalServer(["stall:\(moment)"], patience: patience)
        try await Scenario.run(place.sftp())
        try expectClean(place)
    }

    private func expectClean(_ place: LocalServer) throws {
        #expect(place.contents(of: Scenario.key(1).path) == [9, 9, 9, 9])
        #expect(place.quarantined(Scenario.key(1)).contains([1, 2, 3]))
        #expect(place.contents(of: ".sealift/unsynced") == nil)
        #expect(place.contents(of: ".sealift/holder") == nil)
    }

    /// A server that does not come back is given up, and the failure says where.
    @Test func goneForGood() async throws {
        let place = try LocalServer()
        var command = place.command
        (command.program, command.arguments) = (
            "/bin/sh", ["-c", "echo 'ssh: connect to host x port 22: Connection refused' >&2; exit 255"]
        )
        let store = SFTPStore(SFTPAddress(host: "x", path: "/p"), command: command)
        let failure = await failing { _ = try await store.presence() }
        #expect(failure?.kind == .unavailable)
        #expect(failure?.reason == "ssh: ssh: connect to host x port 22: Connection refused")
        #expect(failure?.place == "sftp://x/p")
    }

    @Test func noProgram() async throws {
        let command = SSHCommand(to: SFTPAddress(host: "x", path: "/p"), program: "/nonexistent/ssh", isBatch: true)
        let failure = await failing {
            _ = try await SFTPStore(SFTPAddress(host: "x", path: "/p"), command: command).presence()
        }
        #expect(failure?.reason == "there is no ssh program")
    }

    /// A login shell that prints is named, for that is what happens.
    @Test func talkingShell() async throws {
        var command = SSHCommand(to: SFTPAddress(host: "x", path: "/p"), isBatch: true)
        (command.program, command.arguments) = ("/bin/sh", ["-c", "echo Welcome to this machine; exec cat"])
        let failure = await failing {
            _ = try await SFTPStore(SFTPAddress(host: "x", path: "/p"), command: command).presence()
        }
        #expect(failure?.what == "cannot understand")
        #expect(failure?.advice.contains("silent") == true)
    }

    /// A run that is stopped stops at once, also while a server says nothing.
    @Test func cancelledWhileSilent() async throws {
        var command = SSHCommand(to: SFTPAddress(host: "x", path: "/p"), isBatch: true)
        (command.program, command.arguments) = ("/bin/sleep", ["1000"])
        let store = SFTPStore(SFTPAddress(host: "x", path: "/p"), command: command)
        let task = Task { try await store.presence() }
        task.cancel()
        await #expect(throws: CancellationError.self) { _ = try await task.value }
    }
}
