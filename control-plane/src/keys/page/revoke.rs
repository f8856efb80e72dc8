//! The end of a key: why, what dies with it, and then which region has heard of it, live.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::Side;
use crate::app::App;
use crate::dashboard::{Confirm, Sent, Shell, Visit, refused_form};
use crate::keys::{self, Reason, Revocation, open_receipt};
use crate::pages::Moment;
use crate::revocation::{self, Wait};
use crate::sessions::Instead;
use crate::store::keys::ApiKey;

/// Value, words, hint.
const REASONS: [(&str, &str, &str); 5] = [
    ("unspecified", "No particular reason", ""),
    ("cessation_of_operation", "Not needed any more", ""),
    ("superseded", "Another key took its place", ""),
    ("affiliation_changed", "Its user moved on", ""),
    (
        "key_compromise",
        "Somebody else has it",
        "Its successors and predecessors are revoked as well.",
    ),
];

#[derive(Template)]
#[template(path = "dashboard/key_revoke.html")]
struct RevokePage {
    shell: Shell,
    base: &'static str,
    title: &'static str,
    id: String,
    name: String,
    masked: String,
    reasons: Vec<(&'static str, &'static str, &'static str, bool)>,
    failure: Option<String>,
}

/// Who has heard of the revocation.
#[derive(Clone, Debug, Template)]
#[template(path = "dashboard/key_receipt.html")]
pub(super) struct Reception {
    base: &'static str,
    id: String,
    acknowledged: Vec<String>,
    pending: Vec<String>,
    effective: Option<Moment>,
    is_over: bool,
}

impl Reception {
    pub(super) async fn of(app: &App, key: &ApiKey, side: Side) -> Result<Self, Instead> {
        open_receipt(app, key.id).await?;
        let receipt = revocation::await_receipt(app, &key.id.to_string(), Wait::None).await?;
        let now = app.clock.now();
        Ok(Self {
            base: side.base(),
            id: key.id.to_string(),
            acknowledged: receipt.acknowledged,
            pending: receipt.pending,
            effective: receipt.effective_at.map(|at| at.0.into()),
            is_over: receipt.effective_at.is_some_and(|at| at.0 <= now),
        })
    }
}

/// `GET /dashboard/keys/{id}/revoke`.
pub async fn get(
    State(app): State<Arc<App>>,
    side: Side,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, Instead> {
    let key = side.key(&app, &visit, &id).await?;
    Ok(visit.page(&page((&visit, side), &key, "unspecified", None)))
}

/// `POST /dashboard/keys/{id}/revoke`.
pub async fn post(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    side: Side,
    Sent { visit, form }: Sent,
) -> Result<Response, Instead> {
    let key = side.key(&app, &visit, &id).await?;
    let reason = form.value("reason").unwrap_or_default();
    if !Confirm::is_typed(&form, &key.name) {
        let page = page((&visit, side), &key, reason, Some(Confirm::MISTYPED.to_owned()));
        return Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &page));
    }
    let revocation = Revocation {
        reason: reason.parse::<Reason>().unwrap_or_default(),
        line: None,
        // The key's page shows the receipt as it comes.
        wait: Wait::None,
    };
    match keys::revoke(&app, &visit.caller, key.id, revocation).await {
        Ok(_) => Ok(visit.done(
            &format!("{}/{id}", side.base()),
            &format!("The key “{}” is revoked. Below is who has heard of it.", key.name),
        )),
        Err(error) => {
            let failure = refused_form(error)?;
            let page = page((&visit, side), &key, reason, Some(failure));
            Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &page))
        }
    }
}

/// `GET /dashboard/keys/{id}/receipt`: the part of the page that is asked for again until it is over.
pub async fn receipt(
    State(app): State<Arc<App>>,
    side: Side,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, Instead> {
    let key = side.key(&app, &visit, &id).await?;
    if key.revoked.is_none() {
        return Err(
            crate::pages::PageError::not_found("This key is not revoked, so there is no receipt.").into(),
        );
    }
    Ok(visit.page(&Reception::of(&app, &key, side).await?))
}

fn page((visit, side): (&Visit, Side), key: &ApiKey, reason: &str, failure: Option<String>) -> RevokePage {
    RevokePage {
        shell: visit.shell(),
        base: side.base(),
        title: side.title(),
        id: key.id.to_string(),
        name: key.name.clone(),
        masked: key.masked.clone(),
        reasons: REASONS
            .map(|(value, words, hint)| (value, words, hint, value == reason))
            .to_vec(),
        failure,
    }
}
