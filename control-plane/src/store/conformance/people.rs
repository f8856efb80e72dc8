//! The installation, organisations, people, workspaces, and when credentials are dated.

use super::{NOW, SUBJECTS, org, people, user, workspace};
use crate::store::Store;
use crate::store::orgs::{IssueSubjects, NewUser, Role};

pub(super) async fn a_database_is_claimed_once(store: Store) {
    let mut tx = store.begin().await.expect("tx");
    assert_eq!(tx.incarnation().await.expect("none"), None);
    assert_eq!(tx.first_org().await.expect("none"), None);
    assert!(tx.claim_installation([7; 16], NOW).await.expect("first"));
    assert!(!tx.claim_installation([8; 16], NOW).await.expect("second"));
    assert_eq!(tx.incarnation().await.expect("one"), Some([7; 16]));
}

pub(super) async fn people_and_places(store: Store) {
    let tx = people(&store).await;
    tx.commit().await.expect("commit");
    let mut tx = store.begin_read().await.expect("tx");
    assert_eq!(tx.first_org().await.expect("one"), Some(org(1)));
    assert_eq!(tx.first_owner(org(1)).await.expect("one"), Some(user(2)));
    assert_eq!(tx.first_owner(org(9)).await.expect("none"), None);
    assert_eq!(
        tx.user_by_email("ada@example.com").await.expect("row"),
        Some((user(2), Some("hash".to_owned())))
    );
    assert_eq!(tx.user_by_email("bob@example.com").await.expect("none"), None);
    let membership = tx
        .membership(org(1), user(2))
        .await
        .expect("row")
        .expect("a member");
    assert_eq!(
        (membership.role, membership.version, membership.alive),
        (Role::Owner, 1, true)
    );
    assert_eq!(tx.membership(org(1), user(9)).await.expect("none"), None);
    assert!(tx.has_workspace(org(1), workspace(3)).await.expect("row"));
    assert!(!tx.has_workspace(org(9), workspace(3)).await.expect("none"));
    drop(tx);

    let mut tx = store.begin().await.expect("tx");
    let twin = NewUser {
        id: user(5),
        email: "ada@example.com",
        name: "Twin",
        password_hash: None,
    };
    assert!(
        tx.insert_user(&twin, NOW)
            .await
            .expect_err("same address")
            .is_unique_violation()
    );
    drop(tx);
    let mut tx = store.begin().await.expect("tx");
    let twin = tx.insert_workspace(workspace(5), org(1), "main", NOW).await;
    assert!(twin.expect_err("same name").is_unique_violation());
}

pub(super) async fn a_role_is_changed_by_one_of_two(store: Store) {
    let mut tx = people(&store).await;
    assert_eq!(tx.hold_membership(org(1), user(2)).await.expect("row"), Some(1));
    assert!(
        tx.set_role(org(1), user(2), Role::Viewer, 1)
            .await
            .expect("first")
    );
    assert!(
        !tx.set_role(org(1), user(2), Role::Admin, 1)
            .await
            .expect("second")
    );
    assert_eq!(tx.hold_membership(org(1), user(2)).await.expect("row"), Some(2));
    assert_eq!(tx.hold_membership(org(1), user(9)).await.expect("none"), None);
    assert_eq!(
        tx.membership(org(1), user(2))
            .await
            .expect("row")
            .map(|member| member.role),
        Some(Role::Viewer)
    );
}

pub(super) async fn an_issue_is_dated_after_every_not_before(store: Store) {
    let mut tx = people(&store).await;
    let now = NOW.seconds();
    assert_eq!(tx.issue_time(SUBJECTS(), now).await.expect("time"), now);
    assert_eq!(
        tx.set_member_not_before(org(1), user(2), now)
            .await
            .expect("time"),
        Some(now)
    );
    assert_eq!(tx.not_before(SUBJECTS()).await.expect("time"), Some(now));
    assert_eq!(
        tx.issue_time(SUBJECTS(), now).await.expect("time"),
        now.saturating_add(1)
    );
    assert_eq!(
        tx.issue_time(SUBJECTS(), now.saturating_add(9))
            .await
            .expect("time"),
        now.saturating_add(9)
    );
    // A credential that does not act for the member is not affected.
    let others = IssueSubjects {
        user: None,
        ..SUBJECTS()
    };
    assert_eq!(tx.issue_time(others, now).await.expect("time"), now);
    assert_eq!(
        tx.set_member_not_before(org(1), user(9), now)
            .await
            .expect("none"),
        None
    );
}

pub(super) async fn a_not_before_reaches_issues_of_a_fast_clock(store: Store) {
    let mut tx = people(&store).await;
    let fast = NOW.seconds().saturating_add(30);
    assert_eq!(tx.issue_time(SUBJECTS(), fast).await.expect("time"), fast);
    assert_eq!(
        tx.set_member_not_before(org(1), user(2), NOW.seconds())
            .await
            .expect("time"),
        Some(fast)
    );
    assert_eq!(
        tx.issue_time(SUBJECTS(), NOW.seconds()).await.expect("time"),
        fast.saturating_add(1)
    );
}
