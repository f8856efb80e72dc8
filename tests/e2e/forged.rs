//! Line 4, second half: forged, foreign and ill-timed tokens are 401 at the edge.
//!
//! All forgeries start from a real token, and all but those about the signature are signed with the real key, so that
//! each breaks one rule only: a test fails if its rule is taken away.

use control_plane::signing::Purpose;
use e2e::Stack;
use serde_json::{Value, json};

use crate::{
    jwt::Client,
    oracle::{Oracle, jws, part},
    support::{assert_invalid_token, unix_now},
};

const PATH: &str = "/v1/memory/x";

/// Everything that a forger could reach for, and one place to judge it.
struct Forge {
    stack: Stack,
    oracle: Oracle,
    header: Value,
    claims: Value,
    token: String,
}

impl Forge {
    async fn start() -> Self {
        let stack = Stack::start().await;
        let token = Client::create(&stack, "memory:read").token(&stack).await;
        let oracle = Oracle::open(&stack).await;
        let forge = Self {
            header: part(&token, 0),
            claims: part(&token, 1),
            stack,
            oracle,
            token,
        };
        // The control: the same claims under the same key, made by us, are good.
        let remade = forge.signed(&forge.header, &forge.claims);
        forge.accepted("the same token, made again", &remade).await;
        forge
    }

    /// Signed with the real key.
    fn signed(&self, header: &Value, claims: &Value) -> String {
        self.signed_text(&header.to_string(), &claims.to_string())
    }

    fn signed_text(&self, header: &str, claims: &str) -> String {
        let key = self.oracle.key(Purpose::AccessToken);
        jws(header, claims, |message| key.sign(message).expect("a signature"))
    }

    fn with_header(&self, name: &str, value: Value) -> String {
        self.signed(&changed(&self.header, name, value), &self.claims)
    }

    fn with_claim(&self, name: &str, value: Value) -> String {
        self.signed(&self.header, &changed(&self.claims, name, value))
    }

    async fn refused(&self, what: &str, token: &str) {
        let answer = self.stack.caller(token).get(PATH).await;
        assert_invalid_token(&answer, what);
        assert!(self.stack.origin.take().is_empty(), "{what} reached the origin");
    }

    async fn accepted(&self, what: &str, token: &str) {
        let answer = self.stack.caller(token).get(PATH).await;
        assert_eq!(answer.status, 200, "{what}: {}", answer.text());
        self.stack.origin.take();
    }
}

/// A member set, or with `null` taken away.
fn changed(object: &Value, name: &str, value: Value) -> Value {
    let mut object = object.clone();
    let members = object.as_object_mut().unwrap();
    if value.is_null() {
        members.remove(name)
    } else {
        members.insert(name.to_owned(), value)
    };
    object
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn algorithms_and_keys_can_not_be_confused() {
    let forge = Forge::start().await;
    let (header, claims) = (forge.header.to_string(), forge.claims.to_string());

    for alg in ["none", "None", "NONE", "nOnE"] {
        let header = changed(&forge.header, "alg", json!(alg)).to_string();
        forge
            .refused(
                &format!("alg {alg}, empty signature"),
                &jws(&header, &claims, |_| Vec::new()),
            )
            .await;
        forge
            .refused(
                &format!("alg {alg}, some signature"),
                &jws(&header, &claims, |_| vec![0; 256]),
            )
            .await;
        forge
            .refused(
                &format!("alg {alg}, good signature"),
                &forge.signed_text(&header, &claims),
            )
            .await;
    }

    // HMAC with everything that could pass for "the public key" as its secret.
    let jwks = forge
        .stack
        .anon_at_control()
        .get("/.well-known/jwks.json")
        .await
        .json();
    let jwk = jwks["keys"]
        .as_array()
        .unwrap()
        .iter()
        .find(|key| key["kid"] == forge.header["kid"])
        .unwrap()
        .clone();
    let key = forge.oracle.key(Purpose::AccessToken);
    let modulus = key.public.material().to_vec();
    let secrets = [
        jwk.to_string().into_bytes(),
        jwk["n"].as_str().unwrap().as_bytes().to_vec(),
        modulus,
        Vec::from("secret"),
    ];
    for alg in ["HS256", "HS384", "HS512"] {
        for secret in &secrets {
            let header = changed(&forge.header, "alg", json!(alg)).to_string();
            let secret = jsonwebtoken::EncodingKey::from_secret(secret);
            let token = jws(&header, &claims, |message| {
                let signature = jsonwebtoken::crypto::sign(message, &secret, alg.parse().unwrap()).unwrap();
                shared::crypto::from_base64url(&signature).unwrap()
            });
            forge.refused(&format!("{alg} with a public text"), &token).await;
        }
    }

    // Another algorithm of the same family over a good RS256 signature.
    for alg in [
        "RS384", "RS512", "PS256", "PS384", "ES256", "EdDSA", "Ed25519", "rs256", "RS256 ",
    ] {
        forge
            .refused(&format!("alg {alg}"), &forge.with_header("alg", json!(alg)))
            .await;
    }

    // Keys of another purpose, named as such and under the token key's name.
    for purpose in [Purpose::ApiKey, Purpose::Feed, Purpose::Root] {
        let key = forge.oracle.key(purpose);
        for kid in [json!(key.id.kid()), forge.header["kid"].clone()] {
            let header = changed(&changed(&forge.header, "alg", json!("EdDSA")), "kid", kid).to_string();
            let token = jws(&header, &claims, |message| key.sign(message).unwrap());
            forge.refused(&format!("signed by {purpose:?}"), &token).await;
        }
        forge
            .refused(
                &format!("kid of {purpose:?}"),
                &forge.with_header("kid", json!(key.id.kid())),
            )
            .await;
    }
    for kid in [json!("k999"), json!(""), json!("../../k1"), json!(1), Value::Null] {
        forge
            .refused(&format!("kid {kid}"), &forge.with_header("kid", kid))
            .await;
    }

    // A changed signature, claims under another token's signature.
    let other = forge.signed(&forge.header, &changed(&forge.claims, "jti", json!("another")));
    let (message, signature) = (
        forge.token.rsplit_once('.').unwrap().0,
        other.rsplit_once('.').unwrap().1,
    );
    forge
        .refused("another token's signature", &format!("{message}.{signature}"))
        .await;
    forge
        .refused(
            "a cut signature",
            &jws(&header, &claims, |message| {
                key.sign(message).unwrap()[..255].to_vec()
            }),
        )
        .await;
    forge.refused("no signature", &format!("{message}.")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_are_held_to_their_rules() {
    let forge = Forge::start().await;

    for typ in [
        json!("JWT"),
        json!("at+jwt+x"),
        json!("id+jwt"),
        json!("logout+jwt"),
        json!(""),
        Value::Null,
    ] {
        forge
            .refused(&format!("typ {typ}"), &forge.with_header("typ", typ))
            .await;
    }
    forge
        .accepted(
            "typ in its long form",
            &forge.with_header("typ", json!("application/at+jwt")),
        )
        .await;
    for (name, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("b64", json!(false)),
        ("jku", json!("https://evil.example/jwks.json")),
        ("x5u", json!("https://evil.example/cert.pem")),
        ("x5c", json!(["MIIB"])),
        ("jwk", json!({ "kty": "oct", "k": "c2VjcmV0" })),
    ] {
        forge.refused(name, &forge.with_header(name, value)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_is_for_this_api_by_this_server_about_a_status_of_ours() {
    let forge = Forge::start().await;
    let edge = forge.stack.edge_url();
    for aud in [
        json!("https://other.example"),
        json!(""),
        json!([]),
        json!([edge.to_uppercase()]),
        json!(forge.stack.control.url()),
        Value::Null,
    ] {
        forge
            .refused(&format!("aud {aud}"), &forge.with_claim("aud", aud))
            .await;
    }
    forge
        .accepted(
            "one of several audiences",
            &forge.with_claim("aud", json!(["https://other.example", edge])),
        )
        .await;
    forge
        .accepted(
            "the same resource with a slash",
            &forge.with_claim("aud", json!(format!("{edge}/"))),
        )
        .await;
    let issuer = forge.stack.control.url();
    for iss in [
        json!("https://evil.example"),
        json!(format!("{issuer}/")),
        json!(issuer.to_uppercase()),
        json!(""),
        Value::Null,
    ] {
        forge
            .refused(&format!("iss {iss}"), &forge.with_claim("iss", iss))
            .await;
    }

    forge
        .refused("bound to a key", &forge.with_claim("cnf", json!({ "jkt": "x" })))
        .await;
    for required in ["sub", "client_id", "jti"] {
        forge
            .refused(required, &forge.with_claim(required, Value::Null))
            .await;
    }
    forge
        .refused("no status", &forge.with_claim("status", Value::Null))
        .await;
    for (what, idx, uri) in [
        (
            "another server's list",
            json!(1),
            json!("https://evil.example/status-lists/0"),
        ),
        (
            "an index beyond the list",
            json!(1_u64 << 20),
            forge.claims["status"]["status_list"]["uri"].clone(),
        ),
        (
            "a list that is not announced",
            json!(1),
            json!(format!("{issuer}/status-lists/4096")),
        ),
        (
            "a list with another spelling",
            forge.claims["status"]["status_list"]["idx"].clone(),
            json!(format!("{issuer}/status-lists/00")),
        ),
    ] {
        let status = json!({ "status_list": { "idx": idx, "uri": uri } });
        forge.refused(what, &forge.with_claim("status", status)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_counts_only_in_its_time() {
    let forge = Forge::start().await;
    let now = unix_now();
    for exp in [
        json!(now - 1),
        json!(now - 3600),
        json!(0),
        json!("tomorrow"),
        json!(-1),
        json!(1e300),
        Value::Null,
    ] {
        forge
            .refused(&format!("exp {exp}"), &forge.with_claim("exp", exp))
            .await;
    }
    forge
        .refused("nbf in an hour", &forge.with_claim("nbf", json!(now + 3600)))
        .await;
    forge
        .accepted("nbf a minute ago", &forge.with_claim("nbf", json!(now - 60)))
        .await;
    forge
        .refused("iat in an hour", &forge.with_claim("iat", json!(now + 3600)))
        .await;
    forge
        .refused("no iat", &forge.with_claim("iat", Value::Null))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn texts_that_two_parsers_could_read_differently_are_refused() {
    let forge = Forge::start().await;
    let (header, claims) = (forge.header.to_string(), forge.claims.to_string());
    let twice = |text: &str, member: &str| format!("{{{member},{}", &text[1..]);
    forge
        .refused(
            "a claim twice",
            &forge.signed_text(&header, &twice(&claims, "\"scope\":\"admin\"")),
        )
        .await;
    forge
        .refused(
            "alg twice",
            &forge.signed_text(&twice(&header, "\"alg\":\"none\""), &claims),
        )
        .await;
    forge
        .refused(
            "trailing text",
            &forge.signed_text(&header, &format!("{claims}x")),
        )
        .await;
    forge
        .refused("an array", &forge.signed_text(&header, &format!("[{claims}]")))
        .await;

    let (message, signature) = forge.token.rsplit_once('.').unwrap();
    let (head, body) = message.split_once('.').unwrap();
    for (what, token) in [
        ("padding", format!("{message}.{signature}==")),
        (
            "plain base64",
            format!("{message}.{}", signature.replacen(['-', '_'], "+", 1)),
        ),
        ("four parts", format!("{}.x", forge.token)),
        ("two parts", message.to_owned()),
        ("five parts", format!("{head}.{body}.{signature}.{head}.{body}")),
        ("a dot before", format!(".{}", forge.token)),
        (
            "stray bits at the end",
            format!("{message}.{}", with_stray_bits(signature)),
        ),
    ] {
        forge.refused(what, &token).await;
    }
    // Over 8 KiB, and good in every other way.
    let long = forge.with_claim("padding", json!("x".repeat(9000)));
    let answer = forge.stack.caller(&long).get(PATH).await;
    assert!(matches!(answer.status, 400 | 401 | 431), "{}", answer.status);
    forge.accepted("the real one, still", &forge.token).await;
}

/// 256 bytes take 342 characters, of which the last carries two bits that must be zero.
fn with_stray_bits(signature: &str) -> String {
    const DIGITS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = signature.split_at(signature.len() - 1);
    let value = DIGITS.find(last).unwrap();
    format!("{rest}{}", &DIGITS[value + 1..value + 2])
}
