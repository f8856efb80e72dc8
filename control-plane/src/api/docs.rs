//! `/v1/openapi.json`, and the pages that people read: `/v1/docs`, one for each group, and one for errors. For everybody: they
//! describe the release and say nothing about the deployment.

use std::sync::Arc;

use askama::Template;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse as _, Response};
use utoipa::openapi::OpenApi;

use super::reading::{self, Group};
use super::{document, errors};
use crate::app::App;
use crate::error::Code;
use crate::pages::{self, PageError};

/// The page of errors, to which `type` leads in a problem.
pub const ERRORS: &str = "/v1/docs/errors";

/// `GET /v1/openapi.json`
#[utoipa::path(
    get, path = "/v1/openapi.json", tag = "description",
    summary = "This description",
    description = "OpenAPI 3.1, as JSON. `portcullis openapi` prints the same without a server.",
    security(()),
    responses((status = 200, description = "The description.", body = Object, content_type = "application/json")),
)]
pub async fn openapi(State(app): State<Arc<App>>) -> Response {
    let document: OpenApi = document::document(&app.config.issuer);
    ([(CACHE_CONTROL, "public, max-age=300")], Json(document)).into_response()
}

#[derive(Template)]
#[template(path = "docs/index.html")]
struct IndexPage<'a> {
    here: &'static str,
    about: &'a str,
    groups: &'a [Group],
    issuer: &'a str,
}

/// `GET /v1/docs`: what there is.
pub async fn index(State(app): State<Arc<App>>) -> Response {
    let read = reading::all();
    let page = IndexPage {
        here: "",
        about: &read.about,
        groups: &read.groups,
        issuer: &app.config.issuer,
    };
    pages::html(StatusCode::OK, &page)
}

#[derive(Template)]
#[template(path = "docs/group.html")]
struct GroupPage<'a> {
    here: &'a str,
    groups: &'a [Group],
    group: &'a Group,
}

/// `GET /v1/docs/{group}`: the endpoints of a group in full.
pub async fn group(Path(name): Path<String>) -> Result<Response, PageError> {
    let read = reading::all();
    let group = read.groups.iter().find(|group| group.name == name);
    let group = group.ok_or_else(|| {
        PageError::not_found("There is no such group of endpoints. The list is at /v1/docs.")
    })?;
    let page = GroupPage {
        here: &group.name,
        groups: &read.groups,
        group,
    };
    Ok(pages::html(StatusCode::OK, &page))
}

struct Explained {
    code: &'static str,
    title: &'static str,
    status: u16,
    text: &'static str,
}

#[derive(Template)]
#[template(path = "docs/errors.html")]
struct ErrorsPage<'a> {
    here: &'static str,
    groups: &'a [Group],
    errors: Vec<Explained>,
}

/// `GET` [`ERRORS`].
pub async fn errors() -> Response {
    let explained = |code: &Code| Explained {
        code: code.as_str(),
        title: code.title(),
        status: code.status().as_u16(),
        text: errors::explained(*code),
    };
    let page = ErrorsPage {
        here: "errors",
        groups: &reading::all().groups,
        errors: errors::ALL.iter().map(explained).collect(),
    };
    pages::html(StatusCode::OK, &page)
}
