/// Percent-encoding as Signature Version 4 wants it: every byte but the unreserved ones of RFC 3986, upper-case digits, once.
public enum URIEncoding {
    /// Appends `text` encoded; `/` stays where `keepsSlash` says so (paths).
    public static func append(_ text: String, keepsSlash: Bool = false, to target: inout String) {
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "a")...UInt8(ascii: "z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"),
                UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
                target.unicodeScalars.append(Unicode.Scalar(byte))
            case UInt8(ascii: "/") where keepsSlash:
                target.append("/")
            default:
                target.append("%")
                target.unicodeScalars.append(digit(byte >> 4))
                target.unicodeScalars.append(digit(byte & 15))
            }
        }
    }

    /// `text` encoded.
    public static func encoded(_ text: String, keepsSlash: Bool = false) -> String {
        var result = ""
        append(text, keepsSlash: keepsSlash, to: &result)
        return result
    }

    private static func digit(_ nibble: UInt8) -> Unicode.Scalar {
        Unicode.Scalar(nibble < 10 ? UInt8(ascii: "0") + nibble : UInt8(ascii: "A") + nibble - 10)
    }
}
