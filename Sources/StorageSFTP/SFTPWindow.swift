/// How many bytes of requests and answers may be under way on one connection.
///
/// It begins at what a 20 ms, 1 Gbit/s link holds, and grows while more comes back in a window's time than before, so that a longer or faster
/// link fills up; beyond ``byteCountMax`` the caller's own memory is the bound.
struct SFTPWindow {
    /// 20 ms at 1 Gbit/s are 2.4 MB; with as much again for what the server has not answered yet.
    static let byteCountStart = 4 << 20
    /// OpenSSH takes 2 MiB of a channel before it wants them read; more only helps with several connections, and never beyond all pieces.
    static let byteCountMax = 16 << 20

    private(set) var byteCount = byteCountStart
    private(set) var inFlight = 0
    private var requests = 0
    /// Answered since the window was measured last, and when that was.
    private var answered = 0
    private var since = ContinuousClock.now
    private var bestRate = 0.0
    /// Whether something waited for room since then: otherwise the caller is the bound, not the window.
    private var wasFull = false

    /// At most this many requests, whatever their size: what a server's own queue takes in good part.
    static let requestsMax = 4096

    /// Whether a call of this weight may be sent now. One always may.
    mutating func admits(_ weight: Int) -> Bool {
        if requests == 0 || (inFlight + weight <= byteCount && requests < Self.requestsMax) { return true }
        wasFull = true
        return false
    }

    mutating func sent(_ weight: Int) {
        inFlight += weight
        requests += 1
    }

    mutating func answered(_ weight: Int) {
        inFlight -= weight
        requests -= 1
        answered += weight
        guard answered >= 4 * byteCount else { return }
        let now = ContinuousClock.now
        let elapsed = now - since
        let seconds = Double(elapsed.components.seconds) + Double(elapsed.components.attoseconds) / 1e18
        let rate = Double(answered) / max(seconds, 1e-6)
        // Doubling the window is worth it only as long as it brings a tenth more.
        if wasFull, rate > bestRate * 1.1 {
            byteCount = min(byteCount * 2, Self.byteCountMax)
            bestRate = rate
        }
        (answered, since, wasFull) = (0, now, false)
    }
}
