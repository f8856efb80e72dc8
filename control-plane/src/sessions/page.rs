//! `/dashboard/sessions`: who of the organisation is signed in, and the end of it.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::response::Response;
use shared::id::{SessionId, UserId};

use super::Instead;
use super::admin::{self, SessionView};
use crate::app::App;
use crate::dashboard::{Confirm, Parameters, Sent, Shell, Visit, counted, in_force, link, refused};
use crate::error::ApiError;
use crate::members::{self, MemberView};
use crate::pages::Moment;
use crate::revocation::Wait;

const LIST: &str = "/dashboard/sessions";
const END_ALL: &str = "/dashboard/sessions/end-all";
const PAGE: u32 = 50;

#[derive(Template)]
#[template(path = "dashboard/sessions.html")]
struct SessionsPage {
    shell: Shell,
    lines: Vec<Line>,
    /// Whose, if it is one person's.
    person: Option<MemberView>,
    first: String,
    next: String,
}

struct Line {
    session: SessionView,
    how: String,
    since: Moment,
    last_use: Moment,
    is_this: bool,
}

/// Values of `amr` in words.
fn in_words(methods: &[String]) -> String {
    let has = |name: &str| methods.iter().any(|method| method == name);
    let words = match (has("pwd"), has("mfa")) {
        _ if has("hwk") || has("swk") || has("user") => "passkey",
        (true, true) => "password and code",
        (true, false) => "password",
        (false, _) => return methods.join(", "),
    };
    words.to_owned()
}

async fn person(app: &App, visit: &Visit, id: &str) -> Result<MemberView, Instead> {
    let missing = || refused(ApiError::not_found("member"));
    let user: UserId = id.parse().map_err(|_| missing())?;
    members::view(app, &visit.caller, user).await.map_err(refused)
}

/// `GET /dashboard/sessions`
pub async fn get_list(
    State(app): State<Arc<App>>,
    visit: Visit,
    query: Parameters,
) -> Result<Response, Instead> {
    let person = match query.some("user") {
        Some(id) => Some(person(&app, &visit, id).await?),
        None => None,
    };
    let user = person.as_ref().map(|person| person.user);
    let (found, next) = admin::list(&app, &visit.caller, user, query.some("cursor"), PAGE)
        .await
        .map_err(refused)?;
    let own = visit.session.sid;
    let lines = found.into_iter().map(|session| Line {
        how: in_words(&session.methods),
        since: session.signed_in_at.0.into(),
        last_use: session.last_seen_at.0.into(),
        is_this: session.id == own,
        session,
    });
    let user = user.map(|user| user.to_string()).unwrap_or_default();
    let page = SessionsPage {
        shell: visit.shell(),
        lines: lines.collect(),
        person,
        first: query
            .some("cursor")
            .map_or_else(String::new, |_| link(LIST, &[("user", &user)])),
        next: next.map_or_else(String::new, |cursor| {
            link(LIST, &[("user", &user), ("cursor", &cursor)])
        }),
    };
    Ok(visit.page(&page))
}

/// `POST /dashboard/sessions/{id}/end`
pub async fn post_end(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Response, Instead> {
    let Sent { visit, form } = sent;
    let missing = || refused(ApiError::not_found("session"));
    let sid: SessionId = id.parse().map_err(|_| missing())?;
    let receipt = admin::end_one(&app, &visit.caller, sid, Wait::Effective)
        .await
        .map_err(refused)?;
    let sentence = format!(
        "The session has ended, with what apps got in it. {}",
        in_force(&receipt.receipt)
    );
    let user = form.value("user").unwrap_or_default();
    Ok(visit.done(&link(LIST, &[("user", user)]), &sentence))
}

/// `GET /dashboard/sessions/end-all?user=…`
pub async fn get_end_all(
    State(app): State<Arc<App>>,
    visit: Visit,
    query: Parameters,
) -> Result<Response, Instead> {
    let person = person(&app, &visit, query.value("user")).await?;
    let user = person.user.to_string();
    visit.recent(&app, &link(END_ALL, &[("user", &user)])).await?;
    let page = Confirm {
        shell: visit.shell(),
        title: format!("Sign {} out everywhere", person.name),
        intro: "For a stolen laptop, or somebody who should sign in again. They may sign in again at once; to shut somebody \
                out, suspend them."
            .to_owned(),
        consequences: vec![
            "Every session of theirs in this organisation ends, in every browser.".to_owned(),
            "What apps got in those sessions ends with them, at every region.".to_owned(),
            "Their API keys go on, and so do sessions in other organisations.".to_owned(),
        ],
        word: None,
        word_label: "",
        submit: "End all of their sessions",
        action: END_ALL.to_owned(),
        back: link(LIST, &[("user", &user)]),
        hidden: vec![("user", user)],
        failure: None,
    };
    Ok(visit.page(&page))
}

/// `POST /dashboard/sessions/end-all`
pub async fn post_end_all(State(app): State<Arc<App>>, sent: Sent) -> Result<Response, Instead> {
    let Sent { visit, form } = sent;
    let person = person(&app, &visit, form.value("user").unwrap_or_default()).await?;
    let user = person.user.to_string();
    visit.recent(&app, &link(END_ALL, &[("user", &user)])).await?;
    let ended = admin::end_all_of(&app, &visit.caller, person.user, Wait::Effective)
        .await
        .map_err(refused)?;
    let what = counted(ended.ended, "session", "sessions");
    let sentence = match &ended.receipt {
        Some(receipt) => format!("{what} of {} ended. {}", person.name, in_force(receipt)),
        None => format!("{} was not signed in anywhere.", person.name),
    };
    Ok(visit.done(&link(LIST, &[("user", &user)]), &sentence))
}
