//! The trail as a file: JSON lines, or CSV, oldest first, streamed a thousand rows at a time. Memory does not grow with it.
//!
//! CSV cells that a spreadsheet would take for a formula get an apostrophe before them. What it does not: wait for the rows that
//! are not sealed yet; those have no position.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use serde::Deserialize;

use super::list::{AuditView, Search, may_read, view};
use super::personal::Opener;
use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::Caller;
use crate::http::time::format_rfc3339;
use crate::store::StoreError;
use crate::store::audit::AuditFilter;

const PAGE: u32 = 1000;
const COLUMNS: &str = "position,id,at,org,actor,credential,action,target,request_id,detail,left_out\r\n";

/// How the file is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[schema(as = AuditForm)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// One JSON object on each line.
    #[default]
    Jsonl,
    /// RFC 4180.
    Csv,
}

struct State {
    app: Arc<App>,
    filter: AuditFilter,
    form: Form,
    begun: bool,
    ended: bool,
}

/// The whole of what is looked for, as a download. `cursor` and `limit` of the search do not count.
pub async fn export(
    app: &Arc<App>,
    caller: &Caller,
    search: &Search,
    form: Form,
) -> Result<Response, ApiError> {
    let chain = may_read(app, caller, search.which).await?;
    let backwards = search.filter(chain)?;
    let filter = AuditFilter {
        until: search.to.map_or(i64::MAX, |to| crate::store::int(to.0)),
        after: (backwards.until, -1),
        limit: PAGE,
        ..backwards
    };
    let state = State {
        app: Arc::clone(app),
        filter,
        form,
        begun: false,
        ended: false,
    };
    let body = Body::from_stream(stream::try_unfold(state, |mut state| async move {
        if state.ended {
            return Ok::<_, StoreError>(None);
        }
        let text = state.next().await.inspect_err(|error| {
            // The download ends without its last chunk, so nobody takes it for whole.
            tracing::error!(%error, "an export of the audit trail broke off");
        })?;
        Ok(Some((Bytes::from(text), state)))
    }));
    let (kind, name) = match form {
        Form::Jsonl => (
            "application/jsonl; charset=utf-8",
            "attachment; filename=\"audit.jsonl\"",
        ),
        Form::Csv => (
            "text/csv; charset=utf-8; header=present",
            "attachment; filename=\"audit.csv\"",
        ),
    };
    let headers = [
        (CONTENT_TYPE, kind),
        (CONTENT_DISPOSITION, name),
        (CACHE_CONTROL, "no-store"),
    ];
    Ok((headers, body).into_response())
}

impl State {
    async fn next(&mut self) -> Result<String, StoreError> {
        let mut text = String::new();
        if !self.begun && self.form == Form::Csv {
            text.push_str(COLUMNS);
        }
        self.begun = true;
        let mut tx = self.app.store.begin_read().await?;
        let rows = tx.audit_on(&self.filter).await?;
        self.ended = rows.len() < usize::try_from(PAGE).unwrap_or(usize::MAX);
        if let Some(last) = rows.last() {
            self.filter.after = (last.at, last.id);
        }
        let mut opener = Opener::default();
        let wanted = rows.into_iter().filter(|row| self.filter.admits(row)).collect();
        for entry in tx.with_positions(wanted).await? {
            let view = view(&mut tx, &mut opener, entry).await?;
            match self.form {
                Form::Jsonl => {
                    text.push_str(&serde_json::to_string(&view).unwrap_or_default());
                    text.push('\n');
                }
                Form::Csv => line(&mut text, &view),
            }
        }
        Ok(text)
    }
}

fn line(text: &mut String, view: &AuditView) {
    let position = view.position.map(|position| position.to_string());
    let org = view.org.map(|org| org.to_string());
    let cells = [
        position.unwrap_or_default(),
        view.id.clone(),
        format_rfc3339(view.at.0),
        org.unwrap_or_default(),
        view.actor.clone(),
        view.credential.clone().unwrap_or_default(),
        view.action.clone(),
        view.target.clone(),
        view.request_id.clone().unwrap_or_default(),
        view.detail.to_string(),
        view.left_out.join(" "),
    ];
    let cells = cells.iter().map(|cell| csv_cell(cell)).collect::<Vec<_>>();
    text.push_str(&cells.join(","));
    text.push_str("\r\n");
}

/// A cell that reads as it is in a spreadsheet too: quoted, and nothing that could begin a formula stands first (OWASP, CSV
/// injection).
pub(super) fn csv_cell(text: &str) -> String {
    let formula = text
        .trim_start()
        .starts_with(['=', '+', '-', '@', '\t', '\r', '\n', '|', '%'])
        || text.starts_with(['\t', '\r', '\n']);
    let guard = if formula { "'" } else { "" };
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}
