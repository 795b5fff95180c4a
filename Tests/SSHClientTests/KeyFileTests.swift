import StorageTesting
import Testing

@testable import SSHClient

/// What files with keys are, without their passphrases. The keys are nobody's: public halves are made up, private ones missing.
@Suite struct KeyFileTests {
    static let key = KnownHostsTests.mine

    private func kind(_ text: String) -> KeyFile { Array(text.utf8).withUnsafeBytes { KeyFile($0) } }

    /// OpenSSH's form, with bytes where the private part would be.
    private func openSSH(cipher: String, key: [UInt8] = key, number: UInt8 = 1) -> String {
        func field(_ bytes: [UInt8]) -> [UInt8] { [0, 0, UInt8(bytes.count >> 8), UInt8(bytes.count & 255)] + bytes }
        var body = Array("openssh-key-v1\0".utf8)
        for bytes in [Array(cipher.utf8), Array("bcrypt".utf8), [1, 2, 3]] as [[UInt8]] { body += field(bytes) }
        body += [0, 0, 0, number]
        body += field(key)
        body += field([UInt8](repeating: 7, count: 200))
        var text = Base64.encode(body)
        var lines: [String] = []
        while !text.isEmpty {
            lines.append(String(text.prefix(70)))
            text = String(text.dropFirst(70))
        }
        let name = "OPENSSH PRIVATE KEY"
        return "-----BEGIN \(name)-----\n" + lines.joined(separator: "\n") + "\n-----END \(name)-----\n"
    }

    @Test func ownForm() {
        #expect(kind(openSSH(cipher: "none")) == .open(publicKey: Self.key))
        #expect(kind(openSSH(cipher: "aes256-ctr")) == .locked(publicKey: Self.key))
        #expect(kind("a remark\n" + openSSH(cipher: "none")) == .open(publicKey: Self.key))
        #expect(kind(openSSH(cipher: "none").replacing("\n", with: "\r\n")) == .open(publicKey: Self.key))
        #expect(kind(openSSH(cipher: "none", number: 2)) == .unknown)
        #expect(kind(openSSH(cipher: "none", key: [1, 2, 3])) == .unknown)
    }

    @Test(arguments: [
        ("-----BEGIN PRIVATE KEY-----\nAAAA\n", KeyFile.open(publicKey: nil)),
        ("-----BEGIN RSA PRIVATE KEY-----\nAAAA\n", .open(publicKey: nil)),
        ("-----BEGIN EC PRIVATE KEY-----\nAAAA\n", .open(publicKey: nil)),
        ("-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n", .locked(publicKey: nil)),
        ("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: x\n\nAAAA\n", .locked(publicKey: nil)),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n", .unknown), ("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n", .unknown),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", .unknown), ("-----BEGIN ", .unknown), ("", .unknown), ("hello world", .unknown),
        ("PuTTY-User-Key-File-3: ssh-ed25519\n", .unknown),
    ])
    func others(_ text: String, _ wanted: KeyFile) {
        #expect(kind(text) == wanted)
    }

    @Test func publicHalf() {
        #expect(kind("\(KnownHostsTests.words(Self.key)) eva@host\n") == .publicOnly(Self.key))
        #expect(kind("ssh-rsa \(Base64.encode(Self.key))") == .unknown)
    }

    /// Cut anywhere and with any byte changed, a file is looked at to its end and no further.
    @Test func damaged() {
        var random = SeededRandom(seed: 0x6B66)
        let whole = Array(openSSH(cipher: "aes256-ctr").utf8)
        for count in 0..<whole.count { _ = whole.prefix(count).withUnsafeBytes { KeyFile($0) } }
        for _ in 0..<20_000 {
            var changed = whole
            for _ in 0..<3 {
                changed[Int.random(in: 0..<changed.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
            }
            let kind = changed.withUnsafeBytes { KeyFile($0) }
            if case .publicOnly = kind { Issue.record("\(changed)") }
        }
    }

    @Test func base64() {
        for (text, bytes) in [
            ("", []), ("AA==", [0]), ("AA", [0]), ("AAE=", [0, 1]), ("AAEC", [0, 1, 2]), ("+/+/", [0xfb, 0xff, 0xbf]),
        ] as [(String, [UInt8])] {
            #expect(Base64.decode(text.utf8) == bytes)
            if text.utf8.count % 4 == 0 { #expect(Base64.encode(bytes) == text) }
        }
        for text in ["A", "AAAAA", "AA=A", "AA===", "A A=", "AA\n=", "AA-_", "=A"] {
            #expect(Base64.decode(text.utf8) == nil, "\(text)")
        }
    }

    /// RFC 2202, cases 1 and 2, and a key that no salt has.
    @Test func authenticationCodes() {
        func hex(_ bytes: [UInt8]?) -> String { (bytes ?? []).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined() }
        let first = HostName.authenticationCode(of: Array("Hi There".utf8), key: [UInt8](repeating: 0x0b, count: 20))
        #expect(hex(first) == "b617318655057264e28bc0b6fb378c8ef146be00")
        let second = HostName.authenticationCode(of: Array("what do ya want for nothing?".utf8), key: Array("Jefe".utf8))
        #expect(hex(second) == "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79")
        #expect(HostName.authenticationCode(of: [], key: [UInt8](repeating: 0, count: 65)) == nil)
    }

    /// As `ssh-keygen -l` shows this key.
    @Test func fingerprint() {
        let key = Base64.decode("AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f".utf8) ?? []
        #expect(KeyBlob.fingerprint(of: key) == "ZkAslGjFiUHdGf/WUL8rQvkib4PTvQatUV0OUQSncCA")
    }

    @Test func whoLogsIn() {
        let variables = ["HOME": "/home/eva", "LOGNAME": "eva", "SSH_AUTH_SOCK": "/run/agent"]
        let login = SSHLogin(user: nil, host: "h", port: nil, variables: variables)
        #expect(login?.user == "eva")
        #expect(login?.port == 22)
        #expect(login?.agent == "/run/agent")
        #expect(login?.knownHosts.first == "/home/eva/.ssh/known_hosts")
        #expect(login?.standardKeys.first == "/home/eva/.ssh/id_ed25519")
        let other = SSHLogin(user: "u", host: "h", port: 2222, variables: ["SSH_AUTH_SOCK": ""])
        #expect(other?.user == "u")
        #expect(other?.agent == nil)
        #expect(other?.standardKeys == [])
    }
}
