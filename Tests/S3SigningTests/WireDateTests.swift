import Kloset
import S3Signing
import Testing

struct WireDateTests {
    @Test("dates of headers and documents")
    func dates() {
        #expect(Timestamp(httpDate: "Sun, 06 Nov 1994 08:49:37 GMT") == Timestamp(seconds: 784_111_777))
        #expect(Timestamp(httpDate: "Thu, 01 Jan 1970 00:00:00 GMT") == Timestamp(seconds: 0))
        #expect(Timestamp(isoDate: "2024-02-29T23:59:60Z") == Timestamp(seconds: 1_709_251_200))
        #expect(Timestamp(isoDate: "2026-11-21T08:35:12.999Z") == Timestamp(isoDate: "2026-11-21T08:35:12Z"))
    }

    @Test("every day of 250 years, read back from its own text")
    func everyDay() {
        for day in stride(from: Int64(0), to: 250 * 365, by: 1) {
            let moment = Timestamp(seconds: day * 86_400 + day % 86_400)
            #expect(Timestamp(isoDate: moment.isoText) == moment)
        }
    }

    @Test(
        "what is no date",
        arguments: [
            "", "Z", "2026-11-21T08:35:12", "2026-11-21 08:35:12Z", "2026-11-21T08:35:12+00:00", "2026-13-21T08:35:12Z",
            "2026-00-21T08:35:12Z",
            "2026-02-29T08:35:12Z", "2026-11-31T08:35:12Z", "2026-11-00T08:35:12Z", "2026-11-21T24:35:12Z",
            "2026-11-21T08:60:12Z",
            "2026-11-21T08:35:61Z", "2026-11-21T08:35Z", "2026-11-21T08:35:12.Z", "2026-11-21T08:35:12.xZ",
            "1969-12-31T23:59:59Z",
            "9999-11-21T08:35:12Z", "+026-11-21T08:35:12Z", "2026-11-21T08:35:12.000000000000000000000000Z",
            "2026-11-21T-8:35:12Z",
            "Sun, 06 Nov 1994 08:49:37 UTC", "Sun, 6 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
            "Sun, 06 Nox 1994 08:49:37 GMT", "Sun, 32 Oct 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49:37 GMTT",
            "Sun  06 Nov 1994 08:49:37 GMT",
        ])
    func noDate(text: String) {
        #expect(Timestamp(httpDate: text) == nil)
        #expect(Timestamp(isoDate: text) == nil)
    }

    @Test("a server's clock is believed when it differs by a minute or more")
    func offset() {
        let now = Timestamp(seconds: 784_111_777)
        var offset = ClockOffset()
        func learn(_ text: String) -> Bool { offset.learn(serverDate: text, now: now) }
        #expect(!learn("Sun, 06 Nov 1994 08:50:36 GMT") && offset.seconds == 0)
        #expect(!learn("yesterday"))
        #expect(learn("Sun, 06 Nov 1994 09:49:37 GMT") && offset.seconds == 3600)
        #expect(offset.serverTime(now) == Timestamp(seconds: 784_115_377))
        // The same answer again changes nothing: a request refused for its time is signed again once, not for ever.
        #expect(!learn("Sun, 06 Nov 1994 09:49:40 GMT"))
        #expect(learn("Sun, 06 Nov 1994 08:49:37 GMT") && offset.seconds == 0)
    }

    @Test("secrets of equal bytes are equal, and show nothing")
    func secrets() {
        #expect(
            Secret("a") == Secret([97]) && Secret("a") != Secret("b") && Secret("a") != Secret("ab") && Secret("").byteCount == 0)
        var dumped = ""
        dump([Secret("geheim")], to: &dumped)
        #expect(!dumped.contains("geheim") && !"\([Secret("geheim")])".contains("geheim"))
    }
}
