use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use proptest::prelude::*;

use super::*;

const GATE: &str = "https://api.example.com";
const ORIGIN: &str = "https://origin.example.com";
const PATH: &str = "/v1/memory/a%20b";
const EXPECTED: Expected<'_> = Expected {
    issuer: GATE,
    audience: ORIGIN,
    method: "GET",
    path: PATH,
    unbound: false,
};
const NOW: UnixSeconds = UnixSeconds(1_795_219_200);

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed")
}

fn public(seed: u8) -> VerifyingKey {
    VerifyingKey::ed25519(pair(seed).public_key().as_ref().try_into().expect("32 bytes"))
}

fn claims() -> Claims {
    Claims {
        iss: GATE.into(),
        aud: ORIGIN.into(),
        sub: "usr_0003crHYS".into(),
        org: "org_0003CMcMl".into(),
        workspace: "all".into(),
        scope: "memory:read memory:write".into(),
        credential: "key_000007NER".into(),
        htm: Some("GET".into()),
        htp: path_hash(PATH),
        iat: NOW,
        exp: NOW.saturating_add(LIFETIME_SECONDS),
    }
}

fn sealed(message: &str, seed: u8) -> String {
    format!(
        "{message}.{}",
        base64url(pair(seed).sign(message.as_bytes()).as_ref())
    )
}

fn made(claims: &Claims, seed: u8) -> String {
    sealed(&message(claims, &kid(&public(seed))).expect("serialises"), seed)
}

fn check(text: &str) -> Result<Claims, Refused> {
    verify(text, &[public(1), public(2)], EXPECTED, NOW)
}

#[test]
fn an_assertion_of_either_key_holds_for_its_minute() {
    for seed in [1, 2] {
        assert_eq!(check(&made(&claims(), seed)), Ok(claims()));
    }
    let at = |now| verify(&made(&claims(), 1), &[public(1)], EXPECTED, UnixSeconds(now));
    assert!(at(NOW.0 + 59).is_ok());
    assert_eq!(at(NOW.0 + 60), Err(Refused::Time));
    assert!(at(NOW.0 - 60).is_ok(), "the gate's clock may be ahead");
    assert_eq!(at(NOW.0 - 61), Err(Refused::Time));
}

#[test]
fn what_is_not_for_us_from_our_gate_is_refused() {
    let with = |change: fn(&mut Claims)| {
        let mut claims = claims();
        change(&mut claims);
        check(&made(&claims, 1))
    };
    assert_eq!(with(|c| c.iss = format!("{GATE}/")), Err(Refused::Issuer));
    assert_eq!(
        with(|c| c.aud = "https://origin.example.com:8443".into()),
        Err(Refused::Audience)
    );
    assert_eq!(check(&made(&claims(), 3)), Err(Refused::KeyUnknown));
    let named_wrongly = message(&claims(), &kid(&public(1))).expect("serialises");
    assert_eq!(check(&sealed(&named_wrongly, 2)), Err(Refused::Signature));
}

#[test]
fn it_is_for_one_request() {
    let text = made(&claims(), 1);
    let came_with = |method, path| {
        verify(
            &text,
            &[public(1)],
            Expected {
                method,
                path,
                ..EXPECTED
            },
            NOW,
        )
        .map(|_| ())
    };
    for path in [
        PATH,
        "/v1/memory/a b",
        "/v1/%6demory/a%20b",
        "/v1/memory/a%20b?q=/admin",
    ] {
        assert_eq!(came_with("GET", path), Ok(()), "{path}");
    }
    for (method, path) in [
        ("DELETE", PATH),
        ("HEAD", PATH),
        ("get", PATH),
        ("GET", "/v1/memory/a"),
        ("GET", "/v1/memory/a%20b/"),
        ("GET", "/admin/x"),
        ("GET", "/v1/memory/../memory/a%20b"),
        ("GET", ""),
    ] {
        assert_eq!(came_with(method, path), Err(Refused::Request), "{method} {path}");
    }
    // As gates made them before they named the request: only for who asks for that.
    let unbound = Claims {
        htm: None,
        htp: None,
        ..claims()
    };
    let text = made(&unbound, 1);
    assert_eq!(check(&text), Err(Refused::Request));
    let lenient = Expected {
        unbound: true,
        ..EXPECTED
    };
    assert_eq!(verify(&text, &[public(1)], lenient, NOW), Ok(unbound.clone()));
    for half in [
        Claims {
            htm: Some("GET".into()),
            ..unbound.clone()
        },
        Claims {
            htp: path_hash(PATH),
            ..unbound
        },
    ] {
        assert_eq!(
            verify(&made(&half, 1), &[public(1)], lenient, NOW),
            Err(Refused::Request)
        );
    }
    let elsewhere = Expected {
        path: "/admin/x",
        ..lenient
    };
    assert_eq!(
        verify(&made(&claims(), 1), &[public(1)], elsewhere, NOW),
        Err(Refused::Request)
    );
}

/// Each of these is properly signed: it is the form that is refused.
#[test]
fn another_form_is_refused() {
    let kid = kid(&public(1));
    let body = serde_json::to_string(&claims()).expect("serialises");
    let head = |alg: &str, typ: &str| format!(r#"{{"alg":"{alg}","typ":"{typ}","kid":"{kid}"}}"#);
    let text = |header: &str, body: &str| {
        sealed(
            &format!("{}.{}", base64url(header.as_bytes()), base64url(body.as_bytes())),
            1,
        )
    };
    let good = head("EdDSA", TYPE);
    assert!(check(&text(&good, &body)).is_ok());
    for header in [
        head("none", TYPE),
        head("RS256", TYPE),
        head("EdDSA", "at+jwt"),
        head("EdDSA", "JWT"),
        good.replace('}', r#","crit":["b64"]}"#),
        good.replace('}', r#","jwk":{}}"#),
        format!(r#"{{"alg":"EdDSA","typ":"{TYPE}"}}"#),
        good.replace(r#""alg""#, r#""alg":"EdDSA","alg""#),
    ] {
        assert_eq!(check(&text(&header, &body)), Err(Refused::Malformed), "{header}");
    }
    for body in [
        body.replace(r#""sub":"#, r#""sub":"usr_1","sub":"#),
        body.replace('}', r#","admin":true}"#),
        body.replace(r#""exp":"#, r#""never":"#),
        body.replace("1795219260", "\"1795219260\""),
        "{}".to_owned(),
    ] {
        assert_eq!(check(&text(&good, &body)), Err(Refused::Malformed), "{body}");
    }
    assert_eq!(check(&"a".repeat(MAX_LENGTH + 1)), Err(Refused::Malformed));
}

proptest! {
    #[test]
    fn no_text_is_an_assertion_by_chance(text in "\\PC{0,200}") {
        prop_assert!(check(&text).is_err());
    }

    #[test]
    fn no_change_of_a_character_survives(at in 0usize..500, with in proptest::char::range('0', 'z')) {
        let good = made(&claims(), 1);
        let mut changed: Vec<char> = good.chars().collect();
        let at = at % changed.len();
        changed[at] = with;
        let changed: String = changed.into_iter().collect();
        prop_assume!(changed != good);
        prop_assert!(check(&changed).is_err());
    }
}
