//! `/dashboard/workspaces`.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use shared::id::WorkspaceId;

use super::WorkspaceView;
use super::api::workspace_id;
use crate::app::App;
use crate::authority::Act;
use crate::dashboard::{
    Confirm, Parameters, Sent, Shell, Visit, counted, in_force, link, refused, refused_form,
};
use crate::http::tag::IfMatch;
use crate::pages::Moment;
use crate::revocation::Wait;
use crate::sessions::Instead;

const LIST: &str = "/dashboard/workspaces";
const PAGE: u32 = 50;

#[derive(Template)]
#[template(path = "dashboard/workspaces.html")]
struct WorkspacesPage<'a> {
    shell: Shell,
    lines: Vec<Line>,
    archived: bool,
    may_manage: bool,
    name: &'a str,
    failure: Option<String>,
    first: String,
    next: String,
}

#[derive(Template)]
#[template(path = "dashboard/workspace.html")]
struct WorkspacePage {
    shell: Shell,
    line: Line,
    may_manage: bool,
    failure: Option<String>,
}

struct Line {
    workspace: WorkspaceView,
    since: Moment,
    archived: Option<Moment>,
    keys: String,
}

impl Line {
    fn new(workspace: WorkspaceView) -> Self {
        let keys = match (workspace.keys_in_use, workspace.keys_in_use_is_minimum) {
            (0, _) => "none".to_owned(),
            (number, false) => number.to_string(),
            (number, true) => format!("{number} or more"),
        };
        Self {
            since: workspace.created_at.0.into(),
            archived: workspace.archived_at.map(|at| at.0.into()),
            keys,
            workspace,
        }
    }
}

fn page_of(id: WorkspaceId) -> String {
    format!("{LIST}/{id}")
}

fn status(failure: Option<&String>) -> StatusCode {
    if failure.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    }
}

/// `GET /dashboard/workspaces`
pub async fn get_list(
    State(app): State<Arc<App>>,
    visit: Visit,
    query: Parameters,
) -> Result<Response, Instead> {
    show_list(&app, &visit, &query, "", None).await
}

async fn show_list(
    app: &App,
    visit: &Visit,
    query: &Parameters,
    name: &str,
    failure: Option<String>,
) -> Result<Response, Instead> {
    let archived = query.value("show") == "archived";
    let (found, next) = super::list(app, &visit.caller, archived, query.some("cursor"), PAGE)
        .await
        .map_err(refused)?;
    let show = if archived { "archived" } else { "" };
    let status = status(failure.as_ref());
    let page = WorkspacesPage {
        shell: visit.shell(),
        lines: found.into_iter().map(Line::new).collect(),
        archived,
        may_manage: visit.may(Act::ManageWorkspaces),
        name,
        failure,
        first: query
            .some("cursor")
            .map_or_else(String::new, |_| link(LIST, &[("show", show)])),
        next: next.map_or_else(String::new, |cursor| {
            link(LIST, &[("show", show), ("cursor", &cursor)])
        }),
    };
    Ok(visit.page_with(status, &page))
}

/// `POST /dashboard/workspaces`
pub async fn post_new(State(app): State<Arc<App>>, sent: Sent) -> Result<Response, Instead> {
    let Sent { visit, form } = sent;
    let name = form.value("name").unwrap_or_default();
    match super::create(&app, &visit.caller, name, None).await {
        Ok(made) => {
            let sentence = format!(
                "The workspace {} was made. Keys can be narrowed to it.",
                made.name
            );
            Ok(visit.done(&page_of(made.id), &sentence))
        }
        Err(error) => {
            let failure = refused_form(error)?;
            show_list(&app, &visit, &Parameters::default(), name, Some(failure)).await
        }
    }
}

/// `GET /dashboard/workspaces/{id}`
pub async fn get(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response, Instead> {
    show(&app, &visit, &id, None).await
}

async fn find(app: &App, visit: &Visit, id: &str) -> Result<WorkspaceView, Instead> {
    let id = workspace_id(id).map_err(refused)?;
    super::show(app, &visit.caller, id).await.map_err(refused)
}

async fn show(app: &App, visit: &Visit, id: &str, failure: Option<String>) -> Result<Response, Instead> {
    let status = status(failure.as_ref());
    let page = WorkspacePage {
        shell: visit.shell(),
        line: Line::new(find(app, visit, id).await?),
        may_manage: visit.may(Act::ManageWorkspaces),
        failure,
    };
    Ok(visit.page_with(status, &page))
}

/// `POST /dashboard/workspaces/{id}/rename`
pub async fn post_rename(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Response, Instead> {
    let Sent { visit, form } = sent;
    let before = find(&app, &visit, &id).await?;
    let name = form.value("name").unwrap_or_default();
    match super::rename(&app, &visit.caller, before.id, (name, &IfMatch::Any)).await {
        Ok(renamed) => {
            let sentence = format!("{} is called {} now. Keys go on.", before.name, renamed.name);
            Ok(visit.done(&page_of(before.id), &sentence))
        }
        Err(error) => {
            let failure = refused_form(error)?;
            show(&app, &visit, &id, Some(failure)).await
        }
    }
}

fn confirm(visit: &Visit, line: &Line, failure: Option<String>) -> Response {
    let workspace = &line.workspace;
    let keys = match workspace.keys_in_use {
        0 => "No key is for this workspace alone.".to_owned(),
        1 => "1 key that is for this workspace alone is revoked, for good.".to_owned(),
        _ => format!(
            "{} keys that are for this workspace alone are revoked, for good.",
            line.keys
        ),
    };
    let status = status(failure.as_ref());
    let page = Confirm {
        shell: visit.shell(),
        title: format!("Archive {}", workspace.name),
        intro: "An archived workspace stays in the records, and nothing new is issued for it. It can be taken out of the \
                archive; what ends now stays dead."
            .to_owned(),
        consequences: vec![
            keys,
            "Requests with them are refused at every region within seconds.".to_owned(),
            "Keys for all workspaces, people and apps go on.".to_owned(),
        ],
        word: Some(workspace.name.clone()),
        word_label: "the name of the workspace",
        submit: "Archive this workspace",
        action: format!("{}/archive", page_of(workspace.id)),
        back: page_of(workspace.id),
        hidden: Vec::new(),
        failure,
    };
    visit.page_with(status, &page)
}

/// `GET /dashboard/workspaces/{id}/archive`
pub async fn get_archive(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response, Instead> {
    let line = Line::new(find(&app, &visit, &id).await?);
    visit
        .recent(&app, &format!("{}/archive", page_of(line.workspace.id)))
        .await?;
    Ok(confirm(&visit, &line, None))
}

/// `POST /dashboard/workspaces/{id}/archive`
pub async fn post_archive(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Response, Instead> {
    let Sent { visit, form } = sent;
    let line = Line::new(find(&app, &visit, &id).await?);
    let workspace = &line.workspace;
    visit
        .recent(&app, &format!("{}/archive", page_of(workspace.id)))
        .await?;
    if !Confirm::is_typed(&form, &workspace.name) {
        return Ok(confirm(&visit, &line, Some(Confirm::MISTYPED.to_owned())));
    }
    match super::archive(&app, &visit.caller, workspace.id, Wait::Effective).await {
        Ok(archived) => {
            let sentence = format!(
                "{} is archived, and {} ended. {}",
                workspace.name,
                counted(archived.ended.revoked.keys, "key", "keys"),
                in_force(&archived.ended.receipt)
            );
            Ok(visit.done(&page_of(workspace.id), &sentence))
        }
        Err(error) => {
            let failure = refused_form(error)?;
            Ok(confirm(&visit, &line, Some(failure)))
        }
    }
}

/// `POST /dashboard/workspaces/{id}/restore`
pub async fn post_restore(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Response, Instead> {
    let before = find(&app, &sent.visit, &id).await?;
    let restored = super::restore(&app, &sent.visit.caller, before.id)
        .await
        .map_err(refused)?;
    let sentence = format!(
        "{} is out of the archive. Keys can be made for it again.",
        restored.name
    );
    Ok(sent.visit.done(&page_of(restored.id), &sentence))
}
