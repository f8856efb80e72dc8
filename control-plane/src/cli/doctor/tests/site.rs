//! A tiny deployment: issuer, edge and MCP server on one address, right in everything until a test says otherwise.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::Response;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::super::probe::Probe;
use super::super::report::Report;

/// What was asked.
pub(super) struct Asked {
    pub(super) method: String,
    pub(super) path: String,
}

/// What will be answered.
#[derive(Default)]
pub(super) struct Told {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<&'static str, String>,
    pub(super) body: String,
}

/// Makes one thing wrong.
pub(super) type Fault = fn(&Asked, &mut Told);

impl Told {
    /// Changes the JSON body.
    pub(super) fn change(&mut self, change: impl FnOnce(&mut Value)) {
        if let Ok(mut body) = serde_json::from_str(&self.body) {
            change(&mut body);
            self.body = body.to_string();
        }
    }

    fn json(body: &Value) -> Self {
        let mut told = Self::open(200, body.to_string());
        told.headers.insert("content-type", "application/json".to_owned());
        told
    }

    /// Readable by scripts of any origin.
    fn open(status: u16, body: String) -> Self {
        let headers = BTreeMap::from([
            ("access-control-allow-origin", "*".to_owned()),
            (
                "access-control-allow-headers",
                "authorization, content-type".to_owned(),
            ),
        ]);
        Self {
            status,
            headers,
            body,
        }
    }
}

/// Runs the server while `examine` looks at it; gives the checks that failed.
pub(super) async fn failures<F>(fault: Fault, examine: impl FnOnce(Probe, String) -> F) -> Vec<String>
where
    F: Future<Output = Report>,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let own = base.clone();
    let router = Router::new().fallback(move |request: Request| {
        let base = own.clone();
        async move {
            let asked = Asked {
                method: request.method().to_string(),
                path: request.uri().path().to_owned(),
            };
            let mut told = right(&asked, &base);
            fault(&asked, &mut told);
            let mut response = Response::builder().status(told.status);
            for (name, value) in told.headers {
                response = response.header(name, value);
            }
            response.body(Body::from(told.body)).unwrap()
        }
    });
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let report = examine(Probe::new().unwrap(), base).await;
    server.abort();
    let failed = report.checks.into_iter().filter(|check| !check.ok);
    failed
        .map(|check| {
            assert!(check.fix.is_some_and(|fix| !fix.is_empty()), "{}", check.name);
            check.name
        })
        .collect()
}

fn right(asked: &Asked, base: &str) -> Told {
    let well_known = asked.path.strip_prefix("/.well-known/");
    match (asked.method.as_str(), asked.path.as_str()) {
        ("OPTIONS", "/authorize") => Told {
            status: 405,
            ..Told::default()
        },
        ("OPTIONS", _) => Told::open(204, String::new()),
        (_, "/.well-known/oauth-authorization-server" | "/.well-known/openid-configuration") => {
            Told::json(&server(base))
        }
        (_, "/.well-known/jwks.json") => Told::json(&keys()),
        _ if well_known.is_some_and(|name| name.starts_with("oauth-protected-resource")) => {
            Told::json(&json!({ "resource": base, "authorization_servers": [base] }))
        }
        (_, "/token" | "/revoke" | "/userinfo") => Told::open(400, String::new()),
        (_, "/authorize") => Told {
            status: 400,
            ..Told::default()
        },
        (_, "/login") => page(),
        (_, "/.portcullis/health") => Told::json(&json!({
            "status": "ok", "head": { "epoch": 1, "seq": 7 }, "incompatible": false, "feed_age_ms": 900,
        })),
        ("POST", "/mcp") => {
            let metadata = format!("{base}/.well-known/oauth-protected-resource/mcp");
            let challenge = format!("Bearer scope=\"tools\", resource_metadata=\"{metadata}\"");
            Told {
                status: 401,
                headers: BTreeMap::from([("www-authenticate", challenge)]),
                body: String::new(),
            }
        }
        _ => Told {
            status: 404,
            ..Told::default()
        },
    }
}

fn server(base: &str) -> Value {
    json!({
        "issuer": base,
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"),
        "revocation_endpoint": format!("{base}/revoke"),
        "userinfo_endpoint": format!("{base}/userinfo"),
        "jwks_uri": format!("{base}/.well-known/jwks.json"),
        "response_types_supported": ["code"],
        "grant_types_supported": ["authorization_code", "refresh_token"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "authorization_response_iss_parameter_supported": true,
        "client_id_metadata_document_supported": true,
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
    })
}

fn keys() -> Value {
    let modulus = shared::crypto::base64url(&[0xb5; 256]);
    json!({ "keys": [
        { "kty": "RSA", "kid": "k1", "alg": "RS256", "n": modulus, "e": "AQAB" },
        { "kty": "OKP", "kid": "k2", "alg": "EdDSA", "crv": "Ed25519", "x": "AA" },
    ] })
}

fn page() -> Told {
    let headers = [
        (
            "content-security-policy",
            "default-src 'none'; frame-ancestors 'none'",
        ),
        ("x-content-type-options", "nosniff"),
        ("cache-control", "no-store"),
        ("referrer-policy", "same-origin"),
        ("set-cookie", "portcullis_form=x; Path=/; HttpOnly; SameSite=Lax"),
    ];
    Told {
        status: 200,
        headers: headers.map(|(name, value)| (name, value.to_owned())).into(),
        body: String::new(),
    }
}
