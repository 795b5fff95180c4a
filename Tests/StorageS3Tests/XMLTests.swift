import HTTPClient
import StorageTesting
import Testing

@testable import StorageS3

private func parsed(_ text: String) throws -> S3XML { try S3XML(parsing: Array(text.utf8)) }

private func reason(_ text: String) -> String? {
    do throws(S3XML.Damage) {
        _ = try S3XML(parsing: Array(text.utf8))
        return nil
    } catch {
        return error.reason
    }
}

@Suite struct XMLTests {
    /// Sections stand for themselves, comments for nothing.
    @Test func textsWithSectionsAndComments() throws {
        let xml = try S3XML(
            parsing: Array("<E><A><![CDATA[a<b>&amp;]]]]></A><B>1<!-- 2 -->&lt;<![CDATA[]]>3</B><C> <![CDATA[x]]></C></E>".utf8))
        #expect(xml.text("A") == "a<b>&amp;]]" && xml.text("B") == "1<3" && xml.text("C") == " x")
        let error = Array("<Error><Code>InvalidObjectState</Code><Message><![CDATA[no]]></Message></Error>".utf8)
        #expect(S3ErrorDocument(HTTPResponse(status: 403, headers: HTTPHeaders([]), bytes: error)).code == "InvalidObjectState")
    }

    @Test func readsWhatServersSend() throws {
        let xml = try parsed(
            """
            <?xml version="1.0" encoding="UTF-8"?>
            <!-- a comment --><R xmlns="http://s3.amazonaws.com/doc/2006-03-01/" a='>'><A>1</A><B/><A x="/">2 &amp;&#x41;&#66;&lt;&nope;&</A>
            <C><D>in</D></C></R>

            """)
        #expect(xml.rootName == "R")
        #expect(xml.children(named: "A").map { xml.text(of: $0) } == ["1", "2 &AB<&nope;&"])
        #expect(xml.text("B") == "")
        #expect(xml.text("C") == "")
        #expect(xml.text("D", of: xml.children(named: "C")[0]) == "in")
        #expect(xml.text("D") == nil)
    }

    @Test(arguments: [
        "", " ", "<", "<a", "<a>", "<a></b>", "<a/><b/>", "x<a/>", "<a></a>x", "<a><b></a></b>", "</a>", "<a b=\"></a>",
        "<!DOCTYPE a><a/>",
        "<a><![CDATA[x]></a>", "<![CDATA[x]]><a/>", "<a/><![CDATA[x]]>", "<?xml", "<a><!-- </a>", "<a></a b>", "< a/>",
        "<a<b/></a>",
    ])
    func refusesWhatIsNone(_ text: String) {
        #expect(reason(text) != nil)
    }

    @Test func everythingIsBounded() throws {
        let depth = S3XML.depthMax
        #expect(reason(String(repeating: "<a>", count: depth) + String(repeating: "</a>", count: depth)) == nil)
        #expect(
            reason(String(repeating: "<a>", count: depth + 1) + String(repeating: "</a>", count: depth + 1))?.contains("nested")
                == true)
        let many = S3XML.elementsMax
        #expect(reason("<r>" + String(repeating: "<a/>", count: many - 1) + "</r>") == nil)
        #expect(reason("<r>" + String(repeating: "<a/>", count: many) + "</r>")?.contains("elements") == true)
        #expect(reason("<" + String(repeating: "n", count: S3XML.nameByteCountMax + 1) + "/>") != nil)
        #expect(reason("<!DOCTYPE x [<!ENTITY a \"&b;&b;\">]><x>&a;</x>")?.contains("document type") == true)
    }

    /// Whatever comes, the parser ends, and what it calls a tree is one.
    @Test func survivesGeneratedInput() throws {
        let seed = SeededRandom.freshSeed()
        let pieces = [
            "<", ">", "/", "</", "/>", "a", "b", "<a>", "</a>", "<a/>", "&amp;", "&#1;", "&", ";", "\"", "'", "=", " ", "<!--",
            "-->", "<?", "?>",
            "<!", "[", "<![CDATA[", "]]>", "\u{0}", "é", "<Contents>", "</Contents>", "<Key>", "</Key>", "<ListBucketResult>",
            "</ListBucketResult>",
            "<Size>1</Size>",
        ]
        var random = SeededRandom(seed: seed)
        for number in 0..<100_000 {
            var bytes: [UInt8] = []
            for _ in 0..<Int.random(in: 0...24, using: &random) {
                bytes += Array(pieces[Int.random(in: 0..<pieces.count, using: &random)].utf8)
            }
            if number % 3 == 0, !bytes.isEmpty {
                bytes[Int.random(in: bytes.indices, using: &random)] = UInt8.random(in: .min ... .max, using: &random)
            }
            guard let xml = try? S3XML(parsing: bytes) else { continue }
            let isTree = xml.elements.indices.allSatisfy { index in
                let element = xml.elements[index]
                return element.end > index && element.end <= xml.elements.count && element.text.upperBound <= bytes.count
            }
            #expect(isTree && xml.elements[0].end == xml.elements.count, "seed \(seed), input \(number): \(bytes)")
            _ = xml.elements.indices.map { xml.text(of: $0) }
            _ = try? S3ListPage(parsing: bytes)
        }
    }
}
