//! Who is calling: an administrator at the control plane, somebody with a credential at the edge, somebody without.

use serde_json::{Value, json};

use crate::{
    Secrets,
    http::{self, Request, Response},
};

/// A key as its creator sees it, once.
#[derive(Clone, Debug)]
pub struct Created {
    /// `key_…`.
    pub id: String,
    /// The key itself.
    pub key: String,
    /// The whole answer.
    pub answer: Value,
}

/// A caller with an admin-scope API key, at the control plane.
#[derive(Clone, Debug)]
pub struct Admin {
    address: String,
    key: String,
    secrets: Secrets,
}

impl Admin {
    /// A caller at `host:port`.
    pub fn new(address: &str, key: &str, secrets: Secrets) -> Self {
        Self {
            address: address.to_owned(),
            key: key.to_owned(),
            secrets,
        }
    }

    /// Any request, with the admin key.
    pub async fn send(&self, request: Request) -> Response {
        http::once(&self.address, &request.bearer(&self.key))
            .await
            .expect("the control plane answers")
    }

    /// `POST /v1/auth/keys` with that body.
    pub async fn create(&self, body: Value) -> Created {
        let response = self
            .send(Request::new("POST", "/v1/auth/keys").json(&body))
            .await
            .expect(201);
        self.created(&response)
    }

    /// A live key with one of the scope presets.
    pub async fn key(&self, scope: &str) -> Created {
        self.create(json!({ "name": format!("{scope} key"), "scope": scope, "environment": "live" }))
            .await
    }

    /// Reads a created or rotated key out of an answer, and remembers its secret.
    pub fn created(&self, response: &Response) -> Created {
        let answer = response.json();
        let text = |name: &str| {
            answer[name]
                .as_str()
                .unwrap_or_else(|| panic!("no {name} in {answer}"))
                .to_owned()
        };
        let (id, key) = (text("id"), text("key"));
        self.secrets.saw(&key);
        Created { id, key, answer }
    }

    /// `DELETE /v1/auth/keys/{id}`, with `?wait=` if given, and the answer whatever it is.
    pub async fn revoke(&self, id: &str, wait: Option<&str>) -> Response {
        let query = wait.map(|wait| format!("?wait={wait}")).unwrap_or_default();
        self.send(Request::new("DELETE", &format!("/v1/auth/keys/{id}{query}")))
            .await
    }

    /// `POST /v1/auth/keys/{id}/rotate`.
    pub async fn rotate(&self, id: &str, overlap_seconds: Option<u64>) -> Created {
        let body = overlap_seconds.map_or_else(|| json!({}), |overlap| json!({ "overlap_seconds": overlap }));
        let response = self
            .send(Request::new("POST", &format!("/v1/auth/keys/{id}/rotate")).json(&body))
            .await;
        assert!(
            matches!(response.status, 200 | 201),
            "rotate: {} {}",
            response.status,
            response.text()
        );
        self.created(&response)
    }
}

/// A caller with a credential, at one gate of the edge.
#[derive(Clone, Debug)]
pub struct EdgeCaller {
    address: String,
    credential: String,
}

impl EdgeCaller {
    /// A caller at `host:port`.
    pub fn new(address: &str, credential: &str) -> Self {
        Self {
            address: address.to_owned(),
            credential: credential.to_owned(),
        }
    }

    /// Any request, with the credential.
    pub async fn send(&self, request: Request) -> Response {
        http::once(&self.address, &request.bearer(&self.credential))
            .await
            .expect("the edge answers")
    }

    /// `GET target`.
    pub async fn get(&self, target: &str) -> Response {
        self.send(Request::get(target)).await
    }

    /// `POST target`.
    pub async fn post(&self, target: &str, body: &str) -> Response {
        self.send(Request::new("POST", target).body(body)).await
    }
}

/// A caller without a credential.
#[derive(Clone, Debug)]
pub struct Anon {
    address: String,
}

impl Anon {
    /// A caller at `host:port`.
    pub fn new(address: &str) -> Self {
        Self {
            address: address.to_owned(),
        }
    }

    /// Any request.
    pub async fn send(&self, request: Request) -> Response {
        http::once(&self.address, &request)
            .await
            .expect("there is an answer")
    }

    /// `GET target`.
    pub async fn get(&self, target: &str) -> Response {
        self.send(Request::get(target)).await
    }

    /// Raw bytes.
    pub async fn raw(&self, bytes: &[u8]) -> Response {
        http::once_raw(&self.address, bytes)
            .await
            .expect("there is an answer")
    }
}
