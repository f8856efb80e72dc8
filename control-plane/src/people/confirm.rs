//! `/signup/confirm`: the link of a sign-up, and the account that comes of it.
//!
//! The link shows that the address is theirs, the password that it is they who signed up: somebody who typed another's
//! address gets nothing by that other's click. What it does not: anything on GET.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use secrecy::SecretString;
use serde_json::json;
use shared::id::{OrgId, UserId, WorkspaceId};

use super::link;
use super::sign_up::refuse_if_closed;
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::http::address::ClientAddress;
use crate::http::frame::RequestId;
use crate::oauth::opaque::Opaque;
use crate::orgs::SHORT_IDS;
use crate::pages::{self, PageError};
use crate::sessions::attempts::Attempt;
use crate::sessions::visitor::Visitor;
use crate::sessions::{Instead, begin_first};
use crate::store::StoreError;
use crate::store::links::SignUpRow;
use crate::store::orgs::{NewUser, Role};

#[derive(Template)]
#[template(path = "confirm.html")]
struct ConfirmPage<'a> {
    csrf: &'a str,
    token: &'a str,
    email: &'a str,
    org: &'a str,
    failure: Option<&'a str>,
}

/// `GET /signup/confirm?token=…`.
pub async fn get(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Instead> {
    refuse_if_closed(&app)?;
    let secret = link::in_query(query.as_deref())?;
    let row = stored(&app, &secret).await?;
    let visitor = Visitor::of(&app, &headers)?;
    Ok(visitor.keep(show(&visitor, &secret, &row, None)))
}

/// `POST /signup/confirm`.
pub async fn post(
    State(app): State<Arc<App>>,
    address: ClientAddress,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Instead> {
    refuse_if_closed(&app)?;
    let (visitor, form) = Visitor::sent(&app, &headers, &body)?;
    let secret = link::in_form(&form)?;
    let row = stored(&app, &secret).await?;

    let attempt = Attempt::new(&row.email, address);
    attempt.charge(&app, &Actor::anonymous(&request_id)).await?;
    let password = SecretString::from(form.value("password").unwrap_or_default());
    let right = app
        .passwords
        .verify(password, Some(row.password_hash.clone()))
        .await;
    if !right.map_err(PageError::internal)? {
        let failure = "This is not the password that was chosen at the sign-up.";
        return Ok(show(&visitor, &secret, &row, Some(failure)));
    }

    create(&app, &row, &request_id).await?;
    metrics::counter!("portcullis_sign_ups_total").increment(1);
    begin_first(&app, &row.email, &attempt, address, &headers, request_id).await
}

/// The organisation, its owner and a workspace, as the first start makes them.
async fn create(app: &App, row: &SignUpRow, request_id: &RequestId) -> Result<(), PageError> {
    let now = app.clock.now();
    let draw = || app.random.below(SHORT_IDS).map_err(StoreError::from);
    let corrupt = || StoreError::Corrupt("id");
    let org = OrgId::from_u64(draw()?).ok_or_else(corrupt)?;
    let user = UserId::from_u64(draw()?).ok_or_else(corrupt)?;
    let workspace = WorkspaceId::from_u64(draw()?).ok_or_else(corrupt)?;
    let new = NewUser {
        id: user,
        email: &row.email,
        name: &row.name,
        password_hash: Some(&row.password_hash),
    };
    let mut tx = app.store.begin().await?;
    if tx.is_email_taken(&row.email).await? {
        return Err(link::dead());
    }
    match tx.insert_user(&new, now).await {
        // The same address a moment ago.
        Err(error) if error.is_unique_violation() => return Err(link::dead()),
        other => other?,
    }
    tx.insert_org(org, &row.org_name, now).await?;
    tx.insert_workspace(workspace, org, "default", now).await?;
    tx.insert_membership(org, user, Role::Owner, now).await?;
    if !tx.use_sign_up(&row.digest, &row.email, now).await? {
        return Err(link::dead());
    }
    let actor = Actor {
        who: user.to_string(),
        ..Actor::anonymous(request_id)
    };
    for (action, target, detail) in [
        ("org.create", org.to_string(), json!({"name": row.org_name})),
        (
            "user.create",
            user.to_string(),
            json!({"role": Role::Owner, "by": "sign_up"}),
        ),
        (
            "workspace.create",
            workspace.to_string(),
            json!({"name": "default"}),
        ),
    ] {
        let event = Event {
            org: Some(org),
            actor: &actor,
            action,
            target,
            detail,
        };
        audit::record(&mut tx, &app.random, &event, now).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn stored(app: &App, secret: &Opaque) -> Result<SignUpRow, PageError> {
    let mut tx = app.store.begin_read().await?;
    let row = tx.sign_up(&secret.digest(), app.clock.now()).await?;
    row.ok_or_else(link::dead)
}

fn show(visitor: &Visitor, secret: &Opaque, row: &SignUpRow, failure: Option<&str>) -> Response {
    let status = if failure.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    let page = ConfirmPage {
        csrf: visitor.csrf(),
        token: secret.expose(),
        email: &row.email,
        org: &row.org_name,
        failure,
    };
    link::hidden(pages::html(status, &page))
}
