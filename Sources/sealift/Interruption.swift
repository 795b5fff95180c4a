internal import Dispatch
internal import Glibc
internal import Synchronization

/// Ctrl-C and SIGTERM end a run in good order: what is under way is finished or left for the next run, locks are released.
final class Interruption {
    /// 128 + the number of the signal, as shells count.
    enum Signal: Int32, Sendable, CaseIterable {
        case interrupt = 2
        case terminate = 15

        var exitCode: ExitCode {
            switch self {
            case .interrupt: .interrupted
            case .terminate: .terminated
            }
        }
    }

    private struct State {
        var received: Signal?
        var stop: (@Sendable () -> Void)?
    }

    /// How long a run may take to stop: one sync of a slow disk.
    private static let patience = DispatchTimeInterval.seconds(30)

    private let sources: [any DispatchSourceSignal]
    private let state: StateBox

    private final class StateBox: Sendable {
        let state = Mutex(State())
    }

    /// From here on the first signal is noted; a second one ends the process at once.
    init() {
        signal(SIGPIPE, SIG_IGN)
        let queue = DispatchQueue(label: "signals")
        let box = StateBox()
        state = box
        sources = Signal.allCases.map { one in
            signal(one.rawValue, SIG_IGN)
            let source = DispatchSource.makeSignalSource(signal: one.rawValue, queue: queue)
            source.setEventHandler {
                let (isSecond, stop) = box.state.withLock { state in
                    let isSecond = state.received != nil
                    state.received = state.received ?? one
                    return (isSecond, state.stop)
                }
                if isSecond { _exit(one.exitCode.rawValue) }
                stop?()
                queue.asyncAfter(deadline: .now() + Self.patience) { _exit(one.exitCode.rawValue) }
            }
            source.activate()
            return source
        }
    }

    /// The first signal that came.
    var received: Signal? { state.state.withLock { $0.received } }

    /// Has `stop` called at the first signal; at once when it has come.
    func onSignal(_ stop: @escaping @Sendable () -> Void) {
        let isLate = state.state.withLock { state in
            state.stop = stop
            return state.received != nil
        }
        if isLate { stop() }
    }
}
