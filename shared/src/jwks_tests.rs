use serde_json::json;

use super::*;
use crate::crypto::base64url;
use crate::jwk::JwkRefused;

fn ed(kid: &str, byte: u8) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "kid": kid, "x": base64url(&[byte; 32])})
}

fn rsa(kid: &str, bytes: usize) -> Value {
    json!({"kty": "RSA", "kid": kid, "use": "sig", "n": base64url(&vec![0xff; bytes]), "e": "AQAB"})
}

fn read(keys: &[Value], algorithms: &[Algorithm]) -> Result<Admitted, SetRefused> {
    admit(json!({"keys": keys}).to_string().as_bytes(), algorithms, |_| true)
}

fn kids(admitted: &Admitted) -> Vec<(&str, &str)> {
    let keys = admitted.keys.iter();
    keys.map(|(kid, key)| (kid.as_str(), key.algorithm().jose()))
        .collect()
}

const ALL: [Algorithm; 10] = Algorithm::ALL;

#[test]
fn an_algorithm_for_each_key() {
    let mut ps = rsa("ps", 256);
    ps["alg"] = json!("PS384");
    let ec =
        json!({"kty": "EC", "crv": "P-384", "kid": "ec", "x": base64url(&[1; 48]), "y": base64url(&[1; 48])});
    let mut nameless = ed("", 7);
    nameless.as_object_mut().expect("an object").remove("kid");
    let p521 = |length| json!({"kty": "EC", "crv": "P-521", "kid": "p521", "x": base64url(&vec![1; length]), "y": base64url(&vec![1; length])});
    let all = read(
        &[ed("ed", 1), rsa("rs", 256), ps.clone(), ec, nameless, p521(66)],
        &ALL,
    )
    .expect("admitted");
    assert_eq!(
        kids(&all),
        [
            ("", "EdDSA"),
            ("ec", "ES384"),
            ("ed", "EdDSA"),
            ("p521", "ES512"),
            ("ps", "PS384"),
            ("rs", "RS256")
        ]
    );
    let short = read(&[p521(65)], &ALL);
    assert_eq!(
        short,
        Err(SetRefused::NoKey),
        "RFC 7518 §6.2.1.2: no leading zero may be left out"
    );
    let one = read(&[rsa("rs", 256)], &[Algorithm::Ps256, Algorithm::Es256]).expect("admitted");
    assert_eq!(kids(&one), [("rs", "PS256")], "the only one that it can be for");
    let both = read(&[rsa("rs", 256)], &[Algorithm::Ps256, Algorithm::Ps512]);
    assert_eq!(
        both,
        Err(SetRefused::NoKey),
        "RS256, with which the issuer is not trusted"
    );
    let other = read(&[ed("ed", 1), ps], &[Algorithm::Ed25519]).expect("admitted");
    assert_eq!(other.left_out, [("ps".to_owned(), LeftOut::Algorithm)]);
}

#[test]
fn what_is_left_out() {
    let mut private = ed("private", 1);
    private["d"] = json!("AAAA");
    let mut encryption = rsa("encryption", 256);
    encryption["use"] = json!("enc");
    let mut exponent = rsa("exponent", 256);
    exponent["e"] = json!("Aw");
    let material = LeftOut::Refused(JwkRefused::Material);
    for (key, why) in [
        (private, LeftOut::Refused(JwkRefused::Private)),
        (encryption, LeftOut::Refused(JwkRefused::Kind)),
        (exponent, material),
        (rsa("weak", 128), material),
        (rsa("strong", 513), material),
        (
            json!({"kty": "oct", "kid": "mac", "k": "AAAA"}),
            LeftOut::Algorithm,
        ),
        (
            json!({"kty": "oct", "kid": "mac", "alg": "HS256", "k": "AAAA"}),
            LeftOut::Algorithm,
        ),
        (
            json!({"kty": "EC", "crv": "secp256k1", "kid": "x", "x": "AA", "y": "AA"}),
            LeftOut::Algorithm,
        ),
        (
            json!({"kty": "RSA", "alg": "none", "kid": "x"}),
            LeftOut::Algorithm,
        ),
        (json!({"kty": "RSA", "alg": 7, "kid": "x"}), LeftOut::Algorithm),
        (ed(&"k".repeat(257), 1), LeftOut::Kid),
        (
            json!({"kty": "OKP", "crv": "Ed25519", "kid": 7, "x": base64url(&[1; 32])}),
            LeftOut::Kid,
        ),
    ] {
        let read = read(&[key.clone(), ed("good", 9)], &ALL).expect("the other one");
        assert_eq!(kids(&read), [("good", "EdDSA")], "{key}");
        assert_eq!(
            read.left_out.iter().map(|left| left.1).collect::<Vec<_>>(),
            [why],
            "{key}"
        );
    }
    let text = json!({"keys": [ed("a", 1), ed("b", 2)]}).to_string();
    let off = |key: &VerifyingKey| key.material() != [1; 32];
    let read = admit(text.as_bytes(), &ALL, off).expect("the other one");
    assert_eq!(kids(&read), [("b", "EdDSA")]);
    assert_eq!(read.left_out, [("a".to_owned(), LeftOut::Point)]);
}

#[test]
fn one_key_per_kid() {
    let read = read(
        &[ed("a", 1), ed("a", 2), ed("a", 1), ed("b", 3), ed("b", 3)],
        &ALL,
    )
    .expect("one is left");
    assert_eq!(kids(&read), [("b", "EdDSA")]);
    assert_eq!(read.left_out, [("a".to_owned(), LeftOut::Ambiguous)]);
    // One material for two algorithms is two keys.
    let mut ps = rsa("a", 256);
    ps["alg"] = json!("PS256");
    assert_eq!(
        super::tests::read(&[rsa("a", 256), ps], &ALL),
        Err(SetRefused::NoKey)
    );
}

#[test]
fn sets_that_take_no_key_away() {
    for text in [
        "",
        "{}",
        "[]",
        "null",
        r#"{"keys":{}}"#,
        r#"{"keys":[7]}"#,
        r#"{"keys":[],"keys":[]}"#,
        "<html>",
    ] {
        assert_eq!(
            admit(text.as_bytes(), &ALL, |_| true),
            Err(SetRefused::Shape),
            "{text}"
        );
    }
    assert_eq!(read(&[], &ALL), Err(SetRefused::NoKey));
    assert_eq!(read(&[rsa("weak", 128)], &ALL), Err(SetRefused::NoKey));
    let many = |count: u8| (0..count).map(|n| ed(&n.to_string(), n)).collect::<Vec<_>>();
    assert!(read(&many(32), &ALL).is_ok());
    assert_eq!(read(&many(33), &ALL), Err(SetRefused::TooMany));
    assert_eq!(read(&vec![rsa("weak", 128); 129], &ALL), Err(SetRefused::TooMany));
    let huge = vec![b' '; MAX_BYTES + 1];
    assert_eq!(admit(&huge, &ALL, |_| true), Err(SetRefused::Size));
}
