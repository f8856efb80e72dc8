//! One key: how it is used, what it may do, what happened to it; another name for it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use shared::time::UnixMillis;

use super::list::workspaces;
use super::revoke::Reception;
use super::{Line, Side};
use crate::app::App;
use crate::authority::Act;
use crate::dashboard::{Sent, Shell, Visit, refused_form};
use crate::http::tag::IfMatch;
use crate::keys;
use crate::pages::Moment;
use crate::sessions::Instead;
use crate::store::keys::{ApiKey, KeyStatus};
use crate::usage::month::{self, Month, Places};
use crate::usage::uses;

/// Lines of history.
const HISTORY: u32 = 20;

#[derive(Template)]
#[template(path = "dashboard/key.html")]
struct KeyPage {
    shell: Shell,
    base: &'static str,
    title: &'static str,
    key: Line,
    created: Moment,
    created_by: String,
    revoked: Option<(Moment, String)>,
    rotated_from: Option<String>,
    rotated_to: Option<String>,
    /// How often it was let in since another key took over.
    since_rotation: u64,
    refused: u64,
    month: Month,
    places: Places,
    history: Vec<(Moment, String, String)>,
    reception: Option<Reception>,
    may_manage: bool,
    may_rotate: bool,
    failure: Option<String>,
}

/// `GET /dashboard/keys/{id}`.
pub async fn get(
    State(app): State<Arc<App>>,
    side: Side,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, Instead> {
    let key = side.key(&app, &visit, &id).await?;
    let page = page(&app, (&visit, side), &key, None).await?;
    Ok(visit.page(&page))
}

/// `POST /dashboard/keys/{id}/rename`.
pub async fn rename(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    side: Side,
    Sent { visit, form }: Sent,
) -> Result<Response, Instead> {
    let key = side.key(&app, &visit, &id).await?;
    let name = form.value("name").unwrap_or_default();
    match keys::rename(&app, &visit.caller, key.id, name, &IfMatch::Any).await {
        Ok(key) => Ok(visit.done(
            &format!("{}/{id}", side.base()),
            &format!("The key is called “{}” now.", key.name),
        )),
        Err(error) => {
            let failure = refused_form(error)?;
            let page = page(&app, (&visit, side), &key, Some(failure)).await?;
            Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &page))
        }
    }
}

async fn page(
    app: &App,
    (visit, side): (&Visit, Side),
    key: &ApiKey,
    failure: Option<String>,
) -> Result<KeyPage, Instead> {
    let org = visit.caller.org;
    let name = key.id.to_string();
    let workspaces = workspaces(app, visit).await?;
    let mut tx = app.store.begin_read().await?;
    let emails = tx.emails_of(org, &[key.user]).await?;
    let history = if visit.may(Act::SeeAudit) {
        tx.audit_of(&name, HISTORY).await?
    } else {
        Vec::new()
    };
    drop(tx);
    let uses = uses::of_keys(app, org, [key.id]).await?;
    let one = uses.get(&name).copied().unwrap_or_default();
    let mut line = Line::new(
        app,
        key,
        emails.get(&key.user),
        &workspaces,
        app.clock.now().seconds(),
    );
    line.last_used = one.last_used.map(Into::into);
    line.requests = one.requests;
    let reception = match &key.revoked {
        Some(_) => Some(Reception::of(app, key, side).await?),
        None => None,
    };
    let status = key.status(app.clock.now().seconds());
    Ok(KeyPage {
        shell: visit.shell(),
        base: side.base(),
        title: side.title(),
        created: key.created_at.into(),
        created_by: key.created_by.clone(),
        revoked: key
            .revoked
            .as_ref()
            .map(|how| (how.at.into(), how.reason.replace('_', " "))),
        rotated_from: key.rotated_from.map(|id| id.to_string()),
        rotated_to: key.rotated_to.map(|id| id.to_string()),
        since_rotation: one.since_rotation,
        refused: one.refused,
        month: month::of_credential(app, org, &name).await?,
        places: month::places(app, org, &name).await?,
        history: history
            .into_iter()
            .map(|row| {
                let at = UnixMillis(u64::try_from(row.at).unwrap_or_default());
                (at.into(), row.action, row.actor)
            })
            .collect(),
        reception,
        may_manage: side.may_manage(visit),
        may_rotate: status == KeyStatus::Active && key.quarantine.is_none(),
        failure,
        key: line,
    })
}
