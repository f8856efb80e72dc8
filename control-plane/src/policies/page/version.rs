//! One version: what it changed, who has it, and the way back to it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;

use super::{PATH, Reception, VersionLine, lines, number};
use crate::app::App;
use crate::dashboard::{Confirm, Sent, Shell, Visit, refused, refused_form};
use crate::policies;
use crate::revocation::Wait;
use crate::sessions::Instead;

/// As many changes as a question lists.
const MOST_LISTED: usize = 12;

#[derive(Template)]
#[template(path = "dashboard/policies_version.html")]
struct VersionPage {
    shell: Shell,
    line: VersionLine,
    is_current: bool,
    may_change: bool,
    reception: Option<String>,
    changes: Vec<(&'static str, &'static str, String)>,
    has_before: bool,
    document: String,
}

/// `GET /dashboard/policies/versions/{id}`.
pub async fn get(
    State(app): State<Arc<App>>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, Instead> {
    let version = number(&id)?;
    let shown = policies::version(&app, &visit.caller, version)
        .await
        .map_err(refused)?;
    let before = policies::changes_of(&app, &visit.caller, version)
        .await
        .map_err(refused)?;
    let access = policies::show(&app, &visit.caller).await.map_err(refused)?.access;
    let document: serde_json::Value = serde_json::from_slice(&shown.document).unwrap_or_default();
    let reception = shown
        .receipt
        .map(|receipt| Reception::of(&app, version, receipt).text());
    Ok(visit.page(&VersionPage {
        shell: visit.shell(),
        line: VersionLine::of(&shown.row)?,
        is_current: shown.current,
        may_change: access.may_change(),
        reception,
        has_before: before.is_some(),
        changes: before.as_ref().map(lines).unwrap_or_default(),
        document: super::edit::pretty(&document),
    }))
}

/// `GET /dashboard/policies/versions/{id}/receipt`: the part of the page that is asked for again until it is over.
pub async fn receipt(
    State(app): State<Arc<App>>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, Instead> {
    let version = number(&id)?;
    let shown = policies::version(&app, &visit.caller, version)
        .await
        .map_err(refused)?;
    let Some(receipt) = shown.receipt else {
        return Err(crate::pages::PageError::not_found("This version has no receipt.").into());
    };
    Ok(visit.page(&Reception::of(&app, version, receipt)))
}

/// `GET /dashboard/policies/versions/{id}/restore`.
pub async fn ask(
    State(app): State<Arc<App>>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, Instead> {
    let version = number(&id)?;
    let confirm = confirm(&app, &visit, version, None).await?;
    Ok(visit.page(&confirm))
}

/// `POST /dashboard/policies/versions/{id}/restore`.
pub async fn restore(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Sent { visit, form }: Sent,
) -> Result<Response, Instead> {
    let version = number(&id)?;
    visit
        .recent(&app, &format!("{PATH}/versions/{version}/restore"))
        .await?;
    let reason = format!("back to version {version}");
    let expected = form.value("base").and_then(|base| base.parse().ok()).unwrap_or(0);
    let how = (Some(expected), Some(reason.as_str()));
    match policies::roll_back(&app, &visit.caller, version, how, Wait::None).await {
        Ok(applied) if applied.changed => {
            let path = format!("{PATH}/versions/{}", applied.version);
            let said = format!("Version {version} is in force again, and on its way to the edges.");
            Ok(visit.done(&path, &said))
        }
        Ok(_) => Ok(visit.done(PATH, "Nothing was changed: this is what is in force.")),
        Err(error) => {
            let failure = refused_form(error)?;
            let confirm = confirm(&app, &visit, version, Some(failure)).await?;
            Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &confirm))
        }
    }
}

async fn confirm(
    app: &App,
    visit: &Visit,
    version: u64,
    failure: Option<String>,
) -> Result<Confirm, Instead> {
    let (base, changes) = policies::changes_back(app, &visit.caller, version)
        .await
        .map_err(refused)?;
    let all = lines(&changes);
    let mut consequences: Vec<String> = all
        .iter()
        .take(MOST_LISTED)
        .map(|(_, word, text)| format!("{word} {text}").trim().to_owned())
        .collect();
    match all.len().checked_sub(MOST_LISTED) {
        Some(more) if more > 0 => consequences.push(format!("and {more} more")),
        _ if all.is_empty() => consequences.push("Nothing changes: it says what is in force.".to_owned()),
        _ => {}
    }
    Ok(Confirm {
        shell: visit.shell(),
        title: format!("Put version {version} in force again"),
        intro: format!(
            "It becomes a new version, with the scopes that came since. Compared with version {base}, which is in force:"
        ),
        consequences,
        word: None,
        word_label: "",
        submit: "Put it in force",
        action: format!("{PATH}/versions/{version}/restore"),
        back: format!("{PATH}/versions/{version}"),
        hidden: vec![("base", base.to_string())],
        failure,
    })
}
