internal import Glibc
internal import Storage
internal import Synchronization

/// A server on 127.0.0.1 that does what a test tells it, connection by connection, byte by byte; HTTP is the script's business.
///
/// Each connection has a thread of its own for its script. When the server is let go, everything is closed and every script ends.
public final class ScriptedServer: Sendable {
    public typealias Script = @Sendable (ServerConnection) throws -> Void

    /// What the script sees of a connection that is over; ends the script.
    public struct Gone: Error {
        public init() {}
    }

    /// Shared with the threads, which do not keep the server.
    private final class Shared: Sendable {
        let open = Mutex<(list: [Int32: Int], count: Int, isOver: Bool)>(([:], 0, false))
    }

    public let port: Int
    private let listener: Int32
    private let shared = Shared()

    /// - Parameters:
    ///   - receiveByteCount: what the system takes in for a script that does not read; about 6 MB by default.
    ///   - script: runs once for each connection; the connection is closed when it returns or throws.
    public init(receiveByteCount: Int32? = nil, script: @escaping Script) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        self.listener = listener
        if var receiveByteCount {
            setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &receiveByteCount, socklen_t(MemoryLayout<Int32>.size))
        }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(INADDR_LOOPBACK).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let code = withUnsafeMutableBytes(of: &address) { bytes -> Int32 in
            guard let start = bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self) else { return -1 }
            return bind(listener, start, size) == 0 && listen(listener, 128) == 0 ? getsockname(listener, start, &size) : -1
        }
        port = Int(UInt16(bigEndian: address.sin_port))
        guard code == 0 else { throw Gone() }
        let shared = shared
        Self.startThread { Self.accept(listener, shared, script) }
    }

    deinit {
        shared.open.withLock { open in
            open.isOver = true
            for socket in open.list.keys { shutdown(socket, Int32(SHUT_RDWR)) }
        }
        shutdown(listener, Int32(SHUT_RDWR))  // the thread that accepts closes it
    }

    /// Connections so far.
    public var connectionCount: Int { shared.open.withLock { $0.count } }

    /// `http://127.0.0.1:PORT` and `path`.
    public func url(_ path: String = "/") -> String { "http://127.0.0.1:\(port)\(path)" }

    private static func accept(_ listener: Int32, _ shared: Shared, _ script: @escaping Script) {
        while true {
            let socket = Glibc.accept(listener, nil, nil)
            if socket < 0, errno == EINTR || errno == ECONNABORTED { continue }
            guard socket >= 0 else { break }
            // A child that another test starts would keep the connection alive beyond its end here.
            _ = fcntl(socket, F_SETFD, FD_CLOEXEC)
            let number = shared.open.withLock { open -> Int? in
                guard !open.isOver else { return nil }
                defer { open.count += 1 }
                open.list[socket] = open.count
                return open.count
            }
            guard let number else {
                close(socket)
                break
            }
            startThread {
                try? script(ServerConnection(socket: socket, number: number))
                shared.open.withLock { _ = $0.list.removeValue(forKey: socket) }
                close(socket)
            }
        }
        close(listener)
    }

    private final class Work: Sendable {
        let run: @Sendable () -> Void
        init(_ run: @escaping @Sendable () -> Void) { self.run = run }
    }

    private static func startThread(_ run: @escaping @Sendable () -> Void) {
        var thread = pthread_t()
        let argument = Unmanaged.passRetained(Work(run))
        let code = pthread_create(
            &thread, nil,
            { argument in
                guard let argument else { return nil }
                Unmanaged<Work>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, argument.toOpaque())
        if code == 0 { pthread_detach(thread) } else { argument.release() }
    }
}
