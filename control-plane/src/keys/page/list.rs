//! The list of keys. A search is by how the name begins, and in the order of the names; without one, the newest come first.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use shared::id::{KeyId, WorkspaceId};
use shared::key::Environment;

use super::{Line, Side};
use crate::app::App;
use crate::dashboard::{PageQuery, Shell, Visit, link, refused};
use crate::keys;
use crate::sessions::Instead;
use crate::store::key_lists::{KeyFilter, Place};
use crate::store::keys::{ApiKey, KeyStatus};
use crate::usage::uses;

const PAGE: u32 = 25;
/// Workspaces in the filter's menu.
pub(super) const WORKSPACES: u32 = 200;
const MAX_SEARCH: usize = 100;

/// What a list is filtered by.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Query {
    #[serde(default)]
    q: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    environment: String,
    #[serde(default)]
    workspace: String,
    /// The last key that was looked at.
    #[serde(default)]
    after: String,
}

#[derive(Template)]
#[template(path = "dashboard/keys.html")]
struct KeysPage {
    shell: Shell,
    base: &'static str,
    title: &'static str,
    is_mine: bool,
    may_manage: bool,
    first_key: String,
    keys: Vec<Line>,
    query: Query,
    statuses: [(&'static str, &'static str); 4],
    environments: Vec<String>,
    workspaces: Vec<(String, String)>,
    is_filtered: bool,
    first: String,
    next: String,
}

/// `GET /dashboard/keys`.
pub async fn get(
    State(app): State<Arc<App>>,
    side: Side,
    visit: Visit,
    PageQuery(query): PageQuery<Query>,
) -> Result<Response, Instead> {
    let now = app.clock.now().seconds();
    let filter = filter(&app, (&visit, side), &query).await?;
    let page = keys::list(&app, &filter).await.map_err(refused)?;
    let workspaces = workspaces(&app, &visit).await?;
    let users: Vec<_> = page.keys.iter().map(|key| key.user).collect();
    let emails = app
        .store
        .begin_read()
        .await?
        .emails_of(visit.caller.org, &users)
        .await?;
    let uses = uses::of_keys(&app, visit.caller.org, page.keys.iter().map(|key| key.id)).await?;
    let lines = page.keys.iter().map(|key| {
        let mut line = Line::new(&app, key, emails.get(&key.user), &workspaces, now);
        if let Some(one) = uses.get(&line.id) {
            line.last_used = one.last_used.map(Into::into);
            line.requests = one.requests;
        }
        line
    });
    let mut parameters = vec![
        ("q", query.q.as_str()),
        ("status", query.status.as_str()),
        ("environment", query.environment.as_str()),
        ("workspace", query.workspace.as_str()),
    ];
    let first = if query.after.is_empty() {
        String::new()
    } else {
        link(side.base(), &parameters)
    };
    let last = page.next.as_ref().map(|place| match place {
        Place::Made(_, id) | Place::Named(_, id) => id.to_string(),
    });
    let next = match &last {
        Some(last) => {
            parameters.push(("after", last));
            link(side.base(), &parameters)
        }
        None => String::new(),
    };
    let is_filtered = ![
        &query.q,
        &query.status,
        &query.environment,
        &query.workspace,
        &query.after,
    ]
    .into_iter()
    .all(String::is_empty);
    Ok(visit.page(&KeysPage {
        shell: visit.shell(),
        base: side.base(),
        title: side.title(),
        is_mine: side == Side::Mine,
        may_manage: side.may_manage(&visit),
        first_key: format!("{}/new", side.base()),
        keys: lines.collect(),
        statuses: [
            ("active", "Active"),
            ("rotating", "Rotating out"),
            ("expired", "Expired"),
            ("revoked", "Revoked"),
        ],
        environments: app.config.environments.iter().map(ToString::to_string).collect(),
        workspaces,
        is_filtered,
        first,
        next,
        query,
    }))
}

/// What the query asks for. What makes no sense is left out, as if nobody had asked: an old link still leads somewhere.
async fn filter(app: &App, (visit, side): (&Visit, Side), query: &Query) -> Result<KeyFilter, Instead> {
    let reach = visit.caller.reach();
    let search = query.q.trim();
    let prefix = (!search.is_empty() && search.len() <= MAX_SEARCH).then(|| search.to_owned());
    let after = match query.after.parse::<KeyId>() {
        Ok(id) => app.store.begin_read().await?.key_in_reach(reach, id).await?,
        Err(_) => None,
    };
    Ok(KeyFilter {
        status: status(&query.status),
        environment: query.environment.parse::<Environment>().ok(),
        workspace: query.workspace.parse::<WorkspaceId>().ok(),
        user: (side == Side::Mine).then_some(visit.caller.user),
        all_workspaces: query.workspace == "all",
        after: after.map(|key| place(&key, prefix.is_some())),
        prefix,
        ..KeyFilter::all(reach, PAGE)
    })
}

fn place(key: &ApiKey, by_name: bool) -> Place {
    if by_name {
        Place::Named(key.name.to_lowercase(), key.id)
    } else {
        Place::Made(key.created_at, key.id)
    }
}

fn status(text: &str) -> Option<KeyStatus> {
    match text {
        "active" => Some(KeyStatus::Active),
        "rotating" => Some(KeyStatus::Rotating),
        "expired" => Some(KeyStatus::Expired),
        "revoked" => Some(KeyStatus::Revoked),
        _ => None,
    }
}

/// The organisation's workspaces, id and name.
pub(super) async fn workspaces(app: &App, visit: &Visit) -> Result<Vec<(String, String)>, Instead> {
    let names = app
        .store
        .begin_read()
        .await?
        .workspace_names(visit.caller.org, WORKSPACES)
        .await?;
    Ok(names
        .into_iter()
        .map(|(id, name)| (id.to_string(), name))
        .collect())
}
