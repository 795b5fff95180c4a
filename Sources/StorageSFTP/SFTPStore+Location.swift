internal import Kloset
internal import SFTPProtocol
public import Storage

extension SFTPStore {
    public func presence() async throws -> Presence {
        try await run { [self] connection, _ in
            // Followed: the location itself may be reached through links.
            let path = try await path("", on: connection)
            let reply = try await connection.send(.stat(path: path))[0]
            if reply.isMissing { return .absent }
            try check(reply, "cannot look at the store")
            if let type = reply.attributes?.type, type != .folder, type != .unknown {
                throw failure(
                    .cannotWrite, "cannot open the store", nil, "something that is no folder is in the way", "Choose another path"
                )
            }
            var names: [String] = []
            let found = try await visitNames(in: "", on: connection) { name in
                // mkfs makes it; it belongs to nobody.
                if !name.name.elementsEqual("lost+found".utf8) { names.append(Self.printable(name.name)) }
                return names.count < 5  // enough for a person to recognise the folder
            }
            guard found else { return .absent }
            return names.isEmpty ? .empty : .occupied(names: names.sorted())
        }
    }

    /// The server's real path. The host is as the location names it: whether two names mean one host, only their keys could tell.
    public func footprint() async throws -> Footprint {
        try await run { [self] connection, _ in
            var path = String(decoding: try await path("", on: connection), as: UTF8.self)
            var missing: [String] = []
            while true {
                let reply = try await connection.send(.realpath(path: path.bytes))[0]
                if case .names(let names) = reply, let name = names.first {
                    let real = String(decoding: name.name, as: UTF8.self)
                    return footprint(of: real, missing.reversed())
                }
                guard let cut = path.lastIndex(of: "/"), path != "/" else {
                    try check(reply, "cannot find out where this is")
                    throw unexpected("cannot find out where this is")
                }
                missing.append(String(path[path.index(after: cut)...]))
                path = cut == path.startIndex ? "/" : String(path[..<cut])
            }
        }
    }

    private func footprint(of path: String, _ missing: [String]) -> Footprint {
        var steps = ["/"]
        for part in path.split(separator: "/").map(String.init) + missing {
            steps.append(steps.count == 1 ? "/\(part)" : "\(steps.last ?? "")/\(part)")
        }
        let user = address.user.map { "\($0)@" } ?? ""
        return Footprint(realm: "sftp \(user)\(address.host.lowercased()):\(address.port ?? 22)", steps: steps)
    }

    /// Visits the names in a folder, `.` and `..` left out, until `visit` returns false.
    ///
    /// - Returns: false when there is no such folder.
    /// - Throws: `.readWrite` when there are more than ``StoreLimits/namesPerBucketMax`` names.
    func visitNames(
        in folder: String, on connection: SFTPConnection, _ visit: (SFTPName) throws -> Bool
    ) async throws -> Bool {
        let path = try await path(folder, on: connection)
        let what = "cannot list \(folder.isEmpty ? "the store" : folder)"
        let (looks, opened) = try await connection.send(
            folder.isEmpty ? [] : [SFTPCall(.lstat(path: path))], then: [SFTPCall(.opendir(path: path))])
        // Below the location a folder is one by its own attributes: a link is not followed.
        do throws(Failure) {
            if let look = looks.first, !look.isMissing {
                try check(look, what)
                if let type = look.attributes?.type, type != .folder, type != .unknown {
                    throw failure(.damage, what, nil, "it is \(type.word)", "Nothing below a location is reached through links")
                }
            }
            if looks.first?.isMissing == true || opened[0].isMissing { return false }
            try check(opened[0], what)
        } catch {
            if let handle = opened[0].handle { connection.forget(.close(handle)) }
            throw error
        }
        guard let handle = opened[0].handle else { throw unexpected(what) }
        do {
            try await readNames(of: handle, what, on: connection, visit)
        } catch {
            connection.forget(.close(handle))
            throw error
        }
        connection.forget(.close(handle))
        return true
    }

    private func readNames(
        of handle: SFTPHandle, _ what: String, on connection: SFTPConnection, _ visit: (SFTPName) throws -> Bool
    ) async throws {
        // OpenSSH gives a hundred names at a time. Three at first: 200 names and the end, enough for the buckets of 50,000 resources.
        var (seen, ahead) = (0, 3)
        while true {
            let replies = try await connection.send(Array(repeating: SFTPCall(.readdir(handle)), count: ahead))
            for reply in replies {
                guard case .names(let names) = reply, !names.isEmpty else {
                    if case .status(let status) = reply, status.code != .endOfFile { throw failure(status, what) }
                    return
                }
                for name in names where !name.name.elementsEqual(".".utf8) && !name.name.elementsEqual("..".utf8) {
                    seen += 1
                    guard seen <= StoreLimits.namesPerBucketMax else {
                        throw failure(
                            .readWrite, what, nil, "it holds more than \(StoreLimits.namesPerBucketMax) names",
                            "No store has so many; look at what lies there")
                    }
                    guard try visit(name) else { return }
                }
            }
            ahead = 8
        }
    }

    /// Bytes of somebody else's as text that is safe on a terminal.
    static func printable(_ bytes: [UInt8]) -> String {
        let text = String(decoding: bytes.prefix(200), as: UTF8.self)
        return String(
            String.UnicodeScalarView(
                text.unicodeScalars.map { scalar in
                    switch scalar.properties.generalCategory {
                    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: "\u{FFFD}"
                    default: scalar
                    }
                }))
    }
}
