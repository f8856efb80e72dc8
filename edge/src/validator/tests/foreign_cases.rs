/// Some algorithms sign differently each time. What was stored under a name is taken again; a case that is new is signed.
fn signed_once(name: &str, sign: impl FnOnce() -> String) -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/vectors/verdicts.json");
    let stored: Option<Vectors> = std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let found = stored.and_then(|stored| stored.cases.into_iter().find(|case| case.name == name)?.authorization);
    let known = found.and_then(|authorization| authorization.strip_prefix("Bearer ").map(str::to_owned));
    known.unwrap_or_else(sign)
}

/// A token for ES512 with one bit of its signature changed.
fn bad_es512(f: &Fixture) -> String {
    let token = f.foreign(Algorithm::Es512, |_| {}, |_| {});
    let (message, signature) = token.rsplit_once('.').expect("a signature");
    let mut signature = shared::crypto::from_base64url(signature).expect("base64url");
    signature[70] ^= 1;
    format!("{message}.{}", base64url(&signature))
}

/// Tokens of other issuers.
#[expect(clippy::too_many_lines, reason = "one table")]
fn foreign(f: &Fixture) -> Vec<Case> {
    const ED: Algorithm = Algorithm::Ed25519;
    let expect = |name: &str, token: String, reason: &str| case(name, READ, bearer(&token), reason);
    let header = |name: &str, member: &str, value: Value, reason: &str| {
        expect(name, f.foreign(ED, |h| h[member] = value, |_| {}), reason)
    };
    let claim = |name: &str, member: &str, value: Value, reason: &str| {
        expect(name, f.foreign(ED, |_| {}, |c| c[member] = value), reason)
    };
    let without = |part: &str, name: &str, member: &str, reason: &str| {
        let drop = |value: &mut Value, here: bool| {
            if here && let Some(members) = value.as_object_mut() {
                members.remove(member);
            }
        };
        expect(name, f.foreign(ED, |h| drop(h, part == "header"), |c| drop(c, part == "claims")), reason)
    };
    let typ = |name: &str, typ: &str, more: &str, reason: &str| {
        expect(name, f.foreign(ED, |h| h["typ"] = typ.into(), |c| if !more.is_empty() { c[more] = "x".into(); }), reason)
    };
    let other = |name: &str, change: &dyn Fn(&mut Value), reason: &str| {
        let token = f.foreign(ED, |_| {}, |c| {
            *c = json!({"iss": OTHER_IDP, "oid": "eve", "sub": "somebody else", "aud": RESOURCE, "realm": {"roles": ["reader"]},
                "team": "red", "iat": NOW - 100, "exp": NOW + 3500});
            change(c);
        });
        expect(name, token, reason)
    };
    let tenant = |org: u64| format!("/tenants/{}/{}/x", OrgId::from_u64(org).expect("small"), WorkspaceId::from_u64(33).expect("small"));
    let status = |list: &str, idx: u64| json!({"status_list": {"idx": idx, "uri": format!("{list}/status-lists/0")}});
    let by_alg = Algorithm::ALL.map(|algorithm| {
        let name = format!("a foreign token, {}", algorithm.jose());
        let token = signed_once(&name, || f.foreign(algorithm, |_| {}, |_| {}));
        expect(&name, token, "allowed")
    });
    let es512 = "an ES512 signature, changed";
    let swapped = "a PS256 signature under an RS256 header";
    let claims_own = |org: u64| {
        let token = f.foreign(ED, |_| {}, |c| { c["org"] = json!(OrgId::from_u64(11).expect("small")); });
        case(&format!("a foreign token that claims organisation 11, in {org}'s place"), &tenant(org), bearer(&token),
            if org == IDP_ORG { "allowed" } else { "tenant_mismatch" })
    };
    let mcp = |name: &str, aud: &str, reason: &str| {
        let token = f.foreign(ED, |_| {}, |c| c["aud"] = aud.into());
        case(name, "/mcp/old", bearer(&token), reason)
    };
    let more = vec![
        expect("an RS256 signature under a PS256 header", f.foreign(Algorithm::Rs256, |h| { h["alg"] = "PS256".into(); h["kid"] = "PS256".into(); }, |_| {}), "signature_invalid"),
        expect(swapped, signed_once(swapped, || f.foreign(Algorithm::Ps256, |h| { h["alg"] = "RS256".into(); h["kid"] = "RS256".into(); }, |_| {})), "signature_invalid"),
        expect("an RS256 signature under the PS256 key's kid", f.foreign(Algorithm::Rs256, |h| h["kid"] = "PS256".into(), |_| {}), "algorithm_refused"),
        header("the other name of EdDSA", "alg", "Ed25519".into(), "allowed"),
        header("alg none, foreign", "alg", "none".into(), "algorithm_refused"),
        header("HS256 with the public key, foreign", "alg", "HS256".into(), "algorithm_refused"),
        header("ES256K, which nothing here knows", "alg", "ES256K".into(), "algorithm_refused"),
        header("ES512 in the header, a key for EdDSA", "alg", "ES512".into(), "algorithm_refused"),
        expect(es512, signed_once(es512, || bad_es512(f)), "signature_invalid"),
        header("a kid that the issuer does not have", "kid", "other".into(), "signing_key_unknown"),
        header("a kid of ours in a foreign token", "kid", "k4".into(), "signing_key_unknown"),
        header("a key that is distrusted for ever", "kid", "stolen".into(), "signing_key_unknown"),
        without("header", "no kid, and several keys", "kid", "header_refused"),
        header("jku, foreign", "jku", "https://evil.example/jwks".into(), "header_refused"),
        header("jwk, foreign", "jwk", json!({}), "header_refused"),
        header("crit, foreign", "crit", json!(["exp"]), "header_refused"),
        typ("typ JWT, where that is admitted", "JWT", "", "allowed"),
        without("header", "no typ, where that is admitted", "typ", "allowed"),
        typ("a logout token", "logout+jwt", "", "type_refused"),
        typ("a proof as a token", "dpop+jwt", "", "type_refused"),
        typ("an ID token: a nonce", "JWT", "nonce", "type_refused"),
        typ("an ID token: the hash of an access token", "JWT", "at_hash", "type_refused"),
        typ("a security event", "JWT", "events", "type_refused"),
        claim("an access token may have a nonce", "nonce", "x".into(), "allowed"),
        claim("the issuer with a slash", "iss", format!("{IDP}/").into(), "issuer_refused"),
        expect("our own issuer, signed by another", f.foreign(ED, |_| {}, |c| { c["iss"] = ISSUER.into(); c["client_id"] = "c".into(); }), "signing_key_unknown"),
        expect("our own issuer and kid, signed by another", f.foreign(ED, |h| h["kid"] = "k3".into(), |c| { c["iss"] = ISSUER.into(); c["client_id"] = "c".into(); }), "signing_key_unknown"),
        expect("our own token with another issuer's name", f.token(|c| c["iss"] = IDP.into()), "signing_key_unknown"),
        claim("an issuer that is trusted no more", "iss", FORMER_IDP.into(), "issuer_refused"),
        claims_own(IDP_ORG),
        claims_own(11),
        claim("one of several audiences", "aud", json!(["x", AUDIENCE]), "allowed"),
        claim("an audience of nobody here", "aud", "x".into(), "audience_refused"),
        claim("no audience that is a text", "aud", json!(7), "claims_malformed"),
        without("claims", "no audience at all", "aud", "claims_malformed"),
        claim("the resource itself, which the issuer does not speak to", "aud", RESOURCE.into(), "audience_refused"),
        claim("the MCP server's token at the API", "aud", format!("{RESOURCE}/mcp").into(), "audience_refused"),
        mcp("a name of the API on a route of the API", AUDIENCE, "allowed"),
        Case { path: "/mcp".into(), ..mcp("a name of the API at the MCP server", AUDIENCE, "audience_refused") },
        Case { path: "/mcp".into(), ..mcp("the MCP server's own name there", &format!("{RESOURCE}/mcp"), "allowed") },
        claim("more than the cap, and enough", "scope", "memory:read memory:write admin".into(), "allowed"),
        case("more than the cap: admin", "/admin/x", bearer(&f.foreign(ED, |_| {}, |c| c["scope"] = "admin".into())), "scope_insufficient"),
        Case { method: "POST".into(), ..claim("more than the cap: write", "scope", "memory:write".into(), "scope_insufficient") },
        without("claims", "no scopes", "scope", "scope_insufficient"),
        claim("scopes as a list", "scope", json!(["memory:read"]), "allowed"),
        expect("scopes in the second claim", f.foreign(ED, |_| {}, |c| { c["scp"] = json!(["memory:read"]); c["scope"].take(); if let Some(m) = c.as_object_mut() { m.remove("scope"); } }), "allowed"),
        claim("scopes that mean nothing here", "scope", "vault email".into(), "scope_insufficient"),
        claim("a revoked index of our list", "status", status(ISSUER, 100), "allowed"),
        claim("an index of another list", "status", status(IDP, 100), "allowed"),
        claim("a status that is none", "status", json!(7), "allowed"),
        without("claims", "no iat", "iat", "claims_malformed"),
        without("claims", "no exp", "exp", "claims_malformed"),
        without("claims", "no subject", "sub", "claims_malformed"),
        claim("an empty subject", "sub", "".into(), "claims_malformed"),
        claim("a subject that is no text", "sub", json!(7), "claims_malformed"),
        claim("a long subject", "sub", "s".repeat(256).into(), "claims_malformed"),
        claim("a subject like one of ours", "sub", UserId::from_u64(23).expect("small").to_string().into(), "allowed"),
        claim("a life of a day", "exp", json!(NOW - 100 + 86_400), "allowed"),
        claim("a life of more than a day", "exp", json!(NOW - 100 + 86_401), "lifetime_refused"),
        claim("expired, foreign", "exp", json!(NOW), "expired"),
        claim("from the future, foreign", "iat", json!(NOW + 61), "not_yet_valid"),
        claim("not valid yet, foreign", "nbf", json!(NOW + 61), "not_yet_valid"),
        claim("bound to a certificate, foreign", "cnf", json!({"x5t#S256": "x"}), "binding_unsupported"),
        claim("bound to a key, as a bearer token, foreign", "cnf", json!({"jkt": jkt(HOLDER)}), "binding_ignored"),
        other("another issuer's claims, by its tables", &|_| {}, "allowed"),
        Case { path: tenant(45), ..other("another workspace than the table's", &|_| {}, "tenant_mismatch") },
        other("a team that is in no table", &|c| c["team"] = "blue".into(), "tenant_mismatch"),
        other("a team by the workspace's own id", &|c| c["team"] = json!(WorkspaceId::from_u64(55).expect("small")), "tenant_mismatch"),
        other("a role that is in no table", &|c| c["realm"]["roles"] = json!(["memory:read"]), "scope_insufficient"),
        other("a role above the cap", &|c| c["realm"]["roles"] = json!(["boss"]), "allowed"),
        Case { method: "DELETE".into(), ..other("a role above the cap, to delete", &|c| c["realm"]["roles"] = json!(["boss"]), "scope_insufficient") },
        other("no subject where this issuer has it", &|c| c["oid"] = Value::Null, "claims_malformed"),
        expect("typ JWT, where that is not admitted", f.foreign(ED, |h| h["typ"] = "JWT".into(), |c| { c["iss"] = OTHER_IDP.into(); c["oid"] = "eve".into(); }), "type_refused"),
        expect("one issuer's key, another's name", f.foreign(Algorithm::Rs256, |h| h["kid"] = "RS256".into(), |c| c["iss"] = OTHER_IDP.into()), "signing_key_unknown"),
        expect("one issuer's key under another's kid", f.foreign(Algorithm::Rs256, |h| { h["kid"] = "EdDSA".into(); h["alg"] = "EdDSA".into(); }, |c| c["iss"] = OTHER_IDP.into()), "signature_invalid"),
    ];
    let unknown = claim("an issuer that came a moment ago, stale", "iss", "https://new.example".into(), "refresh");
    let unnamed = f.foreign(ED, |h| { if let Some(m) = h.as_object_mut() { m.remove("kid"); } }, |c| {
        *c = json!({"iss": OTHER_IDP, "oid": "eve", "aud": RESOURCE, "realm": {"roles": "reader"}, "team": "red", "iat": NOW, "exp": NOW + 5});
    });
    let last = vec![
        Case { contact_age_ms: 2001, ..unknown },
        expect("no kid, and one key", unnamed, "allowed"),
    ];
    [by_alg.to_vec(), more, last].concat()
}
