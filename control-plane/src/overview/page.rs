//! The first page of the dashboard, and `/`, which leads there.

use axum::response::Response;

use askama::Template;

use crate::dashboard::{Shell, Visit};
use crate::sessions::{Instead, see_other};

#[derive(Template)]
#[template(path = "dashboard/overview.html")]
struct OverviewPage {
    shell: Shell,
}

/// `GET /`.
pub async fn root() -> Response {
    see_other("/dashboard")
}

/// `GET /dashboard`.
pub async fn get(visit: Visit) -> Result<Response, Instead> {
    Ok(visit.page(&OverviewPage { shell: visit.shell() }))
}
