//! `/status-lists`: what a list says of tokens and keys, who may ask, and how often one is made.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::{Value, json};
use shared::crypto::{base64url, from_base64url, sha256};
use shared::id::StatusIndex;
use shared::scope::ScopeSet;

use super::support::{ClientApp, SECOND, claims, confidential, decoded, public, published, published_with};
use super::{basic, client, post, secret_of};
use crate::audit::Actor;
use crate::oauth::clients::disable;
use crate::store::members::MemberState::{Active, Deactivated, Suspended};
use crate::testing::{Answer, TestApp};

async fn fetch(test: &TestApp, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    test.send(request.body(Body::empty()).expect("a request")).await
}

/// What the list says of an index, as a stranger reads it; a second later, so that a new one is made.
async fn status(test: &TestApp, index: StatusIndex) -> u8 {
    test.clock.advance_ms(SECOND);
    let answer = fetch(test, &format!("/status-lists/{}", index.list()), &[]).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let [_, claims] = decoded(&answer.raw);
    let lst = from_base64url(claims["status_list"]["lst"].as_str().expect("lst")).expect("base64url");
    let bytes = miniz_oxide::inflate::decompress_to_vec_zlib(&lst).expect("zlib");
    assert_eq!(
        (&claims["status_list"]["bits"], bytes.len()),
        (&json!(2), 1 << 18)
    );
    let position = usize::try_from(index.get() % StatusIndex::LIST_LENGTH).expect("small");
    (bytes[position / 4] >> (position % 4 * 2)) & 3
}

fn index(test: &TestApp, answer: &Answer) -> StatusIndex {
    let status = claims(answer).status.expect("a status");
    status
        .status_list
        .index(&test.app.config.issuer)
        .expect("our list")
}

async fn granted(test: &TestApp) -> (ClientApp, Answer, StatusIndex) {
    let client = public(test).await;
    let answer = client.sign_in(test).await;
    let index = index(test, &answer);
    (client, answer, index)
}

#[tokio::test]
async fn a_list_is_signed_by_the_key_of_the_tokens_and_says_what_it_is() {
    let test = published().await;
    let (_, answer, index) = granted(&test).await;
    let uri = claims(&answer).status.expect("a status").status_list.uri;
    let path = uri.strip_prefix(&test.app.config.issuer).expect("ours");
    let list = fetch(&test, path, &[("accept", "application/statuslist+jwt")]).await;
    assert_eq!(list.headers["content-type"], "application/statuslist+jwt");
    assert_eq!(list.headers["cache-control"], "public, max-age=60");
    assert_eq!(list.headers["access-control-allow-origin"], "*");
    let [header, claims] = decoded(&list.raw);
    let [of_token, _] = decoded(&answer.text("access_token"));
    assert_eq!(
        header,
        json!({"alg": "RS256", "kid": of_token["kid"], "typ": "statuslist+jwt"})
    );
    let now = test.clock.now().seconds().0;
    assert_eq!(claims["sub"], uri);
    assert_eq!(
        (&claims["iat"], &claims["exp"], &claims["ttl"]),
        (&json!(now), &json!(now + 3600), &json!(60))
    );
    let (message, signature) = list.raw.rsplit_once('.').expect("a signature");
    let key = test
        .app
        .keyring
        .known(header["kid"].as_str().expect("kid").parse().expect("ours"));
    assert!(
        key.expect("known")
            .public
            .verify_base64url(message.as_bytes(), signature)
    );
    assert_eq!(status(&test, index).await, 0);
    // It is no token of any other kind.
    assert!(crate::oauth::jws::read_ours(&test.app, &list.raw).is_none());
    let userinfo = fetch(
        &test,
        "/userinfo",
        &[("authorization", &format!("Bearer {}", list.raw))],
    )
    .await;
    assert_eq!(userinfo.status, 401);
    let all = fetch(&test, "/status-lists", &[]).await;
    assert!(
        all.body["status_lists"]
            .as_array()
            .expect("a list")
            .contains(&json!(uri))
    );
    let metadata = fetch(&test, "/.well-known/openid-configuration", &[]).await;
    assert!(
        metadata
            .text("status_list_aggregation_endpoint")
            .ends_with("/status-lists")
    );
}

#[tokio::test]
async fn what_is_revoked_is_invalid() {
    let test = published().await;
    let (client, answer, index) = granted(&test).await;
    assert_eq!(status(&test, index).await, 0);
    let token = answer.text("refresh_token");
    assert_eq!(
        client.post(&test, "/revoke", &[("token", &token)]).await.status,
        200
    );
    assert_eq!(status(&test, index).await, 1);
}

#[tokio::test]
async fn the_end_of_a_session_is_invalid() {
    let test = published().await;
    let client = public(&test).await;
    let mut person = super::support::Person::signed_in(&test).await;
    let code = person.allow(&client, &[]).await;
    let index = index(&test, &client.exchange(&test, &code).await);
    let page = person.get("/account").await;
    let csrf = super::support::hidden(&page, "csrf");
    person.post("/logout", &[("csrf", csrf)]).await;
    assert_eq!(status(&test, index).await, 1);
}

#[tokio::test]
async fn a_suspended_member_is_suspended_and_a_deactivated_one_invalid() {
    let test = published().await;
    let (key, _) = test
        .create_key(json!({"name": "k", "scope": "read", "environment": "live"}))
        .await;
    let key: shared::id::KeyId = key.parse().expect("an id");
    let (_, _, index) = granted(&test).await;
    let (org, user) = (test.made.org, test.made.user);
    let change = async |state| {
        let mut tx = test.app.store.begin().await.expect("tx");
        let member = tx.member(org, user).await.expect("asked").expect("there");
        let version = tx
            .change_member(
                (org, user),
                (member.role, state),
                member.version,
                test.clock.now(),
            )
            .await
            .expect("changed")
            .expect("nobody else did");
        let entry = shared::feed::Entry::Ceiling {
            subject: shared::feed::Subject::Member(org, user),
            version,
            scopes: ScopeSet::EMPTY,
        };
        crate::revocation::enqueue(
            &mut tx,
            &crate::revocation::Reach::All,
            "x",
            &entry,
            test.clock.now(),
        )
        .await
        .expect("told");
        tx.commit().await.expect("commit");
    };
    for (state, expected) in [(Suspended, 2), (Active, 0), (Deactivated, 1)] {
        change(state).await;
        assert_eq!(status(&test, index).await, expected, "{state:?}");
        assert_eq!(status(&test, key.into()).await, expected, "{state:?}");
    }
}

#[tokio::test]
async fn a_clients_own_tokens_end_with_it() {
    let test = published().await;
    let made = client(&test, &["memory:read"]).await;
    let id = made.client.id.to_string();
    let basic = basic(&id, secret_of(&made));
    let answer = post(&test, Some(&basic), "grant_type=client_credentials").await;
    let index = index(&test, &answer);
    assert_eq!(status(&test, index).await, 0);
    let mut tx = test.app.store.begin().await.expect("tx");
    disable(
        &mut tx,
        &test.app.random,
        made.client.id,
        &Actor::system(),
        test.clock.now(),
    )
    .await
    .expect("disabled");
    tx.commit().await.expect("commit");
    assert_eq!(status(&test, index).await, 1);
}

#[tokio::test]
async fn quarantine_is_suspended_until_the_key_is_dead() {
    let test = published().await;
    let (id, _) = test
        .create_key(json!({"name": "k", "scope": "read-write", "environment": "live"}))
        .await;
    let key: shared::id::KeyId = id.parse().expect("an id");
    let mut tx = test.app.store.begin().await.expect("tx");
    let read = Some(crate::store::quarantine::Ceiling::Read);
    tx.set_quarantine(key, read, test.clock.now())
        .await
        .expect("asked")
        .expect("it lives");
    tx.commit().await.expect("commit");
    assert_eq!(status(&test, key.into()).await, 2);
    let revoked = test
        .admin(Method::DELETE, &format!("/v1/auth/keys/{id}"), None)
        .await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    assert_eq!(status(&test, key.into()).await, 1);
}

#[tokio::test]
async fn what_is_no_list_is_not_found() {
    let test = published().await;
    let (_, _, index) = granted(&test).await;
    let list = index.list();
    for path in [
        "/status-lists/0".to_owned(),
        "/status-lists/999".to_owned(),
        "/status-lists/18446744073709551615".to_owned(),
        format!("/status-lists/0{list}"),
        format!("/status-lists/+{list}"),
        "/status-lists/x".to_owned(),
    ] {
        assert_eq!(
            fetch(&test, &path, &[]).await.outcome(),
            (404, "not_found"),
            "{path}"
        );
    }
    let path = format!("/status-lists/{list}");
    let cwt = fetch(&test, &path, &[("accept", "application/statuslist+cwt")]).await;
    assert_eq!(cwt.outcome(), (406, "not_acceptable"));
    let past = fetch(&test, &format!("{path}?time=1686925000"), &[]).await;
    assert_eq!(past.outcome(), (501, "not_supported"));
    assert_eq!(past.headers["access-control-allow-origin"], "*");
    // Retired: nothing is drawn from it any more, and what was has ended.
    let mut tx = test.app.store.begin().await.expect("tx");
    tx.close_index_blocks(None, test.clock.now())
        .await
        .expect("closed");
    tx.commit().await.expect("commit");
    test.clock.advance_ms(SECOND);
    assert_eq!(fetch(&test, &path, &[]).await.status, 200, "a token in it lives");
    test.clock.advance_ms(3600 * SECOND);
    assert_eq!(fetch(&test, &path, &[]).await.status, 404);
}

#[tokio::test]
async fn a_list_is_made_when_something_changed_and_dated_anew_after_its_ttl() {
    let test = published_with(|config| config.status_lists.ttl_seconds = 10).await;
    let (client, answer, index) = granted(&test).await;
    let path = format!("/status-lists/{}", index.list());
    let first = fetch(&test, &path, &[]).await;
    let etag = first.headers["etag"].to_str().expect("text").to_owned();
    assert_eq!(etag, format!("\"{}\"", base64url(&sha256(first.raw.as_bytes()))));
    test.clock.advance_ms(9 * SECOND);
    for known in [etag.clone(), format!("\"x\", W/{etag}"), "*".to_owned()] {
        let same = fetch(&test, &path, &[("if-none-match", &known)]).await;
        assert_eq!((same.status.as_u16(), same.raw.as_str()), (304, ""), "{known}");
        assert_eq!(same.headers["etag"].to_str().expect("text"), etag);
    }
    let other = fetch(&test, &path, &[("if-none-match", "\"x\"")]).await;
    assert_eq!((other.status.as_u16(), &other.raw), (200, &first.raw));
    test.clock.advance_ms(SECOND);
    let later = fetch(&test, &path, &[("if-none-match", &etag)]).await;
    assert_eq!(later.status, 200, "dated anew");
    let iat = |answer: &Answer| -> Value { decoded(&answer.raw)[1]["iat"].clone() };
    assert_ne!(iat(&later), iat(&first));
    // A change is seen within a second, and not sooner.
    client
        .post(&test, "/revoke", &[("token", &answer.text("refresh_token"))])
        .await;
    assert_eq!(fetch(&test, &path, &[]).await.raw, later.raw);
    test.clock.advance_ms(SECOND);
    assert_ne!(fetch(&test, &path, &[]).await.raw, later.raw);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_gets_one_list() {
    let test = Arc::new(published().await);
    let client = confidential(&test).await;
    let index = index(&test, &client.sign_in(&test).await);
    let path = format!("/status-lists/{}", index.list());
    let crowd: Vec<_> = (0..20)
        .map(|_| {
            let (test, path) = (Arc::clone(&test), path.clone());
            tokio::spawn(async move { fetch(&test, &path, &[]).await.raw })
        })
        .collect();
    let mut texts = std::collections::BTreeSet::new();
    for one in crowd {
        texts.insert(one.await.expect("an answer"));
    }
    assert_eq!(texts.len(), 1);
}
