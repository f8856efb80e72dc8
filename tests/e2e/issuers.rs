//! Tokens of other issuers: three real implementations and a hostile one, at the edge.

use std::process::Stdio;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicBool, AtomicU64, Ordering},
};
use std::time::Duration;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response as Answer};
use e2e::{Request, Response, Stack, files, http};
use serde_json::{Value, json};
use shared::crypto::base64url;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::jwt::Client;
use crate::support::{assert_invalid_token, unix_now};

const PATH: &str = "/v1/memory/x";
const AUDIENCE: &str = "https://memory.example";

/// An issuer of somebody else's in a process of its own.
pub(crate) struct Theirs {
    pub(crate) url: String,
    _process: Child,
}

impl Theirs {
    pub(crate) async fn start(script: &str) -> Self {
        let root = files::root();
        let mut process = Command::new(root.join("node_modules/.bin/node"))
            .arg(root.join("tests/issuers").join(script))
            .current_dir(root)
            .env("AUDIENCE", AUDIENCE)
            .env("SCOPE", "memory:read memory:write")
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("it runs");
        let stdout = process.stdout.take().expect("piped");
        let line = BufReader::new(stdout)
            .lines()
            .next_line()
            .await
            .expect("readable");
        Self {
            url: line.expect("the issuer says where it is"),
            _process: process,
        }
    }

    fn host(&self) -> String {
        // The mock server calls itself localhost and listens on 127.0.0.1.
        let host = self.url.strip_prefix("http://").expect("http");
        host.replace("localhost", "127.0.0.1")
    }

    async fn keys(&self, published: &str, signer: &str) {
        let path = format!("/control/keys?publish={published}&sign={signer}");
        let answer = http::once(&self.host(), &Request::new("POST", &path)).await;
        answer.expect("an answer").expect(200);
    }

    /// By client_credentials.
    async fn token(&self, stack: &Stack) -> String {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", "app"),
            ("client_secret", "not much of a secret"),
            ("scope", "memory:read memory:write"),
        ];
        let request = Request::new("POST", "/token").form(&form);
        let answer = http::once(&self.host(), &request)
            .await
            .expect("an answer")
            .expect(200);
        let token = answer.json()["access_token"]
            .as_str()
            .expect("a token")
            .to_owned();
        stack.secrets.saw(&token);
        token
    }
}

/// `POST /v1/issuers`, which answers when every edge goes by it.
async fn trust(stack: &Stack, body: Value) -> Value {
    let answer = stack
        .admin()
        .send(Request::new("POST", "/v1/issuers").json(&body))
        .await
        .expect(201)
        .json();
    assert!(answer["effective_at"].is_string(), "{answer}");
    answer
}

async fn remove(stack: &Stack, issuer: &Value) {
    let path = format!("/v1/issuers/{}", issuer["id"].as_str().expect("an id"));
    let answer = stack
        .admin()
        .send(Request::new("DELETE", &path))
        .await
        .expect(200)
        .json();
    assert!(answer["effective_at"].is_string(), "{answer}");
}

/// What a reading token may do: read, and nothing else, as somebody of the issuer in our organisation.
async fn assert_reads(stack: &Stack, token: &str, issuer: &Value, subject: &str) {
    let caller = stack.caller(token);
    for _ in 0..2 {
        caller.get(PATH).await.expect(200);
    }
    caller.post(PATH, "x").await.expect(403);
    caller.get("/admin/x").await.expect(403);
    let seen = stack.origin.take();
    assert_eq!(seen.len(), 2);
    let headers = &seen[0].headers;
    let name = issuer["issuer"].as_str().expect("a name");
    assert_eq!(headers["x-portcullis-subject"], format!("{name}#{subject}"));
    assert_eq!(headers["x-portcullis-issuer"], name);
    assert_eq!(
        headers["x-portcullis-org"],
        issuer["org"].as_str().expect("an org")
    );
    assert_eq!(headers["x-portcullis-scopes"], "memory:read", "under the cap");
    assert!(!headers.contains_key("authorization"));
    // The control plane takes it nowhere, straight or through the edge.
    for answer in [
        stack.caller(token).get("/v1/auth/keys").await,
        http::once(
            &stack.control.address(),
            &Request::get("/v1/auth/keys").bearer(token),
        )
        .await
        .expect("an answer"),
    ] {
        assert_eq!(answer.status, 401, "{}", answer.text());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_real_issuers_are_let_in_and_out() {
    let stack = Stack::start().await;
    let other = Stack::start().await;
    let (first, second) = tokio::join!(
        Theirs::start("oidc-provider.mjs"),
        Theirs::start("oauth2-mock-server.mjs")
    );
    for (theirs, subject) in [(&first, "app"), (&second, "auth0%7Cmock")] {
        let before = theirs.token(&stack).await;
        assert_invalid_token(&stack.caller(&before).get(PATH).await, "a foreign token");
        let body = json!({"issuer": theirs.url, "audiences": [AUDIENCE], "scopes": ["memory:read"]});
        let issuer = trust(&stack, body).await;
        assert_reads(&stack, &before, &issuer, subject).await;
        remove(&stack, &issuer).await;
        assert_invalid_token(&stack.caller(&before).get(PATH).await, "a foreign token");
    }
    // A second installation of the same product.
    let client = Client::create(&other, "memory:read");
    let token = client.token(&other).await;
    stack.secrets.saw(&token);
    assert_invalid_token(&stack.caller(&token).get(PATH).await, "a foreign token");
    let body =
        json!({"issuer": other.control.url(), "audiences": [other.edge_url()], "scopes": ["memory:read"]});
    let issuer = trust(&stack, body).await;
    assert_reads(&stack, &token, &issuer, &client.id).await;
    let own = json!({"issuer": stack.control.url(), "audiences": ["a"], "scopes": []});
    let refused = stack
        .admin()
        .send(Request::new("POST", "/v1/issuers").json(&own))
        .await;
    assert_eq!(refused.status, 400, "our own issuer is nobody's");
    // One person of it is shut out, and let in again.
    let set = async |action: &str| {
        let path = format!("/v1/issuers/{}/{action}", issuer["id"].as_str().expect("an id"));
        let body = json!({"subject": client.id});
        stack
            .admin()
            .send(Request::new("POST", &path).json(&body))
            .await
            .expect(200);
    };
    set("block").await;
    stack.caller(&token).get(PATH).await.expect(403);
    set("unblock").await;
    stack.caller(&token).get(PATH).await.expect(200);
    // And everything that it has made until now.
    let body = json!({"target": {"issuer": other.control.url()}});
    let revoke = Request::new("POST", "/v1/revocations").json(&body);
    stack.admin().send(revoke).await.expect(200);
    assert_invalid_token(&stack.caller(&token).get(PATH).await, "a foreign token");
}

/// Publishes ahead, signs with the next key, takes the old one back: nobody with a good token is refused, and after the receipt
/// nobody with a token of the old key is let in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_are_replaced_under_load_without_a_refusal() {
    let stack = Stack::with()
        .gates(2)
        .environment("PORTCULLIS_ISSUERS_COOL_DOWN_SECONDS", "1")
        .start()
        .await;
    let theirs = Theirs::start("oidc-provider.mjs").await;
    let body = json!({"issuer": theirs.url, "audiences": [AUDIENCE], "scopes": ["memory:read"]});
    let issuer = trust(&stack, body).await;
    let refresh = async || {
        let path = format!("/v1/issuers/{}/refresh", issuer["id"].as_str().expect("an id"));
        let asked = async || stack.admin().send(Request::new("POST", &path)).await;
        let answer = e2e::wait::until("the cool-down is over", Duration::from_secs(20), || async {
            let answer = asked().await;
            (answer.status != 429).then_some(answer)
        })
        .await;
        answer.expect(200).json()
    };
    let current = Mutex::new(theirs.token(&stack).await);
    let (stop, calls) = (AtomicBool::new(false), AtomicU64::new(0));
    let load = async |gate: usize| {
        while !stop.load(Ordering::SeqCst) {
            let token = current.lock().expect("a lock").clone();
            let answer: Response = stack.caller_at(gate, &token).get(PATH).await;
            assert_eq!(answer.status, 200, "a false refusal: {}", answer.text());
            calls.fetch_add(1, Ordering::SeqCst);
        }
    };
    let rotate = async {
        let mut published = "RS256-1".to_owned();
        for next in ["ES256-1", "PS256-1", "EdDSA-1", "RS256-2"] {
            let old = current.lock().expect("a lock").clone();
            let signer = published.clone();
            theirs.keys(&format!("{signer},{next}"), &signer).await;
            refresh().await;
            theirs.keys(&format!("{signer},{next}"), next).await;
            let token = theirs.token(&stack).await;
            *current.lock().expect("a lock") = token;
            let before = calls.load(Ordering::SeqCst);
            e2e::wait::until_true("there is load", Duration::from_secs(20), || async {
                calls.load(Ordering::SeqCst) > before + 20
            })
            .await;
            theirs.keys(next, next).await;
            let kids = refresh().await["keys"].clone();
            assert_eq!(kids.as_array().map(Vec::len), Some(1), "{kids}");
            for gate in 0..2 {
                assert_invalid_token(&stack.caller_at(gate, &old).get(PATH).await, "a foreign token");
            }
            next.clone_into(&mut published);
        }
        stop.store(true, Ordering::SeqCst);
    };
    tokio::join!(rotate, load(0), load(1));
    assert!(calls.load(Ordering::SeqCst) > 80);
}

/// What is said to a path, to be changed while it is asked.
type Says = Arc<Mutex<fn(&str) -> Answer>>;

/// An issuer that says what the test wants.
#[derive(Clone)]
struct Hostile {
    url: String,
    says: Says,
}

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[77; 32]).expect("a seed")
}

fn good(_: &str) -> Answer {
    let x = base64url(pair().public_key().as_ref());
    let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": x}]});
    ([("content-type", "application/json")], keys.to_string()).into_response()
}

impl Hostile {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let says: Says = Arc::new(Mutex::new(good));
        let here = Self { url, says };
        let served = here.clone();
        let router = Router::new().fallback(move |uri: Uri| async move {
            if uri.path().starts_with("/.well-known/openid") {
                let metadata = json!({"issuer": served.url, "jwks_uri": format!("{}/keys", served.url)});
                return ([("content-type", "application/json")], metadata.to_string()).into_response();
            }
            if uri.path() == "/slow" {
                std::future::pending::<()>().await;
            }
            let says = *served.says.lock().expect("a lock");
            says(&served.url)
        });
        tokio::spawn(async move { axum::serve(listener, router).await });
        here
    }

    fn says(&self, answer: fn(&str) -> Answer) {
        *self.says.lock().expect("a lock") = answer;
    }

    fn token(&self, change: impl FnOnce(&mut Value)) -> String {
        let now = unix_now();
        let head = json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "k1"});
        let mut claims = json!({"iss": self.url, "sub": "eve", "aud": AUDIENCE, "scope": "memory:read",
            "iat": now, "exp": now + 600, "jti": "j"});
        change(&mut claims);
        let message = [head, claims]
            .map(|part| base64url(part.to_string().as_bytes()))
            .join(".");
        let signature = base64url(pair().sign(message.as_bytes()).as_ref());
        format!("{message}.{signature}")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hostile_issuer_gets_no_further_than_its_cap() {
    let stack = Stack::with()
        .environment("PORTCULLIS_ISSUERS_COOL_DOWN_SECONDS", "1")
        .start()
        .await;
    let evil = Hostile::start().await;
    let slow = json!({"issuer": evil.url, "jwks_uri": format!("{}/slow", evil.url), "audiences": ["a"]});
    let admin = stack.admin();
    let asked = admin.send(Request::new("POST", "/v1/issuers").json(&slow));
    let answer = tokio::time::timeout(Duration::from_secs(20), asked).await;
    let answer = answer.expect("a slow issuer is given up");
    assert_eq!(answer.json()["code"], "issuer_unreachable");
    let body = json!({"issuer": evil.url, "audiences": [AUDIENCE], "scopes": ["memory:read"]});
    let issuer = trust(&stack, body).await;
    let id = issuer["id"].as_str().expect("an id").to_owned();

    // What it says of whom its tokens are counts for nothing: organisation, role, a status index of ours.
    let key = stack.admin().key("read").await;
    stack.admin().revoke(&key.id, None).await.expect(200);
    let status = |key: &str| {
        let index = shared::key::parse(key).expect("a key").statement.index;
        let place = shared::token::StatusReference::new(&stack.control.url(), index);
        json!({"status_list": place})
    };
    let token = evil.token(|claims| {
        claims["org"] = "org_000000001".into();
        claims["workspace"] = "ws_000000001".into();
        claims["sub"] = "usr_000000001".into();
        claims["scope"] = "memory:read admin".into();
        claims["status"] = status(&key.key);
    });
    stack.origin.take();
    assert_reads(&stack, &token, &issuer, "usr_000000001").await;
    // It ends nobody's credential with an index that it does not own.
    let victim = stack.admin().key("read").await;
    let aimed = evil.token(|claims| claims["status"] = status(&victim.key));
    let post = Request::new("POST", "/v1/auth/self-revoke").body("{}");
    let answer = stack.caller(&aimed).send(post).await;
    assert!((400..500).contains(&answer.status), "{}", answer.text());
    stack.caller(&victim.key).get(PATH).await.expect(200);
    // Nor with other names.
    let changes: [fn(&mut Value); 4] = [
        |claims| claims["iss"] = "https://idp.example".into(),
        |claims| claims["aud"] = "https://other.example".into(),
        |claims| drop(claims.as_object_mut().map(|members| members.remove("iat"))),
        |claims| claims["exp"] = json!(claims["iat"].as_u64().unwrap_or_default() + 86_401),
    ];
    for change in changes {
        assert_invalid_token(
            &stack.caller(&evil.token(change)).get(PATH).await,
            "a foreign token",
        );
    }
    let as_ours = evil.token(|claims| claims["iss"] = stack.control.url().into());
    assert_invalid_token(&stack.caller(&as_ours).get(PATH).await, "a foreign token");

    // Whatever it answers instead of its keys: those that are known count.
    let refresh = async || {
        e2e::wait::until("the cool-down is over", Duration::from_secs(20), || async {
            let path = format!("/v1/issuers/{id}/refresh");
            let answer = stack.admin().send(Request::new("POST", &path)).await;
            (answer.status != 429).then_some(answer)
        })
        .await
    };
    let bad: [fn(&str) -> Answer; 6] = [
        |_| ([("content-type", "application/json")], vec![b' '; 10 << 20]).into_response(),
        |_| ([("content-type", "text/html")], "<html>").into_response(),
        |_| ([("content-type", "application/json")], r#"{"keys":[]}"#).into_response(),
        |_| StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        |url| (StatusCode::FOUND, [("location", format!("{url}/keys"))]).into_response(),
        |_| {
            let weak =
                json!({"keys": [{"kty": "RSA", "kid": "k1", "n": base64url(&[0xff; 64]), "e": "AQAB"}]});
            ([("content-type", "application/json")], weak.to_string()).into_response()
        },
    ];
    for answer in bad {
        evil.says(answer);
        let refreshed = refresh().await;
        assert_eq!(
            refreshed.json()["code"],
            "issuer_unreachable",
            "{}",
            refreshed.text()
        );
        stack.caller(&token).get(PATH).await.expect(200);
    }
    evil.says(good);
    refresh().await.expect(200);

    // The command line does the same.
    let run = |args: &[&str]| {
        let mut command = stack.control.command(args).expect("a command");
        command
            .env("PORTCULLIS_URL", stack.control.url())
            .env("PORTCULLIS_ADMIN_KEY", &stack.admin_key);
        let done = command.output().expect("it runs");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8_lossy(&done.stdout).into_owned()
    };
    assert!(run(&["issuers", "list"]).contains(&evil.url));
    run(&["issuers", "update", &id, "--scope", "memory:write"]);
    stack.caller(&token).get(PATH).await.expect(403);
    run(&["issuers", "block", &id, "usr_000000001", "--wait", "ack"]);
    assert!(run(&["--format", "json", "issuers", "show", &id]).contains("usr_000000001"));
    run(&["issuers", "remove", &id]);
    assert_invalid_token(&stack.caller(&token).get(PATH).await, "a foreign token");
}
