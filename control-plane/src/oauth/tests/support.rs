//! A person with a browser, and an app that wants in: through the real router, with a clock that the test moves.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{HeaderMap, Method, Request, header};
use serde_json::Value;
use shared::crypto::{base64url, sha256};
use shared::id::ClientId;
use shared::token::Claims;

use super::super::clients::{NewClient, create};
use crate::audit::Actor;
use crate::revocation;
use crate::store::clients::ClientKind;
use crate::testing::{Answer, TestApp};

pub(crate) const FORM: &str = "application/x-www-form-urlencoded";
pub(crate) const REDIRECT: &str = "https://app.example.com/cb";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const SECOND: u64 = 1000;
pub(crate) const DAY: u64 = 86_400 * SECOND;

/// A control plane without edges whose publisher runs: what is revoked is effective once it is framed.
pub(crate) async fn published() -> TestApp {
    published_with(|_| {}).await
}

pub(crate) async fn published_with(change: impl FnOnce(&mut crate::config::Config)) -> TestApp {
    let test = TestApp::start_with(|config| {
        config.edges = Vec::new();
        config.dev = true;
        change(config);
    })
    .await;
    revocation::start(Arc::clone(&test.app));
    test
}

/// A client that signs people in.
#[derive(Clone)]
pub(crate) struct ClientApp {
    pub(crate) id: ClientId,
    pub(crate) secret: Option<String>,
    pub(crate) redirect: &'static str,
}

pub(crate) async fn client_with(test: &TestApp, change: impl FnOnce(&mut NewClient)) -> ClientApp {
    let app = &test.app;
    let scopes = app.catalogue().parse(["memory:read", "memory:write"]);
    let mut new = NewClient::new(test.made.org, "Notes", scopes.expect("known"), ClientKind::Public);
    new.redirect_uris = vec![REDIRECT.to_owned()];
    change(&mut new);
    let mut tx = app.store.begin().await.expect("tx");
    let made = create(&mut tx, &app.random, "pc", new, &Actor::system(), app.clock.now())
        .await
        .expect("a client");
    tx.commit().await.expect("commit");
    ClientApp {
        id: made.client.id,
        secret: made.secret.map(|secret| secret.expose().to_owned()),
        redirect: REDIRECT,
    }
}

pub(crate) async fn public(test: &TestApp) -> ClientApp {
    client_with(test, |_| {}).await
}

pub(crate) async fn confidential(test: &TestApp) -> ClientApp {
    client_with(test, |new| new.kind = ClientKind::Confidential).await
}

/// One that may use the device flow.
pub(super) async fn for_devices(test: &TestApp) -> ClientApp {
    client_with(test, |new| new.device_flow = true).await
}

impl ClientApp {
    /// An authorization request, with some parameters changed, added or (as `None`) left out.
    pub(crate) fn request(&self, changes: &[(&str, Option<&str>)]) -> String {
        let id = self.id.to_string();
        let challenge = base64url(&sha256(VERIFIER.as_bytes()));
        let mut all = BTreeMap::from([
            ("response_type", "code"),
            ("client_id", &id),
            ("redirect_uri", self.redirect),
            ("scope", "openid email memory:read"),
            ("state", "st a&te"),
            ("nonce", "n-1"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ]);
        for (name, value) in changes {
            match value {
                Some(value) => all.insert(name, value),
                None => all.remove(name),
            };
        }
        format!("/authorize?{}", encode(&all.into_iter().collect::<Vec<_>>()))
    }

    /// A form for an endpoint of programs, with this client's credentials in it.
    pub(crate) async fn post(&self, test: &TestApp, path: &str, fields: &[(&str, &str)]) -> Answer {
        let id = self.id.to_string();
        let mut all = vec![("client_id", id.as_str())];
        if let Some(secret) = &self.secret {
            all.push(("client_secret", secret));
        }
        all.extend_from_slice(fields);
        post_form(test, path, &encode(&all)).await
    }

    pub(crate) async fn exchange(&self, test: &TestApp, code: &str) -> Answer {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("code_verifier", VERIFIER),
            ("redirect_uri", self.redirect),
        ];
        self.post(test, "/token", &fields).await
    }

    pub(crate) async fn refresh(&self, test: &TestApp, token: &str) -> Answer {
        let fields = [("grant_type", "refresh_token"), ("refresh_token", token)];
        self.post(test, "/token", &fields).await
    }

    /// Signs the administrator in and gets the first pair.
    pub(crate) async fn sign_in(&self, test: &TestApp) -> Answer {
        let mut person = Person::signed_in(test).await;
        let code = person.allow(self, &[]).await;
        let answer = self.exchange(test, &code).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer
    }
}

pub(crate) fn encode(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(pairs)
        .finish()
}

pub(crate) async fn post_form(test: &TestApp, path: &str, body: &str) -> Answer {
    let request = Request::post(path)
        .header(header::CONTENT_TYPE, FORM)
        .body(Body::from(body.to_owned()));
    test.send(request.expect("a request")).await
}

pub(crate) fn outcome(answer: &Answer) -> (u16, &str) {
    (
        answer.status.as_u16(),
        answer.body["error"].as_str().unwrap_or_default(),
    )
}

pub(crate) fn claims(answer: &Answer) -> Claims {
    shared::token::parse(&answer.text("access_token"))
        .expect("an access token")
        .claims
}

/// Header and claims of any JWS.
pub(crate) fn decoded(token: &str) -> [Value; 2] {
    let mut parts = token.split('.').map(|part| {
        let bytes = shared::crypto::from_base64url(part).expect("base64url");
        serde_json::from_slice(&bytes).unwrap_or(Value::Null)
    });
    [parts.next().expect("a header"), parts.next().expect("claims")]
}

/// Where an answer leads, and the parameters there.
pub(crate) fn location(answer: &Answer) -> (String, BTreeMap<String, String>) {
    let text = answer.headers[header::LOCATION].to_str().expect("text");
    let (base, query) = text.split_once('?').unwrap_or((text, ""));
    let pairs = url::form_urlencoded::parse(query.as_bytes()).into_owned();
    (base.to_owned(), pairs.collect())
}

/// A browser: keeps its cookies, sends what browsers send.
pub(crate) struct Person<'a> {
    test: &'a TestApp,
    cookies: BTreeMap<String, String>,
    address: SocketAddr,
}

impl<'a> Person<'a> {
    pub(crate) fn new(test: &'a TestApp) -> Self {
        Self {
            test,
            cookies: BTreeMap::new(),
            address: SocketAddr::from(([192, 0, 2, 1], 4000)),
        }
    }

    /// The same browser, elsewhere.
    pub(crate) fn moved_to(self, address: SocketAddr) -> Self {
        Self { address, ..self }
    }

    pub(crate) async fn signed_in(test: &'a TestApp) -> Self {
        let mut person = Self::new(test);
        person.sign_in("/account").await;
        person
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send(Request::get(path), Body::empty()).await
    }

    /// What it sends with every request.
    pub(super) fn headers(&self) -> HeaderMap {
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let value = cookies.join("; ").parse().expect("a header");
        HeaderMap::from_iter([(header::COOKIE, value)])
    }

    /// Signs in as the first administrator and gives where that leads.
    pub(crate) async fn sign_in(&mut self, return_to: &str) -> Answer {
        let page = self
            .get(&format!("/login?{}", encode(&[("return_to", return_to)])))
            .await;
        let email = self.test.app.config.bootstrap_email.clone();
        let password = self.test.made.admin_password.clone();
        let fields = [
            ("csrf", hidden(&page, "csrf")),
            ("return_to", return_to.to_owned()),
            ("email", email),
            ("password", password),
        ];
        let answer = self.post("/login", &fields).await;
        assert_eq!(answer.status, 303, "{answer:?}");
        answer
    }

    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, String)]) -> Answer {
        let origin = self.test.app.config.issuer.clone();
        self.post_from(path, fields, &origin).await
    }

    pub(crate) async fn post_from(&mut self, path: &str, fields: &[(&str, String)], origin: &str) -> Answer {
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::CONTENT_TYPE, FORM)
            .header(header::ORIGIN, origin);
        let pairs: Vec<_> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        self.send(request, Body::from(encode(&pairs))).await
    }

    async fn send(&mut self, request: axum::http::request::Builder, body: Body) -> Answer {
        let cookies: Vec<_> = self
            .cookies
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        let mut request = request.extension(ConnectInfo(self.address));
        if !cookies.is_empty() {
            request = request.header(header::COOKIE, cookies.join("; "));
        }
        let answer = self.test.send(request.body(body).expect("a request")).await;
        for cookie in answer.headers.get_all(header::SET_COOKIE) {
            let text = cookie.to_str().expect("text");
            let (name, value) = text
                .split(';')
                .next()
                .and_then(|pair| pair.split_once('='))
                .expect("a pair");
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    /// What a consent page's form sends.
    pub(crate) fn form(page: &Answer, decision: &str) -> Vec<(&'static str, String)> {
        let mut fields: Vec<_> = ["csrf", "query", "scopes", "identity"]
            .into_iter()
            .map(|name| (name, hidden(page, name)))
            .collect();
        fields.push(("decision", decision.to_owned()));
        fields
    }

    /// Agrees, if asked, and gives the code.
    pub(crate) async fn allow(&mut self, client: &ClientApp, changes: &[(&str, Option<&str>)]) -> String {
        let mut answer = self.get(&client.request(changes)).await;
        if answer.status == 200 {
            let form = Self::form(&answer, "allow");
            answer = self.post("/authorize", &form).await;
        }
        assert_eq!(answer.status, 303, "{answer:?}");
        let (_, parameters) = location(&answer);
        parameters
            .get("code")
            .unwrap_or_else(|| panic!("no code in {answer:?}"))
            .clone()
    }
}

/// The value of a hidden field.
pub(crate) fn hidden(page: &Answer, name: &str) -> String {
    let marker = format!(r#"name="{name}" value=""#);
    let (_, rest) = page
        .raw
        .split_once(&marker)
        .unwrap_or_else(|| panic!("no {name} in {}", page.raw));
    let value = rest.split('"').next().expect("an end");
    value
        .replace("&#38;", "&")
        .replace("&amp;", "&")
        .replace("&#34;", "\"")
        .replace("&#39;", "'")
}
