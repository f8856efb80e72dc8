//! Whoever was let in and dies before they write, writes nothing: a body can be held back for as long as a request may take.

use axum::http::Method;
use shared::id::KeyId;

use super::{KEYS, read_key};
use crate::error::{ApiError, Code};
use crate::http::auth::{Caller, Credential};
use crate::http::tag::IfMatch;
use crate::keys::{self, Revocation};
use crate::mail::tests::with_mail;
use crate::people;
use crate::store::orgs::Role;
use crate::testing::{TestApp, caller};

#[tokio::test]
async fn a_caller_that_was_revoked_meanwhile_does_nothing() {
    let test = TestApp::start_with(with_mail).await;
    let (stolen, _) = test.create_key(read_key("stolen")).await;
    let (other, _) = test.create_key(read_key("another")).await;
    let other: KeyId = other.parse().expect("an id");
    let owner = caller(&test, test.made.org, test.made.user).await;
    let to = ("dan@example.com", Role::Viewer);
    let invited = people::invite(&test.app, &owner, to, None)
        .await
        .expect("an invitation");

    // Let in, and then it is revoked.
    let late = Caller {
        credential: Credential::ApiKey(stolen.parse().expect("an id")),
        ..owner
    };
    let path = format!("{KEYS}/{stolen}");
    assert_eq!(test.admin(Method::DELETE, &path, None).await.status, 200);

    let outcome = |result: Result<(), ApiError>| result.expect_err("refused").code();
    let app = &test.app;
    let to = ("carol@example.com", Role::Owner);
    let results = [
        people::invite(app, &late, to, None).await.map(drop),
        people::resend(app, &late, invited.id).await.map(drop),
        people::revoke(app, &late, invited.id).await.map(drop),
        keys::rename(app, &late, other, "mine", &IfMatch::Any)
            .await
            .map(drop),
        keys::revoke(app, &late, other, Revocation::default())
            .await
            .map(drop),
    ];
    for result in results {
        assert_eq!(outcome(result), Code::InvalidToken);
    }
}
