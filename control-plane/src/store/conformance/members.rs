//! What administrators do to members.

use shared::id::GrantId;
use shared::time::UnixMillis;

use super::installation::index;
use super::{NOW, grants, key_id, org, people, revoked, sample, user};
use crate::store::keys::ApiKey;
use crate::store::members::{MemberFilter, MemberKind, MemberState};
use crate::store::orgs::{NewUser, Role};
use crate::store::{Store, Tx};

async fn join(tx: &mut Tx, number: u64, role: Role) {
    let email = format!("{number}@example.com");
    let new = NewUser {
        id: user(number),
        email: &email,
        name: "Somebody",
        password_hash: None,
    };
    tx.insert_user(&new, NOW).await.expect("user");
    tx.insert_membership(org(1), user(number), role, NOW)
        .await
        .expect("membership");
}

pub(super) async fn a_member_is_changed_by_one_of_two(store: Store) {
    let mut tx = people(&store).await;
    let member = (org(1), user(2));
    let before = tx.member(org(1), user(2)).await.expect("asked").expect("there");
    assert_eq!(
        (before.role, before.state, before.version, before.ceiling_version),
        (Role::Owner, MemberState::Active, 1, None)
    );
    tx.hold_org(org(1)).await.expect("held");
    let next = (Role::Viewer, MemberState::Suspended);
    let first = tx.change_member(member, next, 1, NOW).await.expect("changed");
    assert_eq!(first, Some(2));
    let second = tx.change_member(member, next, 1, NOW).await.expect("asked");
    assert_eq!(second, None, "the version has moved on");
    let after = tx.member(org(1), user(2)).await.expect("asked").expect("there");
    assert_eq!(
        (
            after.role,
            after.state,
            after.version,
            after.ceiling_version,
            after.changed_at
        ),
        (Role::Viewer, MemberState::Suspended, 2, Some(2), Some(NOW))
    );
    assert_eq!(tx.hold_membership(org(1), user(2)).await.expect("asked"), None);
    for (state, version) in [
        (MemberState::Deactivated, 2),
        (MemberState::Suspended, 3),
        (MemberState::Active, 4),
    ] {
        let next = (Role::Viewer, state);
        let changed = tx
            .change_member(member, next, version, NOW)
            .await
            .expect("changed");
        assert_eq!(changed, Some(version + 1));
        let shown = tx.member(org(1), user(2)).await.expect("asked").expect("there");
        assert_eq!(shown.state, state);
    }
    assert_eq!(tx.hold_membership(org(1), user(2)).await.expect("asked"), Some(5));
    assert_eq!(tx.member(org(1), user(9)).await.expect("asked"), None);
}

fn all() -> MemberFilter {
    MemberFilter {
        org: org(1),
        kind: MemberKind::Person,
        role: None,
        state: None,
        begins_with: String::new(),
        by_email: false,
        after: None,
        limit: 10,
    }
}

async fn listed(tx: &mut Tx, filter: MemberFilter) -> Vec<u64> {
    let members = tx.members(&filter).await.expect("listed");
    members.iter().map(|member| member.user.get()).collect()
}

async fn named(tx: &mut Tx, number: u64, name: &str) {
    let email = format!("{}{number}@example.com", name.to_lowercase().replace(' ', "."));
    let new = NewUser {
        id: user(number),
        email: &email,
        name,
        password_hash: None,
    };
    tx.insert_user(&new, NOW).await.expect("user");
    tx.insert_membership(org(1), user(number), Role::Viewer, NOW)
        .await
        .expect("membership");
}

pub(super) async fn members_are_listed_after_one_of_them(store: Store) {
    let mut tx = people(&store).await;
    let owner = tx.member(org(1), user(2)).await.expect("asked").expect("there");
    join(&mut tx, 5, Role::Owner).await;
    join(&mut tx, 4, Role::Viewer).await;
    named(&mut tx, 6, "Änne Ärger").await;
    named(&mut tx, 7, "anna Berg").await;
    named(&mut tx, 8, "Zoe").await;
    tx.insert_service_user(user(9), "Anna's robot", NOW)
        .await
        .expect("user");
    tx.insert_membership(org(1), user(9), Role::Member, NOW)
        .await
        .expect("membership");
    assert!(owner.search_name.as_str() < "b", "Ada or the like: {owner:?}");
    let everybody = listed(&mut tx, all()).await;
    assert_eq!(everybody.len(), 6, "people only: {everybody:?}");
    assert_eq!(everybody.last(), Some(&6), "letters beyond ASCII are behind");
    // Page by page, each name and id once.
    let mut seen = Vec::new();
    let mut filter = MemberFilter { limit: 2, ..all() };
    loop {
        let page = tx.members(&filter).await.expect("listed");
        let Some(last) = page.last() else { break };
        filter.after = Some((last.search_name.clone(), last.user));
        seen.extend(page.iter().map(|member| member.user.get()));
    }
    assert_eq!(seen, everybody);
    // Searched by the beginning of a name or an address.
    let search = |text: &str, by_email| MemberFilter {
        begins_with: text.to_owned(),
        by_email,
        ..all()
    };
    assert_eq!(listed(&mut tx, search("anna", false)).await, [7]);
    assert_eq!(listed(&mut tx, search("änne", false)).await, [6]);
    assert_eq!(listed(&mut tx, search("some", false)).await, [4, 5]);
    assert_eq!(listed(&mut tx, search("zoe8@", true)).await, [8]);
    assert_eq!(listed(&mut tx, search("zoe@", true)).await, [0; 0]);
    // Of a role, in a state, of a kind.
    let role = |role| MemberFilter {
        role: Some(role),
        ..all()
    };
    assert_eq!(listed(&mut tx, role(Role::Viewer)).await, [7, 4, 8, 6]);
    let next = (Role::Viewer, MemberState::Suspended);
    let changed = tx.change_member((org(1), user(8)), next, 1, NOW).await;
    assert!(changed.expect("changed").is_some());
    let state = |state| MemberFilter {
        state: Some(state),
        ..all()
    };
    assert_eq!(listed(&mut tx, state(MemberState::Suspended)).await, [8]);
    assert_eq!(listed(&mut tx, state(MemberState::Deactivated)).await, [0; 0]);
    assert_eq!(listed(&mut tx, state(MemberState::Active)).await.len(), 5);
    let both = MemberFilter {
        role: Some(Role::Viewer),
        ..state(MemberState::Active)
    };
    assert_eq!(listed(&mut tx, both).await, [7, 4, 6]);
    let by_address = MemberFilter {
        state: Some(MemberState::Suspended),
        role: Some(Role::Viewer),
        ..search("zoe", true)
    };
    assert_eq!(listed(&mut tx, by_address).await, [8]);
    let programs = MemberFilter {
        kind: MemberKind::Service,
        ..all()
    };
    assert_eq!(listed(&mut tx, programs.clone()).await, [9]);
    assert!(tx.rename_service_user(user(9), "Zebra").await.expect("renamed"));
    assert!(
        !tx.rename_service_user(user(8), "Zebra").await.expect("asked"),
        "a person"
    );
    let zebra = MemberFilter {
        begins_with: "zeb".to_owned(),
        ..programs
    };
    assert_eq!(listed(&mut tx, zebra).await, [9]);
    assert!(tx.has_other_owner(org(1), user(2)).await.expect("asked"));
    let next = (Role::Owner, MemberState::Suspended);
    let changed = tx.change_member((org(1), user(5)), next, 1, NOW).await;
    assert!(changed.expect("changed").is_some());
    assert!(
        !tx.has_other_owner(org(1), user(2)).await.expect("asked"),
        "active ones only"
    );
}

pub(super) async fn everything_of_a_member_ends_and_nothing_of_others(store: Store) {
    // Grant 5 with index 17 is user 2's.
    grants::prepare(&store).await;
    let mut tx = store.begin().await.expect("tx");
    join(&mut tx, 4, Role::Member).await;
    tx.insert_key(&sample(7)).await.expect("key");
    tx.insert_key(&sample(8)).await.expect("key");
    assert!(tx.revoke_key(key_id(8), &revoked(1)).await.expect("revoked"));
    let theirs = ApiKey {
        user: user(4),
        ..sample(9)
    };
    tx.insert_key(&theirs).await.expect("key");
    let later = UnixMillis(NOW.0 + 1);
    assert_eq!(
        tx.hold_keys_of_member(org(1), user(2)).await.expect("held"),
        [index(7)]
    );
    let none = tx
        .end_grants_of_member(org(1), user(4), later)
        .await
        .expect("asked");
    assert_eq!(none, (0, Vec::new()));
    let ended = tx
        .end_grants_of_member(org(1), user(2), later)
        .await
        .expect("ended");
    assert_eq!(ended, (1, vec![index(17)]));
    let again = tx
        .end_grants_of_member(org(1), user(2), later)
        .await
        .expect("asked");
    assert_eq!(again, (0, Vec::new()));
    assert_eq!(tx.index_is_live(index(17)).await.expect("asked"), Some(false));
    assert_eq!(tx.index_is_live(index(18)).await.expect("asked"), Some(true));
    let grant = GrantId::from_u64(5).expect("small");
    let grant = tx.grant(grant).await.expect("asked").expect("there");
    assert_eq!(grant.revoked_at, Some(later));
    let keys = tx.revoke_keys_of_member(org(1), user(2), &revoked(2)).await;
    assert_eq!(keys.expect("revoked"), 1);
    for (number, outbox) in [(7, Some(2)), (8, Some(1)), (9, None)] {
        let key = tx.key(key_id(number)).await.expect("asked").expect("there");
        assert_eq!(key.revoked.map(|revoked| revoked.outbox), outbox, "{number}");
    }
    assert_eq!(
        tx.end_sessions_of_member(org(1), user(2), later)
            .await
            .expect("ended"),
        0
    );
}

pub(super) async fn an_edges_ceiling_counts_unless_it_is_older(store: Store) {
    let mut tx = people(&store).await;
    let member = (org(1), user(2));
    let restrict = async |tx: &mut Tx, role, suspended, version| {
        tx.restrict_member(member, role, suspended, version)
            .await
            .expect("asked")
    };
    assert_eq!(restrict(&mut tx, Role::Viewer, None, 5).await, 1);
    let shown = tx.member(org(1), user(2)).await.expect("asked").expect("there");
    assert_eq!(
        (shown.role, shown.state, shown.version),
        (Role::Viewer, MemberState::Active, 5)
    );
    assert_eq!(
        restrict(&mut tx, Role::Viewer, Some(NOW), 4).await,
        0,
        "ours is newer"
    );
    assert_eq!(restrict(&mut tx, Role::Viewer, Some(NOW), 6).await, 1);
    assert_eq!(restrict(&mut tx, Role::Viewer, None, 7).await, 1);
    let shown = tx.member(org(1), user(2)).await.expect("asked").expect("there");
    assert_eq!(
        (shown.state, shown.version),
        (MemberState::Suspended, 7),
        "nothing is loosened"
    );
}
