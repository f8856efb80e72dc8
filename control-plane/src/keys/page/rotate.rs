//! A successor of a key, with an overlap in which both work.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::{OncePage, Side};
use crate::app::App;
use crate::dashboard::{Sent, Shell, Visit, refused_form};
use crate::keys::{self, Rotation};
use crate::pages::Moment;
use crate::revocation::Wait;
use crate::sessions::Instead;
use crate::store::keys::ApiKey;

/// Seconds and words.
const OVERLAPS: [(&str, &str); 5] = [
    ("0", "None: the old key ends now"),
    ("3600", "One hour"),
    ("86400", "One day"),
    ("604800", "One week"),
    ("2592000", "30 days"),
];
const USUAL: &str = "86400";

#[derive(Template)]
#[template(path = "dashboard/key_rotate.html")]
struct RotatePage {
    shell: Shell,
    base: &'static str,
    title: &'static str,
    id: String,
    name: String,
    overlaps: Vec<(&'static str, &'static str, bool)>,
    failure: Option<String>,
}

impl RotatePage {
    fn new((visit, side): (&Visit, Side), key: &ApiKey, chosen: &str, failure: Option<String>) -> Self {
        Self {
            shell: visit.shell(),
            base: side.base(),
            title: side.title(),
            id: key.id.to_string(),
            name: key.name.clone(),
            overlaps: OVERLAPS
                .map(|(value, words)| (value, words, value == chosen))
                .to_vec(),
            failure,
        }
    }
}

/// `GET /dashboard/keys/{id}/rotate`.
pub async fn get(
    State(app): State<Arc<App>>,
    side: Side,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, Instead> {
    let key = side.key(&app, &visit, &id).await?;
    Ok(visit.page(&RotatePage::new((&visit, side), &key, USUAL, None)))
}

/// `POST /dashboard/keys/{id}/rotate`.
pub async fn post(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    side: Side,
    Sent { visit, form }: Sent,
) -> Result<Response, Instead> {
    let key = side.key(&app, &visit, &id).await?;
    let overlap = form.value("overlap").unwrap_or(USUAL);
    let rotation = Rotation {
        overlap_seconds: overlap.parse().ok(),
        wait: Wait::None,
    };
    match keys::rotate(&app, &visit.caller, key.id, rotation, None).await {
        Ok(rotated) => {
            let old = rotated.old.ends_at().map(|at| Moment::from(at.millis()).words);
            let old = match &rotated.old.revoked {
                Some(_) => "The old key is revoked: the next call with it is refused.".to_owned(),
                None => format!(
                    "The old key works until {}. Its page shows who still uses it.",
                    old.unwrap_or_default()
                ),
            };
            let page = OncePage::new(
                &app,
                (&visit, side),
                "The key was rotated",
                &rotated.issued,
                Some(old),
            );
            Ok(visit.page(&page))
        }
        Err(error) => {
            let failure = refused_form(error)?;
            let page = RotatePage::new((&visit, side), &key, overlap, Some(failure));
            Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &page))
        }
    }
}
