//! Who is let in to `/v1`: asked once, before any handler runs, of one table ([`authority::calls`](crate::authority::calls)).
//!
//! A path or a method without a line is refused as if it did not exist, even if the router knows it. Where the line asks for a
//! member, the credential is checked here, counted, held against scope and role, and the handler finds its [`Caller`] in
//! the request: a handler that forgets to ask is protected all the same, and one that asks where the table names nobody fails.
//!
//! What it does not: whose an object is (a part of every query), or pages, which `dashboard::visit` lets in by the same rule.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::header::ALLOW;
use axum::http::{HeaderValue, Method};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use shared::scope::ADMIN;

use super::auth::{Admin, Caller};
use crate::app::App;
use crate::authority::calls::{self, By};
use crate::error::{ApiError, Code};
use crate::store::orgs::Role;

/// Methods that a handler can have here. Others go on to the router, which refuses them.
const METHODS: [Method; 6] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
];

/// The middleware.
pub async fn admit(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let Some(path) = path.filter(|path| path.starts_with(calls::ROOT)) else {
        // Pages, OAuth, and what is not there at all.
        return next.run(request).await;
    };
    let Some(by) = calls::by(request.method(), path) else {
        let methods = calls::methods(path);
        if methods.is_empty() {
            return ApiError::nothing_here().into_response();
        }
        if METHODS.contains(request.method()) {
            return no_such_method(&methods);
        }
        return next.run(request).await;
    };
    if !by.authenticates() {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let caller = match Caller::present(&app, &parts).await {
        Ok(caller) => caller,
        Err(error) => return error.into_response(),
    };
    if let Err(error) = judge(&app, &caller, by) {
        return error.into_response();
    }
    if by.needs_admin_scope() {
        parts.extensions.insert(Admin(caller.clone()));
    }
    parts.extensions.insert(caller);
    next.run(Request::from_parts(parts, body)).await
}

fn no_such_method(methods: &str) -> Response {
    let mut response = ApiError::method_not_allowed().into_response();
    if let Ok(methods) = HeaderValue::from_str(methods) {
        response.headers_mut().insert(ALLOW, methods);
    }
    response
}

/// Scope first, which is the credential's; then the role of whom it acts for.
fn judge(app: &App, caller: &Caller, by: By) -> Result<(), ApiError> {
    if by.needs_admin_scope() {
        // A catalogue without the scope has no administrators.
        let needed = app.catalogue().parse([ADMIN]).map_err(ApiError::internal)?;
        if !app.catalogue().satisfies(caller.scopes, needed) {
            let detail =
                "this needs the scope `admin`, held by the credential and allowed by its user's role";
            return Err(ApiError::new(Code::InsufficientScope, detail).needs(ADMIN));
        }
    }
    if by.admits(caller.role) {
        return Ok(());
    }
    let least = by.least().map_or("", Role::as_str);
    let detail = format!(
        "this takes the role `{least}`, and the credential acts for a member with the role `{}`",
        caller.role.as_str()
    );
    Err(ApiError::new(Code::ExceedsCaller, detail))
}
