//! Sign-in as a browser does it: through the real router, with a cookie jar and a clock that the test moves.

mod admin;
mod forms;
mod life;
mod limits;
mod pages;
mod password;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Method, Request, header};
use shared::feed::{Entry, Subject};
use shared::id::UserId;
use shared::wire::Reader;

use crate::orgs::password::hash;
use crate::store::orgs::{NewUser, Role};
use crate::testing::{Answer, TestApp};

pub(crate) const HOUR: u64 = 3_600_000;
pub(crate) const PASSWORD: &str = "a password of some length";

/// A browser: keeps its cookies, sends what browsers send.
pub(crate) struct Browser<'a> {
    pub(crate) test: &'a TestApp,
    pub(crate) cookies: BTreeMap<String, String>,
    pub(crate) address: SocketAddr,
    /// The last form token that a page showed.
    pub(crate) csrf: String,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(test: &'a TestApp) -> Self {
        Self {
            test,
            cookies: BTreeMap::new(),
            address: "192.0.2.1:4000".parse().expect("an address"),
            csrf: String::new(),
        }
    }

    pub(crate) fn at(test: &'a TestApp, address: &str) -> Self {
        Self {
            address: address.parse().expect("an address"),
            ..Self::new(test)
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        let request = Request::get(path);
        self.send(request, Body::empty()).await
    }

    /// A form as a page of ours sends it, its token included.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut all = vec![("csrf", self.csrf.clone())];
        all.extend(fields.iter().map(|(name, value)| (*name, (*value).to_owned())));
        self.post_exactly(
            path,
            &all,
            &[
                ("origin", self.test.app.config.issuer.clone()),
                ("sec-fetch-site", "same-origin".to_owned()),
            ],
        )
        .await
    }

    pub(crate) async fn post_exactly(
        &mut self,
        path: &str,
        fields: &[(&str, String)],
        headers: &[(&str, String)],
    ) -> Answer {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.send(request, Body::from(body)).await
    }

    pub(crate) async fn send(&mut self, request: axum::http::request::Builder, body: Body) -> Answer {
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
            let (pair, attributes) = text.split_once(';').expect("attributes");
            let (name, value) = pair.split_once('=').expect("a pair");
            if attributes.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        if let Some((_, rest)) = answer.raw.split_once(r#"name="csrf" value=""#) {
            self.csrf = rest.split('"').next().expect("an end").to_owned();
        }
        answer
    }

    pub(crate) async fn try_sign_in(&mut self, email: &str, password: &str) -> Answer {
        self.get("/login").await;
        self.post("/login", &[("email", email), ("password", password)])
            .await
    }

    pub(crate) async fn sign_in(&mut self) {
        let (email, password) = (
            self.test.made.admin_email.clone(),
            self.test.made.admin_password.clone(),
        );
        let answer = self.try_sign_in(&email, &password).await;
        assert_eq!(
            (answer.status.as_u16(), location(&answer)),
            (303, "/"),
            "{}",
            answer.raw
        );
    }

    pub(crate) async fn is_signed_in(&mut self) -> bool {
        let answer = self.get("/account").await;
        match answer.status.as_u16() {
            200 => true,
            303 => {
                assert_eq!(location(&answer), "/login?return_to=%2Faccount");
                false
            }
            other => panic!("{other}: {}", answer.raw),
        }
    }

    pub(crate) fn session_cookie(&self) -> Option<&String> {
        self.cookies.get("portcullis_session")
    }
}

pub(crate) fn location(answer: &Answer) -> &str {
    answer
        .headers
        .get(header::LOCATION)
        .map_or("", |value| value.to_str().expect("text"))
}

pub(crate) fn verified(test: &TestApp) -> u64 {
    test.app.passwords.verified.load(Ordering::SeqCst)
}

/// The subjects of sessions that the edge is told to be dead, in order.
pub(crate) async fn dead_sessions(test: &TestApp) -> Vec<String> {
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let rows = tx.pending_entries(1000).await.expect("rows");
    rows.iter()
        .filter_map(|row| match Entry::read(&mut Reader::new(&row.entry)) {
            Ok(Entry::NotBefore(Subject::Session(sid), _)) => Some(sid),
            _ => None,
        })
        .collect()
}

/// What was done to a target, by name.
pub(crate) async fn audited(test: &TestApp, target: &str) -> Vec<String> {
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let rows = tx.audit_of(target, 100).await.expect("rows");
    let mut actions: Vec<_> = rows.into_iter().map(|row| row.action).collect();
    actions.sort();
    actions
}

/// Another member of the same organisation.
pub(crate) async fn add_member(test: &TestApp, number: u64, email: &str) -> UserId {
    let id = UserId::from_u64(number).expect("small");
    let hash = hash(PASSWORD.into()).await.expect("hashed");
    let mut tx = test.app.store.begin().await.expect("tx");
    let user = NewUser {
        id,
        email,
        name: "Bob",
        password_hash: Some(&hash),
    };
    let now = test.app.clock.now();
    tx.insert_user(&user, now).await.expect("user");
    tx.insert_membership(test.made.org, id, Role::Member, now)
        .await
        .expect("membership");
    tx.commit().await.expect("commit");
    id
}
