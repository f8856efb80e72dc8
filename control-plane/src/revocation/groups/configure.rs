//! From the configuration to the database: groups that are new, admit others, or are gone. And what there is, for people.

use serde::Serialize;
use serde_json::json;
use shared::feed::State;
use shared::time::UnixMillis;

use super::super::frame::{self, append, next};
use super::super::{FeedError, incarnation, snapshot};
use super::{Owners, id_of, open};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::config::EdgeGroup;
use crate::signing;
use crate::store::Tx;
use crate::store::feed::FeedNo;
use crate::store::groups::Group;

/// Brings the groups of the database to those of the configuration, in one transaction with their audit rows: each that is new
/// or admits others goes on with a snapshot at the next seq, where all other feeds have a frame without entries. True if
/// something changed; wake the feed then.
pub async fn configure(app: &App) -> Result<bool, FeedError> {
    if !differs(app, &app.store.begin_read().await?.groups().await?) {
        return Ok(false);
    }
    let _one_at_a_time = app.feed.0.recovery.lock().await;
    let mut tx = app.store.begin().await?;
    frame::lock(&mut tx).await?;
    incarnation::check(&mut tx, &app.config).await?;
    let known = tx.groups().await?;
    if !differs(app, &known) {
        return Ok(false);
    }
    let now = app.clock.now();
    for gone in known.iter().filter(|group| is_gone(app, group)) {
        tx.remove_group(gone.feed, now).await?;
        record(&mut tx, app, "edge_group.remove", gone, now).await?;
    }
    let changed: Vec<&EdgeGroup> = app
        .config
        .edge_groups
        .iter()
        .filter(|group| !is_in_force(&known, group))
        .collect();
    if !changed.is_empty() {
        reopen(&mut tx, app, &known, &changed, now).await?;
    }
    tx.commit().await?;
    tracing::info!(changed = changed.len(), "edge groups are as configured");
    Ok(true)
}

async fn reopen(
    tx: &mut Tx,
    app: &App,
    known: &[Group],
    changed: &[&EdgeGroup],
    now: UnixMillis,
) -> Result<(), FeedError> {
    let full = snapshot::rebuild(tx, &app.keyring, FeedNo::ALL).await?;
    let owners = Owners::of(tx, full.state()).await?;
    let at = next(tx).await?;
    append(tx, &app.keyring, (FeedNo::ALL, at), Vec::new(), now).await?;
    for same in tx.groups().await?.iter().filter(|group| group.is_open()) {
        if !changed.iter().any(|group| group.name == same.name) {
            append(tx, &app.keyring, (same.feed, at), Vec::new(), now).await?;
        }
    }
    for new in changed {
        let before = known.iter().find(|group| group.name == new.name);
        let own = match before.filter(|group| group.version > 0) {
            Some(group) => snapshot::rebuild_last(tx, &app.keyring, group.feed).await?,
            None => State::default(),
        };
        let group = Group {
            feed: tx.insert_group(&new.name, now).await?,
            name: new.name.clone(),
            version: before.map_or(0, |group| group.version),
            removed: false,
            orgs: new.orgs.clone(),
            former: Vec::new(),
        };
        open(tx, app, (&group, own), (full.state(), &owners), at, now).await?;
        record(tx, app, "edge_group.change", &group, now).await?;
    }
    Ok(())
}

fn differs(app: &App, known: &[Group]) -> bool {
    let mut configured = app.config.edge_groups.iter();
    configured.any(|group| !is_in_force(known, group)) || known.iter().any(|group| is_gone(app, group))
}

fn is_in_force(known: &[Group], configured: &EdgeGroup) -> bool {
    let mut open = known.iter().filter(|group| group.is_open());
    open.any(|group| group.name == configured.name && group.orgs == configured.orgs)
}

fn is_gone(app: &App, group: &Group) -> bool {
    !group.removed
        && !app
            .config
            .edge_groups
            .iter()
            .any(|known| known.name == group.name)
}

async fn record(
    tx: &mut Tx,
    app: &App,
    action: &'static str,
    group: &Group,
    now: UnixMillis,
) -> Result<(), FeedError> {
    let event = Event {
        org: None,
        actor: &Actor::system(),
        action,
        target: group.name.clone(),
        detail: json!({ "orgs": group.orgs }),
    };
    Ok(audit::record(tx, &app.random, &event, now).await?)
}

/// A group as an operator sees it.
#[derive(Debug, Serialize)]
pub struct View {
    /// Its name; empty for the edges that admit every organisation.
    pub group: String,
    /// The id of its feed, which its edges pin.
    pub feed_id: String,
    /// Whom its edges admit; `None`: everyone.
    pub orgs: Option<Vec<String>>,
    /// Its edges.
    pub edges: Vec<String>,
    /// Where its feed ends; `None`: the server has not seen this configuration yet.
    pub epoch: Option<u64>,
    /// See `epoch`.
    pub seq: Option<u64>,
    /// Of the last frame, hexadecimal.
    pub digest: Option<String>,
}

/// The groups that are configured, those without one first.
pub async fn views(app: &App) -> Result<Vec<View>, FeedError> {
    let mut tx = app.store.begin_read().await?;
    let installation = signing::feed_id(&mut tx).await?;
    let known = tx.groups().await?;
    let configured = app.config.edge_groups.iter().map(Some);
    let mut views = Vec::new();
    for group in std::iter::once(None).chain(configured) {
        let name = group.map(|group| group.name.as_str());
        let feed = match group {
            None => Some(FeedNo::ALL),
            Some(group) => known
                .iter()
                .find(|known| known.is_open() && known.name == group.name)
                .map(|known| known.feed),
        };
        let head = match feed {
            Some(feed) => Some(frame::head_of(&mut tx, feed).await?),
            None => None,
        };
        let edges = app.config.edges.iter();
        views.push(View {
            group: name.unwrap_or_default().to_owned(),
            feed_id: id_of(installation, name).to_string(),
            orgs: group.map(|group| group.orgs.iter().map(ToString::to_string).collect()),
            edges: edges
                .filter(|edge| edge.group.as_deref() == name)
                .map(|edge| edge.name.clone())
                .collect(),
            epoch: head.map(|head| head.epoch),
            seq: head.map(|head| head.seq),
            digest: head.map(|head| hex::encode(head.digest)),
        });
    }
    Ok(views)
}
