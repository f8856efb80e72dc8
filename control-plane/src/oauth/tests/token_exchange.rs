//! Token exchange: line 11 of the checklist, RFC 8693.

use serde_json::{Value, json};
use shared::crypto::base64url;

use super::support::{
    ClientApp, Person, SECOND, claims, client_with, confidential, decoded, public, published, published_with,
};
use super::{is_live, outcome};
use crate::audit::Actor;
use crate::oauth::clients::disable;
use crate::store::Store;
use crate::store::clients::ClientKind;
use crate::store::test_postgres::TestPostgres;
use crate::testing::{Answer, TestApp};

pub(super) const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
pub(super) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";

async fn exchange(test: &TestApp, client: &ClientApp, token: &str, more: &[(&str, &str)]) -> Answer {
    let mut fields = std::collections::BTreeMap::from([
        ("grant_type", GRANT),
        ("subject_token", token),
        ("subject_token_type", ACCESS_TOKEN),
    ]);
    fields.extend(more.iter().copied());
    fields.retain(|_, value| !value.is_empty());
    client
        .post(test, "/token", &fields.into_iter().collect::<Vec<_>>())
        .await
}

async fn own_token(test: &TestApp, client: &ClientApp) -> String {
    let answer = client
        .post(test, "/token", &[("grant_type", "client_credentials")])
        .await;
    answer.text("access_token")
}

#[tokio::test]
async fn line_11_an_exchanged_token_is_the_subjects_and_ends_with_its_parent() {
    let test = published().await;
    let (app, service) = (public(&test).await, confidential(&test).await);
    let granted = app.sign_in(&test).await;
    let parent = claims(&granted);
    test.clock.advance_ms(1000 * SECOND);
    let answer = exchange(
        &test,
        &service,
        &granted.text("access_token"),
        &[("audience", &test.app.config.resource)],
    )
    .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(
        (
            &answer.body["issued_token_type"],
            &answer.body["token_type"],
            &answer.body["scope"]
        ),
        (&ACCESS_TOKEN.into(), &"Bearer".into(), &"memory:read".into())
    );
    assert!(answer.body["refresh_token"].is_null() && answer.body["id_token"].is_null());
    let token = claims(&answer);
    assert_eq!(
        (&token.sub, token.org, &token.sid),
        (&parent.sub, parent.org, &parent.sid)
    );
    assert_eq!(token.client_id, service.id.to_string());
    assert_eq!(token.status, parent.status, "one index");
    assert_eq!(token.exp, parent.exp, "no longer than its parent");
    assert_eq!(answer.body["expires_in"], 2600);
    assert_ne!(token.jti, parent.jti);
    assert!(decoded(&answer.text("access_token"))[1]["act"].is_null());

    // Seen by /introspect, nothing at /userinfo, and not to be revoked by halves.
    let passed_on = answer.text("access_token");
    let seen = service.post(&test, "/introspect", &[("token", &passed_on)]).await;
    assert_eq!(
        (&seen.body["active"], &seen.body["sub"]),
        (&true.into(), &parent.sub.as_str().into())
    );
    let told = test
        .call(axum::http::Method::GET, "/userinfo", &passed_on, None)
        .await;
    assert_eq!(told.status, 401);
    let alone = service.post(&test, "/revoke", &[("token", &passed_on)]).await;
    assert_eq!(outcome(&alone), (400, "unsupported_token_type"));
    assert!(is_live(&test, &granted).await);
    // From there it can be exchanged on, and that ends with the first as well.
    let next = exchange(&test, &service, &passed_on, &[]).await;
    assert_eq!(claims(&next).exp, parent.exp);

    let refresh = granted.text("refresh_token");
    assert_eq!(
        app.post(&test, "/revoke", &[("token", &refresh)]).await.status,
        200
    );
    assert!(!is_live(&test, &answer).await);
    let seen = service.post(&test, "/introspect", &[("token", &passed_on)]).await;
    assert_eq!(seen.body, json!({"active": false}));
    let again = exchange(&test, &service, &granted.text("access_token"), &[]).await;
    assert_eq!(outcome(&again), (400, "invalid_request"));
}

#[tokio::test]
async fn line_11_an_exchange_never_widens() {
    let test = published().await;
    let app = public(&test).await;
    let service = confidential(&test).await;
    let token = app.sign_in(&test).await.text("access_token");
    for scope in [
        "memory:write",
        "memory:read memory:write",
        "admin",
        "nonsense",
        "openid",
        "memory:read  ",
    ] {
        let answer = exchange(&test, &service, &token, &[("scope", scope)]).await;
        assert_eq!(outcome(&answer), (400, "invalid_scope"), "{scope}");
    }
    let narrow = client_with(&test, |new| {
        new.kind = ClientKind::Confidential;
        new.scopes = test.app.catalogue().parse(["memory:delete"]).expect("known");
    })
    .await;
    assert_eq!(
        outcome(&exchange(&test, &narrow, &token, &[]).await),
        (400, "invalid_scope"),
        "nothing in common"
    );
    // `admin` on one side gives what the other has, and no more.
    let mighty = client_with(&test, |new| {
        new.kind = ClientKind::Confidential;
        new.scopes = test.app.catalogue().parse(["admin"]).expect("known");
    })
    .await;
    assert_eq!(
        exchange(&test, &mighty, &token, &[]).await.body["scope"],
        "memory:read"
    );
    let wide = exchange(&test, &mighty, &token, &[("scope", "memory:write")]).await;
    assert_eq!(outcome(&wide), (400, "invalid_scope"));
    for (name, value) in [
        ("resource", "https://elsewhere.example"),
        ("audience", "https://elsewhere.example"),
    ] {
        let answer = exchange(&test, &service, &token, &[(name, value)]).await;
        assert_eq!(outcome(&answer), (400, "invalid_target"), "{name}");
    }
}

#[tokio::test]
async fn line_11_only_our_own_live_tokens_are_exchanged_by_those_who_prove_who_they_are() {
    let test = published().await;
    let (app, service) = (public(&test).await, confidential(&test).await);
    let granted = app.sign_in(&test).await;
    let token = granted.text("access_token");
    assert_eq!(
        outcome(&exchange(&test, &app, &token, &[]).await),
        (400, "unauthorized_client")
    );
    let (id_token, refresh) = (granted.text("id_token"), granted.text("refresh_token"));
    let (head, tail) = token.split_once('.').expect("a JWS");
    let unsigned = format!(
        "{}.{}.",
        base64url(br#"{"alg":"none","typ":"at+jwt","kid":"k1"}"#),
        tail
    );
    for (case, more) in [
        ("no token", [("subject_token", ""), ("scope", "")]),
        ("no type", [("subject_token_type", ""), ("scope", "")]),
        (
            "another type",
            [
                ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
                ("scope", ""),
            ],
        ),
        (
            "wanted: a refresh token",
            [
                (
                    "requested_token_type",
                    "urn:ietf:params:oauth:token-type:refresh_token",
                ),
                ("scope", ""),
            ],
        ),
        (
            "an actor's type alone",
            [("actor_token_type", ACCESS_TOKEN), ("scope", "")],
        ),
        ("an actor without type", [("actor_token", "x"), ("scope", "")]),
        (
            "an id_token",
            [("subject_token", id_token.as_str()), ("scope", "")],
        ),
        (
            "a refresh token",
            [("subject_token", refresh.as_str()), ("scope", "")],
        ),
        ("unsigned", [("subject_token", unsigned.as_str()), ("scope", "")]),
        ("nonsense", [("subject_token", head), ("scope", "")]),
    ] {
        let answer = exchange(&test, &service, &token, &more).await;
        assert_eq!(outcome(&answer), (400, "invalid_request"), "{case}");
    }
    test.clock.advance_ms(3600 * SECOND);
    let late = exchange(&test, &service, &token, &[]).await;
    assert_eq!(outcome(&late), (400, "invalid_request"), "expired");
}

/// A token of ours with other claims, as only we can make it.
async fn forged(test: &TestApp, token: &str, change: impl FnOnce(&mut Value)) -> String {
    let mut body = decoded(token)[1].clone();
    change(&mut body);
    let mut tx = test.app.store.begin().await.expect("tx");
    let key = test
        .app
        .keyring
        .signer(&mut tx, crate::signing::Purpose::AccessToken)
        .await
        .expect("a key");
    crate::oauth::jws::sign(crate::oauth::jws::Type::AccessToken, &body, &key).expect("signed")
}

#[tokio::test]
async fn line_11_act_and_may_act() {
    let test = published().await;
    let app = public(&test).await;
    let (service, other) = (confidential(&test).await, confidential(&test).await);
    let token = app.sign_in(&test).await.text("access_token");
    let (own, others) = (own_token(&test, &service).await, own_token(&test, &other).await);
    let acting = |actor: &'_ str| -> Vec<(&'static str, String)> {
        vec![
            ("actor_token", actor.to_owned()),
            ("actor_token_type", ACCESS_TOKEN.to_owned()),
        ]
    };
    let send = async |client: &ClientApp, token: &str, more: Vec<(&'static str, String)>| {
        let more: Vec<_> = more.iter().map(|(name, value)| (*name, value.as_str())).collect();
        exchange(&test, client, token, &more).await
    };
    let first = send(&service, &token, acting(&own)).await;
    assert_eq!(first.status, 200, "{first:?}");
    let act = |answer: &Answer| decoded(&answer.text("access_token"))[1]["act"].clone();
    assert_eq!(act(&first), json!({"sub": service.id.to_string()}));
    let second = send(&other, &first.text("access_token"), acting(&others)).await;
    assert_eq!(
        act(&second),
        json!({"sub": other.id.to_string(), "act": {"sub": service.id.to_string()}})
    );
    // Kept where nobody new acts, and not without end.
    assert_eq!(
        act(&send(&service, &second.text("access_token"), vec![]).await),
        act(&second)
    );
    let mut chain = second;
    for _ in 0..2 {
        chain = send(&other, &chain.text("access_token"), acting(&others)).await;
    }
    assert_eq!(
        outcome(&send(&other, &chain.text("access_token"), acting(&others)).await),
        (400, "invalid_request")
    );
    // Somebody else's token makes nobody an actor.
    let borrowed = send(&service, &token, acting(&others)).await;
    assert_eq!(outcome(&borrowed), (400, "invalid_request"));

    // §4.4: `may_act` names the only one who may.
    let for_service = forged(&test, &token, |body| {
        body["may_act"] = json!({"sub": service.id.to_string()});
    })
    .await;
    assert_eq!(send(&service, &for_service, vec![]).await.status, 200);
    assert_eq!(send(&service, &for_service, acting(&own)).await.status, 200);
    assert_eq!(
        outcome(&send(&other, &for_service, vec![]).await),
        (400, "invalid_request")
    );
    let elsewhere = json!({"sub": service.id.to_string(), "iss": "https://elsewhere.example"});
    let elsewhere = forged(&test, &token, |body| body["may_act"] = elsewhere).await;
    assert_eq!(
        outcome(&send(&service, &elsewhere, vec![]).await),
        (400, "invalid_request")
    );
    // Bound to a key, for another audience, of another organisation.
    for (name, value) in [
        ("cnf", json!({"jkt": "x"})),
        ("aud", json!("https://elsewhere.example")),
        ("org", json!("org_000000zzz")),
    ] {
        let wrong = forged(&test, &token, |body| body[name] = value).await;
        assert_eq!(
            outcome(&send(&service, &wrong, vec![]).await),
            (400, "invalid_request"),
            "{name}"
        );
    }
}

#[tokio::test]
async fn the_end_of_the_first_client_or_of_the_session_reaches_exchanged_tokens() {
    let test = published().await;
    let service = confidential(&test).await;
    let app = public(&test).await;
    let first = app.sign_in(&test).await;
    let exchanged = exchange(&test, &service, &first.text("access_token"), &[]).await;
    let batch = confidential(&test).await;
    let of_batch = exchange(&test, &service, &own_token(&test, &batch).await, &[]).await;
    assert_eq!(claims(&of_batch).sub, batch.id.to_string());
    for (client, token) in [(&app, &exchanged), (&batch, &of_batch)] {
        assert!(is_live(&test, token).await);
        let mut tx = test.app.store.begin().await.expect("tx");
        let now = test.app.clock.now();
        disable(&mut tx, &test.app.random, client.id, &Actor::system(), now)
            .await
            .expect("done");
        tx.commit().await.expect("commit");
        assert!(!is_live(&test, token).await, "the edge is told of the index too");
    }
    // A session that ended exchanges nothing.
    let app = public(&test).await;
    let mut person = Person::signed_in(&test).await;
    let code = person.allow(&app, &[]).await;
    let token = app.exchange(&test, &code).await.text("access_token");
    let page = person.get("/account").await;
    person
        .post("/logout", &[("csrf", super::support::hidden(&page, "csrf"))])
        .await;
    let late = exchange(&test, &service, &token, &[]).await;
    assert_eq!(outcome(&late), (400, "invalid_request"));
}

async fn switch_off(test: &TestApp, client: &ClientApp) {
    let mut tx = test.app.store.begin().await.expect("tx");
    let now = test.app.clock.now();
    disable(&mut tx, &test.app.random, client.id, &Actor::system(), now)
        .await
        .expect("done");
    tx.commit().await.expect("commit");
}

/// Whoever is in the chain, wherever it branched.
#[tokio::test]
async fn the_end_of_any_client_in_a_chain_reaches_what_came_of_it() {
    let test = published().await;
    let last = confidential(&test).await;
    for ends in [0, 1, 2] {
        let app = public(&test).await;
        let first = app.sign_in(&test).await;
        let mut chain = vec![app];
        let mut token = first.text("access_token");
        for _ in 0..2 {
            let client = confidential(&test).await;
            // Beside it, the same token goes to somebody else first.
            exchange(&test, &last, &token, &[]).await;
            token = exchange(&test, &client, &token, &[]).await.text("access_token");
            chain.push(client);
        }
        let end = exchange(&test, &last, &token, &[]).await;
        assert!(is_live(&test, &end).await);
        switch_off(&test, &chain[ends]).await;
        assert!(!is_live(&test, &end).await, "{ends}");
        let again = exchange(&test, &last, &end.text("access_token"), &[]).await;
        assert_eq!(outcome(&again), (400, "invalid_request"), "{ends}");
    }
}

/// Until somebody waits for a lock, or it is over.
async fn until_somebody_waits(store: &Store, over: &std::cell::Cell<bool>) {
    let Store::Postgres(pool) = store else {
        panic!("for PostgreSQL");
    };
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while !over.get() {
        let waiting: i64 = sqlx::query_scalar(waiting).fetch_one(pool).await.expect("asked");
        if waiting > 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// The client is being disabled while its token is exchanged: a program's own token, and one that it got in exchange.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_waits_for_the_end_of_the_client_whose_token_it_is() {
    let Some(server) = TestPostgres::start_or_skip() else {
        return;
    };
    server.database("exchange_race").await.close().await;
    let url = server.url("exchange_race");
    let test = published_with(|config| config.database_url = url).await;
    let service = confidential(&test).await;
    let persons = public(&test).await.sign_in(&test).await.text("access_token");
    for exchanged in [false, true] {
        let presenter = confidential(&test).await;
        let token = if exchanged {
            exchange(&test, &presenter, &persons, &[])
                .await
                .text("access_token")
        } else {
            own_token(&test, &presenter).await
        };
        let mut tx = test.app.store.begin().await.expect("tx");
        let now = test.app.clock.now();
        disable(&mut tx, &test.app.random, presenter.id, &Actor::system(), now)
            .await
            .expect("done");
        let over = std::cell::Cell::new(false);
        let meanwhile = async {
            let answer = exchange(&test, &service, &token, &[]).await;
            over.set(true);
            answer
        };
        let end = async {
            until_somebody_waits(&test.app.store, &over).await;
            tx.commit().await.expect("commit");
        };
        let (answer, ()) = tokio::join!(meanwhile, end);
        assert_eq!(
            outcome(&answer),
            (400, "invalid_request"),
            "{exchanged}: {answer:?}"
        );
    }
}
