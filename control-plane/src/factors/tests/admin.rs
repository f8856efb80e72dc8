//! Lost factors: seen, and removed by administrators of the only organisation that somebody belongs to.

use axum::http::Method;
use serde_json::json;

use super::*;
use crate::dashboard::tests::somebody;
use crate::store::orgs::Role;

#[tokio::test]
async fn lost_factors_are_removed_by_an_administrator() {
    let test = TestApp::start().await;
    let (bob, _) = member_with_app(&test, 71, "bob@example.com").await;
    let path = format!("/v1/memberships/{bob}/sign-in");
    let shown = test.admin(Method::GET, &path, None).await;
    assert_eq!(
        [
            &shown.body["password"],
            &shown.body["authenticator_app"],
            &shown.body["passkeys"]
        ],
        [&json!(true), &json!(true), &json!(0)]
    );
    let mut admin = somebody(&test, 80, Role::Admin).await;
    let remove = format!("/dashboard/sign-in/{bob}/remove");
    let page = admin.get("/dashboard/sign-in").await.raw;
    assert!(page.contains(&remove) && page.contains("12 characters"), "{page}");
    assert!(admin.get(&remove).await.raw.contains("bob@example.com"));
    assert_eq!(admin.post(&remove, &[("confirm", "bob")]).await.status, 422);
    let done = admin.post(&remove, &[("confirm", "bob@example.com")]).await;
    assert_eq!(done.status, 303, "{}", done.raw);
    let shown = test.admin(Method::GET, &path, None).await;
    assert_eq!(shown.body["authenticator_app"], false);
    let mut theirs = Browser::new(&test);
    let answer = theirs.try_sign_in("bob@example.com", PASSWORD).await;
    assert!(
        !location(&answer).starts_with("/login"),
        "the password is enough now: {}",
        location(&answer)
    );
    assert!(
        audited(&test, &bob.to_string())
            .await
            .contains(&"factors.remove".to_owned())
    );
    // Whoever had it may be in a session: those end.
    assert!(theirs.is_signed_in().await);
    assert_eq!(test.admin(Method::DELETE, &path, None).await.status, 200);
    assert!(!theirs.is_signed_in().await);
}

#[tokio::test]
async fn nobody_weakens_how_somebody_signs_in_elsewhere() {
    let test = TestApp::start().await;
    let (bob, _) = member_with_app(&test, 71, "bob@example.com").await;
    crate::people::tests::add_org(&test, 9, "Other", bob).await;
    let path = |user| format!("/v1/memberships/{user}/sign-in");
    let answer = test.admin(Method::DELETE, &path(bob), None).await;
    assert_eq!(answer.outcome(), (403, "exceeds_caller"));
    let own = test.admin(Method::DELETE, &path(test.made.user), None).await;
    assert_eq!(
        own.outcome(),
        (403, "exceeds_caller"),
        "one's own are removed elsewhere"
    );
    let (_, key) = crate::testing::member(&test, 72, Role::Admin).await;
    let owner = test.call(Method::DELETE, &path(test.made.user), &key, None).await;
    assert_eq!(owner.outcome(), (403, "exceeds_caller"));
    let nobody = UserId::from_u64(99).expect("small");
    assert_eq!(
        test.admin(Method::GET, &path(nobody), None).await.outcome(),
        (404, "not_found")
    );
    assert!(
        test.app
            .store
            .begin_read()
            .await
            .expect("tx")
            .totp(bob)
            .await
            .expect("asked")
            .is_some()
    );
}
