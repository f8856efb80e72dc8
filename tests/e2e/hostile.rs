//! Line 3, second half: credentials that are changed, cut, foreign or absurd are 401, and cost the edge no network read.

use e2e::{Created, Request, Stack};
use serde_json::json;
use shared::{
    base62,
    key::{self, Environment},
};

use crate::support::{assert_invalid_token, network_reads, unix_now};

const PATH: &str = "/v1/memory/x";
type Change = fn(&mut key::Statement);

const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_changed_key_is_refused_and_costs_no_network_read() {
    let stack = Stack::start().await;
    let Created { key, .. } = stack.admin().key("read").await;
    stack.caller(&key).get(PATH).await.expect(200);
    stack.origin.take();

    let mut texts = Vec::new();
    // Any one character, into each of several others; with the checksum as it was, and made to fit again.
    for position in 0..key.len() {
        for step in [1, 17, 31] {
            let changed = with_other_character(&key, position, step);
            // Among the check digits themselves there is nothing to make fit.
            if position < key.len() - 6 {
                texts.push((format!("character {position}"), rechecked(&changed)));
            }
            texts.push((format!("character {position}, checksum kept"), changed));
        }
    }
    for length in 0..key.len() {
        texts.push((format!("cut to {length}"), key[..length].to_owned()));
        texts.push((
            format!("cut to {length}, checksum fits"),
            rechecked(&key[..length]),
        ));
    }
    for (what, text) in [
        ("a character more", format!("{key}0")),
        ("a character more, checksum fits", rechecked(&format!("{key}0"))),
        (
            "a zero inside, checksum fits",
            rechecked(&key.replacen("_live_", "_live_0", 1)),
        ),
        ("ten thousand characters", format!("{key}{}", "0".repeat(10_000))),
        ("in capitals", key.to_uppercase()),
        ("an inner tab", key.replacen("_live_", "_live_\t", 1)),
        ("an inner space", key.replacen("_live_", "_live_ ", 1)),
        ("a percent-encoded newline", format!("{key}%0A")),
        (
            "a percent-encoded newline inside",
            key.replacen("_live_", "_live_%0a", 1),
        ),
        ("in quotes", format!("\"{key}\"")),
        ("twice", format!("{key},{key}")),
        ("not ASCII", format!("{key}ä")),
        ("nothing but the prefix", "pc_live_".to_owned()),
        ("a word", "x".to_owned()),
    ] {
        texts.push((what.to_owned(), text));
    }

    let before = network_reads(&stack).await;
    let mut connection = e2e::Connection::open(&stack.gate(0)).await.unwrap();
    for (what, text) in &texts {
        let answer = connection
            .exchange(&Request::get(PATH).bearer(text))
            .await
            .unwrap();
        if what == "twice" {
            assert!(matches!(answer.status, 400 | 401), "{what}: {}", answer.status);
        } else if text.is_empty() {
            assert_eq!(answer.status, 401, "{what}");
        } else {
            assert_invalid_token(&answer, what);
        }
    }
    before.assert_only_refreshes(&stack).await;
    assert!(stack.origin.take().is_empty());
    stack.caller(&key).get(PATH).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_other_deployments_environments_and_brands_are_refused() {
    let stack = Stack::with().var("ENVIRONMENTS", "live").start().await;
    let admin = stack.admin();
    let good = admin.key("read").await;
    stack.caller(&good.key).get(PATH).await.expect(200);
    for environment in ["test", "dev"] {
        let body = json!({ "name": "other", "scope": "read", "environment": environment });
        let other = admin.create(body).await;
        assert!(other.key.starts_with(&format!("pc_{environment}_")));
        assert_invalid_token(&stack.caller(&other.key).get(PATH).await, environment);
    }

    // The same statement, word for word, under a key of our own making; and under other brands and environments.
    let parsed = key::parse(&good.key).unwrap();
    let foreign = jsonwebtoken::EncodingKey::from_ed_der(&pkcs8([7; 32]));
    let sign = |message: &[u8]| -> Result<[u8; 64], ()> {
        let text = jsonwebtoken::crypto::sign(message, &foreign, jsonwebtoken::Algorithm::EdDSA).unwrap();
        Ok(shared::crypto::from_base64url(&text).unwrap().try_into().unwrap())
    };
    for (brand, environment) in [
        ("pc", Environment::Live),
        ("acme", Environment::Live),
        ("pc", Environment::Dev),
    ] {
        let forged = key::build(brand, environment, &parsed.statement, sign).unwrap();
        assert_invalid_token(
            &stack.caller(forged.expose()).get(PATH).await,
            "another deployment's signature",
        );
        // The good signature, moved to another brand or environment.
        let moved = key::build(brand, environment, &parsed.statement, |_| {
            Ok::<_, ()>(parsed.signature)
        })
        .unwrap();
        let status = stack.caller(moved.expose()).get(PATH).await.status;
        let same = brand == "pc" && environment == Environment::Live;
        assert_eq!(status, if same { 200 } else { 401 }, "{brand} {environment}");
    }
    // A real other deployment.
    let other = Stack::start().await;
    let theirs = other.admin().key("read").await;
    assert_invalid_token(&stack.caller(&theirs.key).get(PATH).await, "another stack's key");
    assert_invalid_token(
        &other.caller(&good.key).get(PATH).await,
        "our key at another stack",
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_can_not_be_widened() {
    let stack = Stack::start().await;
    let good = stack.admin().key("read").await;
    let parsed = key::parse(&good.key).unwrap();
    let changes: [(&str, Change); 5] = [
        ("all scopes", |statement| statement.scopes.0 = 0x3f),
        ("another index", |statement| {
            statement.index = shared::id::StatusIndex::from_u64(statement.index.get() ^ 1).unwrap();
        }),
        ("another org", |statement| {
            statement.org = shared::id::OrgId::from_u64(statement.org.get() ^ 1).unwrap();
        }),
        ("a later issue", |statement| statement.issued_at.0 += 1),
        ("an expiry", |statement| {
            statement.expires_at = Some(shared::time::UnixSeconds(unix_now() + 1_000_000));
        }),
    ];
    for (what, change) in changes {
        let mut statement = parsed.statement.clone();
        change(&mut statement);
        let forged = key::build("pc", Environment::Live, &statement, |_| {
            Ok::<_, ()>(parsed.signature)
        })
        .unwrap();
        assert_invalid_token(&stack.caller(forged.expose()).get(PATH).await, what);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_count_only_in_one_authorization_header() {
    let stack = Stack::start().await;
    let Created { key, .. } = stack.admin().key("read").await;
    let twice = Request::get(PATH).bearer(&key).bearer(&key);
    let status = stack.anon().send(twice).await.status;
    assert!(matches!(status, 400 | 401), "two headers: {status}");
    let two_schemes = Request::get(PATH)
        .header("authorization", "Basic dTpw")
        .bearer(&key);
    assert!(matches!(stack.anon().send(two_schemes).await.status, 400 | 401));
    for target in [
        format!("{PATH}?access_token={key}"),
        format!("{PATH}?api_key={key}"),
    ] {
        stack.anon().get(&target).await.expect(401);
    }
    for (name, value) in [
        ("x-api-key", key.clone()),
        ("cookie", format!("access_token={key}")),
        ("authorization", key.clone()),
    ] {
        stack
            .anon()
            .send(Request::get(PATH).header(name, value))
            .await
            .expect(401);
    }
    let form = Request::new("POST", PATH).form(&[("access_token", &key)]);
    stack.anon().send(form).await.expect(401);
    // The scheme's name is not case-sensitive (RFC 9110 §11.1).
    for scheme in ["bearer", "BEARER", "Bearer"] {
        let request = Request::get(PATH).header("authorization", format!("{scheme} {key}"));
        stack.anon().send(request).await.expect(200);
    }
}

/// Raw CR, LF and NUL in a header are for the runtime to refuse.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raw_control_bytes_never_get_as_far_as_the_gate() {
    let stack = Stack::start().await;
    let Created { key, .. } = stack.admin().key("read").await;
    for byte in [b'\r', b'\n', 0] {
        let mut bytes =
            format!("GET {PATH} HTTP/1.1\r\nHost: edge\r\nAuthorization: Bearer {key}").into_bytes();
        bytes.insert(bytes.len() - 20, byte);
        bytes.extend(b"\r\n\r\n");
        let answer = stack.anon().raw(&bytes).await;
        // A bare LF ends the line for lenient parsers: then what follows is no header, or a cut key.
        assert!(matches!(answer.status, 400 | 401), "{byte:#x}: {}", answer.status);
    }
    assert!(stack.origin.take().is_empty());
}

/// Replaces one character by another digit.
fn with_other_character(key: &str, position: usize, step: usize) -> String {
    let mut bytes = key.as_bytes().to_vec();
    let value = DIGITS
        .iter()
        .position(|digit| *digit == bytes[position])
        .unwrap_or(0);
    bytes[position] = DIGITS[(value + step) % DIGITS.len()];
    String::from_utf8(bytes).unwrap()
}

/// The same text with check digits that fit.
fn rechecked(text: &str) -> String {
    let covered = &text[..text.len().saturating_sub(6)];
    let check = base62::encode_fixed(u64::from(crc32fast::hash(covered.as_bytes())), 6).unwrap();
    format!("{covered}{check}")
}

/// An Ed25519 private key (RFC 8410) from its seed.
fn pkcs8(seed: [u8; 32]) -> Vec<u8> {
    let mut der = vec![
        0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20,
    ];
    der.extend(seed);
    der
}
