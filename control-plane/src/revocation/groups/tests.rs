//! Two organisations, an edge that admits both and one that admits the second only.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::http::Method;
use serde_json::{Value, json};
use shared::feed::{Entry, EnvelopeType, Frame, Replica, Snapshot, State, Subject, Trust};
use shared::feed::{Envelope, split_message};
use shared::id::{KeyId, OrgId, StatusIndex, UserId, WorkspaceId};
use shared::time::UnixSeconds;

use super::{configure, id_of};
use crate::app::App;
use crate::audit::Actor;
use crate::config::EdgeGroup;
use crate::revocation::link::{Link, Step};
use crate::revocation::tests::{Hub, beside, key, publish, revoke};
use crate::revocation::{
    self, Reach, Wait, announce_root, await_receipt, enqueue, frame_pending, recover, replace_root, snapshot,
};
use crate::signing;
use crate::store::Store;
use crate::store::feed::FeedNo;
use crate::store::orgs::{NewUser, Role};
use crate::store::test_postgres::TestPostgres;
use crate::testing::TestApp;

fn org(number: u64) -> OrgId {
    OrgId::from_u64(number).expect("small")
}

fn group(orgs: impl IntoIterator<Item = OrgId>) -> EdgeGroup {
    EdgeGroup {
        name: "acme".to_owned(),
        orgs: orgs.into_iter().collect(),
    }
}

/// The second organisation.
const ACME: u64 = 500;

struct Pair {
    test: TestApp,
    /// The same database, with the configuration that names the edges.
    app: Arc<App>,
    everyone: Hub,
    acme: Hub,
    /// An administrator's key of the second organisation.
    their_key: (StatusIndex, String),
}

impl Pair {
    async fn start(store: Option<Store>) -> Self {
        let (everyone, acme) = (Hub::start().await, Hub::start().await);
        let edges = vec![everyone.edge("hub"), acme.edge("onprem").in_group("acme")];
        let test = TestApp::start_on(store, |config| {
            config.edges = edges;
            config.edge_groups = vec![group([org(ACME)])];
            config.feed.colo_ttl_ms = 0;
        })
        .await;
        let now = test.clock.now();
        let mut tx = test.app.store.begin().await.expect("tx");
        tx.insert_org(org(ACME), "Acme", now.saturating_add(1))
            .await
            .expect("org");
        let user = NewUser {
            id: UserId::from_u64(501).expect("small"),
            email: "eve@acme.example",
            name: "Eve",
            password_hash: None,
        };
        tx.insert_user(&user, now).await.expect("user");
        tx.insert_membership(org(ACME), user.id, Role::Owner, now)
            .await
            .expect("membership");
        tx.insert_workspace(WorkspaceId::from_u64(502).expect("small"), org(ACME), "w", now)
            .await
            .expect("workspace");
        tx.commit().await.expect("commit");
        let made = crate::revocations::local::admin_key(&test.app, Some(org(ACME)))
            .await
            .expect("a key");
        let id: KeyId = made["admin_key_id"]
            .as_str()
            .expect("an id")
            .parse()
            .expect("an id");
        let text = made["admin_key"].as_str().expect("a key").to_owned();
        let app = Arc::clone(&test.app);
        let pair = Self {
            test,
            app,
            everyone,
            acme,
            their_key: (id.into(), text),
        };
        pair.everyone.trust(&pair.app).await;
        pair.trust_group().await;
        pair
    }

    /// As an operator does: what `feed trust --group acme` prints.
    async fn trust_group(&self) {
        let mut tx = self.app.store.begin().await.expect("tx");
        let lines = revocation::trust(&mut tx, &self.app.keyring, Some("acme"))
            .await
            .expect("trust");
        let root = revocation::pinned(&mut tx, &self.app.keyring, FeedNo::ALL)
            .await
            .expect("root")
            .root;
        let trust = Trust::new(lines.feed_id.parse().expect("an id"), root);
        self.acme.with(|shelf| shelf.replica = Some(Replica::new(trust)));
    }

    fn links(&self) -> (Link, Link) {
        let edge = |at: usize| Link::new(self.app.config.edges.get(at).expect("an edge").clone());
        (edge(0), edge(1))
    }

    async fn publish(&self, (everyone, acme): &mut (Link, Link)) {
        configure(&self.app).await.expect("configured");
        publish(&self.app, everyone).await;
        publish(&self.app, acme).await;
    }

    /// The same database, with a group that admits others.
    async fn regroup(&mut self, orgs: impl IntoIterator<Item = OrgId>) {
        let groups = vec![group(orgs)];
        self.app = beside(&self.test, |config| config.edge_groups = groups)
            .await
            .expect("an application");
    }

    async fn revoke_theirs(&self) {
        let path = format!("/v1/auth/keys/{}?wait=none", KeyId::from(self.their_key.0));
        let answer = self
            .test
            .call(Method::DELETE, &path, &self.their_key.1, None)
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
}

fn state(hub: &Hub) -> State {
    hub.with(|shelf| shelf.replica.as_ref().expect("trust").state().clone())
}

/// Everything that ever went to an edge, decoded: entries of frames and of snapshots.
fn said_to(hub: &Hub) -> Vec<Entry> {
    let messages = hub.with(|shelf| shelf.seen.clone());
    let mut entries = Vec::new();
    for message in messages {
        for envelope in split_message(&message).expect("a message") {
            let envelope = Envelope::decode(envelope).expect("an envelope");
            match envelope.kind {
                EnvelopeType::Frame => entries.extend(Frame::decode(envelope.body).expect("a frame").entries),
                EnvelopeType::Snapshot => {
                    entries.extend(
                        Snapshot::decode(envelope.body)
                            .expect("a snapshot")
                            .state
                            .entries(),
                    );
                }
                _ => {}
            }
        }
    }
    entries
}

fn names(receipt: &Value, what: &str) -> Vec<String> {
    serde_json::from_value(receipt[what].clone()).expect("names")
}

/// Restrictions of everyone and of both organisations, by what the edges know them as.
async fn restrict_everyone(pair: &Pair) {
    let now = pair.test.clock.now();
    let mut tx = pair.app.store.begin().await.expect("tx");
    let (first, theirs) = (pair.test.made.org, org(ACME));
    let at = UnixSeconds(9);
    for of in [first, theirs] {
        for subject in [
            Subject::Member(of, UserId::from_u64(7).expect("small")),
            Subject::Org(of),
            Subject::WorkspaceMember(
                of,
                UserId::from_u64(7).expect("small"),
                WorkspaceId::from_u64(8).expect("small"),
            ),
        ] {
            let entry = Entry::NotBefore(subject, at);
            enqueue(&mut tx, &of.into(), "test", &entry, now)
                .await
                .expect("row");
        }
    }
    let theirs_alone = Entry::NotBefore(Subject::Workspace(WorkspaceId::from_u64(502).expect("small")), at);
    enqueue(&mut tx, &theirs.into(), "test", &theirs_alone, now)
        .await
        .expect("row");
    let ours_alone = Entry::NotBefore(Subject::Session("ses_ours".to_owned()), at);
    enqueue(&mut tx, &first.into(), "test", &ours_alone, now)
        .await
        .expect("row");
    let both = Entry::NotBefore(Subject::Client("https://app.example/".to_owned()), at);
    enqueue(&mut tx, &Reach::All, "test", &both, now)
        .await
        .expect("row");
    let nobodys = Entry::revoked(StatusIndex::from_u64(77).expect("small"));
    enqueue(&mut tx, &Reach::All, "test", &nobodys, now)
        .await
        .expect("row");
    tx.commit().await.expect("commit");
}

/// Nothing of the first organisation, and all of what is its own and everyone's.
fn holds_only_theirs(pair: &Pair, ours: &[StatusIndex], entries: &[Entry]) {
    let first = pair.test.made.org;
    let is_first = |subject: &Subject| match subject {
        Subject::Org(of) | Subject::Member(of, _) | Subject::WorkspaceMember(of, ..) => *of == first,
        Subject::Session(sid) => sid == "ses_ours",
        Subject::Index(index) => ours.contains(index),
        Subject::Workspace(workspace) => *workspace == pair.test.made.workspace,
        Subject::Client(_) | Subject::Issuer(_) | Subject::Foreign(..) => false,
    };
    for entry in entries {
        let is_theirs = match entry {
            Entry::Revoked(ranges) => ours
                .iter()
                .any(|index| ranges.iter().any(|(a, b)| a <= index && index <= b)),
            Entry::NotBefore(subject, _) | Entry::Ceiling { subject, .. } => is_first(subject),
            Entry::NotAfter(expiry) => ours.contains(&expiry.index),
            Entry::Admitted { orgs, .. } => orgs.contains(&first),
            Entry::Issuer(issuer) => issuer.org == first,
            _ => false,
        };
        assert!(!is_theirs, "{entry:?}");
    }
}

/// One test on each engine.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() { super::$name(None).await; })*
        }
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn postgres() {
            let Some(server) = TestPostgres::start_or_skip() else { return };
            $(
                println!(concat!("postgres: ", stringify!($name)));
                let store = server.database(concat!("groups_", stringify!($name))).await;
                Box::pin($name(Some(store))).await;
            )*
        }
    };
}

on_both! {
    a_group_is_told_of_its_own_alone,
    two_instances_make_one_sequence_of_each_feed,
    an_organisation_joins_and_leaves,
}

async fn a_group_is_told_of_its_own_alone(store: Option<Store>) {
    let pair = Pair::start(store).await;
    let mut links = pair.links();
    // Some of it before the group's feed begins, some after.
    let ours = [key(&pair.test).await, key(&pair.test).await];
    revoke(&pair.test, ours[0], "none").await;
    restrict_everyone(&pair).await;
    while frame_pending(&pair.app.store, &pair.app.keyring, pair.test.clock.now())
        .await
        .expect("framed")
        .is_some()
    {}
    pair.publish(&mut links).await;
    revoke(&pair.test, ours[1], "none").await;
    restrict_everyone(&pair).await;
    pair.revoke_theirs().await;
    pair.publish(&mut links).await;

    holds_only_theirs(&pair, &ours, &said_to(&pair.acme));
    let (all, theirs) = (state(&pair.everyone), state(&pair.acme));
    assert!(theirs.admits_org(org(ACME)) && !theirs.admits_org(pair.test.made.org));
    assert!(all.admits_org(pair.test.made.org) && all.admitted().is_none());
    for index in ours {
        assert!(all.is_revoked(index) && !theirs.is_revoked(index));
        assert_eq!(all.owner(index), theirs.owner(index), "blocks are everyone's");
    }
    for index in [pair.their_key.0, StatusIndex::from_u64(77).expect("small")] {
        assert!(all.is_revoked(index) && theirs.is_revoked(index), "{index:?}");
    }
    let user = UserId::from_u64(7).expect("small");
    for subject in [
        Subject::Org(org(ACME)),
        Subject::Member(org(ACME), user),
        Subject::Workspace(WorkspaceId::from_u64(502).expect("small")),
        Subject::Client("https://app.example/".to_owned()),
    ] {
        assert!(theirs.not_before(&subject).is_some(), "{subject:?}");
    }
    assert_eq!(all.keys().count(), theirs.keys().count());
    assert!(theirs.policy().is_none() == all.policy().is_none());
    // One numbering.
    assert_eq!(pair.everyone.position(), pair.acme.position());

    // A fresh edge gets the same from the snapshot.
    let before = state(&pair.acme);
    let feed = FeedNo(1);
    snapshot::make(&pair.app.store, &pair.app.keyring, feed, pair.test.clock.now())
        .await
        .expect("made");
    pair.acme.with(|shelf| shelf.seen.clear());
    pair.trust_group().await;
    let mut links = pair.links();
    pair.publish(&mut links).await;
    assert_eq!(state(&pair.acme).digest(), before.digest());
    holds_only_theirs(&pair, &ours, &said_to(&pair.acme));
}

async fn two_instances_make_one_sequence_of_each_feed(store: Option<Store>) {
    let pair = Pair::start(store).await;
    let other = beside(&pair.test, |_| {}).await.expect("another instance");
    let both = [Arc::clone(&pair.app), other];
    let made = both
        .clone()
        .map(|app| tokio::spawn(async move { configure(&app).await }));
    let mut changed = 0;
    for made in made {
        changed += u32::from(made.await.expect("no panic").expect("configured"));
    }
    assert_eq!(changed, 1, "one of them opened the feed");
    for _ in 0..5 {
        restrict_everyone(&pair).await;
        let framing = both.clone().map(|app| {
            tokio::spawn(async move {
                for _ in 0..8 {
                    frame_pending(&app.store, &app.keyring, app.clock.now())
                        .await
                        .expect("framed");
                }
            })
        });
        for framing in framing {
            framing.await.expect("no panic");
        }
    }
    let mut tx = pair.app.store.begin_read().await.expect("tx");
    let ends = [FeedNo::ALL, FeedNo(1)];
    let mut heads = Vec::new();
    for feed in ends {
        let replica = snapshot::rebuild(&mut tx, &pair.app.keyring, feed)
            .await
            .expect("a chain");
        heads.push(replica.head().map(crate::revocation::frame::position));
    }
    assert_eq!(heads[0], heads[1]);
    assert_eq!(tx.pending_count().await.expect("count"), 0);
    drop(tx);
    let mut links = pair.links();
    pair.publish(&mut links).await;
    assert_eq!(pair.everyone.position(), pair.acme.position());
}

async fn an_organisation_joins_and_leaves(store: Option<Store>) {
    let mut pair = Pair::start(store).await;
    let mut links = pair.links();
    let first = pair.test.made.org;
    let ours = [
        key(&pair.test).await,
        key(&pair.test).await,
        key(&pair.test).await,
    ];
    revoke(&pair.test, ours[0], "none").await;
    pair.publish(&mut links).await;
    assert!(!state(&pair.acme).is_revoked(ours[0]));

    // It joins: what restricts it comes with the list, not after it.
    pair.regroup([org(ACME), first]).await;
    let mut before = pair.acme.position().expect("a head");
    configure(&pair.app).await.expect("configured");
    while state(&pair.acme).admitted().expect("a list").1.len() < 2 {
        assert!(!state(&pair.acme).is_revoked(ours[0]));
        links.1.contact(&pair.app).await.expect("a contact");
    }
    assert!(state(&pair.acme).is_revoked(ours[0]));
    let after = pair.acme.position().expect("a head");
    assert!(
        after > before && after.epoch == before.epoch,
        "no new epoch for it"
    );
    before = after;
    revoke(&pair.test, ours[1], "none").await;
    pair.publish(&mut links).await;
    assert!(state(&pair.acme).is_revoked(ours[1]));
    assert!(pair.acme.position().expect("a head") > before);

    // It leaves: refused from then on, told of no more; nothing is undone.
    pair.regroup([org(ACME)]).await;
    configure(&pair.app).await.expect("configured");
    revoke(&pair.test, ours[2], "none").await;
    while frame_pending(&pair.app.store, &pair.app.keyring, pair.test.clock.now())
        .await
        .expect("framed")
        .is_some()
    {}
    publish(&pair.app, &mut links.0).await;
    // Until its edge has taken that, receipts wait for it: it still admits the key.
    let look = async |app: &App| {
        let subject = KeyId::from(ours[2]).to_string();
        serde_json::to_value(await_receipt(app, &subject, Wait::None).await.expect("a receipt"))
            .expect("JSON")
    };
    let receipt = look(&pair.app).await;
    assert_eq!(names(&receipt, "pending"), ["onprem"], "{receipt}");
    publish(&pair.app, &mut links.1).await;
    let receipt = look(&pair.app).await;
    assert_eq!(
        (names(&receipt, "acknowledged"), names(&receipt, "pending")),
        (vec!["hub".to_owned()], vec![])
    );
    let theirs = state(&pair.acme);
    assert!(!theirs.admits_org(first) && !theirs.is_revoked(ours[2]));
    assert!(theirs.is_revoked(ours[0]) && theirs.is_revoked(ours[1]));
    // Nothing to do is nothing done.
    assert!(!configure(&pair.app).await.expect("configured"));
}

#[tokio::test]
async fn a_receipt_names_the_edges_concerned() {
    let pair = Pair::start(None).await;
    let mut links = pair.links();
    pair.publish(&mut links).await;
    let ours = key(&pair.test).await;
    // Theirs is not reachable: ours does not wait for it, and neither do our keys when their blocks are new.
    pair.acme.with(|shelf| shelf.mute = true);
    let mut tx = pair.app.store.begin().await.expect("tx");
    tx.close_index_blocks(None, pair.test.clock.now())
        .await
        .expect("closed");
    signing::ensure_blocks(&mut tx, pair.test.clock.now())
        .await
        .expect("blocks");
    tx.commit().await.expect("commit");
    while frame_pending(&pair.app.store, &pair.app.keyring, pair.test.clock.now())
        .await
        .expect("framed")
        .is_some()
    {}
    publish(&pair.app, &mut links.0).await;
    key(&pair.test).await;
    let body = json!({"name": "k", "scope": "read", "workspace": "all", "environment": "live"});
    let refused = pair
        .test
        .call(Method::POST, "/v1/auth/keys", &pair.their_key.1, Some(body))
        .await;
    assert_eq!(
        refused.status, 503,
        "their edge does not know the block: {refused:?}"
    );
    revoke(&pair.test, ours, "none").await;
    publish(&pair.app, &mut links.0).await;
    let subject = KeyId::from(ours).to_string();
    let receipt = await_receipt(&pair.app, &subject, Wait::Ack)
        .await
        .expect("a receipt");
    assert_eq!(
        (receipt.acknowledged, receipt.pending),
        (vec!["hub".to_owned()], vec![])
    );
    assert!(receipt.effective_at.is_some());
    // A revocation of theirs does.
    pair.revoke_theirs().await;
    publish(&pair.app, &mut links.0).await;
    let subject = KeyId::from(pair.their_key.0).to_string();
    let receipt = await_receipt(&pair.app, &subject, Wait::None)
        .await
        .expect("a receipt");
    assert_eq!(
        (receipt.acknowledged, receipt.pending),
        (vec!["hub".to_owned()], vec!["onprem".to_owned()])
    );
    pair.acme.with(|shelf| shelf.mute = false);
    publish(&pair.app, &mut links.1).await;
    let receipt = await_receipt(&pair.app, &subject, Wait::Ack)
        .await
        .expect("a receipt");
    assert_eq!(receipt.acknowledged, ["hub", "onprem"]);
}

#[tokio::test]
async fn an_edge_of_a_group_revokes_only_what_is_theirs() {
    let pair = Pair::start(None).await;
    let mut links = pair.links();
    pair.publish(&mut links).await;
    let ours = key(&pair.test).await;
    let theirs = pair.their_key.0;
    pair.acme.with(|shelf| {
        shelf.regions = vec![crate::revocation::tests::Region::awake("weur")];
        shelf.local = vec![ours.get(), theirs.get()];
    });
    links.1.contact(&pair.app).await.expect("a contact");
    let mut tx = pair.app.store.begin_read().await.expect("tx");
    let is_revoked = async |tx: &mut crate::store::Tx, index: StatusIndex| {
        tx.key(index.into())
            .await
            .expect("asked")
            .expect("there")
            .revoked
            .is_some()
    };
    assert!(!is_revoked(&mut tx, ours).await, "another organisation's");
    assert!(is_revoked(&mut tx, theirs).await);
}

#[tokio::test]
async fn every_new_epoch_is_one_of_each_feed() {
    let pair = Pair::start(None).await;
    let mut links = pair.links();
    let ours = key(&pair.test).await;
    pair.publish(&mut links).await;
    revoke(&pair.test, ours, "none").await;
    pair.revoke_theirs().await;
    pair.publish(&mut links).await;
    let actor = Actor::command_line();
    recover(&pair.app, &actor).await.expect("recovered");
    pair.publish(&mut links).await;
    announce_root(&pair.app, &actor).await.expect("announced");
    replace_root(&pair.app, true, &actor).await.expect("replaced");
    // Edges that pin the new root begin anew.
    pair.everyone.trust(&pair.app).await;
    pair.trust_group().await;
    let mut links = pair.links();
    pair.publish(&mut links).await;
    let theirs = state(&pair.acme);
    assert_eq!(pair.acme.position().map(|at| at.epoch), Some(3));
    assert_eq!(pair.everyone.position(), pair.acme.position());
    assert!(theirs.is_revoked(pair.their_key.0) && !theirs.is_revoked(ours));
    assert_eq!(
        theirs.admitted().expect("a list"),
        (1, &BTreeSet::from([org(ACME)]))
    );
    let later = key(&pair.test).await;
    assert!(
        theirs.owner(later).is_some(),
        "with keys that the new root vouches for"
    );
}

/// The edge of a group knows more than a restored database: its restrictions come back, for all.
#[tokio::test]
async fn what_the_edge_of_a_group_knows_is_taken_over() {
    let pair = Pair::start(None).await;
    let mut links = pair.links();
    let ours = key(&pair.test).await;
    pair.publish(&mut links).await;
    let folder = tempfile::tempdir().expect("a folder");
    let old = folder.path().join("old.db");
    crate::revocation::tests::backup(&pair.test, &old).await;
    pair.revoke_theirs().await;
    revoke(&pair.test, ours, "none").await;
    let lost = key(&pair.test).await;
    pair.publish(&mut links).await;
    pair.test.app.store.close().await;

    let app = crate::revocation::tests::reopen(&pair.test, &old).await;
    let pair = Pair { app, ..pair };
    let mut links = pair.links();
    configure(&pair.app).await.expect("configured");
    // Theirs first: the other one is not there.
    publish(&pair.app, &mut links.1).await;
    let theirs = state(&pair.acme);
    assert!(theirs.is_revoked(pair.their_key.0) && theirs.is_revoked(lost));
    assert!(!theirs.is_revoked(ours) && theirs.admits_org(org(ACME)));
    let mut tx = pair.app.store.begin_read().await.expect("tx");
    let row = tx
        .key(pair.their_key.0.into())
        .await
        .expect("asked")
        .expect("there");
    assert!(row.revoked.is_some());
    drop(tx);
    // Then the other one, which knows of a revocation that the group was never told.
    pair.publish(&mut links).await;
    pair.publish(&mut links).await;
    let all = state(&pair.everyone);
    assert!(all.is_revoked(ours) && all.is_revoked(pair.their_key.0) && all.is_revoked(lost));
    assert!(all.admitted().is_none());
    let theirs = state(&pair.acme);
    assert!(!theirs.is_revoked(ours), "not theirs, and known to be");
    assert_eq!(pair.everyone.position(), pair.acme.position());
}

/// Whoever runs the edge of a group cannot make us take over what our keys did not sign.
#[tokio::test]
async fn a_claimed_head_takes_nothing_over() {
    let pair = Pair::start(None).await;
    let mut links = pair.links();
    pair.publish(&mut links).await;
    let epoch = pair.acme.position().expect("a head").epoch;
    pair.acme.with(|shelf| {
        let head = shelf.replica.as_ref().expect("trust").head().expect("a head");
        shelf.claimed = Some(shared::feed::Head {
            seq: head.seq + 5,
            digest: [9; 32],
            ..head
        });
    });
    for _ in 0..6 {
        // Whatever it answers.
        let _ = links.1.contact(&pair.app).await;
    }
    let mut tx = pair.app.store.begin_read().await.expect("tx");
    let head = revocation::frame::head(&mut tx).await.expect("a head");
    assert_eq!(head.epoch, epoch);
}

#[tokio::test]
async fn a_group_that_comes_back_goes_on_with_what_it_knew() {
    let pair = Pair::start(None).await;
    let mut links = pair.links();
    pair.publish(&mut links).await;
    pair.revoke_theirs().await;
    pair.publish(&mut links).await;
    let without = beside(&pair.test, |config| {
        config.edge_groups.clear();
        config.edges.truncate(1);
    })
    .await
    .expect("an application");
    assert!(configure(&without).await.expect("configured"));
    let ours = key(&pair.test).await;
    revoke(&pair.test, ours, "none").await;
    recover(&without, &Actor::command_line())
        .await
        .expect("recovered");
    publish(&without, &mut links.0).await;
    assert!(matches!(
        links.1.contact(&pair.app).await,
        Err(revocation::FeedError::NoGroup(_))
    ));
    // Back, with an edge that was there all the time.
    let mut links = pair.links();
    pair.publish(&mut links).await;
    let theirs = state(&pair.acme);
    assert!(theirs.is_revoked(pair.their_key.0) && !theirs.is_revoked(ours));
    assert_eq!(
        links.1.contact(&pair.app).await.expect("a contact"),
        Step::UpToDate
    );
}

#[tokio::test]
async fn a_group_has_an_id_of_its_own_that_a_restore_does_not_change() {
    let test = TestApp::start().await;
    let mut tx = test.app.store.begin().await.expect("tx");
    let installation = signing::feed_id(&mut tx).await.expect("an id");
    assert_eq!(id_of(installation, None), installation);
    let ids: BTreeSet<_> = [None, Some("a"), Some("b"), Some("")]
        .map(|name| id_of(installation, name))
        .into();
    assert_eq!(ids.len(), 4);
    assert_eq!(id_of(installation, Some("a")), id_of(installation, Some("a")));
}

#[tokio::test]
async fn a_session_concerns_every_organisation_of_its_person() {
    let pair = Pair::start(None).await;
    let now = pair.test.clock.now();
    let mut tx = pair.app.store.begin().await.expect("tx");
    let (first, user) = (pair.test.made.org, pair.test.made.user);
    tx.insert_membership(org(ACME), user, Role::Viewer, now)
        .await
        .expect("membership");
    let row = crate::testing::session(&pair.test, 5, (first, user));
    tx.insert_session(&row).await.expect("session");
    let reach = Reach::of_session(&mut tx, &row.sid.to_string())
        .await
        .expect("asked");
    assert_eq!(reach, Reach::from(first).and(org(ACME).into()));
    let nobodys = Reach::of_session(&mut tx, "ses_000000009").await.expect("asked");
    assert_eq!(nobodys, Reach::All);
}

/// An administrator sees the edges that admit their organisation; the operator sees all.
#[tokio::test]
async fn edges_of_others_are_not_shown() {
    let pair = Pair::start(None).await;
    let mut links = pair.links();
    pair.publish(&mut links).await;
    let edges = |status: &Value| -> Vec<String> {
        let list = status["edges"].as_array().expect("edges");
        list.iter()
            .map(|edge| edge["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    let all = pair.test.admin(Method::GET, "/v1/edge/status", None).await.body;
    assert_eq!(edges(&all), ["hub", "onprem"]);
    assert_eq!(all["edges"][1]["group"], "acme");
    let path = "/v1/edge/status";
    let theirs = pair
        .test
        .call(Method::GET, path, &pair.their_key.1, None)
        .await
        .body;
    assert_eq!(edges(&theirs), ["hub", "onprem"]);
    let stranger = crate::edge::status::status(&pair.app, crate::edge::status::Viewer::Of(org(600)))
        .await
        .expect("a status");
    assert_eq!(edges(&json!(stranger)), ["hub"]);
}
