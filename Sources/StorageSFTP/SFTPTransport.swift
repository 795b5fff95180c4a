internal import Glibc
public import SSHClient
internal import Storage

/// What carries the bytes between us and a server.
public enum SFTPTransport: Sendable, Equatable {
    /// The user's own `ssh` as a child.
    case command(SSHCommand)
    /// libssh2, in this process.
    case library(SSHLogin)

    /// The same where nobody is to be asked anything. The library never asks.
    var unattended: SFTPTransport {
        if case .command(let command) = self { .command(command.unattended) } else { self }
    }
}

/// A conversation's other end, as files that do not block. Used by one thread; whoever drops it ends it.
protocol ByteChannel: ~Copyable {
    /// Ours to write to.
    var input: Int32 { get }
    var output: Int32 { get }
    /// What is said beside the protocol.
    var errors: Int32 { get }

    /// Tells the other end that nothing more comes.
    mutating func closeInput()
    /// SIGTERM or SIGKILL, or what comes nearest.
    func signal(_ number: Int32)
    /// How it ended, as a shell counts; nil while it has not.
    mutating func ended() -> Int32?
    /// What its end means.
    func failure(status: Int32, said: String, place: String) -> Failure
}

extension ChildProcess: ByteChannel {
    func failure(status: Int32, said: String, place: String) -> Failure {
        SSHEnding.failure(status: status, said: said, place: place)
    }
}

extension SSHSubsystem: ByteChannel {
    func signal(_: Int32) { stop() }

    func ended() -> Int32? {
        switch end {
        case nil: nil
        case .exited(let status): status
        case .failed: 255
        }
    }

    func failure(status: Int32, said: String, place: String) -> Failure {
        if case .failed(let failure) = end { return failure.at(place) }
        let line = SSHEnding.lastLine(said)
        return Failure(
            .unavailable, "cannot reach", place: place,
            reason: "the host ended SFTP with code \(status)" + (line.isEmpty ? "" : ": \(line)"),
            advice: "Look whether SFTP is allowed for this account.", retryable: true)
    }
}
