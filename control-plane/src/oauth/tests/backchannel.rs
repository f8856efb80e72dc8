//! Back-channel logout: who is told of which end, what the token says, and what becomes of one that nobody takes. Apps are real
//! servers here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::{Value, json};

use super::super::backchannel::deliver_due;
use super::support::{
    ClientApp, DAY, Person, SECOND, claims, client_with, decoded, hidden, post_form, published,
    published_with,
};
use crate::http::tag::IfMatch;
use crate::members::{Change, change};
use crate::revocation::Wait;
use crate::store::orgs::Role;
use crate::testing::{Answer, TestApp, caller, member};

/// An app's server: keeps what it gets, and answers as it is told to.
#[derive(Clone, Default)]
struct Inbox(Arc<Mutex<(Vec<String>, VecDeque<u16>)>>);

impl Inbox {
    async fn serve(&self) -> String {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
            .await
            .expect("a port");
        let uri = format!("http://{}/logout", listener.local_addr().expect("an address"));
        let handler = async |State(inbox): State<Inbox>, headers: HeaderMap, body: String| {
            assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
            let token = body
                .strip_prefix("logout_token=")
                .expect("one parameter")
                .to_owned();
            let mut inbox = inbox.0.lock().expect("lock");
            inbox.0.push(token);
            let status = inbox.1.pop_front().unwrap_or(200);
            StatusCode::from_u16(status).expect("a status")
        };
        let router = Router::new()
            .route("/logout", post(handler))
            .with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        uri
    }

    fn answer(&self, statuses: &[u16]) {
        self.0.lock().expect("lock").1.extend(statuses);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().expect("lock").0)
    }
}

async fn app(test: &TestApp) -> (ClientApp, Inbox) {
    let inbox = Inbox::default();
    let uri = inbox.serve().await;
    let client = client_with(test, |new| {
        new.backchannel_logout_uri = Some(uri);
        new.backchannel_logout_session_required = true;
    })
    .await;
    (client, inbox)
}

async fn granted(test: &TestApp, person: &mut Person<'_>, client: &ClientApp) -> Answer {
    let code = person.allow(client, &[]).await;
    client.exchange(test, &code).await
}

async fn deliver(test: &TestApp) {
    deliver_due(Arc::clone(&test.app)).await.expect("delivered");
}

async fn sign_out(person: &mut Person<'_>) {
    let page = person.get("/account").await;
    let csrf = hidden(&page, "csrf");
    assert_eq!(person.post("/logout", &[("csrf", csrf)]).await.status, 303);
}

fn sid(token: &str) -> Value {
    decoded(token)[1]["sid"].clone()
}

#[tokio::test]
async fn an_app_is_told_of_a_logout() {
    let test = published().await;
    let (client, inbox) = app(&test).await;
    let silent = super::support::public(&test).await;
    let (unused, unused_inbox) = app(&test).await;
    let mut person = Person::signed_in(&test).await;
    let answer = granted(&test, &mut person, &client).await;
    granted(&test, &mut person, &silent).await;
    let of_id = decoded(&answer.text("id_token"));
    deliver(&test).await;
    assert_eq!(inbox.take(), Vec::<String>::new(), "nothing has ended");
    sign_out(&mut person).await;
    deliver(&test).await;
    let told = inbox.take();
    assert_eq!(told.len(), 1);
    assert_eq!(
        unused_inbox.take(),
        Vec::<String>::new(),
        "{:?} was never let in",
        unused.id
    );
    let [header, claims] = decoded(&told[0]);
    assert_eq!(
        header,
        json!({"alg": "RS256", "kid": of_id[0]["kid"], "typ": "logout+jwt"})
    );
    let now = test.clock.now().seconds().0;
    let jti = claims["jti"].as_str().expect("a jti");
    assert_eq!(
        claims,
        json!({
            "iss": test.app.config.issuer, "aud": client.id, "sub": of_id[1]["sub"], "sid": of_id[1]["sid"],
            "iat": now, "exp": now + 120, "jti": jti,
            "events": {"http://schemas.openid.net/event/backchannel-logout": {}},
        })
    );
    let (message, signature) = told[0].rsplit_once('.').expect("a signature");
    let key = test
        .app
        .keyring
        .known(header["kid"].as_str().expect("kid").parse().expect("ours"));
    assert!(
        key.expect("known")
            .public
            .verify_base64url(message.as_bytes(), signature)
    );
    // It is no hint that could end a session, and is told once.
    assert!(crate::oauth::jws::read_id_token(&test.app, &told[0]).is_none());
    deliver(&test).await;
    assert_eq!(inbox.take(), Vec::<String>::new());
}

#[tokio::test]
async fn an_app_is_told_of_every_kind_of_end() {
    let test = published().await;
    let (client, inbox) = app(&test).await;
    // Log out everywhere: both sessions.
    let mut one = Person::signed_in(&test).await;
    let mut two = Person::signed_in(&test).await;
    let mut wanted = Vec::new();
    for person in [&mut one, &mut two] {
        let answer = granted(&test, person, &client).await;
        wanted.push(decoded(&answer.text("id_token"))[1]["sid"].clone());
    }
    let page = one.get("/account/sessions").await;
    let csrf = hidden(&page, "csrf");
    one.post("/account/sessions/end-all", &[("csrf", csrf)]).await;
    deliver(&test).await;
    let mut told: Vec<_> = inbox.take().iter().map(|token| sid(token)).collect();
    told.sort_by_key(Value::to_string);
    wanted.sort_by_key(Value::to_string);
    assert_eq!(told, wanted);
    // A grant that its client gave back: its own session may go on, so it is told all the same.
    let mut person = Person::signed_in(&test).await;
    let answer = granted(&test, &mut person, &client).await;
    client
        .post(&test, "/revoke", &[("token", &answer.text("refresh_token"))])
        .await;
    sign_out(&mut person).await;
    deliver(&test).await;
    assert_eq!(inbox.take().len(), 1);
    // A new password ends what apps got in this session too, which goes on itself.
    let mut person = Person::signed_in(&test).await;
    granted(&test, &mut person, &client).await;
    let page = person.get("/account/password").await;
    let new = "a new and long password";
    let fields = [
        ("csrf", hidden(&page, "csrf")),
        ("current", test.made.admin_password.clone()),
        ("new", new.to_owned()),
        ("repeat", new.to_owned()),
    ];
    let changed = person.post("/account/password", &fields).await;
    assert_eq!(changed.status, 303, "{changed:?}");
    deliver(&test).await;
    assert_eq!(inbox.take().len(), 1);
    test.clock.advance_ms(SECOND);
    let answer = granted(&test, &mut person, &client).await;
    assert!(claims(&answer).sid.is_some());
    sign_out(&mut person).await;
    deliver(&test).await;
    assert_eq!(inbox.take().len(), 1, "and when it ends at last");
}

#[tokio::test]
async fn an_app_is_told_of_a_deactivation() {
    let test = published().await;
    let (client, inbox) = app(&test).await;
    let mut person = Person::signed_in(&test).await;
    granted(&test, &mut person, &client).await;
    // Somebody else must be left to do it.
    let (boss, _) = member(&test, 71, Role::Owner).await;
    let caller = caller(&test, test.made.org, boss).await;
    change(
        &test.app,
        &caller,
        test.made.user,
        (Change::Deactivate, &IfMatch::Any),
        Wait::None,
    )
    .await
    .expect("deactivated");
    deliver(&test).await;
    assert_eq!(inbox.take().len(), 1);
}

#[tokio::test]
async fn an_app_that_fails_is_tried_again_with_a_fresh_token() {
    let test = published().await;
    let (client, inbox) = app(&test).await;
    inbox.answer(&[500, 400, 302, 204]);
    let mut person = Person::signed_in(&test).await;
    granted(&test, &mut person, &client).await;
    sign_out(&mut person).await;
    let mut seen = Vec::new();
    for wait in [0, 5, 10, 20] {
        test.clock.advance_ms(wait * SECOND - u64::from(wait > 0));
        deliver(&test).await;
        if wait > 0 {
            assert_eq!(inbox.take(), Vec::<String>::new(), "not before its time");
            test.clock.advance_ms(1);
            deliver(&test).await;
        }
        let told = inbox.take();
        assert_eq!(told.len(), 1, "after {wait} s");
        let [_, claims] = decoded(&told[0]);
        assert_eq!(claims["iat"], test.clock.now().seconds().0);
        seen.push(claims["jti"].clone());
    }
    seen.sort_by_key(ToString::to_string);
    seen.dedup();
    assert_eq!(seen.len(), 4, "an app may refuse a jti that it has seen");
    test.clock.advance_ms(DAY / 2);
    deliver(&test).await;
    assert_eq!(inbox.take(), Vec::<String>::new(), "204 is good");
}

#[tokio::test]
async fn after_a_day_an_app_is_given_up() {
    let test = published().await;
    let (client, inbox) = app(&test).await;
    inbox.answer(&[500; 60]);
    let mut person = Person::signed_in(&test).await;
    granted(&test, &mut person, &client).await;
    sign_out(&mut person).await;
    for _ in 0..30 {
        deliver(&test).await;
        test.clock.advance_ms(3600 * SECOND);
    }
    let tried = inbox.take().len();
    assert!((20..30).contains(&tried), "{tried}");
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let trail = tx.audit_of(&client.id.to_string(), 100).await.expect("rows");
    let row = trail
        .iter()
        .find(|row| row.action == "logout.give_up")
        .expect("a row");
    let detail: Value = serde_json::from_str(&row.detail).expect("JSON");
    assert_eq!(detail["attempts"], json!(tried));
}

#[tokio::test]
async fn one_app_does_not_hold_up_another_and_a_disabled_one_hears_nothing() {
    let test = published().await;
    let (good, inbox) = app(&test).await;
    let (gone, gone_inbox) = app(&test).await;
    let dead = client_with(&test, |new| {
        new.backchannel_logout_uri = Some("http://127.0.0.1:1/logout".to_owned());
    })
    .await;
    let mut person = Person::signed_in(&test).await;
    for client in [&dead, &gone, &good] {
        granted(&test, &mut person, client).await;
    }
    sign_out(&mut person).await;
    let mut tx = test.app.store.begin().await.expect("tx");
    let system = crate::audit::Actor::system();
    super::disable(&mut tx, &test.app.random, gone.id, &system, test.clock.now())
        .await
        .expect("disabled");
    tx.commit().await.expect("commit");
    deliver(&test).await;
    assert_eq!((inbox.take().len(), gone_inbox.take().len()), (1, 0));
}

/// One that takes the connection and says nothing, with many tokens that wait for it.
#[tokio::test]
async fn an_app_that_does_not_answer_holds_up_nobody() {
    let test = published().await;
    let (good, inbox) = app(&test).await;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0))
        .await
        .expect("a port");
    let uri = format!("http://{}/logout", listener.local_addr().expect("an address"));
    let open: Arc<Mutex<Vec<tokio::net::TcpStream>>> = Arc::default();
    let kept = Arc::clone(&open);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            kept.lock().expect("open").push(stream);
        }
    });
    let silent = client_with(&test, |new| new.backchannel_logout_uri = Some(uri)).await;
    let now = test.clock.now();
    let mut tx = test.app.store.begin().await.expect("tx");
    for number in 0..40 {
        let logout = crate::store::logouts::LogoutRow {
            id: [number; 32],
            client: silent.id,
            org: test.made.org,
            user: test.made.user,
            session: "ses_000000001".to_owned(),
            created_at: now,
            expires_at: now.saturating_add(DAY),
            attempts: 0,
        };
        tx.insert_logout(&logout).await.expect("queued");
    }
    tx.commit().await.expect("commit");
    test.clock.advance_ms(1);
    let mut person = Person::signed_in(&test).await;
    granted(&test, &mut person, &good).await;
    sign_out(&mut person).await;
    let job = tokio::spawn(deliver_due(Arc::clone(&test.app)));
    crate::testing::eventually(async || inbox.0.lock().expect("lock").0.len() == 1).await;
    assert!((1..=2).contains(&open.lock().expect("open").len()));
    job.abort();
}

#[tokio::test]
async fn a_client_that_registers_itself_is_told_too() {
    let test = published_with(|config| {
        config.clients.redirect_hosts = vec!["app.example.com".into(), "loopback".into()];
    })
    .await;
    let inbox = Inbox::default();
    let uri = inbox.serve().await;
    let register = async |uri: &str| {
        let body = json!({
            "client_name": "Notes", "redirect_uris": ["https://app.example.com/cb"], "token_endpoint_auth_method": "none",
            "backchannel_logout_uri": uri, "backchannel_logout_session_required": true,
        });
        let request = axum::http::Request::post("/register")
            .header("content-type", "application/json")
            .body(axum::body::Body::from(body.to_string()));
        test.send(request.expect("a request")).await
    };
    for wrong in [
        "http://app.example.com/x",
        "https://app.example.com/#x",
        "x",
        "https://elsewhere.example/x",
    ] {
        let refused = register(wrong).await;
        assert_eq!(
            super::outcome(&refused),
            (400, "invalid_client_metadata"),
            "{wrong}"
        );
    }
    let made = register(&uri).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(
        (
            &made.body["backchannel_logout_uri"],
            &made.body["backchannel_logout_session_required"]
        ),
        (&json!(uri), &json!(true))
    );
    let id = made.text("client_id");
    let mut person = Person::signed_in(&test).await;
    let shape = super::support::public(&test).await;
    let code = person.allow(&shape, &[("client_id", Some(&id))]).await;
    let fields = [
        ("client_id", id.as_str()),
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("code_verifier", super::support::VERIFIER),
        ("redirect_uri", super::support::REDIRECT),
    ];
    let tokens = post_form(&test, "/token", &super::support::encode(&fields)).await;
    assert_eq!(tokens.status, 200, "{tokens:?}");
    sign_out(&mut person).await;
    deliver(&test).await;
    let told = inbox.take();
    assert_eq!(told.len(), 1);
    assert_eq!(decoded(&told[0])[1]["aud"], id);
    let metadata = post_form(&test, "/.well-known/openid-configuration", "").await;
    assert_eq!(metadata.status, 405);
    let request =
        axum::http::Request::get("/.well-known/openid-configuration").body(axum::body::Body::empty());
    let metadata = test.send(request.expect("a request")).await;
    for name in [
        "backchannel_logout_supported",
        "backchannel_logout_session_supported",
    ] {
        assert_eq!(metadata.body[name], true, "{name}");
    }
}
