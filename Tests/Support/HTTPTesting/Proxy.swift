internal import Glibc

/// Stands between a client and a server on 127.0.0.1, and passes on what they say as a plan has it.
public final class Proxy: Sendable {
    /// What happens to one request and its answer.
    public enum Fault: Sendable {
        /// So much of the request's body arrives, then the connection ends, by a reset or in order.
        case cutRequest(after: Int, resets: Bool)
        /// So much of the answer's body arrives.
        case cutAnswer(after: Int, resets: Bool)
        /// The answer's body arrives changed.
        case change(@Sendable (inout ArraySlice<UInt8>) -> Void)
    }

    private let server: ScriptedServer
    public var port: Int { server.port }

    /// - Parameter plan: asked once for each request, whose body it sees; may be called from many threads.
    public init(to port: Int, _ plan: @escaping @Sendable (ReceivedRequest) -> Fault?) throws {
        server = try ScriptedServer { connection in
            while true { try Self.pass(try connection.readRequest(), on: connection, to: port, plan) }
        }
    }

    private static func pass(
        _ request: ReceivedRequest, on connection: ServerConnection, to port: Int, _ plan: (ReceivedRequest) -> Fault?
    ) throws {
        let fault = plan(request)
        // One request a connection: its end is the answer's.
        let socket = try connect(to: port)
        defer { close(socket) }
        let server = ServerConnection(socket: socket, number: 0)
        try server.send(([request.line] + request.fields + ["Connection: close", "", ""]).joined(separator: "\r\n"))
        if case .cutRequest(let count, let resets)? = fault {
            try server.send(Array(request.body.prefix(count)))
            if resets { try connection.reset() }
            throw ScriptedServer.Gone()
        }
        try server.send(request.body)
        var answer = server.readToEnd()
        guard let start = ServerConnection.endOfHead(answer) else { throw ScriptedServer.Gone() }
        switch fault {
        case .cutAnswer(let count, let resets)?:
            try connection.send(Array(answer[..<min(answer.count, start + count)]))
            if resets { try connection.reset() }
        case .change(let change)?:
            change(&answer[start...])
            try connection.send(answer)
        case .cutRequest?, nil: try connection.send(answer)
        }
        throw ScriptedServer.Gone()
    }

    private static func connect(to port: Int) throws -> Int32 {
        let socket = Glibc.socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(INADDR_LOOPBACK).bigEndian
        address.sin_port = in_port_t(UInt16(port).bigEndian)
        let code = withUnsafeBytes(of: &address) { bytes in
            bytes.baseAddress.map { Glibc.connect(socket, $0.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count)) }
                ?? -1
        }
        guard code == 0 else {
            close(socket)
            throw ScriptedServer.Gone()
        }
        return socket
    }
}
