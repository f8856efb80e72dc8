//! DPoP (RFC 9449): line 11 of the checklist, at `/token`, `/authorize`, `/userinfo` and `/introspect`.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use axum::body::Body;
use axum::http::{Method, Request, header};
use serde_json::{Value, json};
use shared::crypto::{VerifyingKey, base64url, sha256};
use shared::jwk::Thumbprint;

use super::support::{
    ClientApp, FORM, Person, SECOND, VERIFIER, claims, client_with, confidential, encode, location, outcome,
    public, published,
};
use crate::store::clients::ClientKind;
use crate::testing::{Answer, TestApp};

pub(super) const NO_PROOF: (u16, &str) = (400, "invalid_dpop_proof");
pub(super) const REFUSED: (u16, &str) = (400, "invalid_grant");

/// Somebody with a key.
pub(crate) struct Holder {
    pair: Ed25519KeyPair,
    proofs: std::cell::Cell<u32>,
}

impl Holder {
    pub(crate) fn new(seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed");
        Self {
            pair,
            proofs: std::cell::Cell::new(0),
        }
    }

    fn public(&self) -> [u8; 32] {
        self.pair.public_key().as_ref().try_into().expect("32 bytes")
    }

    pub(super) fn jkt(&self) -> String {
        Thumbprint::of(&VerifyingKey::ed25519(self.public())).to_string()
    }

    /// A new proof, with its claims changed.
    pub(crate) fn proof_with(
        &self,
        test: &TestApp,
        method: &str,
        path: &str,
        change: impl FnOnce(&mut Value),
    ) -> String {
        self.proofs.set(self.proofs.get() + 1);
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(&self.public())});
        let head = json!({"typ": "dpop+jwt", "alg": "Ed25519", "jwk": jwk});
        let mut claims = json!({
            "jti": format!("proof-{}", self.proofs.get()),
            "htm": method,
            "htu": format!("{}{path}", test.app.config.issuer),
            "iat": test.clock.now().seconds(),
        });
        change(&mut claims);
        let message = [head, claims]
            .map(|part| base64url(part.to_string().as_bytes()))
            .join(".");
        let signature = self.pair.sign(message.as_bytes());
        format!("{message}.{}", base64url(signature.as_ref()))
    }

    pub(super) fn proof(&self, test: &TestApp) -> String {
        self.proof_with(test, "POST", "/token", |_| {})
    }

    async fn exchange(&self, test: &TestApp, client: &ClientApp, code: &str) -> Answer {
        exchange(test, client, code, &[&self.proof(test)]).await
    }

    async fn refresh(&self, test: &TestApp, client: &ClientApp, token: &str) -> Answer {
        refresh(test, client, token, &[&self.proof(test)]).await
    }

    /// The administrator signs in, and the first tokens are bound to this key.
    pub(crate) async fn sign_in(&self, test: &TestApp, client: &ClientApp) -> Answer {
        let code = Person::signed_in(test).await.allow(client, &[]).await;
        let answer = self.exchange(test, client, &code).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }
}

/// A token request with these proofs.
pub(super) async fn token(
    test: &TestApp,
    client: &ClientApp,
    fields: &[(&str, &str)],
    proofs: &[&str],
) -> Answer {
    post_to(test, "/token", client, fields, proofs).await
}

/// A request of a client with these proofs.
pub(super) async fn post_to(
    test: &TestApp,
    path: &str,
    client: &ClientApp,
    fields: &[(&str, &str)],
    proofs: &[&str],
) -> Answer {
    let id = client.id.to_string();
    let mut all = vec![("client_id", id.as_str())];
    all.extend(client.secret.as_deref().map(|secret| ("client_secret", secret)));
    all.extend_from_slice(fields);
    let mut request = Request::post(path).header(header::CONTENT_TYPE, FORM);
    for proof in proofs {
        request = request.header("dpop", *proof);
    }
    test.send(request.body(Body::from(encode(&all))).expect("a request"))
        .await
}

pub(super) async fn exchange(test: &TestApp, client: &ClientApp, code: &str, proofs: &[&str]) -> Answer {
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("code_verifier", VERIFIER),
        ("redirect_uri", client.redirect),
    ];
    token(test, client, &fields, proofs).await
}

pub(super) async fn refresh(test: &TestApp, client: &ClientApp, token: &str, proofs: &[&str]) -> Answer {
    let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
    self::token(test, client, &fields, proofs).await
}

const OWN: [(&str, &str); 1] = [("grant_type", "client_credentials")];

/// What the access token of an answer says it is bound to.
pub(super) fn bound_to(answer: &Answer) -> String {
    let cnf = claims(answer).cnf.expect("a binding");
    assert_eq!(cnf.as_object().map(serde_json::Map::len), Some(1));
    assert_eq!(answer.body["token_type"], "DPoP");
    cnf["jkt"].as_str().expect("a thumbprint").to_owned()
}

#[tokio::test]
async fn line_11_dpop_binds_an_access_token_to_its_key() {
    let test = published().await;
    let client = confidential(&test).await;
    let holder = Holder::new(1);
    let answer = token(&test, &client, &OWN, &[&holder.proof(&test)]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(bound_to(&answer), holder.jkt());
    let access = answer.text("access_token");
    let seen = client.post(&test, "/introspect", &[("token", &access)]).await;
    assert_eq!(seen.body["token_type"], "DPoP");
    assert_eq!(seen.body["cnf"], json!({"jkt": holder.jkt()}));
    // Without a proof it is a bearer token as ever.
    let answer = token(&test, &client, &OWN, &[]).await;
    assert_eq!(
        (&answer.body["token_type"], claims(&answer).cnf),
        (&json!("Bearer"), None)
    );
    let access = answer.text("access_token");
    let seen = client.post(&test, "/introspect", &[("token", &access)]).await;
    assert_eq!(
        (&seen.body["token_type"], seen.body.get("cnf")),
        (&json!("Bearer"), None)
    );
}

#[tokio::test]
async fn line_11_dpop_a_proof_is_for_one_request() {
    let test = published().await;
    let client = confidential(&test).await;
    let holder = Holder::new(1);
    let issuer = test.app.config.issuer.clone();
    let now = test.clock.now().seconds().0;
    let wrong = |claim: &str, value: Value| holder.proof_with(&test, "POST", "/token", |c| c[claim] = value);
    let good = holder.proof(&test);
    let (front, _) = good.rsplit_once('.').expect("three parts");
    for (what, proofs) in [
        ("no proof", vec!["nonsense".to_owned()]),
        ("empty", vec![String::new()]),
        ("two", vec![holder.proof(&test), holder.proof(&test)]),
        ("another method", vec![wrong("htm", "GET".into())]),
        (
            "another endpoint",
            vec![wrong("htu", format!("{issuer}/userinfo").into())],
        ),
        (
            "another server",
            vec![wrong("htu", "https://evil.example/token".into())],
        ),
        ("old", vec![wrong("iat", json!(now - 60))]),
        ("from the future", vec![wrong("iat", json!(now + 61))]),
        ("forged", vec![format!("{front}.{}", base64url(&[0; 64]))]),
    ] {
        let proofs: Vec<&str> = proofs.iter().map(String::as_str).collect();
        let answer = token(&test, &client, &OWN, &proofs).await;
        assert_eq!(outcome(&answer), NO_PROOF, "{what}");
    }
    // The good one counts, once.
    assert_eq!(token(&test, &client, &OWN, &[&good]).await.status, 200);
    assert_eq!(
        outcome(&token(&test, &client, &OWN, &[&good]).await),
        NO_PROOF,
        "replayed"
    );
    // The same jti by another key is another proof.
    let other = Holder::new(2);
    other.proofs.set(0);
    let same_jti = wrong("jti", "j".into());
    let of_other = other.proof_with(&test, "POST", "/token", |c| c["jti"] = "j".into());
    for proof in [&same_jti, &of_other] {
        assert_eq!(token(&test, &client, &OWN, &[proof]).await.status, 200);
    }
    // It is remembered until its age alone refuses it.
    test.clock.advance_ms(59 * SECOND);
    forget(&test).await;
    assert_eq!(outcome(&token(&test, &client, &OWN, &[&good]).await), NO_PROOF);
    test.clock.advance_ms(SECOND);
    forget(&test).await;
    assert_eq!(outcome(&token(&test, &client, &OWN, &[&good]).await), NO_PROOF);
}

/// The job.
async fn forget(test: &TestApp) {
    let mut tx = test.app.store.begin().await.expect("tx");
    super::super::dpop::forget(&mut tx, &test.app)
        .await
        .expect("forgotten");
    tx.commit().await.expect("commit");
}

#[tokio::test]
async fn line_11_dpop_a_request_that_fails_uses_nothing_up() {
    let test = published().await;
    let client = public(&test).await;
    let holder = Holder::new(1);
    let code = Person::signed_in(&test).await.allow(&client, &[]).await;
    let proof = holder.proof(&test);
    assert_eq!(
        outcome(&exchange(&test, &client, "code_nonsense", &[&proof]).await),
        REFUSED
    );
    assert_eq!(outcome(&exchange(&test, &client, &code, &["x"]).await), NO_PROOF);
    assert_eq!(exchange(&test, &client, &code, &[&proof]).await.status, 200);
    // And a replay uses up neither code nor anything else.
    let code = Person::signed_in(&test).await.allow(&client, &[]).await;
    assert_eq!(
        outcome(&exchange(&test, &client, &code, &[&proof]).await),
        NO_PROOF
    );
    assert_eq!(holder.exchange(&test, &client, &code).await.status, 200);
}

#[tokio::test]
async fn line_11_dpop_a_public_client_s_grant_stays_with_its_key() {
    let test = published().await;
    let client = public(&test).await;
    let (holder, thief) = (Holder::new(1), Holder::new(2));
    let first = holder.sign_in(&test, &client).await;
    assert_eq!(bound_to(&first), holder.jkt());
    let token = first.text("refresh_token");
    assert_eq!(outcome(&refresh(&test, &client, &token, &[]).await), NO_PROOF);
    assert_eq!(outcome(&thief.refresh(&test, &client, &token).await), REFUSED);
    // Whoever has only the token could end nothing with it, and it is not rotated: no answer can be lost.
    for _ in 0..3 {
        let next = holder.refresh(&test, &client, &token).await;
        assert_eq!(next.status, 200, "{next:?}");
        assert_eq!(next.text("refresh_token"), token);
        assert_eq!(bound_to(&next), holder.jkt());
        assert_ne!(claims(&next).jti, claims(&first).jti);
        test.clock.advance_ms(31 * SECOND);
    }
    // One that came without a proof is a bearer's, and rotates.
    let loose = client.sign_in(&test).await;
    let next = client.refresh(&test, &loose.text("refresh_token")).await;
    assert_ne!(next.text("refresh_token"), loose.text("refresh_token"));
    // It still can be revoked.
    let gone = client.post(&test, "/revoke", &[("token", &token)]).await;
    assert_eq!(gone.status, 200);
    assert_eq!(outcome(&holder.refresh(&test, &client, &token).await), REFUSED);
}

#[tokio::test]
async fn line_11_dpop_a_confidential_client_s_grant_is_bound_by_its_authentication() {
    let test = published().await;
    let client = confidential(&test).await;
    let (holder, other) = (Holder::new(1), Holder::new(2));
    let first = holder.sign_in(&test, &client).await;
    let token = first.text("refresh_token");
    // It may change its key; its refresh token rotates, for nothing was said of DPoP when it was registered.
    let second = other.refresh(&test, &client, &token).await;
    assert_eq!(bound_to(&second), other.jkt());
    assert_ne!(second.text("refresh_token"), token);
    // A retry gives the same successor to the same key, but never a token of another key.
    let again = other.refresh(&test, &client, &token).await;
    assert_eq!(again.text("access_token"), second.text("access_token"));
    let elsewhere = holder.refresh(&test, &client, &token).await;
    assert_eq!(bound_to(&elsewhere), holder.jkt());
    assert_ne!(elsewhere.text("refresh_token"), second.text("refresh_token"));
}

#[tokio::test]
async fn line_11_dpop_a_client_that_is_registered_for_it_must_prove() {
    let test = published().await;
    let holder = Holder::new(1);
    for kind in [ClientKind::Confidential, ClientKind::Public] {
        let client = client_with(&test, |new| {
            new.kind = kind;
            new.dpop_bound_access_tokens = true;
        })
        .await;
        let code = Person::signed_in(&test).await.allow(&client, &[]).await;
        assert_eq!(outcome(&exchange(&test, &client, &code, &[]).await), NO_PROOF);
        let first = holder.exchange(&test, &client, &code).await;
        assert_eq!(bound_to(&first), holder.jkt());
        let token = first.text("refresh_token");
        assert_eq!(outcome(&refresh(&test, &client, &token, &[]).await), NO_PROOF);
        // FAPI 2.0 §5.3.2.1, item 9.
        let next = holder.refresh(&test, &client, &token).await;
        assert_eq!(next.text("refresh_token"), token, "not rotated");
        if kind == ClientKind::Confidential {
            assert_eq!(outcome(&self::token(&test, &client, &OWN, &[]).await), NO_PROOF);
            let own = self::token(&test, &client, &OWN, &[&holder.proof(&test)]).await;
            assert_eq!(bound_to(&own), holder.jkt());
        }
    }
}

#[tokio::test]
async fn line_11_dpop_a_code_can_be_bound_before_it_is_sent() {
    let test = published().await;
    let (holder, thief) = (Holder::new(1), Holder::new(2));
    for client in [public(&test).await, confidential(&test).await] {
        let mut person = Person::signed_in(&test).await;
        let jkt = holder.jkt();
        let code = person.allow(&client, &[("dpop_jkt", Some(&jkt))]).await;
        assert_eq!(outcome(&exchange(&test, &client, &code, &[]).await), NO_PROOF);
        assert_eq!(outcome(&thief.exchange(&test, &client, &code).await), REFUSED);
        assert_eq!(holder.exchange(&test, &client, &code).await.status, 200);
        let answer = person.get(&client.request(&[("dpop_jkt", Some("x"))])).await;
        let (_, parameters) = location(&answer);
        assert_eq!(parameters["error"], "invalid_request", "{parameters:?}");
    }
}

#[tokio::test]
async fn line_11_dpop_userinfo_wants_the_proof() {
    let test = published().await;
    let client = public(&test).await;
    let (holder, thief) = (Holder::new(1), Holder::new(2));
    let granted = holder.sign_in(&test, &client).await;
    let access = granted.text("access_token");
    let of = |holder: &Holder, method: &str, token: &str| {
        let ath = base64url(&sha256(token.as_bytes()));
        holder.proof_with(&test, method, "/userinfo", |claims| claims["ath"] = ath.into())
    };
    let ask = async |method: Method, scheme: &str, token: &str, proof: Option<&str>| {
        let mut request = Request::builder()
            .method(method)
            .uri("/userinfo")
            .header(header::AUTHORIZATION, format!("{scheme} {token}"));
        if let Some(proof) = proof {
            request = request.header("dpop", proof);
        }
        test.send(request.body(Body::empty()).expect("a request")).await
    };
    let proof = of(&holder, "GET", &access);
    let answer = ask(Method::GET, "DPoP", &access, Some(&proof)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.text("sub"), claims(&granted).sub);
    let replayed = ask(Method::GET, "DPoP", &access, Some(&proof)).await;
    assert_eq!(replayed.outcome(), (401, "invalid_dpop_proof"));
    let challenge = replayed.headers["www-authenticate"].to_str().expect("text");
    assert!(
        challenge.starts_with("DPoP ") && challenge.contains("algs=\"ES256 "),
        "{challenge}"
    );
    assert!(challenge.contains("error=\"invalid_dpop_proof\""), "{challenge}");
    let posted = ask(Method::POST, "dpop", &access, Some(&of(&holder, "POST", &access))).await;
    assert_eq!(posted.status, 200, "{posted:?}");

    let no_ath = holder.proof_with(&test, "GET", "/userinfo", |_| {});
    for (what, proof) in [
        ("none", None),
        ("another method", Some(of(&holder, "POST", &access))),
        ("another key", Some(of(&thief, "GET", &access))),
        ("another token", Some(of(&holder, "GET", "a.b.c"))),
        ("no ath", Some(no_ath)),
    ] {
        let answer = ask(Method::GET, "DPoP", &access, proof.as_deref()).await;
        assert_eq!(answer.outcome(), (401, "invalid_dpop_proof"), "{what}");
    }
    // As a bearer token it is worth nothing, and a bearer token is none of DPoP.
    let proof = of(&holder, "GET", &access);
    let bearer = ask(Method::GET, "Bearer", &access, Some(&proof)).await;
    assert_eq!(bearer.outcome(), (401, "invalid_token"));
    let loose = client.sign_in(&test).await.text("access_token");
    let proof = of(&holder, "GET", &loose);
    let unbound = ask(Method::GET, "DPoP", &loose, Some(&proof)).await;
    assert_eq!(unbound.outcome(), (401, "invalid_token"));
    assert_eq!(ask(Method::GET, "Bearer", &loose, None).await.status, 200);
}

#[tokio::test]
async fn scripts_may_send_proofs_and_find_out_how() {
    let test = published().await;
    let metadata = super::get(&test, "/.well-known/oauth-authorization-server").await;
    assert_eq!(
        metadata.body["dpop_signing_alg_values_supported"],
        json!(["ES256", "RS256", "PS256", "EdDSA", "Ed25519"])
    );
    let request = Request::builder()
        .method(Method::OPTIONS)
        .uri("/token")
        .body(Body::empty());
    let preflight = test.send(request.expect("a request")).await;
    let header = |name: &str| preflight.headers[name].to_str().expect("text").to_owned();
    assert!(header("access-control-allow-headers").contains("dpop"));
    assert!(header("access-control-expose-headers").contains("www-authenticate"));
}
