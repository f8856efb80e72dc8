/// The golden file, from scratch.
pub(super) fn golden() -> Vectors {
    let mut fixture = Fixture::new();
    fixture.say_all(vec![
        Entry::Admitted { version: 1, orgs: [11, IDP_ORG, 45].map(|org| OrgId::from_u64(org).expect("small")).to_vec() },
        Entry::revoked(index(100)),
        Entry::NotAfter(Expiry { index: index(101), time: UnixSeconds(NOW) }),
        Entry::NotBefore(Subject::Member(OrgId::from_u64(11).expect("small"), UserId::from_u64(23).expect("small")), UnixSeconds(NOW)),
        Entry::Ceiling {
            subject: Subject::Index(index(102)),
            version: 1,
            scopes: ScopeSet::EMPTY,
        },
    ]);
    let cases = [routes(&fixture), keys(&fixture), tokens(&fixture), foreign(&fixture), proofs(&fixture), browsers(&fixture), operations(&fixture), freshness(&fixture)].concat();
    fixture.vectors(cases)
}

fn case(name: &str, path: &str, authorization: Option<String>, expected: &str) -> Case {
    Case {
        name: name.into(),
        method: "GET".into(),
        path: path.into(),
        authorization,
        origin: None,
        proof: None,
        mcp_method: None,
        mcp_name: None,
        mcp_version: None,
        feed_age_ms: None,
        min_seq: None,
        read_after_arrival: false,
        now: NOW,
        contact_age_ms: 0,
        exhausted: false,
        expected: expected.into(),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "a case may come without a header")]
fn bearer(text: &str) -> Option<String> {
    Some(format!("Bearer {text}"))
}

const READ: &str = "/v1/memory/x";

fn routes(f: &Fixture) -> Vec<Case> {
    let key = || bearer(f.key().expose());
    let admin = bearer(f.key_with(|s| s.scopes = ScopeSet(1 << 5)).expose());
    let write = Case { method: "POST".into(), ..case("read key on a write route", READ, key(), "scope_insufficient") };
    let head = Case { method: "HEAD".into(), ..case("HEAD counts as GET", READ, key(), "allowed") };
    let lower = Case { method: "get".into(), ..case("a method in lower case", READ, key(), "route_denied") };
    vec![
        case("public without credential", "/public/a", None, "public"),
        case("public ignores a bad credential", "/public/a", bearer("nonsense"), "public"),
        case("no credential", READ, None, "credential_missing"),
        case("another scheme", READ, Some("Basic YTpi".into()), "credential_missing"),
        case("two credentials", READ, Some("Bearer a.b.c, Bearer a.b.c".into()), "credential_ambiguous"),
        case("unknown path", "/nowhere", key(), "route_denied"),
        case("encoded slash", "/public/..%2fadmin", key(), "path_malformed"),
        case("dot segment", "/public/../admin", key(), "path_malformed"),
        case("unreserved characters may be encoded", "/v1/%6demory/x", key(), "allowed"),
        case("case matters", "/V1/memory/x", key(), "route_denied"),
        case("admin implies the rest", READ, admin, "allowed"),
        case("any of two scopes", "/either/x", key(), "allowed"),
        case("own tenant", &format!("/tenants/{}/{}/x", OrgId::from_u64(11).expect("small"), WorkspaceId::from_u64(33).expect("small")), key(), "allowed"),
        case("another organisation", "/tenants/org_000000001/ws_00000000X/x", key(), "tenant_mismatch"),
        case("another workspace", &format!("/tenants/{}/ws_000000001/x", OrgId::from_u64(11).expect("small")), key(), "tenant_mismatch"),
        write,
        head,
        lower,
    ]
}

fn keys(f: &Fixture) -> Vec<Case> {
    let good = f.key();
    let text = good.expose();
    let expect = |name: &str, key: &PlainKey, reason: &str| case(name, READ, bearer(key.expose()), reason);
    let tampered = {
        // Another last digit of the checksum.
        let last = if text.ends_with('A') { 'B' } else { 'A' };
        format!("{}{last}", &text[..text.len() - 1])
    };
    vec![
        expect("a good key", &good, "allowed"),
        expect("a key without expiry", &f.key_with(|s| s.expires_at = None), "allowed"),
        expect("a key for all workspaces", &f.key_with(|s| s.workspace = None), "allowed"),
        expect("issued within the skew", &f.key_with(|s| s.issued_at = UnixSeconds(NOW + 60)), "allowed"),
        expect("issued in the future", &f.key_with(|s| s.issued_at = UnixSeconds(NOW + 61)), "not_yet_valid"),
        expect("expires now", &f.key_with(|s| s.expires_at = Some(UnixSeconds(NOW))), "expired"),
        expect("expires in a second", &f.key_with(|s| s.expires_at = Some(UnixSeconds(NOW + 1))), "allowed"),
        expect("revoked", &f.key_with(|s| s.index = index(100)), "revoked"),
        expect("ended by rotation", &f.key_with(|s| s.index = index(101)), "ended"),
        expect("quarantined to nothing", &f.key_with(|s| s.index = index(102)), "scope_insufficient"),
        expect("before its user's not-before", &f.key_with(|s| s.user = UserId::from_u64(23).expect("small")), "superseded"),
        expect("of an organisation that is not admitted", &f.key_with(|s| s.org = OrgId::from_u64(12).expect("small")), "org_not_admitted"),
        expect("an index of another key's block", &f.key_with(|s| s.index = index(LIST)), "index_unowned"),
        expect("an index beyond all blocks: is there a newer one?", &f.key_with(|s| s.index = index(2 * LIST)), "refresh"),
        Case { exhausted: true, ..expect("an index beyond all blocks, and nobody to ask", &f.key_with(|s| s.index = index(2 * LIST)), "state_stale") },
        Case { read_after_arrival: true, ..expect("an index beyond all blocks, as of now", &f.key_with(|s| s.index = index(2 * LIST)), "index_unknown") },
        expect("signed by a stranger under our number", &build("pc", Environment::Live, &f.stated(), STRANGER), "signature_invalid"),
        expect("a signing key that nobody announced", &f.key_with(|s| s.signing_key = number(9)), "signing_key_unknown"),
        expect("a signing key of another purpose", &f.key_with(|s| s.signing_key = number(4)), "signing_key_unknown"),
        expect("the test environment", &build("pc", Environment::Test, &f.stated(), KEY_SIGNER), "allowed"),
        expect("an environment that is not accepted", &build("pc", Environment::Dev, &f.stated(), KEY_SIGNER), "environment_refused"),
        expect("another brand", &build("acme", Environment::Live, &short(f), KEY_SIGNER), "brand_refused"),
        case("one character changed", READ, bearer(&tampered), "checksum_mismatch"),
        case("truncated", READ, bearer(&text[..text.len() - 1]), "checksum_mismatch"),
        case("upper-case environment", READ, bearer(&text.replace("live", "LIVE")), "credential_malformed"),
        case("too long for a key", READ, bearer(&format!("{text}{}", "A".repeat(100))), "credential_malformed"),
        case("ten kilobytes", READ, bearer(&"A".repeat(10_000)), "credential_malformed"),
        case("an inner tab", READ, bearer(&text.replace("live_", "live_\t")), "credential_malformed"),
        case("a percent-encoded newline", READ, bearer(&format!("{text}%0a")), "credential_malformed"),
        case("opaque", READ, bearer("whatever"), "credential_malformed"),
        case("scheme in upper case", READ, Some(format!("BEARER {text}")), "allowed"),
    ]
}

/// Fits behind a longer brand.
fn short(f: &Fixture) -> key::Statement {
    key::Statement { workspace: None, expires_at: None, ..f.stated() }
}

fn tokens(f: &Fixture) -> Vec<Case> {
    let expect = |name: &str, token: String, reason: &str| case(name, READ, bearer(&token), reason);
    let header = |name: &str, member: &str, value: Value, reason: &str| {
        expect(name, f.token_with(|h| h[member] = value, |_| {}), reason)
    };
    let claim = |name: &str, member: &str, value: Value, reason: &str| {
        expect(name, f.token(|c| c[member] = value), reason)
    };
    let other = |idx: u64, list: &str| json!({"status_list": {"idx": idx, "uri": format!("{ISSUER}/status-lists/{list}")}});
    let good = f.token(|_| {});
    let resigned = format!("{}.{}", good.rsplit_once('.').expect("three parts").0, base64url(&[1; 256]));
    vec![
        expect("a good token", good.clone(), "allowed"),
        header("typ with its prefix", "typ", "application/at+jwt".into(), "allowed"),
        claim("several audiences", "aud", json!(["https://other", RESOURCE]), "allowed"),
        claim("the resource with a slash", "aud", json!(format!("{RESOURCE}/")), "allowed"),
        header("alg none", "alg", "none".into(), "algorithm_refused"),
        header("alg HS256", "alg", "HS256".into(), "algorithm_refused"),
        header("another alg than the key's", "alg", "PS256".into(), "algorithm_refused"),
        header("kid of the API-key signer", "kid", "k3".into(), "signing_key_unknown"),
        header("unknown kid", "kid", "k99".into(), "signing_key_unknown"),
        header("typ of an id token", "typ", "JWT".into(), "type_refused"),
        header("crit", "crit", json!(["exp"]), "header_refused"),
        header("jku", "jku", "https://evil.example/jwks".into(), "header_refused"),
        header("jwk", "jwk", json!({}), "header_refused"),
        expect("another signature", resigned, "signature_invalid"),
        claim("another issuer", "iss", "https://evil.example".into(), "issuer_refused"),
        claim("another audience", "aud", "https://other".into(), "audience_refused"),
        claim("expired", "exp", json!(NOW), "expired"),
        claim("not valid yet", "nbf", json!(NOW + 61), "not_yet_valid"),
        claim("issued in the future (token)", "iat", json!(NOW + 61), "not_yet_valid"),
        claim("bound to a certificate", "cnf", json!({"x5t#S256": "x"}), "binding_unsupported"),
        claim("bound to a key and a certificate", "cnf", json!({"jkt": jkt(HOLDER), "x5t#S256": "x"}), "binding_unsupported"),
        claim("bound to something that is no thumbprint", "cnf", json!({"jkt": "x"}), "binding_unsupported"),
        claim("bound to a list", "cnf", json!(["jkt"]), "binding_unsupported"),
        claim("no status", "status", Value::Null, "status_missing"),
        claim("another issuer's list", "status", json!({"status_list": {"idx": 8, "uri": "https://evil/status-lists/1"}}), "status_missing"),
        claim("an index of an API key's block", "status", other(8, "0"), "index_unowned"),
        claim("claims of the wrong type", "exp", "soon".into(), "claims_malformed"),
        claim("no scope for this", "scope", "memory:write".into(), "scope_insufficient"),
        expect("not base64url", format!("{good}="), "credential_malformed"),
    ]
}

fn proofs(f: &Fixture) -> Vec<Case> {
    let token = f.bound();
    let sent = |name: &str, authorization: String, proof: Option<String>, expected: &str| Case {
        proof,
        ..case(name, READ, Some(authorization), expected)
    };
    let dpop = || format!("DPoP {token}");
    let with = |name: &str, claim: &str, value: Value, expected: &str| {
        let proof = proof(HOLDER, &token, |claims| claims[claim] = value);
        sent(name, dpop(), Some(proof), expected)
    };
    let good = || Some(proof(HOLDER, &token, |_| {}));
    let twice = format!("{0}, {0}", good().unwrap_or_default());
    let (front, _) = twice.rsplit_once('.').expect("three parts");
    let forged = format!("{}.{}", front.rsplit_once(", ").map_or(front, |(_, last)| last), base64url(&[0; 64]));
    let other = f.token(|c| { c["cnf"] = json!({"jkt": jkt(HOLDER)}); c["jti"] = "j2".into(); });
    vec![
        sent("a bound token with its proof", dpop(), good(), "allowed"),
        sent("the scheme without case", format!("dpop {token}"), good(), "allowed"),
        sent("a bound token as a bearer token", format!("Bearer {token}"), None, "binding_ignored"),
        sent("a bound token as a bearer token, with its proof", format!("Bearer {token}"), good(), "binding_ignored"),
        sent("a token that is bound to nothing, under DPoP", format!("DPoP {}", f.token(|_| {})), good(), "binding_missing"),
        sent("an API key under DPoP", format!("DPoP {}", f.key().expose()), good(), "binding_missing"),
        sent("a bound token without a proof", dpop(), None, "proof_missing"),
        sent("two proofs", dpop(), Some(twice), "proof_ambiguous"),
        sent("two proofs beside an API key", bearer(f.key().expose()).unwrap_or_default(), Some("a, b".into()), "proof_ambiguous"),
        sent("a proof beside an API key", bearer(f.key().expose()).unwrap_or_default(), good(), "allowed"),
        sent("a proof that is none", dpop(), Some("nonsense".into()), "proof_malformed"),
        sent("an access token for a proof", dpop(), Some(token.clone()), "proof_malformed"),
        sent("a proof by another key", dpop(), Some(proof(STRANGER, &token, |_| {})), "proof_key_mismatch"),
        sent("a proof for another token", dpop(), Some(proof(HOLDER, &other, |_| {})), "proof_mismatch"),
        sent("a forged proof", dpop(), Some(forged), "proof_signature_invalid"),
        with("a proof for another method", "htm", "POST".into(), "proof_mismatch"),
        with("a proof for another path", "htu", format!("{RESOURCE}/v1/memory/y").into(), "proof_mismatch"),
        with("a proof for another host", "htu", "https://evil.example/v1/memory/x".into(), "proof_mismatch"),
        with("a proof with a query", "htu", format!("{RESOURCE}/v1/memory/x?q").into(), "allowed"),
        with("an old proof", "iat", json!(NOW - 60), "proof_expired"),
        with("a proof from the future", "iat", json!(NOW + 61), "proof_expired"),
        Case { path: "/v1/%6demory/x".into(), ..sent("the path in another spelling", dpop(), good(), "allowed") },
        Case { method: "POST".into(), ..sent("scopes come before the proof", dpop(), None, "scope_insufficient") },
        Case { contact_age_ms: 2001, ..sent("a stale state, with a proof", dpop(), good(), "refresh") },
        Case { contact_age_ms: 9_000_000, ..sent("a missing proof never costs a read", dpop(), None, "proof_missing") },
    ]
}

fn browsers(f: &Fixture) -> Vec<Case> {
    let from = |origin: &str, case: Case| Case { origin: Some(origin.into()), ..case };
    let key = || bearer(f.key().expose());
    let token = || bearer(&f.token(|_| {}));
    vec![
        from("https://app.example", case("an API key from a browser", READ, key(), "browser_key_refused")),
        from("https://app.example", case("an API key from a browser, allowed", "/browser-keys/x", key(), "allowed")),
        from("https://app.example", case("a token from a listed origin", "/browser/x", token(), "allowed")),
        from("https://evil.example", case("a token from another origin", "/browser/x", token(), "origin_refused")),
        from("null", case("a token from an opaque origin", "/browser/x", token(), "origin_refused")),
        from("https://evil.example", case("another origin, and no credential", "/browser/x", None, "origin_refused")),
        from("https://app.example", case("a listed origin, and no credential", "/browser/x", None, "credential_missing")),
    ]
}

/// Messages of the Model Context Protocol.
fn operations(f: &Fixture) -> Vec<Case> {
    let message = |name: &str, path: &str, scope: &str, headers: (&str, &str), expected: &str| {
        let aud = json!([RESOURCE, format!("{RESOURCE}/mcp")]);
        let token = f.token(|c| { c["scope"] = scope.into(); c["aud"] = aud; });
        let header = |value: &str| (value != "-").then(|| value.to_owned());
        let (mcp_method, mcp_name) = (header(headers.0), header(headers.1));
        let mcp_version = mcp_method.as_ref().or(mcp_name.as_ref()).map(|_| "2026-07-28".to_owned());
        Case { method: "POST".into(), mcp_method, mcp_name, mcp_version, ..case(name, path, bearer(&token), expected) }
    };
    let (read, write, both) = ("memory:read", "memory:read memory:write", "memory:read memory:write memory:delete");
    let call = |tool| ("tools/call", tool);
    let none = ("-", "-");
    let lacks = "scope_insufficient";
    let malformed = "mcp_headers_malformed";
    let version = |version: &str, name: &str, expected: &str| Case {
        mcp_version: (version != "-").then(|| version.to_owned()),
        ..message(name, "/mcp", read, call("read_memory"), expected)
    };
    let read_uri = |uri: &str, name: &str, expected: &str| message(name, "/mcp", read, ("resources/read", uri), expected);
    vec![
        message("an operation without a rule", "/mcp", read, ("tools/list", "-"), "allowed"),
        message("a tool without a rule", "/mcp", read, call("read_memory"), "allowed"),
        message("a tool beyond the scopes", "/mcp", read, call("write_memory"), lacks),
        message("a tool within the scopes", "/mcp", write, call("write_memory"), "allowed"),
        message("the route's own scopes count too", "/mcp", "memory:write", call("write_memory"), lacks),
        message("all rules that fit count", "/mcp", write, call("delete_memory"), lacks),
        message("all scopes of all rules that fit", "/mcp", both, call("delete_memory"), "allowed"),
        message("admin implies every operation's", "/mcp", "admin", call("delete_memory"), "allowed"),
        message("a rule without names", "/mcp", both, ("completion/complete", "-"), lacks),
        message("names are for their method", "/mcp", read, ("prompts/get", "delete_memory"), "allowed"),
        message("case matters in a name", "/mcp", read, call("Delete_memory"), "allowed"),
        version("2027-01-01", "a later revision", "allowed"),
        version("2025-11-25", "an operation named, in an older revision", lacks),
        version("-", "an operation named, in no revision", lacks),
        version("2026-07-28, 2026-07-28", "two revisions", lacks),
        version("latest", "a revision that is no date", lacks),
        version("9999-9-9", "a revision that is almost a date", lacks),
        read_uri("file:///notes/a", "a resource", "allowed"),
        read_uri("FILE:///notes/a", "a resource with its scheme in upper case", malformed),
        read_uri("file:///x/../notes/a", "a resource with a dot segment", malformed),
        read_uri("=?base64?ZmlsZTovLy9ub3QJZXMvYQ==?=", "a resource with a tab", malformed),
        message("a tool with a tab", "/mcp", both, call("=?base64?ZGVsZXRlCV9tZW1vcnk=?="), malformed),
        message("a name in base64", "/mcp", read, call("=?base64?ZGVsZXRlX21lbW9yeQ==?="), lacks),
        message("a name beyond ASCII", "/mcp", read, call("=?base64?4piD?="), lacks),
        message("two names", "/mcp", both, call("read_memory, delete_memory"), malformed),
        message("two methods", "/mcp", both, ("tools/list, tools/call", "read_memory"), malformed),
        message("an empty method", "/mcp", both, ("", "-"), malformed),
        message("an empty name", "/mcp", both, call(""), malformed),
        message("a name in bad base64", "/mcp", both, call("=?base64?ZGVsZXRl!?="), malformed),
        message("a tool without its name", "/mcp", both, ("tools/call", "-"), malformed),
        message("a name without a method", "/mcp", both, ("-", "read_memory"), malformed),
        message("no operation named", "/mcp", both, none, lacks),
        message("no operation named, all scopes", "/mcp", &format!("{both} vault:manage"), none, "allowed"),
        message("no operation named, where the origin checks", "/mcp/old", read, none, "allowed"),
        message("an operation named, where the origin checks", "/mcp/old", read, call("write_memory"), lacks),
        message("no operation named, where that is refused", "/mcp/new", both, none, "mcp_headers_missing"),
        message("headers mean nothing elsewhere", "/v1/memory/x", write, call("delete_memory"), "allowed"),
        Case { method: "GET".into(), ..message("a stream names no operation", "/mcp", read, none, "allowed") },
        Case { method: "PUT".into(), ..message("any body may be a message", "/mcp", read, none, lacks) },
        Case { authorization: bearer(&f.token(|_| {})), ..message("the API's token at the server", "/mcp", read, call("read_memory"), "audience_refused") },
    ]
}

fn freshness(f: &Fixture) -> Vec<Case> {
    let key = || bearer(f.key().expose());
    let revoked = bearer(f.key_with(|s| s.index = index(100)).expose());
    let unknown = || bearer(f.key_with(|s| s.index = index(2 * LIST)).expose());
    let admin = || bearer(f.key_with(|s| s.scopes = ScopeSet(1 << 5)).expose());
    let aged = |age: u64, case: Case| Case { contact_age_ms: age, ..case };
    let last = |case: Case| Case { exhausted: true, ..case };
    // 24 h.
    let orphaned = |age: u64, case: Case| Case { feed_age_ms: Some(86_400_000 + age), ..case };
    let from = |min_seq: u64, case: Case| Case { min_seq: Some(min_seq), ..case };
    let canary = || bearer(f.key_with(|s| {
        s.org = OrgId::from_u64(shared::id::LIMIT - 1).expect("the highest");
        s.scopes = ScopeSet(1 << 5);
    }).expose());
    vec![
        orphaned(0, case("a publisher that is silent, but not for too long", READ, key(), "allowed")),
        orphaned(1, case("a publisher that is silent for too long", READ, key(), "refresh")),
        last(orphaned(1, case("a publisher that stays silent", READ, key(), "state_stale"))),
        last(orphaned(1, case("a public route without a publisher", "/public/a", None, "state_stale"))),
        last(orphaned(1, case("a patient route without a publisher", "/patient/x", key(), "state_stale"))),
        orphaned(9_000_000, case("no publisher, and revoked", READ, revoked.clone(), "revoked")),
        from(2, case("a seq that the state has", READ, key(), "allowed")),
        from(3, case("a seq that the state has not", READ, key(), "refresh")),
        last(from(3, case("a seq that nobody has", READ, key(), "state_stale"))),
        last(from(3, case("a seq that nobody has, on a patient route", "/patient/x", key(), "state_stale"))),
        from(3, case("a seq for a public route", "/public/a", None, "public")),
        from(3, case("a seq with a bad credential never costs a read", READ, bearer("nonsense"), "credential_malformed")),
        from(3, case("a seq with a revoked credential never costs a read", READ, revoked.clone(), "revoked")),
        from(3, case("a seq without the scope never costs a read", "/admin/x", key(), "scope_insufficient")),
        case("a canary", READ, canary(), "audience_refused"),
        case("a canary on a route of every credential", "/tenants/x/y/z", canary(), "audience_refused"),
        last(aged(u64::from(u32::MAX) * 1000, case("an age that nobody knows, on a patient route", "/patient/x", key(), "state_stale"))),
        aged(2000, case("at the bound", READ, key(), "allowed")),
        aged(2001, case("beyond the bound", READ, key(), "refresh")),
        last(aged(2001, case("beyond the bound, and nothing fresher", READ, key(), "state_stale"))),
        last(aged(2001, case("a public route, stale", "/public/a", None, "state_stale"))),
        last(aged(2001, case("an unknown path, stale", "/nowhere", None, "state_stale"))),
        last(aged(60_000, case("a patient route", "/patient/x", key(), "allowed"))),
        last(aged(60_001, case("a patient route, at its end", "/patient/x", key(), "state_stale"))),
        case("a strict route reads first", "/admin/x", admin(), "refresh"),
        last(case("a strict route that cannot read", "/admin/x", admin(), "state_stale")),
        case("a strict route refuses without reading", "/admin/x", key(), "scope_insufficient"),
        aged(9_000_000, case("a bad credential never costs a read", READ, bearer("nonsense"), "credential_malformed")),
        aged(9_000_000, case("revoked stays revoked", READ, revoked.clone(), "revoked")),
        aged(2001, case("an unknown index, stale", READ, unknown(), "refresh")),
        last(aged(2001, case("an unknown index, nothing fresher", READ, unknown(), "state_stale"))),
    ]
}
