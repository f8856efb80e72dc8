//! `/dashboard/service-accounts/new`. The other pages are those of members (`members::page`).

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;

use crate::app::App;
use crate::dashboard::{Sent, Shell, Visit, refused_form};
use crate::members::page::{SERVICE_ACCOUNTS, role, role_in_words};
use crate::sessions::Instead;
use crate::store::orgs::Role;

#[derive(Template)]
#[template(path = "dashboard/service_account_new.html")]
struct NewPage<'a> {
    shell: Shell,
    typed: &'a str,
    role: Role,
    roles: &'static [Role],
    failure: Option<String>,
}

fn show(visit: &Visit, name: &str, role: Role, failure: Option<String>) -> Response {
    let status = if failure.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    let page = NewPage {
        shell: visit.shell(),
        typed: name,
        role,
        roles: SERVICE_ACCOUNTS.roles(),
        failure,
    };
    visit.page_with(status, &page)
}

/// `GET /dashboard/service-accounts/new`
pub async fn get(visit: Visit) -> Result<Response, Instead> {
    // The least that may do nothing by mistake.
    Ok(show(&visit, "", Role::Viewer, None))
}

/// `POST /dashboard/service-accounts/new`
pub async fn post(State(app): State<Arc<App>>, sent: Sent) -> Result<Response, Instead> {
    let Sent { visit, form } = sent;
    let name = form.value("name").unwrap_or_default();
    let Some(role) = role(form.value("role").unwrap_or_default()) else {
        return Ok(show(
            &visit,
            name,
            Role::Viewer,
            Some("Choose a role.".to_owned()),
        ));
    };
    match super::create(&app, &visit.caller, (name, role), None).await {
        Ok((made, _)) => {
            let sentence = format!("The service account {} was made. It has no key yet.", made.name);
            Ok(visit.done(&SERVICE_ACCOUNTS.page_of(made.user), &sentence))
        }
        Err(error) => {
            let failure = refused_form(error)?;
            Ok(show(&visit, name, role, Some(failure)))
        }
    }
}
