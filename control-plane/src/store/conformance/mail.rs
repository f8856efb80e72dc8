//! Mail that waits, links, invitations, and who belongs where.

use shared::id::InvitationId;
use shared::time::UnixMillis;

use super::{NOW, org, people, user};
use crate::store::invitations::{Invitation, InvitationStatus};
use crate::store::links::SignUpRow;
use crate::store::mails::MailRow;
use crate::store::orgs::{NewUser, Role};
use crate::store::sessions::SessionRow;
use crate::store::{Store, Tx};

const HOUR: u64 = 3_600_000;
const LATER: UnixMillis = UnixMillis(NOW.0 + HOUR);

fn mail(id: u64, created_at: UnixMillis) -> MailRow {
    MailRow {
        id,
        kind: "sign_up".to_owned(),
        sealed: vec![1, 2, 3],
        created_at,
        expires_at: LATER,
        attempts: 0,
    }
}

pub(super) async fn a_mail_is_taken_by_one_and_dropped(store: Store) {
    let mut tx = store.begin().await.expect("tx");
    for row in [mail(7, NOW), mail(8, UnixMillis(NOW.0 + 1))] {
        tx.insert_mail(&row).await.expect("mail");
    }
    tx.commit().await.expect("commit");
    let take = async |now, until| {
        let mut tx = store.begin().await.expect("tx");
        let taken = tx.take_mail(now, until).await.expect("taken");
        tx.commit().await.expect("commit");
        taken
    };
    // Two at the same time: one gets it.
    let (one, two) = tokio::join!(take(NOW, LATER), take(NOW, LATER));
    let expected = MailRow {
        attempts: 1,
        ..mail(7, NOW)
    };
    assert_eq!([one, two].into_iter().flatten().collect::<Vec<_>>(), [expected]);
    assert_eq!(take(NOW, LATER).await, None, "the other is not due");
    let second = take(UnixMillis(NOW.0 + 1), LATER).await.expect("now it is");
    assert_eq!(second.id, 8);

    let mut tx = store.begin().await.expect("tx");
    tx.postpone_mail(7, UnixMillis(NOW.0 + 5)).await.expect("later");
    tx.drop_mail(8).await.expect("dropped");
    tx.commit().await.expect("commit");
    assert_eq!(take(UnixMillis(NOW.0 + 4), LATER).await, None);
    let again = take(UnixMillis(NOW.0 + 5), LATER).await.expect("again");
    assert_eq!((again.id, again.attempts), (7, 2));
    assert_eq!(
        take(LATER, LATER).await.map(|row| row.id),
        Some(7),
        "whoever took it died"
    );
}

pub(super) async fn the_outbox_keeps_what_was_shown(store: Store) {
    let mut tx = store.begin().await.expect("tx");
    for row in [mail(7, NOW), mail(8, UnixMillis(NOW.0 + 1)), mail(9, LATER)] {
        tx.insert_mail(&row).await.expect("mail");
    }
    tx.show_mail(7, NOW).await.expect("shown");
    tx.show_mail(8, LATER).await.expect("shown");
    let ids = async |tx: &mut Tx| {
        let shown = tx.shown_mails(10).await.expect("list");
        shown.into_iter().map(|row| row.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(&mut tx).await, [8, 7], "newest first");
    assert_eq!(
        tx.take_mail(LATER, LATER).await.expect("taken").map(|row| row.id),
        Some(9)
    );
    assert_eq!(tx.forget_shown_mails(LATER).await.expect("forgotten"), 1);
    assert_eq!(ids(&mut tx).await, [8]);
}

fn sign_up(number: u8, email: &str) -> SignUpRow {
    SignUpRow {
        digest: [number; 32],
        email: email.to_owned(),
        name: "Carol".to_owned(),
        org_name: "Acme".to_owned(),
        password_hash: "hash".to_owned(),
        created_at: NOW,
        expires_at: LATER,
    }
}

pub(super) async fn a_sign_up_is_used_once_with_its_rivals(store: Store) {
    let mut tx = store.begin().await.expect("tx");
    let rows = [
        (sign_up(1, "c@example.com"), false),
        (sign_up(2, "c@example.com"), false),
        (sign_up(3, "d@example.com"), false),
        (sign_up(4, "e@example.com"), true),
    ];
    for (row, dead) in &rows {
        tx.insert_sign_up(row, *dead).await.expect("sign-up");
    }
    let found = tx.sign_up(&[1; 32], NOW).await.expect("asked").expect("one");
    assert_eq!(
        (found.email.as_str(), found.password_hash.as_str()),
        ("c@example.com", "hash")
    );
    assert_eq!(tx.sign_up(&[4; 32], NOW).await.expect("asked"), None, "dead");
    assert_eq!(
        tx.sign_up(&[1; 32], LATER).await.expect("asked"),
        None,
        "too late"
    );
    assert!(
        !tx.use_sign_up(&[3; 32], "d@example.com", LATER)
            .await
            .expect("late")
    );
    assert!(
        tx.use_sign_up(&[1; 32], "c@example.com", NOW)
            .await
            .expect("used")
    );
    assert!(
        !tx.use_sign_up(&[1; 32], "c@example.com", NOW)
            .await
            .expect("once")
    );
    assert_eq!(
        tx.sign_up(&[2; 32], NOW).await.expect("asked"),
        None,
        "of the same address"
    );
    assert_eq!(tx.forget_links(LATER).await.expect("kept"), 0);
    let past = UnixMillis(LATER.0 + 1);
    assert_eq!(tx.forget_links(past).await.expect("forgotten"), 4);
}

pub(super) async fn a_link_to_a_password_is_used_once(store: Store) {
    let mut tx = people(&store).await;
    for (number, owner) in [(1, Some(user(2))), (2, Some(user(2))), (3, None)] {
        tx.insert_password_reset(&[number; 32], owner, NOW, LATER)
            .await
            .expect("reset");
    }
    assert_eq!(
        tx.password_reset(&[1; 32], NOW).await.expect("asked"),
        Some(user(2))
    );
    assert_eq!(tx.password_reset(&[1; 32], LATER).await.expect("asked"), None);
    assert_eq!(
        tx.password_reset(&[3; 32], NOW).await.expect("asked"),
        None,
        "nobody's"
    );
    assert!(!tx.use_password_reset(&[3; 32], NOW).await.expect("nobody's"));
    assert!(!tx.use_password_reset(&[1; 32], LATER).await.expect("late"));
    assert!(tx.use_password_reset(&[1; 32], NOW).await.expect("used"));
    assert!(!tx.use_password_reset(&[1; 32], NOW).await.expect("once"));
    tx.void_password_resets(user(2), NOW).await.expect("voided");
    assert_eq!(tx.password_reset(&[2; 32], NOW).await.expect("asked"), None);
    assert_eq!(
        tx.forget_links(UnixMillis(LATER.0 + 1)).await.expect("forgotten"),
        3
    );
    assert!(tx.set_password(user(2), "new").await.expect("set"));
    assert!(!tx.set_password(user(9), "new").await.expect("nobody"));
    let (_, hash) = tx
        .user_by_email("ada@example.com")
        .await
        .expect("asked")
        .expect("one");
    assert_eq!(hash.as_deref(), Some("new"));
}

fn invitation(number: u64, email: &str) -> Invitation {
    Invitation {
        id: InvitationId::from_u64(number).expect("small"),
        org: org(1),
        email: email.to_owned(),
        role: Role::Member,
        invited_by: user(2),
        created_at: UnixMillis(NOW.0 + number),
        expires_at: LATER,
        accepted_at: None,
        revoked_at: None,
    }
}

pub(super) async fn an_invitation_ends_in_one_way(store: Store) {
    let mut tx = people(&store).await;
    for (number, email) in [(1, "c@example.com"), (2, "c@example.com"), (3, "d@example.com")] {
        let digest = [u8::try_from(number).expect("small"); 32];
        tx.insert_invitation(&invitation(number, email), &digest)
            .await
            .expect("invitation");
    }
    let first = invitation(1, "c@example.com");
    let found = tx.invitation_by_digest(&[1; 32], NOW).await.expect("asked");
    assert_eq!(found, Some(first.clone()));
    assert_eq!(
        tx.invitation_by_digest(&[1; 32], LATER).await.expect("asked"),
        None
    );
    assert_eq!(tx.invitation(org(9), first.id).await.expect("asked"), None);
    let ids = |list: Vec<Invitation>| list.into_iter().map(|one| one.id.get()).collect::<Vec<_>>();
    let all = tx.invitations_of(org(1), None, 10).await.expect("list");
    assert_eq!(ids(all.clone()), [3, 2, 1]);
    let place = Some((all[0].created_at, all[0].id));
    let rest = tx.invitations_of(org(1), place, 1).await.expect("list");
    assert_eq!(ids(rest), [2], "the page after the first");

    assert!(
        !tx.accept_invitation(first.id, user(2), LATER)
            .await
            .expect("late")
    );
    assert!(
        tx.accept_invitation(first.id, user(2), NOW)
            .await
            .expect("accepted")
    );
    assert!(!tx.accept_invitation(first.id, user(2), NOW).await.expect("once"));
    assert!(
        !tx.revoke_invitation(org(1), first.id, NOW)
            .await
            .expect("too late")
    );
    let revoked = tx.revoke_invitations_to(org(1), "c@example.com", NOW).await;
    assert_eq!(revoked.expect("revoked"), 1, "the one that was not accepted");
    let third = invitation(3, "d@example.com").id;
    assert!(!tx.revoke_invitation(org(9), third, NOW).await.expect("another's"));
    assert!(tx.revoke_invitation(org(1), third, NOW).await.expect("revoked"));
    assert!(!tx.revoke_invitation(org(1), third, NOW).await.expect("once"));
    assert!(!tx.accept_invitation(third, user(2), NOW).await.expect("revoked"));
    let mut statuses = Vec::new();
    for one in tx.invitations_of(org(1), None, 10).await.expect("list") {
        statuses.push(one.status(NOW));
    }
    assert_eq!(
        statuses,
        [
            InvitationStatus::Revoked,
            InvitationStatus::Revoked,
            InvitationStatus::Accepted
        ]
    );
    assert_eq!(tx.forget_invitations(LATER).await.expect("kept"), 0);
    assert_eq!(
        tx.forget_invitations(UnixMillis(LATER.0 + 1))
            .await
            .expect("forgotten"),
        3
    );
}

pub(super) async fn people_belong_where_they_are_alive(store: Store) {
    let mut tx = people(&store).await;
    tx.insert_org(org(5), "Zeta", NOW).await.expect("org");
    tx.insert_membership(org(5), user(2), Role::Viewer, NOW)
        .await
        .expect("membership");
    let bob = NewUser {
        id: user(7),
        email: "bob@example.com",
        name: "Bob",
        password_hash: None,
    };
    tx.insert_user(&bob, NOW).await.expect("user");
    let names = tx.orgs_of(user(2)).await.expect("list");
    let names: Vec<_> = names
        .into_iter()
        .map(|one| (one.org, one.name, one.role))
        .collect();
    assert_eq!(
        names,
        [
            (org(1), "Acme".to_owned(), Role::Owner),
            (org(5), "Zeta".to_owned(), Role::Viewer)
        ]
    );
    assert!(tx.orgs_of(user(7)).await.expect("list").is_empty());
    assert_eq!(tx.org_name(org(5)).await.expect("name").as_deref(), Some("Zeta"));
    assert_eq!(tx.org_name(org(9)).await.expect("none"), None);
    assert!(tx.belongs_elsewhere(user(2), org(1)).await.expect("asked"));
    assert!(tx.is_email_taken("bob@example.com").await.expect("asked"));
    assert!(!tx.is_email_taken("eve@example.com").await.expect("asked"));

    // Where they were last.
    let account = async |tx: &mut Tx| {
        let found = tx.account_by_email("ada@example.com").await.expect("asked");
        found.map(|account| account.org)
    };
    assert_eq!(account(&mut tx).await, Some(org(1)), "the first");
    assert!(tx.use_membership(org(5), user(2), NOW).await.expect("used"));
    assert!(
        !tx.use_membership(org(5), user(7), NOW)
            .await
            .expect("not a member")
    );
    assert_eq!(account(&mut tx).await, Some(org(5)));
    assert!(tx.use_membership(org(1), user(2), LATER).await.expect("used"));
    assert_eq!(account(&mut tx).await, Some(org(1)));
}

pub(super) async fn a_session_moves_under_a_new_secret(store: Store) {
    let mut tx = people(&store).await;
    tx.insert_org(org(5), "Zeta", NOW).await.expect("org");
    tx.insert_membership(org(5), user(2), Role::Viewer, NOW)
        .await
        .expect("membership");
    let session = SessionRow {
        digest: [7; 32],
        sid: shared::id::SessionId::from_u64(7).expect("small"),
        user: user(2),
        org: org(1),
        created_at: NOW,
        last_seen_at: NOW,
        auth_time: NOW,
        expires_at: LATER,
        user_agent: "curl/8".to_owned(),
        address: "192.0.2.1".to_owned(),
        methods: "pwd".to_owned(),
    };
    tx.insert_session(&session).await.expect("session");
    assert!(
        tx.move_session(&[7; 32], &[8; 32], org(5), NOW)
            .await
            .expect("moved")
    );
    assert!(
        !tx.move_session(&[7; 32], &[9; 32], org(1), NOW)
            .await
            .expect("old secret")
    );
    let found = tx.session(&[8; 32], UnixMillis(0), NOW).await.expect("asked");
    let expected = SessionRow {
        digest: [8; 32],
        org: org(5),
        ..session.clone()
    };
    assert_eq!(found, Some(expected));
    tx.end_session(user(2), session.sid, NOW).await.expect("ended");
    assert!(
        !tx.move_session(&[8; 32], &[9; 32], org(1), NOW)
            .await
            .expect("ended")
    );
}
