//! The gate's signed word to the origin: who was let in, for that origin alone, and nobody else can say it.

use e2e::{Request, Seen, Stack, files};
use serde_json::{Value, json};
use shared::assertion::{self, Claims, Refused};
use shared::crypto::{Algorithm, VerifyingKey, base64url};
use shared::jwk;
use shared::time::UnixSeconds;

use crate::support::only_seen;

const KEY: [u8; 32] = [41; 32];
const NEXT: [u8; 32] = [42; 32];

async fn stack(keys: &[[u8; 32]]) -> Stack {
    let texts: Vec<String> = keys.iter().map(|key| base64url(key)).collect();
    Stack::with().var("ASSERTION_KEY", &texts.join(",")).start().await
}

/// The gate's public keys, as everybody sees them.
async fn shown(stack: &Stack) -> Vec<VerifyingKey> {
    let answer = stack.anon().get(assertion::JWKS_PATH).await.expect(200);
    let document = answer.json();
    let keys = document["keys"].as_array().expect("keys").iter();
    keys.map(|jwk| jwk::admit(jwk.as_object().unwrap(), Algorithm::Ed25519).expect("a public key"))
        .collect()
}

fn claims(stack: &Stack, keys: &[VerifyingKey], seen: &Seen) -> Result<Claims, Refused> {
    let text = seen.headers.get(assertion::HEADER).expect("an assertion");
    let payload = text
        .split('.')
        .nth(1)
        .and_then(shared::crypto::from_base64url)
        .unwrap();
    let payload: Value = serde_json::from_slice(&payload).unwrap();
    let now = UnixSeconds(payload["iat"].as_u64().unwrap());
    assertion::verify(text, keys, &stack.edge_url(), &stack.origin.url(), now)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_origin_reads_who_was_let_in() {
    let stack = stack(&[KEY]).await;
    let keys = shown(&stack).await;
    let key = stack.admin().key("read").await;
    let request = || {
        Request::get("/v1/memory/x")
            .header("portcullis-assertion", "forged")
            .header("portcullis_assertion", "forged")
    };
    stack.caller(&key.key).send(request()).await.expect(200);
    let first = only_seen(&stack);
    assert!(!first.headers.contains_key("portcullis_assertion"), "{first:?}");
    let said = claims(&stack, &keys, &first).expect("it holds");
    assert_eq!(said.sub, first.headers["x-portcullis-subject"]);
    assert_eq!(said.org, first.headers["x-portcullis-org"]);
    assert_eq!(said.workspace, "all");
    assert_eq!(said.scope, first.headers["x-portcullis-scopes"]);
    assert_eq!(said.credential, key.id);
    assert_eq!(said.exp.0 - said.iat.0, 60);

    // The same within half a minute; another caller has another one.
    stack.caller(&key.key).send(request()).await.expect(200);
    let again = only_seen(&stack);
    assert_eq!(again.headers[assertion::HEADER], first.headers[assertion::HEADER]);
    stack.caller(&stack.admin_key).send(request()).await.expect(200);
    let other = claims(&stack, &keys, &only_seen(&stack)).expect("it holds");
    assert_ne!(other.credential, said.credential);

    // The verify endpoint hands it out too; a public route has nobody to speak of.
    let verified = stack
        .caller(&key.key)
        .send(Request::verify("GET", "/v1/memory/x"))
        .await
        .expect(200);
    assert_eq!(
        verified.header(assertion::HEADER),
        Some(first.headers[assertion::HEADER].as_str())
    );
    stack
        .caller(&key.key)
        .send(Request::get("/public/x").header("portcullis-assertion", "forged"))
        .await
        .expect(200);
    assert!(!only_seen(&stack).headers.contains_key(assertion::HEADER));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_keys_are_shown_and_the_first_signs() {
    let stack = stack(&[NEXT, KEY]).await;
    let keys = shown(&stack).await;
    assert_eq!(keys.len(), 2);
    let key = stack.admin().key("read").await.key;
    stack
        .caller(&key)
        .send(Request::get("/v1/memory/x"))
        .await
        .expect(200);
    let seen = only_seen(&stack);
    assert!(claims(&stack, &keys[..1], &seen).is_ok());
    assert_eq!(claims(&stack, &keys[1..], &seen), Err(Refused::KeyUnknown));
    let text = seen.headers[assertion::HEADER].clone();
    let script = format!(
        "import {{ createLocalJWKSet, jwtVerify }} from 'jose';
         const keys = createLocalJWKSet(await (await fetch('{}{}')).json());
         const options = {{ algorithms: ['EdDSA'], typ: 'portcullis-assertion+jwt', issuer: '{}', audience: '{}' }};
         const {{ payload }} = await jwtVerify('{text}', keys, options);
         console.log(JSON.stringify(payload));",
        stack.edge_url(),
        assertion::JWKS_PATH,
        stack.edge_url(),
        stack.origin.url(),
    );
    let output = tokio::process::Command::new("node")
        .args(["--input-type=module", "--eval", &script])
        .current_dir(files::root())
        .output()
        .await
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let payload: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        payload["scope"], seen.headers["x-portcullis-scopes"],
        "another library agrees"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_key_nothing_is_asserted() {
    let stack = Stack::start().await;
    let document = stack.anon().get(assertion::JWKS_PATH).await.expect(200).json();
    assert_eq!(document, json!({"keys": []}));
    let key = stack.admin().key("read").await.key;
    stack
        .caller(&key)
        .send(Request::get("/v1/memory/x"))
        .await
        .expect(200);
    assert!(!only_seen(&stack).headers.contains_key(assertion::HEADER));
}
