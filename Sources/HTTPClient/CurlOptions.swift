internal import CCurl
internal import Glibc

/// What is the same for all requests of a transport.
struct CurlOptions: Sendable {
    private let verifies: Bool
    /// A PEM file; nil leaves the choice to how libcurl was built.
    private let authorities: String?

    init(trust: TLSTrust) {
        switch trust {
        case .system: (verifies, authorities) = (true, Self.systemAuthorities())
        case .file(let path): (verifies, authorities) = (true, path)
        case .nobody: (verifies, authorities) = (false, nil)
        }
    }

    /// A static binary runs where it was not built, so that the file is looked for when it is needed: Debian's name, Fedora's, SUSE's, Alpine's.
    private static func systemAuthorities() -> String? {
        if let named = getenv("SSL_CERT_FILE"), named.pointee != 0 { return String(cString: named) }
        let known = [
            "/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/ca-bundle.pem",
            "/etc/ssl/cert.pem",
        ]
        return known.first { access($0, R_OK) == 0 }
    }

    /// Returns false when libcurl refuses one of the settings.
    func apply(to easy: UnsafeMutableRawPointer) -> Bool {
        let numbers: [(CURLoption, Int)] = [
            (CURLOPT_NOSIGNAL, 1),
            (CURLOPT_PATH_AS_IS, 1),
            (CURLOPT_DISALLOW_USERNAME_IN_URL, 1),
            (CURLOPT_HTTP_VERSION, ccurl_http_1_1),
            (CURLOPT_FOLLOWLOCATION, 0),
            (CURLOPT_TCP_KEEPALIVE, 1),
            // A cancelled look-up is left to end by itself instead of keeping all other requests waiting for it.
            (CURLOPT_QUICK_EXIT, 1),
            // 128 KiB either way: few calls for a piece of 1 MiB, and 64 connections stay within 8 MiB.
            (CURLOPT_BUFFERSIZE, 128 << 10),
            (CURLOPT_UPLOAD_BUFFERSIZE, 128 << 10),
            (CURLOPT_SSLVERSION, ccurl_tls_1_2),
            (CURLOPT_SSL_VERIFYPEER, verifies ? 1 : 0),
            (CURLOPT_SSL_VERIFYHOST, verifies ? 2 : 0),
        ]
        for (option, value) in numbers where ccurl_set_long(easy, option, value) != CURLE_OK { return false }
        guard ccurl_set_text(easy, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK,
            // An empty name means no proxy, whatever the environment says: requests carry signatures.
            ccurl_set_text(easy, CURLOPT_PROXY, "") == CURLE_OK
        else { return false }
        guard let authorities else { return true }
        // The folder that libcurl was built with would count beside the file.
        return ccurl_set_text(easy, CURLOPT_CAINFO, authorities) == CURLE_OK
            && ccurl_set_text(easy, CURLOPT_CAPATH, nil) == CURLE_OK
    }
}
