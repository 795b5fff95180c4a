internal import Glibc

extension LocalStore {
    /// The one spelling that all names of a folder share: links and `..` resolved as far as the path exists, the rest as it is. Blocks.
    ///
    /// A place is remembered by this, so that another spelling of a known place is not taken for a new one.
    ///
    /// - Parameter path: absolute.
    public static func canonicalPath(_ path: String) -> String {
        var existing = path
        var missing: [String] = []
        while existing != "/", !existing.isEmpty {
            if let resolved = realpath(existing, nil) {
                defer { free(resolved) }
                let base = String(cString: resolved)
                return missing.isEmpty ? base : (base == "/" ? "" : base) + "/" + missing.reversed().joined(separator: "/")
            }
            guard let cut = existing.lastIndex(of: "/") else { break }
            missing.append(String(existing[existing.index(after: cut)...]))
            existing = cut == existing.startIndex ? "/" : String(existing[..<cut])
        }
        return path
    }
}
