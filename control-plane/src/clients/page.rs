//! `/dashboard/clients`: the list, the wizard, one client, its end.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::header::CACHE_CONTROL;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use shared::id::ClientId;
use shared::scope::ScopeSet;

use super::{ClientView, Kind, Settings, Which, WithSecret};
use crate::app::App;
use crate::authority::Act;
use crate::dashboard::{
    Confirm, Parameters, Sent, Shell, Visit, counted, in_force, link, refused, refused_form,
};
use crate::error::ApiError;
use crate::http::tag::IfMatch;
use crate::oauth::form::Form;
use crate::pages::Moment;
use crate::revocation::Wait;
use crate::revocations::Reason;
use crate::sessions::Instead;

const LIST: &str = "/dashboard/clients";
const NEW: &str = "/dashboard/clients/new";
const PAGE: u32 = 50;

#[derive(Template)]
#[template(path = "dashboard/clients.html")]
struct ClientsPage {
    shell: Shell,
    lines: Vec<Line>,
    which: Which,
    may_manage: bool,
    first: String,
    next: String,
}

#[derive(Template)]
#[template(path = "dashboard/client_kinds.html")]
struct KindsPage {
    shell: Shell,
    kinds: [Kind; 5],
}

#[derive(Template)]
#[template(path = "dashboard/client_form.html")]
struct FormPage {
    shell: Shell,
    kind: Kind,
    /// Of the one that is changed.
    id: Option<ClientId>,
    typed: String,
    redirect_uris: String,
    post_logout_redirect_uris: String,
    backchannel_logout_uri: String,
    jwks_uri: String,
    choices: Vec<ScopeChoice>,
    dpop: bool,
    par: bool,
    device_flow: bool,
    failure: Option<String>,
    action: String,
    back: String,
}

/// A scope that can be chosen.
struct ScopeChoice {
    /// In the form.
    field: String,
    name: String,
    words: String,
    is_chosen: bool,
}

#[derive(Template)]
#[template(path = "dashboard/client_secret.html")]
struct SecretPage {
    shell: Shell,
    client: ClientView,
    secret: Option<String>,
    issuer: String,
    is_new: bool,
}

#[derive(Template)]
#[template(path = "dashboard/client.html")]
struct ClientPage {
    shell: Shell,
    line: Line,
    is_own: bool,
    may_manage: bool,
    scopes: String,
}

struct Line {
    client: ClientView,
    kind: &'static str,
    since: Moment,
    disabled: Option<Moment>,
    grants: String,
}

impl Line {
    fn new(client: ClientView) -> Self {
        let grants = match (client.grants, client.grants_is_minimum) {
            (0, _) => "none".to_owned(),
            (number, false) => number.to_string(),
            (number, true) => format!("{number} or more"),
        };
        Self {
            kind: title(&client.kind),
            since: client.created_at.0.into(),
            disabled: client.disabled_at.map(|at| at.0.into()),
            grants,
            client,
        }
    }
}

/// What a kind is called on pages.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "what templates give")]
fn title(kind: &Kind) -> &'static str {
    match kind {
        Kind::Web => "Web app",
        Kind::Browser => "Browser app",
        Kind::Native => "Native app",
        Kind::Mcp => "MCP client",
        Kind::Machine => "Machine",
    }
}

/// What it is for.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "what templates give")]
fn purpose(kind: &Kind) -> &'static str {
    match kind {
        Kind::Web => "Has a server that keeps a secret. Signs people in.",
        Kind::Browser => "All in the browser, with PKCE and no secret. Signs people in.",
        Kind::Native => "On a phone, a desktop or a command line, with PKCE and no secret.",
        Kind::Mcp => "An agent or an editor that cannot register itself, with PKCE and no secret.",
        Kind::Machine => "Acts for itself with a secret; no person stands behind it.",
    }
}

fn page_of(id: ClientId) -> String {
    format!("{LIST}/{id}")
}

fn status(failure: Option<&String>) -> StatusCode {
    if failure.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    }
}

async fn find(app: &App, visit: &Visit, id: &str) -> Result<ClientView, Instead> {
    let id: ClientId = id.parse().map_err(|_| refused(super::not_found()))?;
    super::show(app, &visit.caller, id).await.map_err(refused)
}

/// One that the organisation registered.
async fn own(app: &App, visit: &Visit, id: &str) -> Result<ClientView, Instead> {
    let client = find(app, visit, id).await?;
    if client.org.is_none() {
        return Err(refused(super::not_found()));
    }
    Ok(client)
}

/// `GET /dashboard/clients`
pub async fn get_list(
    State(app): State<Arc<App>>,
    visit: Visit,
    query: Parameters,
) -> Result<Response, Instead> {
    let (which, show) = match query.value("show") {
        "let_in" => (Which::LetIn, "let_in"),
        "disabled" => (Which::Disabled, "disabled"),
        _ => (Which::Registered, ""),
    };
    let (found, next) = super::list(&app, &visit.caller, which, query.some("cursor"), PAGE)
        .await
        .map_err(refused)?;
    let page = ClientsPage {
        shell: visit.shell(),
        lines: found.into_iter().map(Line::new).collect(),
        which,
        may_manage: visit.may(Act::ManageClients),
        first: query
            .some("cursor")
            .map_or_else(String::new, |_| link(LIST, &[("show", show)])),
        next: next.map_or_else(String::new, |cursor| {
            link(LIST, &[("show", show), ("cursor", &cursor)])
        }),
    };
    Ok(visit.page(&page))
}

/// `GET /dashboard/clients/{id}`
pub async fn get(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response, Instead> {
    let client = find(&app, &visit, &id).await?;
    let page = ClientPage {
        shell: visit.shell(),
        is_own: client.org.is_some(),
        may_manage: visit.may(Act::ManageClients),
        scopes: client.scopes.join(", "),
        line: Line::new(client),
    };
    Ok(visit.page(&page))
}

/// `GET /dashboard/clients/new`: first what it is, then what it needs.
pub async fn get_new(
    State(app): State<Arc<App>>,
    visit: Visit,
    query: Parameters,
) -> Result<Response, Instead> {
    let Some(kind) = kind(query.value("kind")) else {
        let page = KindsPage {
            shell: visit.shell(),
            kinds: Kind::ALL,
        };
        return Ok(visit.page(&page));
    };
    let settings = Settings {
        scopes: least_scopes(&app),
        ..Settings::default()
    };
    Ok(form_page(&app, &visit, (kind, None), settings, None))
}

fn kind(text: &str) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| kind.as_str() == text)
}

/// What a client may ask for unless somebody chooses more.
fn least_scopes(app: &App) -> ScopeSet {
    let policy = app.policy();
    let preset = policy.policy.presets.get("read");
    let least = preset.and_then(|names| app.catalogue().parse(names).ok());
    least.unwrap_or(ScopeSet::EMPTY)
}

fn form_page(
    app: &App,
    visit: &Visit,
    (kind, id): (Kind, Option<ClientId>),
    settings: Settings,
    failure: Option<String>,
) -> Response {
    let names = app.catalogue().all();
    let choices = names.iter().map(|name| ScopeChoice {
        field: format!("scope-{name}"),
        words: crate::oauth::scopes::in_words(name),
        is_chosen: app
            .catalogue()
            .parse([name])
            .is_ok_and(|one| settings.scopes.contains(one)),
        name: name.to_owned(),
    });
    let status = status(failure.as_ref());
    let page = FormPage {
        shell: visit.shell(),
        kind,
        id,
        typed: settings.name,
        redirect_uris: settings.redirect_uris.join("\n"),
        post_logout_redirect_uris: settings.post_logout_redirect_uris.join("\n"),
        backchannel_logout_uri: settings.backchannel_logout_uri.unwrap_or_default(),
        jwks_uri: settings.jwks_uri.unwrap_or_default(),
        choices: choices.collect(),
        dpop: settings.dpop_bound_access_tokens,
        par: settings.require_pushed_authorization_requests,
        device_flow: settings.device_flow,
        failure,
        action: id.map_or_else(|| NEW.to_owned(), |id| format!("{}/edit", page_of(id))),
        back: id.map_or_else(|| NEW.to_owned(), page_of),
    };
    visit.page_with(status, &page)
}

/// What the form says. Addresses stand one to a line.
fn settings(app: &App, form: &Form) -> Settings {
    let text = |name: &str| form.value(name).unwrap_or_default().trim().to_owned();
    let lines = |name: &str| -> Vec<String> {
        let typed = form.value(name).unwrap_or_default();
        let lines = typed.lines().map(str::trim).filter(|line| !line.is_empty());
        lines.map(str::to_owned).collect()
    };
    let optional = |name: &str| Some(text(name)).filter(|text| !text.is_empty());
    let is_on = |name: &str| form.value(name).is_some();
    let chosen = app.catalogue().all().iter();
    let chosen: Vec<&String> = chosen.filter(|name| is_on(&format!("scope-{name}"))).collect();
    Settings {
        name: text("name"),
        scopes: app.catalogue().parse(chosen).unwrap_or(ScopeSet::EMPTY),
        redirect_uris: lines("redirect_uris"),
        post_logout_redirect_uris: lines("post_logout_redirect_uris"),
        backchannel_logout_uri: optional("backchannel_logout_uri"),
        jwks_uri: optional("jwks_uri"),
        dpop_bound_access_tokens: is_on("dpop"),
        require_pushed_authorization_requests: is_on("par"),
        device_flow: is_on("device_flow"),
    }
}

/// `POST /dashboard/clients/new`
pub async fn post_new(State(app): State<Arc<App>>, sent: Sent) -> Result<Response, Instead> {
    let Sent { visit, form } = sent;
    let Some(kind) = kind(form.value("kind").unwrap_or_default()) else {
        return Err(refused(ApiError::invalid_field(
            "kind",
            "choose what the client is",
        )));
    };
    let settings = settings(&app, &form);
    match super::create(&app, &visit.caller, (kind, settings.clone()), None).await {
        Ok(made) => Ok(once(&app, &visit, made, true)),
        Err(error) => {
            let failure = refused_form(error)?;
            Ok(form_page(&app, &visit, (kind, None), settings, Some(failure)))
        }
    }
}

/// The page that shows a secret, which is kept nowhere.
fn once(app: &App, visit: &Visit, made: WithSecret, is_new: bool) -> Response {
    let page = SecretPage {
        shell: visit.shell(),
        client: made.client,
        secret: made.secret.map(|secret| secret.expose().to_owned()),
        issuer: app.config.issuer.clone(),
        is_new,
    };
    let mut response = visit.page(&page);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// `GET /dashboard/clients/{id}/edit`
pub async fn get_edit(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response, Instead> {
    let client = own(&app, &visit, &id).await?;
    let settings = Settings {
        scopes: app.catalogue().parse(&client.scopes).unwrap_or(ScopeSet::EMPTY),
        name: client.name,
        redirect_uris: client.redirect_uris,
        post_logout_redirect_uris: client.post_logout_redirect_uris,
        backchannel_logout_uri: client.backchannel_logout_uri,
        jwks_uri: client.jwks_uri,
        dpop_bound_access_tokens: client.dpop_bound_access_tokens,
        require_pushed_authorization_requests: client.require_pushed_authorization_requests,
        device_flow: client.device_flow,
    };
    Ok(form_page(
        &app,
        &visit,
        (client.kind, Some(client.id)),
        settings,
        None,
    ))
}

/// `POST /dashboard/clients/{id}/edit`
pub async fn post_edit(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Response, Instead> {
    let Sent { visit, form } = sent;
    let client = own(&app, &visit, &id).await?;
    let settings = settings(&app, &form);
    match super::update(&app, &visit.caller, client.id, settings.clone(), &IfMatch::Any).await {
        Ok(updated) => {
            let sentence = format!("{} was changed.", updated.name);
            Ok(visit.done(&page_of(client.id), &sentence))
        }
        Err(error) => {
            let failure = refused_form(error)?;
            Ok(form_page(
                &app,
                &visit,
                (client.kind, Some(client.id)),
                settings,
                Some(failure),
            ))
        }
    }
}

/// What a dangerous page is about.
#[derive(Clone, Copy)]
enum Danger {
    Secret,
    Revoke,
    Disable,
}

impl Danger {
    fn path(self, id: ClientId) -> String {
        let last = match self {
            Self::Secret => "rotate-secret",
            Self::Revoke => "revoke",
            Self::Disable => "disable",
        };
        format!("{}/{last}", page_of(id))
    }
}

fn confirm(visit: &Visit, client: &ClientView, danger: Danger, failure: Option<String>) -> Response {
    let name = &client.name;
    let (title, intro, consequences, submit, word) = match danger {
        Danger::Secret => (
            format!("Give {name} another secret"),
            "For a secret that somebody else may have seen, or that is old.",
            vec![
                "The old secret counts for nothing from this moment on.".to_owned(),
                format!("{name} gets no new tokens until it has the new one, which is shown once."),
                "Tokens that it has go on until they run out; people stay signed in.".to_owned(),
            ],
            "Make a new secret",
            None,
        ),
        Danger::Revoke => (
            format!("Revoke everything that {name} has"),
            "For an app that may be compromised: it goes on, and has to ask everybody again.",
            vec![
                format!(
                    "Grants of people here that end: {}.",
                    Line::new(client.clone()).grants
                ),
                "All of its tokens are refused at every region within seconds, for good.".to_owned(),
            ],
            "Revoke everything",
            Some(name.clone()),
        ),
        Danger::Disable => (
            format!("Disable {name}"),
            "This is for good: a disabled client never gets a token again. It stays in the records.",
            vec![
                format!(
                    "Grants of people here that end: {}.",
                    Line::new(client.clone()).grants
                ),
                "All of its tokens are refused at every region within seconds.".to_owned(),
                "Nobody can sign in to it any more.".to_owned(),
            ],
            "Disable this client",
            Some(name.clone()),
        ),
    };
    let status = status(failure.as_ref());
    let page = Confirm {
        shell: visit.shell(),
        title,
        intro: intro.to_owned(),
        consequences,
        word,
        word_label: "the name of the client",
        submit,
        action: danger.path(client.id),
        back: page_of(client.id),
        hidden: Vec::new(),
        failure,
    };
    visit.page_with(status, &page)
}

async fn ask(app: &App, visit: &Visit, id: &str, danger: Danger) -> Result<Response, Instead> {
    let client = match danger {
        Danger::Revoke => find(app, visit, id).await?,
        Danger::Secret | Danger::Disable => own(app, visit, id).await?,
    };
    visit.recent(app, &danger.path(client.id)).await?;
    Ok(confirm(visit, &client, danger, None))
}

/// `GET /dashboard/clients/{id}/rotate-secret`
pub async fn get_secret(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response, Instead> {
    ask(&app, &visit, &id, Danger::Secret).await
}

/// `GET /dashboard/clients/{id}/revoke`
pub async fn get_revoke(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response, Instead> {
    ask(&app, &visit, &id, Danger::Revoke).await
}

/// `GET /dashboard/clients/{id}/disable`
pub async fn get_disable(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    visit: Visit,
) -> Result<Response, Instead> {
    ask(&app, &visit, &id, Danger::Disable).await
}

/// `POST /dashboard/clients/{id}/rotate-secret`
pub async fn post_secret(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Response, Instead> {
    let visit = sent.visit;
    let client = own(&app, &visit, &id).await?;
    visit.recent(&app, &Danger::Secret.path(client.id)).await?;
    match super::rotate_secret(&app, &visit.caller, client.id).await {
        Ok(made) => Ok(once(&app, &visit, made, false)),
        Err(error) => {
            let failure = refused_form(error)?;
            Ok(confirm(&visit, &client, Danger::Secret, Some(failure)))
        }
    }
}

/// `POST /dashboard/clients/{id}/revoke`
pub async fn post_revoke(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Response, Instead> {
    let Sent { visit, form } = sent;
    let client = find(&app, &visit, &id).await?;
    visit.recent(&app, &Danger::Revoke.path(client.id)).await?;
    if !Confirm::is_typed(&form, &client.name) {
        let failure = Some(Confirm::MISTYPED.to_owned());
        return Ok(confirm(&visit, &client, Danger::Revoke, failure));
    }
    let caller = &visit.caller;
    match super::revoke_all(
        &app,
        caller,
        client.id,
        Reason::PrivilegeWithdrawn,
        Wait::Effective,
    )
    .await
    {
        Ok(receipt) => {
            let sentence = format!(
                "{} of {} ended. {}",
                counted(receipt.revoked.grants, "grant", "grants"),
                client.name,
                in_force(&receipt.receipt)
            );
            // One that was let in is not here any more once it has nothing.
            let next = if client.org.is_some() {
                page_of(client.id)
            } else {
                LIST.to_owned()
            };
            Ok(visit.done(&next, &sentence))
        }
        Err(error) => {
            let failure = refused_form(error)?;
            Ok(confirm(&visit, &client, Danger::Revoke, Some(failure)))
        }
    }
}

/// `POST /dashboard/clients/{id}/disable`
pub async fn post_disable(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    sent: Sent,
) -> Result<Response, Instead> {
    let Sent { visit, form } = sent;
    let client = own(&app, &visit, &id).await?;
    visit.recent(&app, &Danger::Disable.path(client.id)).await?;
    if !Confirm::is_typed(&form, &client.name) {
        let failure = Some(Confirm::MISTYPED.to_owned());
        return Ok(confirm(&visit, &client, Danger::Disable, failure));
    }
    match super::disable(&app, &visit.caller, client.id, Wait::Effective).await {
        Ok(disabled) => {
            let sentence = format!("{} is disabled. {}", client.name, in_force(&disabled.receipt));
            Ok(visit.done(&page_of(client.id), &sentence))
        }
        Err(error) => {
            let failure = refused_form(error)?;
            Ok(confirm(&visit, &client, Danger::Disable, Some(failure)))
        }
    }
}
