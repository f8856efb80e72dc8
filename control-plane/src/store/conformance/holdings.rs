//! What acts in an organisation, in lists: sessions, grants, keys in use, clients, invitations; and programs as members.

use shared::id::{ClientId, GrantId, InvitationId, SessionId};
use shared::time::UnixMillis;

use super::installation::index;
use super::{NOW, clients, grants, key_id, org, people, revoked, sample, user, workspace};
use crate::store::clients::{Client, ClientFilter, Origin};
use crate::store::grants::{Grant, Terms};
use crate::store::holdings::{GrantFilter, SessionFilter};
use crate::store::invitations::Invitation;
use crate::store::keys::ApiKey;
use crate::store::members::MemberKind;
use crate::store::orgs::{NewUser, Role};
use crate::store::passkeys::StoredPasskey;
use crate::store::sessions::SessionRow;
use crate::store::workspaces::WorkspaceFilter;
use crate::store::{Store, Tx};

const HOUR: u64 = 3_600_000;

fn later(millis: u64) -> UnixMillis {
    NOW.saturating_add(millis)
}

fn session(number: u8, whose: u64) -> SessionRow {
    SessionRow {
        digest: [number; 32],
        sid: SessionId::from_u64(number.into()).expect("small"),
        user: user(whose),
        org: org(1),
        created_at: NOW,
        last_seen_at: NOW,
        auth_time: NOW,
        expires_at: later(HOUR * u64::from(number)),
        user_agent: "curl/8".to_owned(),
        address: "192.0.2.1".to_owned(),
        methods: "pwd".to_owned(),
    }
}

async fn bob(tx: &mut Tx) {
    let bob = NewUser {
        id: user(7),
        email: "bob@example.com",
        name: "Bob",
        password_hash: None,
    };
    tx.insert_user(&bob, NOW).await.expect("user");
    tx.insert_membership(org(1), user(7), Role::Member, NOW)
        .await
        .expect("membership");
}

/// Begins a transaction of its own for each statement that is to fail: PostgreSQL lets none go on after one.
pub(super) async fn a_program_never_signs_in(store: Store) {
    let mut tx = people(&store).await;
    tx.insert_service_user(user(9), "robot", NOW)
        .await
        .expect("added");
    tx.insert_membership(org(1), user(9), Role::Admin, NOW)
        .await
        .expect("a member");
    tx.commit().await.expect("commit");
    let name = user(9).to_string();
    let mut tx = store.begin().await.expect("tx");
    let member = tx.member(org(1), user(9)).await.expect("asked").expect("there");
    assert_eq!(
        (member.kind, member.email.as_str(), member.name.as_str()),
        (MemberKind::Service, "", "robot")
    );
    // It is a member like others…
    let alive = tx.membership(org(1), user(9)).await.expect("asked");
    assert!(alive.is_some_and(|membership| membership.alive));
    assert_eq!(tx.hold_membership(org(1), user(9)).await.expect("held"), Some(1));
    // …whom nothing finds that signs somebody in.
    assert_eq!(tx.user_by_email(&name).await.expect("asked"), None);
    assert!(tx.account_by_email(&name).await.expect("asked").is_none());
    assert_eq!(tx.profile(user(9)).await.expect("asked"), None);
    assert_eq!(tx.user_secret(user(9)).await.expect("asked"), None);
    assert_eq!(tx.home_of(user(9)).await.expect("asked"), None);
    assert!(!tx.use_membership(org(1), user(9), NOW).await.expect("asked"));
    assert!(
        !tx.has_other_owner(org(1), user(2)).await.expect("asked"),
        "nor does it own anything"
    );
    let passkey = StoredPasskey {
        digest: [1; 32],
        user: user(9),
        name: "a".to_owned(),
        credential: "{}".to_owned(),
        counter: 0,
        created_at: NOW,
        last_used_at: None,
    };
    assert!(tx.insert_passkey(&passkey).await.expect("asked"));
    assert_eq!(tx.remove_passkeys_of(user(9)).await.expect("removed"), 1);
    drop(tx);
    let mut tx = store.begin().await.expect("tx");
    assert!(tx.insert_session(&session(1, 9)).await.is_err(), "no session");
    drop(tx);
    let mut tx = store.begin().await.expect("tx");
    assert!(tx.set_password(user(9), "hash").await.is_err(), "no password");
    drop(tx);
    // A row that is there all the same does not count.
    let mut tx = store.begin().await.expect("tx");
    bob(&mut tx).await;
    tx.insert_session(&session(1, 7))
        .await
        .expect("a session of a person");
    let alive = tx.session(&[1; 32], UnixMillis(0), NOW).await.expect("asked");
    assert!(alive.is_some());
}

pub(super) async fn workspaces_are_archived_and_taken_out(store: Store) {
    let mut tx = people(&store).await;
    tx.insert_org(org(2), "Other", NOW).await.expect("org");
    for (number, name) in [(4, "alpha"), (5, "beta")] {
        tx.insert_workspace(workspace(number), org(1), name, NOW)
            .await
            .expect("added");
    }
    let list = async |tx: &mut Tx, archived, after: Option<&str>, limit| {
        let filter = WorkspaceFilter {
            org: org(1),
            archived,
            after: after.map(str::to_owned),
            limit,
        };
        let found = tx.workspaces(&filter).await.expect("listed");
        found.into_iter().map(|one| one.name).collect::<Vec<_>>()
    };
    assert_eq!(list(&mut tx, false, None, 2).await, ["alpha", "beta"]);
    assert_eq!(list(&mut tx, false, Some("beta"), 2).await, ["main"]);
    assert!(
        !tx.archive_workspace(org(2), workspace(4), NOW)
            .await
            .expect("asked")
    );
    assert!(
        tx.archive_workspace(org(1), workspace(4), NOW)
            .await
            .expect("archived")
    );
    assert!(
        !tx.archive_workspace(org(1), workspace(4), NOW)
            .await
            .expect("asked")
    );
    assert!(!tx.has_workspace(org(1), workspace(4)).await.expect("asked"));
    assert_eq!(list(&mut tx, false, None, 9).await, ["beta", "main"]);
    assert_eq!(list(&mut tx, true, None, 9).await, ["alpha"]);
    let at = tx.set_workspace_not_before(workspace(4), NOW.seconds()).await;
    assert_eq!(at.expect("set"), Some(NOW.seconds()));
    assert!(tx.workspace_is_silent(workspace(4)).await.expect("asked"));
    assert!(
        !tx.workspace_is_silent(workspace(5)).await.expect("asked"),
        "never set"
    );
    assert!(
        tx.restore_workspace(org(1), workspace(4))
            .await
            .expect("restored")
    );
    assert!(!tx.restore_workspace(org(1), workspace(4)).await.expect("asked"));
    assert!(
        tx.rename_workspace(org(1), workspace(4), "gamma")
            .await
            .expect("renamed")
    );
    assert!(
        !tx.rename_workspace(org(2), workspace(4), "delta")
            .await
            .expect("asked")
    );
    let found = tx
        .workspace(org(1), workspace(4))
        .await
        .expect("asked")
        .expect("there");
    assert_eq!((found.name.as_str(), found.archived_at), ("gamma", None));
    assert_eq!(tx.workspace(org(2), workspace(4)).await.expect("asked"), None);
    let error = tx
        .rename_workspace(org(1), workspace(4), "beta")
        .await
        .expect_err("taken");
    assert!(error.is_unique_violation());
}

pub(super) async fn keys_in_use_are_counted_up_to_a_number(store: Store) {
    let mut tx = people(&store).await;
    let within = |number: u64, seconds: Option<u64>| ApiKey {
        workspace: Some(workspace(3)),
        expires_at: seconds.map(|seconds| NOW.seconds().saturating_add(seconds)),
        created_at: later(number),
        ..sample(number)
    };
    for key in [
        within(11, None),
        within(12, None),
        within(13, Some(100)),
        within(14, Some(1)),
        sample(15),
    ] {
        tx.insert_key(&key).await.expect("key");
    }
    assert!(tx.revoke_key(key_id(12), &revoked(1)).await.expect("revoked"));
    let now = NOW.seconds().saturating_add(1);
    let count = async |tx: &mut Tx, most| {
        let counts = tx.keys_in_use(&[workspace(3)], now, most).await.expect("counted");
        counts[&workspace(3)]
    };
    assert_eq!(
        count(&mut tx, 10).await,
        2,
        "neither revoked nor ended nor elsewhere"
    );
    assert_eq!(count(&mut tx, 1).await, 1);
    let listed = async |tx: &mut Tx, limit| {
        let keys = tx
            .keys_of_member(org(1), user(2), now, limit)
            .await
            .expect("listed");
        keys.iter().map(|key| key.id.get()).collect::<Vec<_>>()
    };
    assert_eq!(listed(&mut tx, 10).await, [13, 11, 15]);
    assert_eq!(listed(&mut tx, 1).await, [13]);
    let none = tx.keys_of_member(org(2), user(2), now, 10).await.expect("listed");
    assert!(none.is_empty(), "another organisation's");
}

pub(super) async fn sessions_are_listed_while_they_are_alive(store: Store) {
    let mut tx = people(&store).await;
    bob(&mut tx).await;
    for (number, whose) in [(1, 2), (2, 7), (3, 2), (4, 2)] {
        tx.insert_session(&session(number, whose)).await.expect("session");
    }
    tx.end_session(user(2), SessionId::from_u64(4).expect("small"), NOW)
        .await
        .expect("ended");
    let all = SessionFilter {
        org: org(1),
        user: None,
        idle_since: UnixMillis(0),
        now: NOW,
        before: None,
        limit: 10,
    };
    let list = async |tx: &mut Tx, filter: SessionFilter| {
        let found = tx.list_sessions(&filter).await.expect("listed");
        found.iter().map(|one| one.sid.get()).collect::<Vec<_>>()
    };
    assert_eq!(list(&mut tx, all).await, [3, 2, 1], "the newest sign-in first");
    let first = tx
        .list_sessions(&SessionFilter { limit: 1, ..all })
        .await
        .expect("listed");
    assert_eq!(
        (first[0].name.as_str(), first[0].email.as_str()),
        ("Ada", "ada@example.com")
    );
    let next = SessionFilter {
        before: Some((first[0].expires_at, first[0].sid)),
        ..all
    };
    assert_eq!(list(&mut tx, next).await, [2, 1]);
    let of = |whose| SessionFilter {
        user: Some(user(whose)),
        ..all
    };
    assert_eq!(list(&mut tx, of(7)).await, [2]);
    assert_eq!(list(&mut tx, of(9)).await, [0; 0]);
    let elsewhere = SessionFilter { org: org(2), ..of(2) };
    assert_eq!(list(&mut tx, elsewhere).await, [0; 0]);
    let idle = SessionFilter {
        idle_since: NOW,
        ..all
    };
    assert_eq!(list(&mut tx, idle).await, [0; 0]);
    let over = SessionFilter {
        now: later(2 * HOUR),
        ..all
    };
    assert_eq!(list(&mut tx, over).await, [3]);
}

#[expect(clippy::too_many_lines, reason = "one story")]
pub(super) async fn grants_are_listed_by_whose_they_are(store: Store) {
    // Grant 5 of user 2 to client 77, with index 17.
    grants::prepare(&store).await;
    let mut tx = store.begin().await.expect("tx");
    bob(&mut tx).await;
    tx.insert_client(&clients::public(78)).await.expect("client");
    let theirs = grants::grant(6, index(18));
    let theirs = Grant {
        terms: Terms {
            user: user(7),
            client: ClientId::from_u64(78).expect("small"),
            ..theirs.terms
        },
        created_at: later(1),
        ..theirs
    };
    tx.insert_grant(&theirs).await.expect("grant");
    let all = GrantFilter {
        org: org(1),
        user: None,
        client: None,
        live_at: NOW.seconds(),
        before: None,
        limit: 10,
    };
    let list = async |tx: &mut Tx, filter: GrantFilter| {
        let found = tx.list_grants(&filter).await.expect("listed");
        found.iter().map(|one| one.id.get()).collect::<Vec<_>>()
    };
    assert_eq!(list(&mut tx, all).await, [6, 5]);
    let first = tx
        .list_grants(&GrantFilter { limit: 1, ..all })
        .await
        .expect("listed");
    assert_eq!(
        (
            first[0].client_name.as_str(),
            first[0].user_name.as_str(),
            first[0].user_email.as_str(),
            first[0].scopes,
        ),
        ("Notes", "Bob", "bob@example.com", theirs.terms.scopes)
    );
    let next = GrantFilter {
        before: Some((first[0].created_at, first[0].id)),
        ..all
    };
    assert_eq!(list(&mut tx, next).await, [5]);
    let client = |number| ClientId::from_u64(number);
    for (filter, expected) in [
        (
            GrantFilter {
                user: Some(user(7)),
                ..all
            },
            vec![6],
        ),
        (
            GrantFilter {
                client: client(77),
                ..all
            },
            vec![5],
        ),
        (
            GrantFilter {
                user: Some(user(7)),
                client: client(77),
                ..all
            },
            vec![],
        ),
        (GrantFilter { org: org(2), ..all }, vec![]),
        (
            GrantFilter {
                live_at: NOW.seconds().saturating_add(100),
                ..all
            },
            vec![],
        ),
    ] {
        assert_eq!(list(&mut tx, filter).await, expected, "{filter:?}");
    }
    let id = GrantId::from_u64(6).expect("small");
    let one = tx.listed_grant(org(1), id).await.expect("asked").expect("there");
    assert_eq!(one, first[0]);
    assert_eq!(tx.listed_grant(org(2), id).await.expect("asked"), None);
    let live = async |tx: &mut Tx, most| {
        let client = client(78).expect("small");
        let counted = tx.grants_of_clients(org(1), &[client], NOW.seconds(), most).await;
        counted.expect("counted")[&client]
    };
    assert_eq!((live(&mut tx, 10).await, live(&mut tx, 0).await), (1, 0));
    assert!(tx.revoke_grant(id, "unspecified", NOW).await.expect("revoked"));
    assert_eq!(tx.listed_grant(org(1), id).await.expect("asked"), None);
    assert_eq!(list(&mut tx, all).await, [5]);
    assert_eq!(live(&mut tx, 10).await, 0);

    // What was agreed to is forgotten for one, or for everybody in an organisation.
    for terms in [grants::grant(5, index(17)).terms, theirs.terms] {
        assert!(tx.add_consent(&terms, NOW).await.expect("added"));
    }
    let forgotten = tx
        .forget_consents_for((org(1), user(2)), client(78).expect("small"))
        .await;
    assert_eq!(forgotten.expect("asked"), 0);
    let forgotten = tx
        .forget_consents_for((org(1), user(2)), client(77).expect("small"))
        .await;
    assert_eq!(forgotten.expect("forgotten"), 1);
    for (whose, expected) in [(org(2), 0), (org(1), 1)] {
        let forgotten = tx.forget_consents_in(whose, client(78).expect("small")).await;
        assert_eq!(forgotten.expect("asked"), expected);
    }
}

pub(super) async fn clients_are_listed_by_organisation(store: Store) {
    grants::prepare(&store).await;
    let mut tx = store.begin().await.expect("tx");
    for (number, millis) in [(78, 1), (79, 2)] {
        let client = Client {
            created_at: later(millis),
            ..clients::public(number)
        };
        tx.insert_client(&client).await.expect("client");
    }
    for number in [80, 81, 82] {
        let open = Client {
            org: None,
            origin: Origin::MetadataDocument,
            identifier: format!("https://{number}.example.com/client"),
            ..clients::public(number)
        };
        tx.insert_client(&open).await.expect("client");
    }
    let filter = ClientFilter {
        org: org(1),
        disabled: false,
        before: None,
        limit: 2,
    };
    let ids = |found: Vec<Client>| found.iter().map(|one| one.id.get()).collect::<Vec<_>>();
    let page = tx.clients_of(&filter).await.expect("listed");
    let last = page.last().expect("two");
    let next = ClientFilter {
        before: Some((last.created_at, last.id)),
        ..filter
    };
    assert_eq!(ids(page), [79, 78]);
    assert_eq!(ids(tx.clients_of(&next).await.expect("listed")), [77]);
    let of_others = ClientFilter {
        org: org(2),
        ..filter
    };
    assert!(tx.clients_of(&of_others).await.expect("listed").is_empty());
    let id = ClientId::from_u64(78).expect("small");
    assert!(
        tx.set_client_scopes(id, shared::scope::ScopeSet(3))
            .await
            .expect("set")
    );
    tx.disable_client(id, NOW).await.expect("disabled");
    assert!(
        !tx.set_client_scopes(id, shared::scope::ScopeSet(1))
            .await
            .expect("asked")
    );
    assert_eq!(ids(tx.clients_of(&filter).await.expect("listed")), [79, 77]);
    let disabled = ClientFilter {
        disabled: true,
        ..filter
    };
    assert_eq!(ids(tx.clients_of(&disabled).await.expect("listed")), [78]);

    // Those that nobody registered: while they have a grant, each once.
    let grant = |number: u64, client: u64| {
        let grant = grants::grant(number, index(18));
        Grant {
            terms: Terms {
                client: ClientId::from_u64(client).expect("small"),
                ..grant.terms
            },
            ..grant
        }
    };
    assert!(
        tx.clients_let_in(org(1), None, 10)
            .await
            .expect("listed")
            .is_empty()
    );
    tx.insert_grant(&grant(6, 82)).await.expect("grant");
    tx.forget_index_of_grant(6).await;
    tx.insert_grant(&grant(7, 80)).await.expect("grant");
    tx.forget_index_of_grant(7).await;
    tx.insert_grant(&grant(8, 80)).await.expect("grant");
    assert_eq!(
        ids(tx.clients_let_in(org(1), None, 10).await.expect("listed")),
        [80, 82]
    );
    let after = ClientId::from_u64(80);
    assert_eq!(
        ids(tx.clients_let_in(org(1), after, 10).await.expect("listed")),
        [82]
    );
    assert_eq!(
        ids(tx.clients_let_in(org(1), None, 1).await.expect("listed")),
        [80]
    );
    assert!(
        tx.clients_let_in(org(2), None, 10)
            .await
            .expect("listed")
            .is_empty()
    );
}

impl Tx {
    /// Lets the next grant of a test carry the same index.
    async fn forget_index_of_grant(&mut self, grant: i64) {
        crate::store::rows_affected!(
            self,
            sqlx::query("DELETE FROM grant_indexes WHERE grant_id = $1").bind(grant)
        )
        .expect("deleted");
    }
}

pub(super) async fn invitations_that_wait_are_listed(store: Store) {
    let mut tx = people(&store).await;
    for number in 1..=4u8 {
        let invitation = Invitation {
            id: InvitationId::from_u64(number.into()).expect("small"),
            org: org(1),
            email: format!("{number}@example.com"),
            role: Role::Viewer,
            invited_by: user(2),
            created_at: later(number.into()),
            expires_at: later(HOUR),
            accepted_at: None,
            revoked_at: None,
        };
        tx.insert_invitation(&invitation, &[number; 32])
            .await
            .expect("added");
    }
    let third = InvitationId::from_u64(3).expect("small");
    assert!(tx.revoke_invitation(org(1), third, NOW).await.expect("revoked"));
    let list = async |tx: &mut Tx, whose, before, now| {
        let found = tx
            .pending_invitations(org(whose), before, 2, now)
            .await
            .expect("listed");
        found.iter().map(|one| one.id.get()).collect::<Vec<_>>()
    };
    assert_eq!(list(&mut tx, 1, None, NOW).await, [4, 2]);
    let second = InvitationId::from_u64(2).expect("small");
    assert_eq!(list(&mut tx, 1, Some((later(2), second)), NOW).await, [1]);
    assert_eq!(list(&mut tx, 1, None, later(HOUR)).await, [0; 0]);
    assert_eq!(list(&mut tx, 2, None, NOW).await, [0; 0]);
}
