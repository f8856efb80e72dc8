//! `/dashboard/grants`: which apps act for whom; and `/account/apps`: which act for oneself.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use shared::id::{ClientId, GrantId};

use super::{GrantView, Listing, list, own, revoke, take_back};
use crate::app::App;
use crate::authority::Act;
use crate::clients::{self, ClientView};
use crate::dashboard::{Confirm, Parameters, Sent, Shell, Visit, in_force, link, refused, refused_form};
use crate::error::{ApiError, Code};
use crate::http::frame::RequestId;
use crate::members::{self, MemberView};
use crate::pages::{self, Moment, PageError};
use crate::revocation::Wait;
use crate::revocations::Reason;
use crate::sessions::{self, Instead, csrf, see_other};

const LIST: &str = "/dashboard/grants";
const OWN: &str = "/account/apps";
const PAGE: u32 = 50;

#[derive(Template)]
#[template(path = "dashboard/grants.html")]
struct GrantsPage {
    shell: Shell,
    lines: Vec<Line>,
    person: Option<MemberView>,
    client: Option<ClientView>,
    may_manage: bool,
    first: String,
    next: String,
}

#[derive(Template)]
#[template(path = "apps.html")]
struct AppsPage {
    here: &'static str,
    csrf: String,
    apps: Vec<OwnApp>,
}

struct Line {
    grant: GrantView,
    scopes: String,
    since: Moment,
    last_use: Moment,
}

impl Line {
    fn new(grant: GrantView) -> Self {
        Self {
            scopes: grant.scopes.join(", "),
            since: grant.created_at.0.into(),
            last_use: grant.last_used_at.0.into(),
            grant,
        }
    }
}

/// All that one app may do for somebody.
struct OwnApp {
    client: ClientId,
    name: String,
    identifier: String,
    lines: Vec<Line>,
}

/// `GET /dashboard/grants`
pub async fn get_list(
    State(app): State<Arc<App>>,
    visit: Visit,
    query: Parameters,
) -> Result<Response, Instead> {
    let person = match query.some("user") {
        Some(id) => {
            let user = id.parse().map_err(|_| refused(ApiError::not_found("member")))?;
            Some(members::view(&app, &visit.caller, user).await.map_err(refused)?)
        }
        None => None,
    };
    let client = match query.some("client") {
        Some(id) => {
            let id = id.parse().map_err(|_| refused(ApiError::not_found("client")))?;
            Some(clients::show(&app, &visit.caller, id).await.map_err(refused)?)
        }
        None => None,
    };
    let listing = Listing {
        user: person.as_ref().map(|person| person.user),
        client: client.as_ref().map(|client| client.id),
        cursor: query.some("cursor"),
        limit: PAGE,
    };
    let (found, next) = list(&app, &visit.caller, listing).await.map_err(refused)?;
    let (user, of) = (query.value("user"), query.value("client"));
    let page = GrantsPage {
        shell: visit.shell(),
        lines: found.into_iter().map(Line::new).collect(),
        person,
        client,
        may_manage: visit.may(Act::ManageGrants),
        first: query
            .some("cursor")
            .map_or_else(String::new, |_| link(LIST, &[("user", user), ("client", of)])),
        next: next.map_or_else(String::new, |cursor| {
            link(LIST, &[("user", user), ("client", of), ("cursor", &cursor)])
        }),
    };
    Ok(visit.page(&page))
}

/// The grant that a page is about.
async fn find(app: &App, visit: &Visit, id: &str) -> Result<GrantView, Instead> {
    let missing = || refused(ApiError::not_found("grant"));
    let id: GrantId = id.parse().map_err(|_| missing())?;
    super::show(app, &visit.caller, id).await.map_err(refused)
}

fn confirm(visit: &Visit, grant: &GrantView, failure: Option<String>) -> Response {
    let status = if failure.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    let page = Confirm {
        shell: visit.shell(),
        title: format!("Revoke what {} may do for {}", grant.client_name, grant.user_name),
        intro: "This ends one agreement between a person and an app.".to_owned(),
        consequences: vec![
            "Every token that came of it is refused at every region within seconds, for good.".to_owned(),
            format!(
                "{} has to ask {} again before it gets another.",
                grant.client_name, grant.user_name
            ),
            "Other apps, and other people's use of this one, go on.".to_owned(),
        ],
        word: None,
        word_label: "",
        submit: "Revoke this grant",
        action: format!("{LIST}/{}/revoke", grant.id),
        back: LIST.to_owned(),
        hidden: Vec::new(),
        failure,
    };
    visit.page_with(status, &page)
}

/// `GET /dashboard/grants/{id}/revoke`
pub async fn get_revoke(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response, Instead> {
    let grant = find(&app, &visit, &id).await?;
    Ok(confirm(&visit, &grant, None))
}

/// `POST /dashboard/grants/{id}/revoke`
pub async fn post_revoke(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Response, Instead> {
    let visit = sent.visit;
    let grant = find(&app, &visit, &id).await?;
    match revoke(
        &app,
        &visit.caller,
        grant.id,
        Reason::PrivilegeWithdrawn,
        Wait::Effective,
    )
    .await
    {
        Ok(receipt) => {
            let sentence = format!(
                "{} may do nothing for {} any more. {}",
                grant.client_name,
                grant.user_name,
                in_force(&receipt.receipt)
            );
            Ok(visit.done(LIST, &sentence))
        }
        Err(error) => {
            let failure = refused_form(error)?;
            Ok(confirm(&visit, &grant, Some(failure)))
        }
    }
}

/// `GET /account/apps`
pub async fn get_own(State(app): State<Arc<App>>, headers: HeaderMap) -> Result<Response, Instead> {
    let session = sessions::signed_in(&app, &headers, OWN).await?;
    let mut apps: Vec<OwnApp> = Vec::new();
    for grant in own(&app, session.org, session.user).await? {
        if let Some(known) = apps.iter_mut().find(|known| known.client == grant.client) {
            known.lines.push(Line::new(grant));
            continue;
        }
        apps.push(OwnApp {
            client: grant.client,
            name: grant.client_name.clone(),
            identifier: grant.client_id.clone(),
            lines: vec![Line::new(grant)],
        });
    }
    let page = AppsPage {
        here: "apps",
        csrf: csrf::token(&session),
        apps,
    };
    Ok(pages::html(StatusCode::OK, &page))
}

/// `POST /account/apps/{client}/revoke`
pub async fn post_own(
    State(app): State<Arc<App>>,
    Path(client): Path<String>,
    Extension(request_id): Extension<RequestId>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Instead> {
    let (session, _) = sessions::sent_form(&app, &headers, &body, OWN).await?;
    let unknown =
        || PageError::not_found("There is no such app that acts for you; perhaps it does not any more.");
    let client: ClientId = client.parse().map_err(|_| unknown())?;
    let actor = session.actor(Some(&request_id));
    match take_back(&app, (session.org, session.user), client, &actor).await {
        Ok(_) => Ok(see_other(OWN)),
        Err(error) if error.code() == Code::NotFound => Err(unknown().into()),
        Err(error) => Err(refused(error)),
    }
}
