internal import HTTPClient
internal import Kloset
internal import S3Signing
internal import Storage
internal import Synchronization

/// Questions that do no harm: they touch nothing but `.sealift/probe`, or ask for what must be refused.
extension S3Store {
    /// Asks everything, and keeps the answers. What earlier runs found out is believed as long as one question that every run asks has the same
    /// answer as then.
    func askAbilities() async throws {
        // Before the first word is written: what the bucket's rule would lock must be written otherwise.
        var early: (objectLock: String?, versioning: String?)?
        if let memory, memory.known == S3Abilities(), state.withLock({ $0.abilities.checksums }) == nil {
            let found = try await protection()
            state.withLock { $0.objectLock = found.objectLock }
            early = found
        }
        let honours = try await honoursConditions()
        guard let memory, state.withLock({ $0.abilities.checksums }) == nil else { return }
        var found = memory.known
        if found.conditionalPut != honours || found.checksums == nil {
            found = S3Abilities()
            found.conditionalPut = honours
            found.checksums = try await computesChecksums()
            // radosgw gives the bucket's lock to what is completed, whatever was asked for: nothing of ours is made so then.
            if !hasDefaultRule { found.conditionalComplete = try await honoursConditionsOnComplete() }
            if !isWriteOnly { found.deleteMany = try await deletesMany() }
            if early == nil { early = try await protection() }
            (found.objectLock, found.versioning) = (early?.objectLock, early?.versioning)
        }
        found.region = client.region
        state.withLock { [found] in $0.abilities = found }
        if found != memory.known { try await memory.keep(found) }
    }

    /// A wrong SHA-256 must be refused. Where it is not, the probe gets the bytes that it has already.
    private func computesChecksums() async throws -> Bool {
        let word = try await honoursConditions() ? S3Names.honoured : S3Names.ignored
        var call = lockedBriefly(S3Call(.put, settings.key(S3Names.probe)).sendingSummed(Array(word.utf8)))
            .with(S3Checksum.header, S3Checksum.text(S3Signer.emptyPayload))
        call.wantsRefusal = true
        let answer = try await send(call, "cannot write \(S3Names.probe)")
        guard answer.status == 400 else { return false }
        // A server that refuses every checksum computes none: the right one must be taken.
        let right = lockedBriefly(S3Call(.put, settings.key(S3Names.probe)).sendingSummed(Array(word.utf8)))
        return try await send(right.with(S3Checksum.header, S3Checksum.text(right.payload)), "cannot write \(S3Names.probe)")
            .isSuccess
    }

    /// Completes an upload of one small part under the name of the probe, which is taken. What was refused is completed without the condition,
    /// so that nothing stays behind even for those who may not abort.
    private func honoursConditionsOnComplete() async throws -> Bool? {
        let (key, what) = (settings.key(S3Names.probe), "cannot write \(S3Names.probe)")
        let word = try await honoursConditions() ? S3Names.honoured : S3Names.ignored
        let begun = try await send(S3Call(.post, key).asking([("uploads", nil)]), what)
        guard begun.isSuccess, let id = (try? S3XML(parsing: begun.response.bytes))?.text("UploadId"), !id.isEmpty else {
            return nil
        }
        let part = try await send(
            S3Call(.put, key).asking([("partNumber", "1"), ("uploadId", id)]).sendingSummed(Array(word.utf8)), what)
        guard part.isSuccess, let tag = part.entityTag else { return nil }
        let document = S3Multipart(uploadID: id, parts: [[]], tags: [tag]).completion
        let complete = S3Call(.post, key).asking([("uploadId", id)]).with("Content-Type", "application/xml").sending(
            .bytes(document))
        let answer = try await send(complete.with("If-None-Match", "*"), what)
        if answer.status == 412 {
            _ = try await send(complete, what)
            return true
        }
        return answer.isSuccess && S3ErrorDocument(answer.response).code.isEmpty ? false : nil
    }

    /// Asks to remove what is not there.
    private func deletesMany() async throws -> Bool? {
        let key = settings.key("\(S3Names.own)/nothing")
        let document = Array("<Delete><Quiet>true</Quiet><Object><Key>\(S3XML.escaped(key))</Key></Object></Delete>".utf8)
        let call = S3Call(.post, nil).asking([("delete", nil)]).with("Content-Type", "application/xml").sending(.bytes(document))
            .with("Content-MD5", Base64.text(MD5.digest(of: .bytes(document))))
        let answer = try await send(call, "cannot ask the server")
        switch answer.status {
        case 200...299: return true
        case 400, 405, 501: return false
        default: return nil
        }
    }

    /// What the bucket says of Object Lock and versioning: asked each time, for people change it.
    func protection() async throws -> (objectLock: String?, versioning: String?) {
        let lock = try await send(S3Call(.get, nil).asking([("object-lock", nil)]), "cannot ask the server")
        let versions = try await send(S3Call(.get, nil).asking([("versioning", nil)]), "cannot ask the server")
        return (Self.objectLock(lock), Self.versioning(versions))
    }

    static func objectLock(_ answer: S3Answer) -> String? {
        guard answer.isSuccess else { return [400, 404, 405, 501].contains(answer.status) ? "none" : nil }
        guard let xml = try? S3XML(parsing: answer.response.bytes), xml.rootName == "ObjectLockConfiguration" else { return nil }
        guard xml.text("ObjectLockEnabled") == "Enabled" else { return "none" }
        guard let rule = xml.children(named: "Rule").first,
            let retention = xml.children(of: rule, named: "DefaultRetention").first,
            let mode = xml.text("Mode", of: retention), ["GOVERNANCE", "COMPLIANCE"].contains(mode)
        else { return "enabled" }
        for (unit, name) in [("days", xml.text("Days", of: retention)), ("years", xml.text("Years", of: retention))] {
            if let count = name.flatMap({ Int($0) }), count > 0 { return "\(mode.lowercased()) \(count) \(unit)" }
        }
        return "enabled"
    }

    private static func versioning(_ answer: S3Answer) -> String? {
        guard answer.isSuccess else { return [400, 404, 405, 501].contains(answer.status) ? "none" : nil }
        guard let xml = try? S3XML(parsing: answer.response.bytes), xml.rootName == "VersioningConfiguration" else { return nil }
        switch xml.text("Status") {
        case "Enabled": return "enabled"
        case "Suspended": return "suspended"
        default: return "none"
        }
    }

    /// For `inspect`: what was found out, and what protection is missing.
    func abilityReport() async throws -> [PlaceAbility] {
        try await recallProbe()
        var known = state.withLock { $0.abilities }
        if known == S3Abilities(), let memory { known = memory.known }
        known.conditionalPut = state.withLock { $0.honoursConditions ?? $0.honouredConditions } ?? known.conditionalPut
        (known.objectLock, known.versioning) = try await protection()
        func row(_ name: String, _ isMissing: Bool, _ missing: String) -> PlaceAbility {
            PlaceAbility(name: name, answer: known.words[name], missing: isMissing ? missing : nil)
        }
        return [
            row(
                "conditional_put", known.conditionalPut == false,
                "If-None-Match is not honoured: of two writers at once, one may overwrite the other"),
            row(
                "conditional_complete", known.conditionalComplete == false,
                "nor is it for resources above 8 MiB: they are looked for before and after"),
            row("checksums", known.checksums == false, "the server computes no SHA-256: only reading proves what it holds"),
            row("delete_many", false, ""),
            row(
                "object_lock", known.objectLock == "none",
                "the bucket has no Object Lock: whoever may delete may delete everything"),
            row("versioning", known.versioning == "none", "the bucket has no versioning: what is overwritten is gone"),
            row("region", false, ""),
        ]
    }
}
