//! A new key: what it should be, and then its text, once.

use std::sync::Arc;

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use shared::crypto::{base64url, sha256};
use shared::id::UserId;
use shared::key::Environment;
use shared::time::UnixSeconds;

use super::list::workspaces;
use super::{OncePage, Side};
use crate::app::App;
use crate::dashboard::{Parameters, Sent, Shell, Visit, refused, refused_form};
use crate::error::{ApiError, Code};
use crate::http::time::parse_rfc3339;
use crate::keys::{self, Idempotency, NewKey};
use crate::members::{self, Listing};
use crate::oauth::form::Form;
use crate::pages::PageError;
use crate::sessions::Instead;
use crate::store::members::{MemberKind, MemberState};

const DAY_SECONDS: u64 = 86_400;
/// People in the menu. Whoever is not among them is found by their address.
const MEMBERS: u32 = 100;
/// Value, title and hint of each choice; `scopes`: a list of one's own.
const PRESETS: [(&str, &str, &str); 4] = [
    (
        "read",
        "Read",
        "Cannot change anything. Enough for dashboards, exports and monitoring.",
    ),
    (
        "read-write",
        "Read and write",
        "For services that work with your data.",
    ),
    (
        "admin",
        "Admin",
        "Everything, this API included. Give it to as few programs as you can.",
    ),
    ("scopes", "Exactly these", "The least that the program needs."),
];
const LIFETIMES: [(&str, &str); 5] = [
    ("30", "30 days"),
    ("90", "90 days"),
    ("365", "One year"),
    ("never", "No end"),
    ("date", "On a date"),
];

#[derive(Template)]
#[template(path = "dashboard/key_new.html")]
struct NewPage {
    shell: Shell,
    base: &'static str,
    title: &'static str,
    is_mine: bool,
    presets: Vec<Choice>,
    scopes: Vec<(String, bool)>,
    has_scopes: bool,
    environments: Vec<(String, bool)>,
    workspaces: Vec<(String, String, bool)>,
    members: Vec<(String, String, bool)>,
    lifetimes: Vec<(&'static str, &'static str, bool)>,
    name: String,
    date: String,
    /// Sent with the form: the same form twice makes one key.
    once: String,
    failure: Option<String>,
}

struct Choice {
    value: &'static str,
    title: &'static str,
    hint: &'static str,
    is_chosen: bool,
}

/// `GET /dashboard/keys/new`, perhaps for a member: `?user=…`.
pub async fn get(
    State(app): State<Arc<App>>,
    side: Side,
    visit: Visit,
    parameters: Parameters,
) -> Result<Response, Instead> {
    let page = page(&app, (&visit, side), None, parameters.value("user"), None).await?;
    Ok(visit.page(&page))
}

/// `POST /dashboard/keys/new`.
pub async fn post(
    State(app): State<Arc<App>>,
    side: Side,
    Sent { visit, form }: Sent,
) -> Result<Response, Instead> {
    let made = match read(&app, side, &form) {
        Ok(new) => keys::create(&app, &visit.caller, new, idempotency(&form)).await,
        Err(error) => Err(error),
    };
    match made {
        Ok(issued) => Ok(visit.page(&OncePage::new(&app, (&visit, side), "The key was made", &issued, None))),
        Err(error) if error.code() == Code::AlreadyCreated => Err(PageError::new(
            StatusCode::CONFLICT,
            "already_created",
            "This key was made already",
            "The form was sent twice. Its key was made once and shown once; nobody can show it again. If you did not store it, revoke it and make another.",
        )
        .into()),
        Err(error) => {
            let failure = refused_form(error)?;
            let page = page(&app, (&visit, side), Some(&form), "", Some(failure)).await?;
            Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &page))
        }
    }
}

fn read(app: &App, side: Side, form: &Form) -> Result<NewKey, ApiError> {
    let value = |name: &str| form.value(name).unwrap_or_default();
    let listed: Vec<String> = app
        .catalogue()
        .all()
        .iter()
        .filter(|scope| form.value(&format!("scope.{scope}")).is_some())
        .cloned()
        .collect();
    let scopes = match value("preset") {
        "scopes" => keys::scopes_of(None, Some(&listed), &app.policy().policy)?,
        preset => keys::scopes_of(Some(preset), None, &app.policy().policy)?,
    };
    let workspace = match value("workspace") {
        "" | "all" => None,
        id => Some(
            id.parse()
                .map_err(|_| ApiError::invalid_field("workspace", "choose one of the list"))?,
        ),
    };
    let environment = value("environment").parse::<Environment>();
    let user = match value("user") {
        _ if side == Side::Mine => None,
        "" => None,
        id => Some(
            id.parse::<UserId>()
                .map_err(|_| ApiError::invalid_field("user", "choose one of the list"))?,
        ),
    };
    Ok(NewKey {
        name: value("name").to_owned(),
        scopes,
        workspace,
        environment: environment.map_err(|_| ApiError::invalid_field("environment", "choose one"))?,
        expires_at: expiry(app.clock.now().seconds(), value("lifetime"), value("date"))?,
        user,
    })
}

fn expiry(now: UnixSeconds, lifetime: &str, date: &str) -> Result<Option<UnixSeconds>, ApiError> {
    match lifetime {
        "never" => Ok(None),
        // The end of that day, wherever it ends first.
        "date" => parse_rfc3339(&format!("{date}T00:00:00Z"))
            .map(Some)
            .ok_or_else(|| ApiError::invalid_field("expires_at", "choose a day such as 2030-01-31")),
        days => days
            .parse::<u64>()
            .ok()
            .filter(|days| (1..=3650).contains(days))
            .map(|days| Some(now.saturating_add(days.saturating_mul(DAY_SECONDS))))
            .ok_or_else(|| ApiError::invalid_field("expires_at", "choose how long the key should live")),
    }
}

fn idempotency(form: &Form) -> Option<Idempotency> {
    let once = form.value("once")?;
    let key = sha256(format!("dashboard {once}").as_bytes());
    // The form itself is not compared: whoever changes it and sends it again wanted one key all the same.
    Some(Idempotency { key, body: key })
}

async fn page(
    app: &App,
    (visit, side): (&Visit, Side),
    form: Option<&Form>,
    user: &str,
    failure: Option<String>,
) -> Result<NewPage, Instead> {
    let value = |name: &str| {
        form.and_then(|form| form.value(name))
            .unwrap_or_default()
            .to_owned()
    };
    let chosen = |name: &str, otherwise: &str| match form {
        Some(_) => value(name),
        None => otherwise.to_owned(),
    };
    let (preset, lifetime) = (chosen("preset", "read"), chosen("lifetime", "90"));
    let (workspace, user) = (chosen("workspace", "all"), chosen("user", user));
    let environment = chosen("environment", &visit.caller.environment.to_string());
    let presets = PRESETS
        .iter()
        .filter(|(value, ..)| *value == "scopes" || app.policy().policy.presets.contains_key(*value));
    let scopes: Vec<(String, bool)> = app
        .catalogue()
        .all()
        .iter()
        .map(|scope| (scope.clone(), !value(&format!("scope.{scope}")).is_empty()))
        .collect();
    let members = possible_users(app, visit, &user).await?;
    Ok(NewPage {
        shell: visit.shell(),
        base: side.base(),
        title: side.title(),
        is_mine: side == Side::Mine,
        presets: presets
            .map(|(value, title, hint)| Choice {
                value,
                title,
                hint,
                is_chosen: *value == preset,
            })
            .collect(),
        has_scopes: scopes.iter().any(|(_, is_chosen)| *is_chosen),
        scopes,
        environments: app
            .config
            .environments
            .iter()
            .map(|one| (one.to_string(), one.to_string() == environment))
            .collect(),
        workspaces: workspaces(app, visit)
            .await?
            .into_iter()
            .map(|(id, name)| (id.clone(), name, id == workspace))
            .collect(),
        members: members
            .into_iter()
            .map(|(id, label)| {
                let is_chosen = id == user;
                (id, label, is_chosen)
            })
            .collect(),
        lifetimes: LIFETIMES
            .map(|(value, title)| (value, title, value == lifetime))
            .to_vec(),
        name: value("name"),
        date: value("date"),
        once: match form.and_then(|form| form.value("once")) {
            Some(once) => once.to_owned(),
            None => base64url(&app.random.bytes::<16>()?),
        },
        failure,
    })
}

/// For whom a key can be made besides oneself: service accounts and people, and whoever is chosen already.
async fn possible_users(app: &App, visit: &Visit, chosen: &str) -> Result<Vec<(String, String)>, Instead> {
    let mut found = Vec::new();
    for kind in [MemberKind::Service, MemberKind::Person] {
        let listing = Listing {
            kind,
            state: Some(MemberState::Active),
            limit: MEMBERS,
            ..Listing::default()
        };
        let (some, _) = members::list(app, &visit.caller, listing)
            .await
            .map_err(refused)?;
        found.extend(some);
    }
    if let Ok(user) = chosen.parse::<UserId>()
        && !found.iter().any(|member| member.user == user)
        && let Ok(member) = members::view(app, &visit.caller, user).await
    {
        found.push(member);
    }
    let others = found
        .into_iter()
        .filter(|member| member.user != visit.caller.user);
    let named = others.map(|member| {
        let label = member
            .email
            .unwrap_or_else(|| format!("{} (service account)", member.name));
        (member.user.to_string(), label)
    });
    Ok(named.collect())
}
