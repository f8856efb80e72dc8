//! Proofs of possession: good ones by every algorithm, and one for each rule that is broken.

use std::path::PathBuf;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA256,
    RsaEncoding, RsaKeyPair,
};
use serde_json::{Value, json};
use shared::crypto::{base64url, sha256};
use shared::dpop::vectors::{Case, Outcome, Vectors, run};

use super::{golden, public, sign};

const NOW: u64 = 1_795_219_200;
const URL: &str = "https://api.example/v1/memory/x";
const TOKEN: &str = "eyJ0eXAiOiJhdCtqd3QifQ.e30.AQ";
const RSA: &[u8] = include_bytes!("../../vectors/test_only_rsa.der");

fn ed25519() -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(&public(20))})
}

fn rsa() -> Value {
    let pair = RsaKeyPair::from_der(RSA).expect("the test key");
    let modulus = pair
        .public_key()
        .modulus()
        .big_endian_without_leading_zero()
        .to_vec();
    json!({"kty": "RSA", "n": base64url(&modulus), "e": "AQAB"})
}

fn claims() -> Value {
    json!({"jti": "e1j3V_bKic8-LAEB", "htm": "GET", "htu": URL, "iat": NOW, "ath": base64url(&sha256(TOKEN.as_bytes()))})
}

#[expect(clippy::needless_pass_by_value, reason = "each caller makes one")]
fn header(alg: &str, jwk: Value) -> Value {
    json!({"typ": "dpop+jwt", "alg": alg, "jwk": jwk})
}

fn message(header: &Value, claims: &Value) -> String {
    let part = |value: &Value| base64url(value.to_string().as_bytes());
    format!("{}.{}", part(header), part(claims))
}

/// By the Ed25519 key, with header and claims as they are.
fn signed(header: &Value, claims: &Value) -> String {
    let message = message(header, claims);
    format!("{message}.{}", base64url(&sign(20, message.as_bytes())))
}

fn with_claims(change: impl FnOnce(&mut Value)) -> String {
    let mut claims = claims();
    change(&mut claims);
    signed(&header("EdDSA", ed25519()), &claims)
}

fn with_claim(name: &str, value: Value) -> String {
    with_claims(|claims| claims[name] = value)
}

fn with_header(name: &str, value: Value) -> String {
    let mut header = header("EdDSA", ed25519());
    header[name] = value;
    signed(&header, &claims())
}

fn by_rsa(alg: &str, padding: &'static dyn RsaEncoding) -> String {
    let pair = RsaKeyPair::from_der(RSA).expect("the test key");
    let message = message(&header(alg, rsa()), &claims());
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(padding, &SystemRandom::new(), message.as_bytes(), &mut signature)
        .expect("signs");
    format!("{message}.{}", base64url(&signature))
}

/// By a key that is forgotten at once.
fn by_p256() -> String {
    let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
    let point = pair.public_key().as_ref().to_vec();
    let jwk =
        json!({"kty": "EC", "crv": "P-256", "x": base64url(&point[1..33]), "y": base64url(&point[33..])});
    let message = message(&header("ES256", jwk), &claims());
    let signature = pair
        .sign(&SystemRandom::new(), message.as_bytes())
        .expect("signs");
    format!("{message}.{}", base64url(signature.as_ref()))
}

/// Signatures with random numbers in them are made once and kept in the file.
fn kept(name: &str, make: impl FnOnce() -> String) -> String {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/dpop.json");
    let stored: Option<Vectors> = std::fs::read(file)
        .ok()
        .and_then(|bytes| serde_json::from_slice(&bytes).ok());
    stored
        .and_then(|file| file.cases.into_iter().find(|case| case.name == name))
        .map_or_else(make, |case| case.proof)
}

fn case(name: &str, proof: String, expected: &str) -> Case {
    Case {
        name: name.to_owned(),
        proof,
        method: "GET".to_owned(),
        url: URL.to_owned(),
        now: NOW,
        token: Some(TOKEN.to_owned()),
        key: None,
        expected: expected.to_owned(),
    }
}

fn good() -> Vec<Case> {
    let keep = |name: &str, make: fn() -> String| case(name, kept(name, make), "accepted");
    let plain = || with_claims(|_| {});
    let htu = |name: &str, htu: &str| case(name, with_claim("htu", htu.into()), "accepted");
    vec![
        case("EdDSA", plain(), "accepted"),
        case(
            "Ed25519 (RFC 9864)",
            with_header("alg", "Ed25519".into()),
            "accepted",
        ),
        case("RS256", by_rsa("RS256", &RSA_PKCS1_SHA256), "accepted"),
        keep("PS256", || by_rsa("PS256", &RSA_PSS_SHA256)),
        keep("ES256", by_p256),
        case("a kid in the header", with_header("kid", "k".into()), "accepted"),
        case(
            "a nonce that nobody asked for",
            with_claim("nonce", "n".into()),
            "accepted",
        ),
        case(
            "a fraction in iat",
            with_claim("iat", json!(1_795_219_199.5)),
            "accepted",
        ),
        htu(
            "htu with query and fragment",
            "https://api.example/v1/memory/x?a=/b#c",
        ),
        htu("htu in another spelling", "HTTPS://API.Example:443/v1/%6demory/x"),
        case(
            "at the clock's limit",
            with_claim("iat", json!(NOW + 60)),
            "accepted",
        ),
        case(
            "at the end of its life",
            with_claim("iat", json!(NOW - 59)),
            "accepted",
        ),
        Case {
            token: None,
            ..case(
                "no token to be for",
                with_claims(|c| drop(c.as_object_mut().map(|c| c.remove("ath")))),
                "accepted",
            )
        },
        Case {
            key: Some(thumbprint()),
            ..case("by the key that is expected", plain(), "accepted")
        },
        case(
            "jti of 256 characters",
            with_claim("jti", "ä".repeat(256).into()),
            "accepted",
        ),
    ]
}

fn thumbprint() -> String {
    let text = format!(
        r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#,
        base64url(&public(20))
    );
    base64url(&sha256(text.as_bytes()))
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn bad_form() -> Vec<Case> {
    let plain = with_claims(|_| {});
    let (front, _) = plain.rsplit_once('.').expect("three parts");
    let raw = |header: &str, claims: &str| {
        let message = format!(
            "{}.{}",
            base64url(header.as_bytes()),
            base64url(claims.as_bytes())
        );
        format!("{message}.{}", base64url(&sign(20, message.as_bytes())))
    };
    let jwk = ed25519();
    let twice = format!(r#"{{"typ":"dpop+jwt","typ":"dpop+jwt","alg":"EdDSA","jwk":{jwk}}}"#);
    let jwk_with = |name: &str, value: Value| {
        let mut jwk = ed25519();
        jwk[name] = value;
        with_header("jwk", jwk)
    };
    let text = claims().to_string();
    let claims_twice = text.replacen('{', r#"{"htm":"POST","#, 1);
    vec![
        case("empty", String::new(), "shape"),
        case("two parts", front.to_owned(), "shape"),
        case("four parts", format!("{plain}.AQ"), "shape"),
        case("padding", format!("{plain}=="), "shape"),
        case("no signature", format!("{front}."), "shape"),
        case("two proofs", format!("{plain}, {plain}"), "shape"),
        case(
            "longer than 4 KiB",
            with_claim("x", "x".repeat(4096).into()),
            "shape",
        ),
        case("a header member twice", raw(&twice, &text), "header"),
        case(
            "no jwk",
            signed(&json!({"typ": "dpop+jwt", "alg": "EdDSA"}), &claims()),
            "header",
        ),
        case("crit", with_header("crit", json!(["b64"])), "header"),
        case("b64", with_header("b64", json!(false)), "header"),
        case(
            "jku",
            with_header("jku", "https://evil.example/jwks".into()),
            "header",
        ),
        case("typ JWT", with_header("typ", "JWT".into()), "type"),
        case(
            "typ of an access token",
            with_header("typ", "at+jwt".into()),
            "type",
        ),
        case(
            "typ with a prefix",
            with_header("typ", "application/dpop+jwt".into()),
            "type",
        ),
        case("alg none", with_header("alg", "none".into()), "algorithm"),
        case("alg HS256", with_header("alg", "HS256".into()), "algorithm"),
        case("alg RS512", with_header("alg", "RS512".into()), "algorithm"),
        case(
            "alg in lower case",
            with_header("alg", "eddsa".into()),
            "algorithm",
        ),
        case(
            "another alg than the jwk's type",
            with_header("alg", "ES256".into()),
            "key",
        ),
        case("a private key", jwk_with("d", base64url(&[20; 32]).into()), "key"),
        case(
            "a symmetric key",
            with_header("jwk", json!({"kty": "oct", "k": "AAAA"})),
            "key",
        ),
        case("another curve", jwk_with("crv", "Ed448".into()), "key"),
        case(
            "a key that is too short",
            jwk_with("x", base64url(&[1; 31]).into()),
            "key",
        ),
        case(
            "an RSA key of 1024 bits",
            signed(
                &header(
                    "RS256",
                    json!({"kty": "RSA", "n": base64url(&[255; 128]), "e": "AQAB"}),
                ),
                &claims(),
            ),
            "key",
        ),
        case(
            "an RSA key with e = 3",
            signed(
                &header(
                    "RS256",
                    json!({"kty": "RSA", "n": base64url(&[255; 256]), "e": "Aw"}),
                ),
                &claims(),
            ),
            "key",
        ),
        case(
            "a claim twice",
            raw(&header("EdDSA", jwk).to_string(), &claims_twice),
            "claims",
        ),
        case(
            "no jti",
            with_claims(|c| drop(c.as_object_mut().map(|c| c.remove("jti")))),
            "claims",
        ),
        case("an empty jti", with_claim("jti", "".into()), "claims"),
        case(
            "jti of 257 characters",
            with_claim("jti", "x".repeat(257).into()),
            "claims",
        ),
        case("iat as text", with_claim("iat", NOW.to_string().into()), "claims"),
        case("a negative iat", with_claim("iat", json!(-1)), "claims"),
    ]
}

fn bad_content() -> Vec<Case> {
    let htu = |name: &str, htu: &str| case(name, with_claim("htu", htu.into()), "uri");
    let time = |name: &str, claim: &str, at: u64| case(name, with_claim(claim, json!(at)), "time");
    let ath = |name: &str, value: Value| case(name, with_claim("ath", value), "access_token");
    let plain = with_claims(|_| {});
    let (front, _) = plain.rsplit_once('.').expect("three parts");
    let p256 = kept("ES256", by_p256);
    let (p256_front, _) = p256.rsplit_once('.').expect("three parts");
    let off_curve = json!({"kty": "EC", "crv": "P-256", "x": base64url(&[1; 32]), "y": base64url(&[1; 32])});
    let forged = |signature: &[u8]| format!("{front}.{}", base64url(signature));
    vec![
        case("another method", with_claim("htm", "POST".into()), "method"),
        case(
            "the method in lower case",
            with_claim("htm", "get".into()),
            "method",
        ),
        htu("another path", "https://api.example/v1/memory/y"),
        htu("the path with a slash more", "https://api.example/v1/memory/x/"),
        htu("another host", "https://evil.example/v1/memory/x"),
        htu("another port", "https://api.example:8443/v1/memory/x"),
        htu("http for https", "http://api.example/v1/memory/x"),
        htu("a path only", "/v1/memory/x"),
        htu("a dot segment", "https://api.example/v1/memory/y/../x"),
        htu("a user name", "https://api.example@evil.example/v1/memory/x"),
        time("too old", "iat", NOW - 60),
        time("from the future", "iat", NOW + 61),
        time("ended by its own exp", "exp", NOW),
        time("not valid yet by its own nbf", "nbf", NOW + 61),
        ath("another token's ath", base64url(&sha256(b"another")).into()),
        ath(
            "ath with padding",
            format!("{}=", base64url(&sha256(TOKEN.as_bytes()))).into(),
        ),
        case(
            "no ath",
            with_claims(|c| drop(c.as_object_mut().map(|c| c.remove("ath")))),
            "access_token",
        ),
        Case {
            key: Some(base64url(&[7; 32])),
            ..case("by another key than expected", plain.clone(), "key_mismatch")
        },
        case(
            "another key's signature",
            forged(&sign(21, front.as_bytes())),
            "signature",
        ),
        case("a signature of zeros", forged(&[0; 64]), "signature"),
        case(
            "an RS256 signature under PS256",
            by_rsa("PS256", &RSA_PKCS1_SHA256),
            "signature",
        ),
        {
            let name = "a PS256 signature under RS256";
            case(name, kept(name, || by_rsa("RS256", &RSA_PSS_SHA256)), "signature")
        },
        case(
            "an ECDSA signature of zeros",
            format!("{p256_front}.{}", base64url(&[0; 64])),
            "signature",
        ),
        case(
            "an ECDSA signature that is too short",
            format!("{p256_front}.{}", base64url(&[1; 63])),
            "signature",
        ),
        case(
            "a point off the curve",
            format!(
                "{}.{}",
                message(&header("ES256", off_curve), &claims()),
                base64url(&[1; 64])
            ),
            "signature",
        ),
    ]
}

#[test]
fn proofs() {
    let cases = [good(), bad_form(), bad_content()].concat();
    let fresh = Vectors {
        description: "DPoP proofs (RFC 9449), what each has to be about, and what comes of it.".to_owned(),
        cases,
    };
    golden("dpop.json", &serde_json::to_value(&fresh).expect("serialises"));
    let json = serde_json::to_vec(&fresh).expect("serialises");
    let outcomes: Vec<Outcome> = run(&json).expect("usable");
    for (case, outcome) in fresh.cases.iter().zip(&outcomes) {
        assert_eq!(case.expected, outcome.result, "{}", case.name);
    }
}
