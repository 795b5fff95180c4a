internal import Glibc
internal import Kloset
internal import Storage

/// What a failed system call means to a person: one place for every errno.
enum LocalErrors {
    /// - Parameters:
    ///   - what: what failed, as ``Failure/what``.
    ///   - writing: whether it was on the way to change something: then an obstacle is a target that cannot be written, else it is damage.
    static func failure(
        _ error: SystemError, _ what: String, writing: Bool, resource: ResourceKey? = nil, place: String
    ) -> Failure {
        let meaning = meaning(of: error.code, writing: writing)
        let location = error.path.isEmpty || resource != nil ? "" : " of \(printable(error.path.utf8))"
        return Failure(
            meaning.kind, what, resource: resource, place: place,
            reason: "\(meaning.reason) (\(error.call)\(location))", advice: meaning.advice, retryable: meaning.kind == .tryAgain)
    }

    private typealias Meaning = (kind: Failure.Kind, reason: String, advice: String)

    private static func meaning(of code: Int32, writing: Bool) -> Meaning {
        switch code {
        case ENOSPC, EDQUOT:
            let reason = code == ENOSPC ? "the disk is full" : "the quota is used up"
            return (.readWrite, reason, "Free space there and run again; what is already copied is kept")
        case EROFS:
            return (.cannotWrite, "the file system is read-only", "Mount it for writing or choose another target")
        case EACCES, EPERM:
            return (.permission, "not permitted", "Run as a user who may \(writing ? "write" : "read") there")
        case ENOTDIR, ELOOP, EXDEV:
            let reason = "something that is no plain folder is in the way: a file, a symbolic link or another file system"
            return (
                writing ? .cannotWrite : .damage, reason,
                "Nothing below a location is reached through links; look at what lies there"
            )
        case EISDIR, EEXIST, ENOTEMPTY:
            return (writing ? .cannotWrite : .damage, "the name is taken by something else", "Look at what lies there")
        case EIO: return (.readWrite, "the medium or its driver reported an error", "Look at the system's log for the disk")
        case EFBIG, ENAMETOOLONG, EMLINK, EOVERFLOW:
            return (.cannotWrite, "a limit of the file system is exceeded: \(text(of: code))", "")
        case ESTALE, ENODEV, ENXIO, ENOTCONN, ESHUTDOWN, EHOSTDOWN, EHOSTUNREACH, ETIMEDOUT, ENOMEDIUM:
            return (.unavailable, "the place went away: \(text(of: code))", "Connect or mount it again, then run again")
        case ENOENT:
            return (.unavailable, "a folder that was there is gone", "Look whether the disk is still mounted, then run again")
        case EMFILE, ENFILE, ENOMEM, EAGAIN, EBUSY, ETXTBSY, ENOLCK:
            return (.tryAgain, text(of: code), "Run again later")
        case ENOSYS: return (.unavailable, "this kernel does not have the call", "Linux 5.6 or later is needed")
        default: return (.readWrite, text(of: code), "")
        }
    }

    private static func text(of code: Int32) -> String {
        // strerror_l(3) is safe from any thread, unlike strerror, and needs no buffer.
        guard let locale = cLocale.value, let text = strerror_l(code, locale) else { return "error \(code)" }
        return String(cString: text)
    }

    private struct Locale: @unchecked Sendable {  // @unchecked: made once, never changed
        var value: locale_t?
    }

    private static let cLocale = Locale(value: newlocale(Int32(1) << LC_MESSAGES, "C", nil))

    /// Bytes of somebody else's as text that is safe on a terminal: at most 200 of them, control characters and broken UTF-8 replaced.
    static func printable(_ bytes: some Sequence<UInt8>) -> String {
        let text = String(decoding: Array(bytes.prefix(200)), as: UTF8.self)
        return String(String.UnicodeScalarView(text.unicodeScalars.map { $0.isPrintable ? $0 : "\u{FFFD}" }))
    }
}

extension Unicode.Scalar {
    /// Neither a control nor a formatting character (which could turn the direction of the text around it).
    fileprivate var isPrintable: Bool {
        switch properties.generalCategory {
        case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate, .privateUse, .unassigned: false
        default: true
        }
    }
}
