//! Issuers against the API, with an issuer that is served here and does as the test says.

mod change;
mod page;
mod watch;

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use shared::crypto::base64url;
use shared::feed::IssuerEntry;

use crate::oauth::tests::support::published_with;
use crate::testing::{Answer, TestApp};

/// What the issuer says.
#[derive(Clone, Debug)]
struct Says {
    keys: Value,
    status: u16,
    content_type: &'static str,
    max_age: u64,
    /// Which of the two kinds of metadata it has.
    metadata: &'static str,
    /// Whose its metadata says that it is; empty: its own.
    issuer: String,
    /// How often somebody asked for its keys.
    asked: u64,
}

/// An issuer.
pub(crate) struct Served {
    pub(crate) url: String,
    says: Arc<Mutex<Says>>,
}

fn key(kid: &str, byte: u8) -> Value {
    json!({"kty": "OKP", "crv": "Ed25519", "use": "sig", "kid": kid, "x": base64url(&[byte; 32])})
}

async fn answer(State((base, says)): State<(String, Arc<Mutex<Says>>)>, uri: Uri) -> Response {
    let mut says = says.lock().expect("a lock");
    let path = uri.path();
    if path == format!("/.well-known/{}", says.metadata) {
        let issuer = if says.issuer.is_empty() {
            &base
        } else {
            &says.issuer
        };
        let metadata = json!({"issuer": issuer, "jwks_uri": format!("{base}/keys")});
        return ([("content-type", "application/json")], metadata.to_string()).into_response();
    }
    if path != "/keys" {
        return StatusCode::NOT_FOUND.into_response();
    }
    says.asked += 1;
    let status = StatusCode::from_u16(says.status).expect("a status");
    let headers = [
        ("content-type", says.content_type.to_owned()),
        ("cache-control", format!("max-age={}", says.max_age)),
        ("location", format!("{base}/elsewhere")),
    ];
    (status, headers, says.keys.to_string()).into_response()
}

impl Served {
    pub(crate) async fn start() -> Self {
        let says = Arc::new(Mutex::new(Says {
            keys: json!({"keys": [key("one", 1)]}),
            status: 200,
            content_type: "application/json",
            max_age: 300,
            metadata: "openid-configuration",
            issuer: String::new(),
            asked: 0,
        }));
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let router = Router::new()
            .fallback(answer)
            .with_state((url.clone(), Arc::clone(&says)));
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { url, says }
    }

    fn say(&self, change: impl FnOnce(&mut Says)) {
        change(&mut self.says.lock().expect("a lock"));
    }

    fn asked(&self) -> u64 {
        self.says.lock().expect("a lock").asked
    }
}

struct World {
    test: TestApp,
    idp: Served,
}

impl World {
    async fn start() -> Self {
        Self {
            test: published_with(|_| {}).await,
            idp: Served::start().await,
        }
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        let path = format!("/v1/issuers{path}?wait=none");
        self.test.admin(Method::POST, &path, Some(body)).await
    }

    /// Trusts the issuer with this and the usual; gives its id.
    async fn trust(&self, more: Value) -> String {
        let answer = self.post("", self.body(more)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.text("id")
    }

    #[expect(clippy::needless_pass_by_value, reason = "callers write the value in place")]
    fn body(&self, more: Value) -> Value {
        let mut body = json!({"issuer": self.idp.url, "audiences": ["api"], "scopes": ["memory:read"]});
        let members = more.as_object().expect("an object").clone();
        body.as_object_mut().expect("an object").extend(members);
        body
    }

    /// What edges are told.
    async fn entry(&self) -> IssuerEntry {
        let mut tx = self.test.app.store.begin_read().await.expect("tx");
        let row = tx.issuer_named(&self.idp.url).await.expect("found");
        row.expect("known").entry
    }

    async fn kids(&self) -> Vec<String> {
        let binding = self.entry().await.binding;
        binding
            .map(|binding| binding.keys.into_keys().collect())
            .unwrap_or_default()
    }

    async fn show(&self, id: &str) -> Answer {
        self.test
            .admin(Method::GET, &format!("/v1/issuers/{id}"), None)
            .await
    }

    /// How many audit rows of a kind there are.
    async fn audited(&self, action: &str) -> i64 {
        let crate::store::Store::Sqlite(pool, _) = &self.test.app.store else {
            panic!("SQLite");
        };
        sqlx::query_scalar("SELECT COUNT(*) FROM audit WHERE action = $1")
            .bind(action)
            .fetch_one(pool)
            .await
            .expect("a count")
    }
}
