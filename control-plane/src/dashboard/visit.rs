//! Who looks at a page: signed in, still a member, and allowed to by the table of pages.

use std::sync::Arc;

use askama::Template;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;

use super::shell::Shell;
use super::{flash, recent};
use crate::app::App;
use crate::authority::{self, Act};
use crate::http::auth::Caller;
use crate::http::frame::RequestId;
use crate::oauth::form::Form;
use crate::pages::{self, PageError};
use crate::sessions::{self, Instead, Session};

/// A look at a page by somebody who may.
#[derive(Debug)]
pub struct Visit {
    /// The session that the browser has.
    pub session: Session,
    /// The same person for the functions behind pages, API and command line.
    pub caller: Caller,
    shell: Shell,
    is_fragment: bool,
    has_flash: bool,
    secure: bool,
}

/// A form of ours that somebody sent who may.
#[derive(Debug)]
pub struct Sent {
    /// Who.
    pub visit: Visit,
    /// What they filled in.
    pub form: Form,
}

impl Visit {
    /// The frame around the page, for its template.
    pub fn shell(&self) -> Shell {
        self.shell.clone()
    }

    /// Whether they may do something: for what a page offers. Whether they may send it, the table says again.
    pub fn may(&self, act: Act) -> bool {
        authority::allows(self.caller.role, act)
    }

    /// Whether htmx asks for a part of the page only. The answer must not be stored as the page.
    pub fn is_fragment(&self) -> bool {
        self.is_fragment
    }

    /// The page.
    pub fn page(&self, page: &impl Template) -> Response {
        self.page_with(StatusCode::OK, page)
    }

    /// The page with another status: 422 beside a form that was refused.
    pub fn page_with(&self, status: StatusCode, page: &impl Template) -> Response {
        let mut response = pages::html_of_dashboard(status, page);
        if self.has_flash && !self.is_fragment {
            flash::clear(response.headers_mut(), self.secure);
        }
        response
    }

    /// To another page after a form was accepted, with a sentence that says what was done. Never put a secret into it.
    pub fn done(&self, path: &str, sentence: &str) -> Response {
        let mut response = sessions::see_other(path);
        flash::set(response.headers_mut(), self.secure, sentence);
        response
    }

    /// Lets nobody on whose sign-in is not recent: they sign in once more, and come back to `here`.
    pub async fn recent(&self, app: &App, here: &str) -> Result<(), Instead> {
        sessions::recent(app, &self.session, here).await
    }

    async fn of(app: &Arc<App>, parts: &mut Parts, here: &str) -> Result<Self, Instead> {
        let session = sessions::signed_in(app, &parts.headers, here).await?;
        let request_id = parts.extensions.get::<RequestId>().map(|id| id.0.clone());
        let mut tx = app.store.begin_read().await?;
        let caller = Caller::of_session(&mut tx, app, &session, request_id.unwrap_or_default()).await?;
        let caller = caller.ok_or_else(not_a_member)?;
        let path = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str);
        let act = path.and_then(|path| authority::act_of(&parts.method, path));
        if !act.is_some_and(|act| authority::allows(caller.role, act)) {
            return Err(not_allowed(&caller).into());
        }
        if let Some(path) = path
            && recent::is_wanted(&parts.method, path)
        {
            let page = recent::back(path, parts.uri.path());
            let back = if parts.method == Method::GET { here } else { page };
            sessions::recent(app, &session, back).await?;
        }
        let secure = app.config.issuer.starts_with("https:");
        let said = flash::read(&parts.headers, secure);
        let has_flash = said.is_some();
        let is_fragment = is_fragment(&parts.headers);
        let shell = Shell::load(&mut tx, &session, &caller, parts.uri.path(), said).await?;
        Ok(Self {
            session,
            caller,
            shell,
            is_fragment,
            has_flash,
            secure,
        })
    }
}

impl FromRequestParts<Arc<App>> for Visit {
    type Rejection = Instead;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Instead> {
        let here = parts
            .uri
            .path_and_query()
            .map_or("/dashboard", |here| here.as_str());
        let here = here.to_owned();
        Self::of(app, parts, &here).await
    }
}

impl FromRequest<Arc<App>> for Sent {
    type Rejection = Instead;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Instead> {
        let (mut parts, body) = request.into_parts();
        // Who sends a form after their session ended fills it in again: the list that it belongs to is a good place to begin.
        let here: Vec<_> = parts.uri.path().split('/').take(3).collect();
        let here = here.join("/");
        let headers: HeaderMap = parts.headers.clone();
        let body = Bytes::from_request(Request::from_parts(parts.clone(), body), app)
            .await
            .map_err(|_| PageError::bad_request("The form is too large, or did not arrive whole."))?;
        let (_, form) = sessions::sent_form(app, &headers, &body, &here).await?;
        let visit = Visit::of(app, &mut parts, &here).await?;
        Ok(Self { visit, form })
    }
}

fn is_fragment(headers: &HeaderMap) -> bool {
    headers.get("hx-request").is_some_and(|value| value == "true") && !headers.contains_key(header::UPGRADE)
}

fn not_a_member() -> PageError {
    PageError::new(
        StatusCode::FORBIDDEN,
        "not_a_member",
        "You have no access here",
        "You are signed in, but you are not an active member of this organisation. Ask one of its administrators.",
    )
}

fn not_allowed(caller: &Caller) -> PageError {
    PageError::new(
        StatusCode::FORBIDDEN,
        "not_allowed",
        "You may not do this",
        format!(
            "Your role here is {}, which does not allow it. Nothing was changed. Ask an administrator of your organisation.",
            caller.role.as_str()
        ),
    )
}
