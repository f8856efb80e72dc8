//! The gate's signed word to the origin: who was let in, for that origin alone, and nobody else can say it.

use e2e::{Request, Seen, Stack, files};
use serde_json::{Value, json};
use shared::assertion::{self, Claims, Expected, Refused};
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
    let expected = Expected {
        issuer: &stack.edge_url(),
        audience: &stack.origin.url(),
        method: &seen.method,
        path: &seen.path,
        unbound: false,
    };
    assertion::verify(text, keys, expected, now)
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

    // The same within half a minute, on both ways through the gate; another caller has another one.
    for request in [request(), request().header("portcullis-min-seq", "0")] {
        stack.caller(&key.key).send(request).await.expect(200);
        let again = only_seen(&stack);
        assert_eq!(again.headers[assertion::HEADER], first.headers[assertion::HEADER]);
    }
    stack.caller(&stack.admin_key).send(request()).await.expect(200);
    let other = claims(&stack, &keys, &only_seen(&stack)).expect("it holds");
    assert_ne!(other.credential, said.credential);

    // A public route has nobody to speak of.
    stack
        .caller(&key.key)
        .send(Request::get("/public/x").header("portcullis-assertion", "forged"))
        .await
        .expect(200);
    assert!(!only_seen(&stack).headers.contains_key(assertion::HEADER));
}

/// What was let in for one request does for no other, on the fast path and on the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_for_the_request_that_it_came_with() {
    let stack = stack(&[KEY]).await;
    let keys = shown(&stack).await;
    let admin = stack.admin_key.clone();
    let mut told = std::collections::BTreeSet::new();
    for (method, target) in [
        ("GET", "/v1/memory/x"),
        ("GET", "/v1/memory/x?q=1"),
        ("HEAD", "/v1/memory/x"),
        ("DELETE", "/v1/memory/x"),
        ("GET", "/v1/memory/y"),
        ("GET", "/v1/memory/%79%20"),
        ("GET", "/admin/x"),
    ] {
        for more in [None, Some("0")] {
            let request = Request::new(method, target).bearer(&admin);
            let request = match more {
                Some(seq) => request.header("portcullis-min-seq", seq),
                None => request,
            };
            stack.anon().send(request).await.expect(200);
            let seen = only_seen(&stack);
            claims(&stack, &keys, &seen).expect("it holds for its own request");
            let text = seen.headers[assertion::HEADER].clone();
            for (method, path) in [("PUT", seen.path.as_str()), (method, "/v1/memory/other")] {
                let elsewhere = Seen {
                    method: method.to_owned(),
                    path: path.to_owned(),
                    ..seen.clone()
                };
                assert_eq!(
                    claims(&stack, &keys, &elsewhere),
                    Err(Refused::Request),
                    "{method} {path}"
                );
            }
            told.insert(text);
        }
    }
    // One for each pair of method and path.
    assert_eq!(told.len(), 6, "{told:?}");
}

/// Else whoever has a credential would get the gate's word for any origin without passing the gate.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_who_asks_is_given_one() {
    let stack = stack(&[KEY]).await;
    let key = stack.admin().key("read").await.key;
    for more in [None, Some("0")] {
        // Before and after it is known on the fast path.
        for _ in 0..2 {
            let request = Request::verify("GET", "/v1/memory/x").bearer(&key);
            let request = match more {
                Some(seq) => request.header("portcullis-min-seq", seq),
                None => request,
            };
            let answer = stack.anon().send(request).await.expect(200);
            assert!(answer.header("x-portcullis-credential").is_some());
            assert_eq!(answer.header(assertion::HEADER), None, "{more:?}");
            stack.caller(&key).get("/v1/memory/x").await.expect(200);
            assert!(only_seen(&stack).headers.contains_key(assertion::HEADER));
        }
    }
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
