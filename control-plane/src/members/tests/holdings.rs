//! What would die with a member, what is handed over before, and the page that does both.

use super::*;
use crate::dashboard::tests::somebody;
use crate::oauth::tests::support::{Person, client_with};
use crate::sessions::tests::{Browser, add_member, location};

#[tokio::test]
async fn what_acts_for_a_member_is_listed_with_its_last_use() {
    let test = published().await;
    let owner = test.made.user;
    let app = client_with(&test, |_| {}).await;
    app.sign_in(&test).await;
    let (other, _) = member(&test, 71, Role::Member).await;
    let shown = test
        .admin(Method::GET, &format!("{PATH}/{owner}/holdings"), None)
        .await;
    assert_eq!(shown.status, 200, "{shown:?}");
    let body = shown.body;
    assert_eq!(body["member"]["user"], owner.to_string());
    assert_eq!(body["keys"][0]["last_used_at"], Value::Null);
    assert_eq!(body["grants"][0]["client_name"], "Notes");
    assert_eq!(
        body["grants"][0]["scopes"],
        json!(["openid", "email", "memory:read"]),
        "{body}"
    );
    assert_eq!(body["sessions"][0]["methods"], json!(["pwd"]));
    assert_eq!(
        [&body["more_keys"], &body["more_grants"], &body["more_sessions"]],
        [&json!(false); 3]
    );
    let theirs = test
        .admin(Method::GET, &format!("{PATH}/{other}/holdings"), None)
        .await
        .body;
    assert_eq!(
        (
            theirs["keys"].as_array().map(Vec::len),
            &theirs["grants"],
            &theirs["sessions"]
        ),
        (Some(1), &json!([]), &json!([]))
    );
    let answer = test
        .admin(Method::GET, &format!("{PATH}/usr_000000999/holdings"), None)
        .await;
    assert_eq!(answer.outcome(), (404, "not_found"));
}

#[tokio::test]
async fn a_key_is_reissued_to_somebody_else_and_the_old_one_goes_on() {
    let test = published().await;
    let (bob, _) = member(&test, 71, Role::Admin).await;
    let (carol, _) = member(&test, 72, Role::Viewer).await;
    let workspace = test.made.workspace.to_string();
    let body = json!({"name": "deploy", "scope": "read-write", "user": bob, "workspace": workspace,
                      "expires_at": "2030-01-31T12:00:00Z"});
    let (id, old) = test.create_key(body).await;
    let path = format!("/v1/auth/keys/{id}/reissue");
    let to = |user: &str| Some(json!({"user": user}));
    let refused = test.admin(Method::POST, &path, to(&carol.to_string())).await;
    assert_eq!(refused.outcome(), (403, "exceeds_caller"), "a viewer only reads");
    let narrower = json!({"user": carol, "scopes": ["memory:read"]});
    let made = test.admin(Method::POST, &path, Some(narrower)).await;
    assert_eq!(made.status, 201, "{made:?}");
    assert_eq!(made.body["scopes"], json!(["memory:read"]));
    let wider = json!({"user": test.made.user, "scopes": ["vault:manage"]});
    let refused = test.admin(Method::POST, &path, Some(wider)).await;
    assert_eq!(refused.outcome(), (400, "invalid_field"));
    assert_eq!(
        test.admin(Method::POST, &path, to(&bob.to_string()))
            .await
            .outcome(),
        (400, "invalid_field"),
        "theirs already"
    );

    let account = json!({"name": "deploy", "role": "member"});
    let account = test
        .admin(Method::POST, "/v1/service-accounts", Some(account))
        .await
        .text("user");
    let made = test.admin(Method::POST, &path, to(&account)).await;
    assert_eq!(made.status, 201, "{made:?}");
    for (name, expected) in [
        ("name", "deploy"),
        ("user", account.as_str()),
        ("workspace", workspace.as_str()),
        ("expires_at", "2030-01-31T12:00:00Z"),
    ] {
        assert_eq!(made.text(name), expected);
    }
    assert_ne!(made.text("key"), old);
    let mut tx = test.app.store.begin_read().await.expect("tx");
    let trail = tx.audit_of(&made.text("id"), 10).await.expect("rows");
    assert!(trail[0].detail.contains(&id), "{trail:?}");
    drop(tx);
    let works = async |key: &str| test.call(Method::GET, "/v1/auth/keys", key, None).await.status != 401;
    assert!(works(&old).await, "until its user is deactivated");
    post(&test, &test.made.admin_key, bob, "deactivate").await;
    assert!(!works(&old).await && works(&made.text("key")).await);
    let late = test.admin(Method::POST, &path, to(&account)).await;
    assert_eq!(late.outcome(), (409, "key_revoked"));
    let (_, reader) = member(&test, 73, Role::Member).await;
    let answer = test.call(Method::POST, &path, &reader, to(&account)).await;
    assert_eq!(answer.outcome(), (403, "insufficient_scope"));
}

#[tokio::test]
async fn the_page_lists_what_dies_hands_a_key_over_and_asks_for_the_address() {
    let test = published().await;
    let bob = add_member(&test, 71, "bob@example.com").await;
    let body = json!({"name": "nightly export", "scope": "read", "user": bob});
    let (key, _) = test.create_key(body).await;
    let mut theirs = Browser::new(&test);
    theirs
        .try_sign_in("bob@example.com", crate::sessions::tests::PASSWORD)
        .await;
    assert!(theirs.is_signed_in().await);
    let mut admin = somebody(&test, 80, Role::Admin).await;
    let page = format!("/dashboard/people/{bob}");
    let end = format!("{page}/deactivate");
    let asked = admin.get(&end).await;
    assert_eq!(asked.status, 200, "{}", asked.raw);
    for expected in [
        "nightly export",
        "never used",
        "192.0.2.1",
        "bob@example.com",
        "Re-issue",
    ] {
        assert!(asked.raw.contains(expected), "{expected}: {}", asked.raw);
    }
    let offer = admin.get(&format!("{page}/reissue?key={key}")).await;
    assert_eq!(offer.status, 200, "{}", offer.raw);
    let fields = [
        ("key", key.as_str()),
        ("to", "new"),
        ("name", "export"),
        ("role", "viewer"),
    ];
    let made = admin.post(&format!("{page}/reissue"), &fields).await;
    assert_eq!(made.status, 200, "{}", made.raw);
    assert_eq!(made.headers["cache-control"], "no-store");
    let text = made.raw.split("value=\"pc_").nth(1).expect("the key");
    let text = format!("pc_{}", text.split('"').next().expect("an end"));
    let wrong = admin.post(&end, &[("confirm", "bob")]).await;
    assert_eq!(wrong.status, 422);
    assert!(theirs.is_signed_in().await, "nothing was changed");
    let done = admin.post(&end, &[("confirm", "bob@example.com")]).await;
    assert_eq!(
        (done.status.as_u16(), location(&done)),
        (303, page.as_str()),
        "{}",
        done.raw
    );
    assert!(!theirs.is_signed_in().await);
    assert_ne!(
        test.call(Method::GET, "/v1/auth/keys", &text, None).await.status,
        401,
        "the new key goes on"
    );
    let shown = admin.get(&page).await.raw;
    assert!(shown.contains("deactivated"), "{shown}");
    // A key of somebody else is not handed over from here.
    let stranger = test.made.admin_key_id.to_string();
    let answer = admin.get(&format!("{page}/reissue?key={stranger}")).await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn dangerous_pages_ask_for_a_recent_sign_in() {
    let test = published().await;
    let bob = add_member(&test, 71, "bob@example.com").await;
    let mut admin = somebody(&test, 80, Role::Admin).await;
    let end = format!("/dashboard/people/{bob}/deactivate");
    admin.get("/dashboard/people").await;
    test.clock.advance_ms(601_000);
    for answer in [
        admin.get(&end).await,
        admin.post(&end, &[("confirm", "bob@example.com")]).await,
    ] {
        assert_eq!(answer.status, 303);
        assert!(location(&answer).starts_with("/login?"), "{}", location(&answer));
    }
    assert_eq!(shown(&test, bob).await["state"], "active");
}

#[tokio::test]
async fn an_admin_is_offered_nothing_that_is_an_owners() {
    let test = published().await;
    let owner = test.made.user;
    let mut admin = somebody(&test, 80, Role::Admin).await;
    let page = format!("/dashboard/people/{owner}");
    let shown = admin.get(&page).await.raw;
    assert!(
        !shown.contains("Deactivate…") && !shown.contains("value=\"owner\""),
        "{shown}"
    );
    let answer = admin.post(&format!("{page}/suspend"), &[]).await;
    assert_eq!(answer.status, 422);
    assert!(answer.raw.contains("Only an owner"), "{}", answer.raw);
    let list = admin
        .get("/dashboard/people?search=nobody+is+called+this")
        .await
        .raw;
    assert!(list.contains("Nobody fits"), "{list}");
    let list = admin.get("/dashboard/people?role=admin&state=active").await.raw;
    assert!(
        list.contains("80@example.com") && !list.contains("owner</td>"),
        "{list}"
    );
    assert_eq!(admin.get("/dashboard/people?cursor=x").await.status, 400);
    let mut person = Person::signed_in(&test).await;
    assert_eq!(person.get("/dashboard/people").await.status, 200);
}
