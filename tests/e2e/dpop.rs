//! DPoP (RFC 9449): a token that is bound to a key counts at the edge only with a proof by that key, for this request, once.

use std::sync::atomic::{AtomicU32, Ordering};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use e2e::{Request, Response, Stack};
use serde_json::{Value, json};
use shared::crypto::{base64url, sha256};

use crate::jwt::Client;
use crate::support::{assert_invalid_token, only_seen, unix_now};

const PATH: &str = "/v1/memory/x";
/// Strict in the demo's policy.
const STRICT: &str = "/admin/x";

/// Somebody with a key.
struct Holder {
    pair: Ed25519KeyPair,
    proofs: AtomicU32,
}

impl Holder {
    fn new(seed: u8) -> Self {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed");
        Self {
            pair,
            proofs: AtomicU32::new(0),
        }
    }

    /// A new proof, with its claims changed.
    fn proof_with(&self, method: &str, url: &str, change: impl FnOnce(&mut Value)) -> String {
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(self.pair.public_key().as_ref())});
        let head = json!({"typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk});
        let number = self.proofs.fetch_add(1, Ordering::SeqCst);
        let mut claims =
            json!({"jti": format!("proof-{number}"), "htm": method, "htu": url, "iat": unix_now()});
        change(&mut claims);
        let message = [head, claims]
            .map(|part| base64url(part.to_string().as_bytes()))
            .join(".");
        format!(
            "{message}.{}",
            base64url(self.pair.sign(message.as_bytes()).as_ref())
        )
    }

    /// A new proof for a request with this token.
    fn proof(&self, token: &str, method: &str, url: &str) -> String {
        self.proof_with(method, url, |claims| claims["ath"] = ath(token))
    }

    /// A token of a client's own that is bound to this key.
    async fn token(&self, stack: &Stack, client: &Client) -> String {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &*client.id),
            ("client_secret", &*client.secret),
        ];
        let proof = self.proof_with("POST", &format!("{}/token", stack.control.url()), |_| {});
        let request = Request::new("POST", "/token").header("dpop", proof).form(&form);
        let answer = stack.anon_at_control().send(request).await.expect(200).json();
        assert_eq!(answer["token_type"], "DPoP", "{}", answer["token_type"]);
        let token = answer["access_token"].as_str().expect("a token").to_owned();
        stack.secrets.saw(&token);
        token
    }
}

fn ath(token: &str) -> Value {
    base64url(&sha256(token.as_bytes())).into()
}

/// A request under the scheme DPoP with these proofs.
fn with(request: Request, token: &str, proofs: &[&str]) -> Request {
    let request = request.header("authorization", format!("DPoP {token}"));
    proofs
        .iter()
        .fold(request, |request, proof| request.header("dpop", proof))
}

async fn get(stack: &Stack, path: &str, token: &str, proofs: &[&str]) -> Response {
    stack.anon().send(with(Request::get(path), token, proofs)).await
}

/// 401 under the scheme that the caller came with (RFC 9449 §7.1).
#[track_caller]
fn assert_invalid_proof(response: &Response, what: &str) {
    assert_eq!(response.status, 401, "{what}: {}", response.text());
    let challenge = response.header("www-authenticate").unwrap_or_default();
    assert!(challenge.starts_with("DPoP "), "{what}: {challenge}");
    for part in [
        "error=\"invalid_dpop_proof\"",
        "algs=\"ES256 RS256 PS256 EdDSA Ed25519\"",
        "resource_metadata=",
    ] {
        assert!(challenge.contains(part), "{what}: {challenge}");
    }
    assert_eq!(response.json()["code"], "invalid_dpop_proof", "{what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn line_8_a_bound_token_counts_only_with_its_proof() {
    let stack = Stack::start().await;
    let client = Client::create(&stack, "memory:read");
    let (holder, thief) = (Holder::new(1), Holder::new(2));
    let token = holder.token(&stack, &client).await;
    let url = format!("{}{PATH}", stack.edge_url());
    let good = holder.proof(&token, "GET", &url);
    get(&stack, &format!("{PATH}?q=1"), &token, &[&good])
        .await
        .expect(200);
    let seen = only_seen(&stack);
    assert_eq!(seen.headers["x-portcullis-subject"], client.id.as_str());
    for name in ["authorization", "dpop"] {
        assert_eq!(seen.headers.get(name), None, "the origin needs neither");
    }
    assert_invalid_proof(&get(&stack, PATH, &token, &[&good]).await, "replayed");

    let other = holder.token(&stack, &client).await;
    let changed = |claim: &str, value: Value| {
        holder.proof_with("GET", &url, |claims| {
            claims["ath"] = ath(&token);
            claims[claim] = value;
        })
    };
    for (what, proof) in [
        ("another method", holder.proof(&token, "POST", &url)),
        ("another path", holder.proof(&token, "GET", &format!("{url}/y"))),
        (
            "another host",
            holder.proof(&token, "GET", "https://evil.example/v1/memory/x"),
        ),
        ("another token", holder.proof(&other, "GET", &url)),
        ("no token", holder.proof_with("GET", &url, |_| {})),
        ("another key", thief.proof(&token, "GET", &url)),
        ("old", changed("iat", json!(unix_now() - 61))),
        ("from the future", changed("iat", json!(unix_now() + 90))),
        ("no proof", "nonsense".to_owned()),
        ("a token for a proof", token.clone()),
    ] {
        assert_invalid_proof(&get(&stack, PATH, &token, &[&proof]).await, what);
    }
    assert_invalid_proof(&get(&stack, PATH, &token, &[]).await, "without a proof");
    // A proof that was made for a server of somebody else's does not count here, whatever name we are called by.
    let theirs = holder.proof(&token, "GET", "http://evil.example/v1/memory/x");
    let request = with(Request::get(PATH), &token, &[&theirs]).header("host", "evil.example");
    assert_invalid_proof(&stack.anon().send(request).await, "another Host");
    let fresh = || holder.proof(&token, "GET", &url);
    get(&stack, PATH, &token, &[&fresh(), &fresh()]).await.expect(400);

    // Downgrades: the token alone is worth nothing, and DPoP is for bound tokens only.
    let proof = fresh();
    let request = Request::get(PATH).bearer(&token).header("dpop", proof);
    let answer = stack.anon().send(request).await;
    assert_invalid_token(&answer, "as a bearer token");
    assert!(
        answer.all("www-authenticate").contains("DPoP algs="),
        "{}",
        answer.all("www-authenticate")
    );
    let unbound = client.token(&stack).await;
    let key = stack.admin().key("read").await.key;
    for credential in [&unbound, &key] {
        let proof = holder.proof(credential, "GET", &url);
        let answer = get(&stack, PATH, credential, &[&proof]).await.expect(401);
        let challenge = answer.header("www-authenticate").unwrap_or_default();
        assert!(
            challenge.starts_with("DPoP error=\"invalid_token\""),
            "{challenge}"
        );
        stack.caller(credential).get(PATH).await.expect(200);
    }
    // Whoever comes with nothing learns of both schemes.
    let answer = stack.anon().get(PATH).await;
    crate::support::assert_no_credential(&answer);
    assert!(answer.all("www-authenticate").contains("DPoP algs="));
    stack.origin.take();
    // After all that the token is as good as before.
    get(&stack, PATH, &token, &[&fresh()]).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn line_8_a_proof_counts_once_at_the_whole_edge_on_a_strict_route() {
    let mut stack = Stack::with().gates(2).start().await;
    let client = Client::create(&stack, "admin");
    let holder = Holder::new(1);
    let token = holder.token(&stack, &client).await;
    let url = format!("{}{STRICT}", stack.edge_url());
    // The second gate has another port; its callers know it by the same name.
    let ask = async |stack: &Stack, gate: usize, proof: &str| {
        let request = with(Request::get(STRICT), &token, &[proof]);
        e2e::http::once(&stack.gate(gate), &request)
            .await
            .expect("an answer")
    };
    let [first, second, fresh] = [(); 3].map(|()| holder.proof(&token, "GET", &url));
    ask(&stack, 0, &first).await.expect(200);
    assert_invalid_proof(&ask(&stack, 1, &first).await, "replayed at another gate");
    // Of several at once, at both gates, one.
    let both = [0, 1, 0, 1, 0, 1].map(|gate| ask(&stack, gate, &second));
    let mut statuses: Vec<u16> = futures_util::future::join_all(both)
        .await
        .iter()
        .map(|answer| answer.status)
        .collect();
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 401, 401, 401, 401, 401]);
    // The hub does not forget with its memory.
    stack.edge.kill();
    stack.edge.restart().await.expect("workerd starts again");
    stack.settled().await;
    for proof in [&first, &second] {
        assert_invalid_proof(&ask(&stack, 1, proof).await, "replayed after a restart");
    }
    ask(&stack, 1, &fresh).await.expect(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_verify_endpoint_judges_proofs_of_the_original_request() {
    let stack = Stack::with()
        .var("PUBLIC_ORIGINS", "https://eu.api.example, https://us.api.example")
        .start()
        .await;
    let client = Client::create(&stack, "admin");
    let holder = Holder::new(1);
    let token = holder.token(&stack, &client).await;
    let ask = async |request: Request, proof: &str| stack.anon().send(with(request, &token, &[proof])).await;
    for path in [PATH, STRICT] {
        let url = format!("{}{path}", stack.edge_url());
        let proof = holder.proof(&token, "DELETE", &url);
        ask(Request::verify("DELETE", &format!("{path}?q")), &proof)
            .await
            .expect(200);
        assert_invalid_proof(&ask(Request::verify("DELETE", path), &proof).await, "replayed");
        let proof = holder.proof(&token, "GET", &url);
        assert_invalid_proof(
            &ask(Request::verify("DELETE", path), &proof).await,
            "another method",
        );
        let proof = holder.proof(&token, "GET", &format!("{}/.portcullis/verify", stack.edge_url()));
        assert_invalid_proof(
            &ask(Request::verify("GET", path), &proof).await,
            "of the wrong request",
        );
    }
    // Under the names that the operator has listed, and under no others.
    for (host, expected) in [("us.api.example", 200), ("evil.example", 401)] {
        let proof = holder.proof(&token, "GET", &format!("https://{host}{PATH}"));
        let request = Request::verify("GET", PATH).header("x-forwarded-host", host);
        assert_eq!(ask(request, &proof).await.status, expected, "verify for {host}");
        let proof = holder.proof(&token, "GET", &format!("https://{host}{PATH}"));
        let request = Request::get(PATH).header("host", host);
        assert_eq!(
            ask(request, &proof).await.status,
            expected,
            "the gateway as {host}"
        );
    }
    let proof = holder.proof(&token, "GET", &format!("https://eu.api.example{PATH}"));
    let request = Request::get(PATH).header("host", "us.api.example");
    assert_invalid_proof(&ask(request, &proof).await, "one of our names for another");
}

/// An outside library drives DPoP from the authorization request to the API, as a public and as a confidential client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oauth4webapi_is_content_with_dpop() {
    const REDIRECT: &str = "http://127.0.0.1:53682/cb";
    let stack = Stack::start().await;
    let bootstrap = stack.control.bootstrap().expect("the first start's secrets");
    for kind in ["--public", "--refresh-grace=30"] {
        let created = stack
            .client(
                "Library",
                &[kind, "--redirect-uri", REDIRECT, "--scopes", "memory:read"],
            )
            .expect("a client");
        let secret = created["client_secret"].as_str().unwrap_or_default();
        let root = e2e::files::root();
        let done = tokio::process::Command::new(root.join("node_modules/.bin/node"))
            .arg(root.join("tests/clients/oauth4webapi-dpop.mjs"))
            .env("ISSUER", stack.control.url())
            .env("EDGE", stack.edge_url())
            .env("CLIENT_ID", created["client_id"].as_str().expect("an id"))
            .env("CLIENT_SECRET", secret)
            .env("REDIRECT", REDIRECT)
            .env("EMAIL", bootstrap.get("admin_email").unwrap_or("admin@localhost"))
            .env("PASSWORD", bootstrap.get("admin_password").expect("a password"))
            .output()
            .await
            .expect("node runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(
            done.status.success() && text(&done.stdout).ends_with("all good\n"),
            "{kind}: {}{}",
            text(&done.stdout),
            text(&done.stderr)
        );
    }
}
