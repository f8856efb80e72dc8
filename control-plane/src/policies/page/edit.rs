//! A draft: as JSON, or route by route. It travels in the form, so it needs no script and no place to be kept; nothing is in
//! force before “Apply” is pressed below what it would change.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use shared::policy::{Policy, PolicyError};

use super::{Line, PATH, fields};
use crate::app::App;
use crate::dashboard::{Sent, Shell, Visit, refused, refused_form};
use crate::error::Code;
use crate::oauth::form::Form;
use crate::policies::{self, Checked, Warning};
use crate::revocation::Wait;
use crate::sessions::Instead;

/// This page.
const EDIT: &str = "/dashboard/policies/edit";

#[derive(Template)]
#[template(path = "dashboard/policies_edit.html")]
struct EditPage {
    shell: Shell,
    base: u64,
    document: String,
    reason: String,
    /// The routes of the draft, if it can be read as far as that.
    routes: Vec<DraftLine>,
    /// The route whose fields are shown.
    open: Option<Open>,
    looked: bool,
    problems: Vec<PolicyError>,
    changes: Vec<(&'static str, &'static str, String)>,
    warnings: Vec<Warning>,
    failure: Option<String>,
    managed_by_file: bool,
}

struct DraftLine {
    number: usize,
    text: String,
    who: String,
    tone: &'static str,
    wrong: bool,
    is_first: bool,
    is_last: bool,
}

struct Open {
    number: usize,
    fields: Vec<fields::Field>,
}

/// A draft as it came with the form.
struct Draft {
    base: u64,
    text: String,
    reason: String,
    open: Option<usize>,
}

/// `GET /dashboard/policies/edit`.
pub async fn get(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Instead> {
    // Before anybody writes a draft: a new sign-in would lose it.
    visit.recent(&app, EDIT).await?;
    let draft = in_force(&app, &visit).await?;
    let page = page(&app, &visit, draft, None, None).await?;
    Ok(visit.page(&page))
}

/// `POST /dashboard/policies/edit`. Which button was pressed says what happens to the draft.
pub async fn post(State(app): State<Arc<App>>, Sent { visit, form }: Sent) -> Result<Response, Instead> {
    let pressed = form.value("do").unwrap_or("check");
    let (verb, place) = pressed.split_once(':').unwrap_or((pressed, ""));
    let place: Option<usize> = place.parse().ok();
    let mut draft = Draft::of(&form);
    if !matches!(verb, "reset" | "close") {
        // Whatever was pressed: what stands in the fields of a route is part of the draft.
        draft.change("save", draft.open, &form);
    }
    match verb {
        "reset" => draft = in_force(&app, &visit).await?,
        "apply" => return apply(&app, visit, draft).await,
        "open" => draft.open = place,
        "close" => draft.open = None,
        "save" | "check" => {}
        _ => draft.change(verb, place, &form),
    }
    let checked = policies::parse(draft.text.as_bytes());
    let checked = match checked {
        Ok(document) => policies::check(&app, &visit.caller, document)
            .await
            .map_err(refused)?,
        Err(problem) => broken(problem),
    };
    let show = matches!(verb, "check" | "save" | "up" | "down" | "remove" | "add" | "open");
    let status = if show && !checked.problems.is_empty() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    let page = page(&app, &visit, draft, show.then_some(checked), None).await?;
    Ok(visit.page_with(status, &page))
}

async fn apply(app: &Arc<App>, visit: Visit, draft: Draft) -> Result<Response, Instead> {
    let document = match policies::parse(draft.text.as_bytes()) {
        Ok(document) => document,
        Err(problem) => {
            let page = page(app, &visit, draft, Some(broken(problem)), None).await?;
            return Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &page));
        }
    };
    if visit.recent(app, EDIT).await.is_err() {
        let failure = "Your sign-in is too long ago for this. Copy your draft, sign in once more, and paste it on this page.";
        let page = page(app, &visit, draft, None, Some(failure.to_owned())).await?;
        return Ok(visit.page_with(StatusCode::FORBIDDEN, &page));
    }
    let how = (Some(draft.base), Some(draft.reason.as_str()));
    // The version's page shows the receipt as it comes.
    let done = policies::apply(app, &visit.caller, document.clone(), how, Wait::None).await;
    match done {
        Ok(applied) if applied.changed => {
            let path = format!("{PATH}/versions/{}", applied.version);
            Ok(visit.done(&path, "The policy is in force here, and on its way to the edges."))
        }
        Ok(_) => Ok(visit.done(PATH, "Nothing was changed: this is what is in force.")),
        Err(error) => {
            let is_late = error.code() == Code::PreconditionFailed;
            let mut failure = refused_form(error)?;
            let mut draft = draft;
            if is_late {
                // What it changes now is what somebody else's version would lose.
                draft.base = policies::show(app, &visit.caller).await.map_err(refused)?.version;
                failure.push_str(" Below is what your draft changes in that version.");
            }
            let checked = policies::check(app, &visit.caller, document)
                .await
                .map_err(refused)?;
            let page = page(app, &visit, draft, Some(checked), Some(failure)).await?;
            Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &page))
        }
    }
}

async fn in_force(app: &App, visit: &Visit) -> Result<Draft, Instead> {
    let current = policies::show(app, &visit.caller).await.map_err(refused)?;
    Ok(Draft {
        base: current.version,
        text: pretty(&serde_json::to_value(&current.policy).unwrap_or_default()),
        reason: String::new(),
        open: None,
    })
}

impl Draft {
    fn of(form: &Form) -> Self {
        let text = |name: &str| form.value(name).unwrap_or_default().to_owned();
        Self {
            base: text("base").parse().unwrap_or(0),
            text: text("document"),
            reason: text("reason"),
            open: text("open").parse().ok(),
        }
    }

    /// Changes one route. A draft that cannot be read stays as it is: what is wrong with it is shown.
    fn change(&mut self, verb: &str, place: Option<usize>, form: &Form) {
        let Ok(mut document) = policies::parse(self.text.as_bytes()) else {
            return;
        };
        let Some(routes) = document.get_mut("routes").and_then(Value::as_array_mut) else {
            return;
        };
        let there = place.filter(|place| *place < routes.len());
        match (verb, there) {
            ("add", _) => {
                self.open = Some(routes.len());
                routes.push(json!({ "path": "/new/**", "scopes": [] }));
            }
            ("save", Some(place)) => {
                if let Some(route) = routes.get_mut(place) {
                    *route = fields::put(route, |name| form.value(name));
                }
            }
            ("remove", Some(place)) => {
                drop(routes.remove(place));
                self.open = None;
            }
            ("up", Some(place)) if place > 0 => {
                routes.swap(place.saturating_sub(1), place);
                self.open = None;
            }
            ("down", Some(place)) if place.saturating_add(1) < routes.len() => {
                routes.swap(place, place.saturating_add(1));
                self.open = None;
            }
            _ => return,
        }
        self.text = pretty(&document);
    }
}

fn broken(problem: PolicyError) -> Checked {
    Checked {
        base: 0,
        problems: vec![problem],
        changes: policies::Changes::default(),
        warnings: Vec::new(),
        policy: None,
    }
}

/// As people read it: in the order of the documentation, if it can be read as a policy.
pub(super) fn pretty(document: &Value) -> String {
    let text = match serde_json::from_value::<Policy>(document.clone()) {
        Ok(policy) => serde_json::to_string_pretty(&policy),
        Err(_) => serde_json::to_string_pretty(document),
    };
    text.unwrap_or_default()
}

async fn page(
    app: &App,
    visit: &Visit,
    draft: Draft,
    checked: Option<Checked>,
    failure: Option<String>,
) -> Result<EditPage, Instead> {
    let current = policies::show(app, &visit.caller).await.map_err(refused)?;
    if !current.access.administers {
        let detail = "the route policy is the whole installation's: owners and admins of the operator's organisation change it";
        let error = crate::error::ApiError::new(Code::ExceedsCaller, detail);
        return Err(refused(error));
    }
    let looked = checked.is_some();
    let (problems, changes, warnings) = checked.map_or_else(Default::default, |checked| {
        (checked.problems, super::lines(&checked.changes), checked.warnings)
    });
    let document = policies::parse(draft.text.as_bytes()).ok();
    let routes = document
        .as_ref()
        .and_then(|document| document["routes"].as_array().cloned())
        .unwrap_or_default();
    let policy = document
        .clone()
        .and_then(|document| serde_json::from_value::<Policy>(document).ok());
    let lines = policy.as_ref().map(Line::all).unwrap_or_default();
    let last = routes.len().saturating_sub(1);
    let list = routes.iter().enumerate().map(|(number, route)| {
        let line = lines.get(number);
        let place = format!("routes[{number}]");
        DraftLine {
            number,
            text: line.map_or_else(
                || route["path"].as_str().unwrap_or("?").to_owned(),
                |line| format!("{} {}", line.methods, line.path),
            ),
            who: line.map_or_else(String::new, |line| line.who.clone()),
            tone: line.map_or("plain", |line| line.tone),
            wrong: problems.iter().any(|problem| {
                let rest = problem.place.strip_prefix(&place);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            }),
            is_first: number == 0,
            is_last: number == last,
        }
    });
    let list = list.collect();
    let open = draft.open.and_then(|number| {
        let route = routes.get(number)?;
        Some(Open {
            number,
            fields: fields::of(number, route, &problems),
        })
    });
    Ok(EditPage {
        shell: visit.shell(),
        base: draft.base,
        document: draft.text,
        reason: draft.reason,
        routes: list,
        open,
        looked,
        problems,
        changes,
        warnings,
        failure,
        managed_by_file: current.access.managed_by_file,
    })
}
