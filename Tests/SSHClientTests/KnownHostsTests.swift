import StorageTesting
import Testing

@testable import SSHClient

/// Lines of `known_hosts` and what they say of a host's key.
@Suite struct KnownHostsTests {
    /// Keys by their first numbers: no key that anybody has.
    static func key(_ type: String, _ number: UInt8) -> [UInt8] {
        [0, 0, 0, UInt8(type.utf8.count)] + Array(type.utf8) + [0, 0, 0, 32] + [UInt8](repeating: number, count: 32)
    }
    static let mine = key("ssh-ed25519", 1)
    static let other = key("ssh-ed25519", 2)
    static let curve = key("ecdsa-sha2-nistp256", 3)
    static let rsa = key("ssh-rsa", 4)

    static func words(_ key: [UInt8]) -> String { "\(KeyBlob.type(of: key) ?? "") \(Base64.encode(key))" }

    private func record(_ lines: String...) -> KnownHosts {
        var record = KnownHosts()
        record.add(Array(lines.joined(separator: "\n").utf8))
        return record
    }

    private func verdict(_ lines: String, host: String = "example.org", port: Int = 22) -> KnownHosts.Verdict {
        record(lines).verdict(host: host, port: port, key: Self.mine)
    }

    private static let nobody = KnownHosts.Verdict.unknown(otherTypes: [], hasAuthority: false)

    @Test(arguments: [
        "example.org", "EXAMPLE.ORG", "example.org,other.org", "a,*.org", "example.???", "ex*mp*g", "*", "example.org,!other.org",
    ])
    func matches(_ names: String) {
        #expect(verdict("\(names) \(Self.words(Self.mine))") == .known)
    }

    @Test(arguments: [
        "example.or", "xample.org", "*.com", "example.????", "*,!example.org", "!example.org,*", "!*.org,example.org", "",
        "[example.org]:22", "[example.org]:2222", "|1|AAAA|AAAA", "|2|AAAA|AAAA", "|1|", "|", ",",
    ])
    func doesNotMatch(_ names: String) {
        #expect(verdict("\(names) \(Self.words(Self.mine))") == Self.nobody)
    }

    /// Lines that `ssh-keygen -H` made.
    @Test func hashed() {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
        let blob = Base64.decode(key.split(separator: " ")[1].utf8) ?? []
        let plain = record("|1|G2NqcB2RYNA/D8uXUvxkO/lDV1A=|Zb3o20kXQupgAjE8T4qn+4kMH+Y= \(key)")
        #expect(plain.verdict(host: "Example.org", port: 22, key: blob) == .known)
        #expect(plain.verdict(host: "example.com", port: 22, key: blob) == Self.nobody)
        let port = record("|1|50qILn6VD9f8ZYDju4BNbTNuX2w=|TBjqte3UD7g5VNTYTtR0A26bQ20= \(key)")
        #expect(port.verdict(host: "example.org", port: 2222, key: blob) == .known)
        #expect(port.verdict(host: "example.org", port: 22, key: blob) == Self.nobody)
    }

    @Test func ports() {
        let line = "[example.org]:2222 \(Self.words(Self.mine))"
        #expect(verdict(line, port: 2222) == .known)
        #expect(verdict(line, port: 2223) == Self.nobody)
        #expect(verdict("[::1]:2222 \(Self.words(Self.mine))", host: "::1", port: 2222) == .known)
        #expect(verdict("::1 \(Self.words(Self.mine))", host: "::1") == .known)
        // A host that is known without a port is known at each, unless that port has a key of its own.
        #expect(verdict("example.org \(Self.words(Self.mine))", port: 2222) == .known)
        let both = "example.org \(Self.words(Self.mine))\n[example.org]:2222 \(Self.words(Self.other))"
        #expect(verdict(both, port: 2222) == .changed)
        // What another machine behind the same name has, says nothing of this port.
        #expect(verdict("example.org \(Self.words(Self.other))", port: 2222) == Self.nobody)
    }

    @Test func changedAndOtherTypes() {
        let other = "example.org \(Self.words(Self.other))"
        #expect(verdict(other) == .changed)
        #expect(verdict("\(other)\nexample.org \(Self.words(Self.mine))") == .known)
        #expect(
            verdict("example.org \(Self.words(Self.curve))")
                == .unknown(otherTypes: ["ecdsa-sha2-nistp256"], hasAuthority: false))
    }

    @Test(arguments: [
        "@revoked * ", "@revoked example.org ", "@revoked\texample.org\t", "  @revoked *.org ", "@revoked [example.org]:2222 ",
    ])
    func revoked(_ head: String) {
        let line = head + Self.words(Self.mine)
        let port = head.contains("2222") ? 2222 : 22
        #expect(verdict(line, port: port) == .revoked)
        #expect(verdict("example.org \(Self.words(Self.mine))\n\(line)", port: port) == .revoked)
        #expect(verdict("\(line)\nexample.org \(Self.words(Self.mine))", port: port) == .revoked)
        if port == 22 { #expect(verdict(line, port: 2222) == .revoked) }
    }

    @Test func revokedOfAnother() {
        let known = "example.org \(Self.words(Self.mine))"
        #expect(verdict("@revoked * \(Self.words(Self.other))\n\(known)") == .known)
        #expect(verdict("@revoked other.org \(Self.words(Self.mine))\n\(known)") == .known)
        #expect(verdict("@revoked * \(Self.words(Self.other))") == Self.nobody)
    }

    @Test func authorities() {
        #expect(verdict("@cert-authority *.org \(Self.words(Self.mine))") == .unknown(otherTypes: [], hasAuthority: true))
        #expect(record("@cert-authority * \(Self.words(Self.rsa))").types(host: "example.org", port: 22).isEmpty)
    }

    @Test func linesThatAreNone() {
        let good = "example.org \(Self.words(Self.mine))"
        for bad in [
            "#\(good)", "example.org", "example.org ssh-ed25519", "example.org ssh-ed25519 AAAA", "example.org ssh-rsa \(good)",
            "example.org ssh-rsa \(Base64.encode(Self.mine))", "@unknown \(good)", "@revoked", "example.org 1024 35 1234567",
            "example.org ssh-ed25519 \(Base64.encode(Self.mine))*", "\(good.dropLast(3)) x", "\u{0}\u{1}",
        ] {
            #expect(verdict(bad) == Self.nobody, "\(bad)")
            #expect(verdict("\(bad)\n\n\r\n\(good)\r\n") == .known, "\(bad)")
        }
    }

    @Test func typesInTheOrderOfTheFile() {
        let all = record(
            "example.org \(Self.words(Self.rsa))", "*.org \(Self.words(Self.mine))", "example.org \(Self.words(Self.other))",
            "@revoked * \(Self.words(Self.curve))", "[example.org]:2222 \(Self.words(Self.curve))")
        #expect(all.types(host: "example.org", port: 22) == ["ssh-rsa", "ssh-ed25519"])
        #expect(all.types(host: "example.org", port: 2222) == ["ecdsa-sha2-nistp256"])
        #expect(all.types(host: "example.org", port: 2223) == ["ssh-rsa", "ssh-ed25519"])
        #expect(all.types(host: "example.com", port: 22).isEmpty)
    }

    @Test func orderOfAlgorithms() {
        let usable = ["ecdsa-sha2-nistp256", "ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256"]
        #expect(HostKeyOrder.algorithms(usable, onRecord: []) == usable)
        #expect(
            HostKeyOrder.algorithms(usable, onRecord: ["ssh-rsa"])
                == ["rsa-sha2-512", "rsa-sha2-256", "ecdsa-sha2-nistp256", "ssh-ed25519"])
        #expect(HostKeyOrder.algorithms(usable, onRecord: ["ssh-ed25519"])?.first == "ssh-ed25519")
        // libssh2 1.10 has no RSA with SHA-2: any other type would look like an unknown host.
        #expect(HostKeyOrder.algorithms(["ssh-ed25519"], onRecord: ["ssh-rsa"]) == nil)
    }

    /// Whatever a file holds, reading it ends, and nothing in it makes a key known that is not in it.
    @Test func anyBytes() {
        var random = SeededRandom(seed: 0x6B68)
        let pieces = [
            "example.org", "*", ",", "!", "|1|", "|", "@revoked ", " ", "\n", "ssh-ed25519", "AAAA", "=", "[", "]:22", "#",
        ]
        for _ in 0..<20_000 {
            var text: [UInt8] = []
            for _ in 0..<Int.random(in: 0..<24, using: &random) {
                text += Bool.random(using: &random) ? Array((pieces.randomElement(using: &random) ?? "").utf8) : random.bytes(3)
            }
            var record = KnownHosts()
            record.add(text)
            #expect(record.verdict(host: "example.org", port: 22, key: Self.mine) != .known, "\(text)")
        }
    }

    /// Stars that match everywhere do not make the time explode.
    @Test func manyStars() {
        let pattern = String(repeating: "*a", count: 4000)
        #expect(verdict("\(pattern)b \(Self.words(Self.mine))", host: String(repeating: "a", count: 255)) == Self.nobody)
    }
}
