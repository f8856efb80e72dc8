//! `/dashboard/issuers`: the pages of trusted issuers. They call the functions that `/v1/issuers` calls.

use std::collections::BTreeMap;
use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::Response;
use shared::id::IssuerId;

use super::json::{IssuerView, KeysState, SubjectView};
use super::rules::{Asked, ClaimName};
use super::{Discovered, discover};
use crate::app::App;
use crate::authority::Act;
use crate::dashboard::{Confirm, Sent, Shell, Visit, refused, refused_form};
use crate::error::{ApiError, Code};
use crate::http::tag::IfMatch;
use crate::oauth::form::Form;
use crate::pages::Moment;
use crate::revocation::Wait;
use crate::sessions::Instead;
use crate::store::issuers::TrustedIssuer;

const PATH: &str = "/dashboard/issuers";

struct Line {
    view: IssuerView,
    /// Tone and words of how its keys are.
    tone: &'static str,
    state: &'static str,
    refreshed: Moment,
}

impl Line {
    fn of(app: &App, row: &TrustedIssuer) -> Self {
        let view = IssuerView::new(row, app.catalogue());
        let (tone, state) = match view.keys_state {
            KeysState::Fresh => ("good", "keys fresh"),
            KeysState::Failing => ("warn", "keys of before: look-ups fail"),
            KeysState::Stale => ("bad", "no keys: refused"),
            KeysState::Removed => ("plain", "removed"),
        };
        Self {
            refreshed: view.refreshed_at.0.into(),
            view,
            tone,
            state,
        }
    }
}

#[derive(Template)]
#[template(path = "dashboard/issuers.html")]
struct IssuersPage {
    shell: Shell,
    issuers: Vec<Line>,
    may_manage: bool,
}

/// `GET /dashboard/issuers`.
pub async fn list(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Instead> {
    let rows = super::list(&app, &visit.caller).await.map_err(refused)?;
    Ok(visit.page(&IssuersPage {
        shell: visit.shell(),
        issuers: rows.iter().map(|row| Line::of(&app, row)).collect(),
        may_manage: visit.may(Act::ManageIssuers),
    }))
}

#[derive(Template)]
#[template(path = "dashboard/issuer.html")]
struct IssuerPage {
    shell: Shell,
    line: Line,
    /// Member of the token, and what is made of it.
    mapping: Vec<(&'static str, String)>,
    next_refresh: Moment,
    created: Moment,
    updated: Moment,
    blocked: Vec<SubjectView>,
    may_manage: bool,
    subject: String,
    failure: Option<String>,
}

/// `GET /dashboard/issuers/{id}`.
pub async fn show(
    State(app): State<Arc<App>>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, Instead> {
    let page = issuer_page(&app, &visit, issuer_id(&id)?, String::new(), None).await?;
    Ok(visit.page(&page))
}

async fn issuer_page(
    app: &App,
    visit: &Visit,
    id: IssuerId,
    subject: String,
    failure: Option<String>,
) -> Result<IssuerPage, Instead> {
    let (row, blocked) = super::show(app, &visit.caller, id).await.map_err(refused)?;
    let line = Line::of(app, &row);
    let blocked = blocked
        .iter()
        .filter(|subject| subject.blocked_at.is_some())
        .map(SubjectView::from);
    let view = &line.view;
    let claim = |name: &Option<ClaimName>| name.as_ref().map(claim_text).unwrap_or_default();
    let scopes = match &view.scope_values {
        None => String::new(),
        Some(values) => {
            let pairs = values.iter();
            let pairs = pairs.map(|(value, scopes)| format!("{value} = {}", scopes.join(", ")));
            format!(" ({})", pairs.collect::<Vec<_>>().join("; "))
        }
    };
    let claims: Vec<String> = view.scope_claims.iter().map(claim_text).collect();
    let workspace = match (&view.workspace, &view.workspace_values) {
        (Some(workspace), _) => workspace.clone(),
        (None, Some(values)) => {
            let pairs = values.iter().map(|(value, id)| format!("{value} = {id}"));
            format!(
                "{}: {}",
                claim(&view.workspace_claim),
                pairs.collect::<Vec<_>>().join("; ")
            )
        }
        (None, None) => String::new(),
    };
    let mapping = vec![
        ("Audience", view.audiences.join(", ")),
        ("Subject", claim(&view.subject_claim)),
        ("Scopes", format!("{}{scopes}", claims.join(", or "))),
        ("Workspace", workspace),
        ("Types", view.token_types.join(", ")),
        ("Algorithms", view.algorithms.join(", ")),
    ];
    Ok(IssuerPage {
        shell: visit.shell(),
        mapping,
        next_refresh: view.next_refresh_at.0.into(),
        created: view.created_at.0.into(),
        updated: view.updated_at.0.into(),
        blocked: blocked.collect(),
        may_manage: visit.may(Act::ManageIssuers),
        line,
        subject,
        failure,
    })
}

/// Texts of the form, as they came or as they are.
#[derive(Clone, Debug, Default)]
struct Fields {
    issuer: String,
    jwks_uri: String,
    audiences: String,
    scopes: Vec<(String, bool)>,
    subject_claim: String,
    scope_claim: String,
    scope_values: String,
    workspace: String,
}

#[derive(Template)]
#[template(path = "dashboard/issuer_form.html")]
struct FormPage {
    shell: Shell,
    /// Its id; none: it is a new one.
    id: Option<String>,
    /// As it was when the form was shown.
    tag: String,
    fields: Fields,
    found: Option<Discovered>,
    failure: Option<String>,
}

/// `GET /dashboard/issuers/new`.
pub async fn get_new(State(app): State<Arc<App>>, visit: Visit) -> Result<Response, Instead> {
    visit.recent(&app, &format!("{PATH}/new")).await?;
    let fields = Fields {
        scopes: chosen(&app, |_| false),
        workspace: "all".to_owned(),
        ..Fields::default()
    };
    Ok(visit.page(&FormPage {
        shell: visit.shell(),
        id: None,
        tag: String::new(),
        fields,
        found: None,
        failure: None,
    }))
}

/// `POST /dashboard/issuers/new`: look for its keys first, and trust it then.
pub async fn post_new(State(app): State<Arc<App>>, Sent { visit, form }: Sent) -> Result<Response, Instead> {
    let fields = Fields::of(&app, &form);
    let page = |found, failure| FormPage {
        shell: visit.shell(),
        id: None,
        tag: String::new(),
        fields: fields.clone(),
        found,
        failure,
    };
    visit.recent(&app, PATH).await?;
    if form.value("do") != Some("create") {
        let uri = Some(fields.jwks_uri.as_str()).filter(|uri| !uri.is_empty());
        return match discover(&app, &visit.caller, &fields.issuer, uri).await {
            Ok(found) => Ok(visit.page(&page(Some(found), None))),
            Err(error) => {
                let failure = refused_form(error)?;
                let page = page(None, Some(failure));
                Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &page))
            }
        };
    }
    let asked = match fields.asked() {
        Ok(asked) => asked,
        Err(failure) => {
            let page = page(None, Some(failure));
            return Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &page));
        }
    };
    match super::create(
        &app,
        &visit.caller,
        (fields.issuer.clone(), asked),
        None,
        Wait::None,
    )
    .await
    {
        Ok(done) => {
            let keys = done
                .issuer
                .entry
                .binding
                .as_ref()
                .map_or(0, |binding| binding.keys.len());
            let left_out = done.left_out.as_ref().map_or(0, Vec::len);
            let said =
                format!("It is trusted, with {keys} of its keys; {left_out} are not fit to be trusted.");
            Ok(visit.done(&format!("{PATH}/{}", done.issuer.id), &said))
        }
        Err(error) => {
            let failure = refused_form(error)?;
            let page = page(None, Some(failure));
            Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &page))
        }
    }
}

/// `GET /dashboard/issuers/{id}/edit`.
pub async fn get_edit(
    State(app): State<Arc<App>>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, Instead> {
    let (row, _) = super::show(&app, &visit.caller, issuer_id(&id)?)
        .await
        .map_err(refused)?;
    let tag = super::tag(&row).as_str().to_owned();
    let view = IssuerView::new(&row, app.catalogue());
    let values = view.scope_values.unwrap_or_default();
    let values = values
        .iter()
        .map(|(value, scopes)| format!("{value}={}", scopes.join(",")));
    let claim = match view.scope_claims.as_slice() {
        [one] => claim_text(one),
        // Several: those that are looked for without a word about it.
        _ => String::new(),
    };
    let fields = Fields {
        issuer: view.issuer,
        jwks_uri: view.jwks_uri.unwrap_or_default(),
        audiences: view.audiences.join(" "),
        scopes: chosen(&app, |name| view.scopes.iter().any(|scope| scope == name)),
        subject_claim: view.subject_claim.as_ref().map(claim_text).unwrap_or_default(),
        scope_claim: claim,
        scope_values: values.collect::<Vec<_>>().join("\n"),
        workspace: view.workspace.unwrap_or_default(),
    };
    Ok(visit.page(&FormPage {
        shell: visit.shell(),
        id: Some(id),
        tag,
        fields,
        found: None,
        failure: None,
    }))
}

/// `POST /dashboard/issuers/{id}/edit`.
pub async fn post_edit(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Sent { visit, form }: Sent,
) -> Result<Response, Instead> {
    let number = issuer_id(&id)?;
    visit.recent(&app, &format!("{PATH}/{id}/edit")).await?;
    let (row, _) = super::show(&app, &visit.caller, number).await.map_err(refused)?;
    let fields = Fields {
        issuer: row.entry.issuer,
        ..Fields::of(&app, &form)
    };
    let seen = IfMatch::form(form.value("tag"));
    let outcome = match fields.asked() {
        Ok(asked) => match super::change(&app, &visit.caller, number, (asked, &seen), Wait::None).await {
            Ok(_) => Ok(()),
            Err(error) => Err(refused_form(error)?),
        },
        Err(failure) => Err(failure),
    };
    match outcome {
        Ok(()) => Ok(visit.done(
            &format!("{PATH}/{id}"),
            "The issuer was changed; edges go by it within the bound.",
        )),
        Err(failure) => {
            let page = FormPage {
                shell: visit.shell(),
                id: Some(id),
                tag: form.value("tag").unwrap_or_default().to_owned(),
                fields,
                found: None,
                failure: Some(failure),
            };
            Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &page))
        }
    }
}

/// `POST /dashboard/issuers/{id}/refresh`.
pub async fn refresh(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Sent { visit, .. }: Sent,
) -> Result<Response, Instead> {
    let number = issuer_id(&id)?;
    match super::refresh(&app, &visit.caller, number, None, Wait::None).await {
        Ok(done) => {
            let left_out = done.left_out.unwrap_or_default();
            let names: Vec<String> = left_out
                .iter()
                .map(|(kid, why)| format!("{kid}: {why}"))
                .collect();
            let said = if names.is_empty() {
                "Its keys were looked up.".to_owned()
            } else {
                format!("Its keys were looked up. Not trusted: {}.", names.join("; "))
            };
            let said: String = said.chars().take(500).collect();
            Ok(visit.done(&format!("{PATH}/{id}"), &said))
        }
        Err(error) => {
            let failure = refused_form(error)?;
            let page = issuer_page(&app, &visit, number, String::new(), Some(failure)).await?;
            Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &page))
        }
    }
}

/// `POST /dashboard/issuers/{id}/block`.
pub async fn block(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Sent { visit, form }: Sent,
) -> Result<Response, Instead> {
    set(&app, visit, &id, &form, true).await
}

/// `POST /dashboard/issuers/{id}/unblock`.
pub async fn unblock(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Sent { visit, form }: Sent,
) -> Result<Response, Instead> {
    set(&app, visit, &id, &form, false).await
}

async fn set(app: &App, visit: Visit, id: &str, form: &Form, blocked: bool) -> Result<Response, Instead> {
    let number = issuer_id(id)?;
    let subject = form.value("subject").unwrap_or_default().trim();
    match super::block(app, &visit.caller, number, (subject, blocked), Wait::None).await {
        Ok(_) => {
            let said = if blocked {
                format!(
                    "“{subject}” is blocked: whatever tokens the issuer gives them, they can do nothing here."
                )
            } else {
                format!("“{subject}” is let in again.")
            };
            Ok(visit.done(&format!("{PATH}/{id}"), &said))
        }
        Err(error) => {
            let failure = refused_form(error)?;
            let page = issuer_page(app, &visit, number, subject.to_owned(), Some(failure)).await?;
            Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &page))
        }
    }
}

/// `GET /dashboard/issuers/{id}/remove`.
pub async fn ask_removal(
    State(app): State<Arc<App>>,
    visit: Visit,
    Path(id): Path<String>,
) -> Result<Response, Instead> {
    let confirm = removal(&app, &visit, &id, None).await?;
    Ok(visit.page(&confirm))
}

/// `POST /dashboard/issuers/{id}/remove`.
pub async fn remove(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
    Sent { visit, form }: Sent,
) -> Result<Response, Instead> {
    let number = issuer_id(&id)?;
    let (row, _) = super::show(&app, &visit.caller, number).await.map_err(refused)?;
    if !Confirm::is_typed(&form, &row.entry.issuer) {
        let confirm = removal(&app, &visit, &id, Some(Confirm::MISTYPED.to_owned())).await?;
        return Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &confirm));
    }
    match super::remove(&app, &visit.caller, number, Wait::None).await {
        Ok(_) => Ok(visit.done(PATH, &format!("{} is trusted no more.", row.entry.issuer))),
        Err(error) => {
            let failure = refused_form(error)?;
            let confirm = removal(&app, &visit, &id, Some(failure)).await?;
            Ok(visit.page_with(StatusCode::UNPROCESSABLE_ENTITY, &confirm))
        }
    }
}

async fn removal(app: &App, visit: &Visit, id: &str, failure: Option<String>) -> Result<Confirm, Instead> {
    let (row, _) = super::show(app, &visit.caller, issuer_id(id)?)
        .await
        .map_err(refused)?;
    Ok(Confirm {
        shell: visit.shell(),
        title: "Trust this issuer no more".to_owned(),
        intro: format!("{} is an issuer whose tokens count in your organisation.", row.entry.issuer),
        consequences: vec![
            "Every token that it has made until now is refused, for good, also if somebody trusts it again later.".to_owned(),
            "Whoever comes with new tokens of it is refused, too.".to_owned(),
            "Another organisation may trust it from then on.".to_owned(),
        ],
        word: Some(row.entry.issuer),
        word_label: "the issuer",
        submit: "Trust it no more",
        action: format!("{PATH}/{id}/remove"),
        back: format!("{PATH}/{id}"),
        hidden: Vec::new(),
        failure,
    })
}

impl Fields {
    fn of(app: &App, form: &Form) -> Self {
        let text = |name: &str| form.value(name).unwrap_or_default().trim().to_owned();
        Self {
            issuer: text("issuer"),
            jwks_uri: text("jwks_uri"),
            audiences: text("audiences"),
            scopes: chosen(app, |name| form.value(&format!("scope.{name}")).is_some()),
            subject_claim: text("subject_claim"),
            scope_claim: text("scope_claim"),
            scope_values: text("scope_values"),
            workspace: text("workspace"),
        }
    }

    fn asked(&self) -> Result<Asked, String> {
        let claim = |text: &str| (!text.is_empty()).then(|| claim_of(text));
        let mut values = BTreeMap::new();
        for line in self
            .scope_values
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
        {
            let Some((value, scopes)) = line.rsplit_once('=') else {
                return Err(format!(
                    "What a value means here: write “{line}” as value=scope,scope."
                ));
            };
            let scopes = scopes.split(',').map(|scope| scope.trim().to_owned());
            values.insert(value.trim().to_owned(), scopes.collect());
        }
        let audiences = self.audiences.split_whitespace().map(str::to_owned);
        let scopes = self.scopes.iter().filter(|(_, chosen)| *chosen);
        Ok(Asked {
            jwks_uri: Some(self.jwks_uri.clone()),
            audiences: Some(audiences.collect()),
            scopes: Some(scopes.map(|(name, _)| name.clone()).collect()),
            subject_claim: claim(&self.subject_claim),
            scope_claim: claim(&self.scope_claim),
            scope_values: Some(values),
            workspace: Some(self.workspace.clone()).filter(|workspace| !workspace.is_empty()),
            ..Asked::default()
        })
    }
}

fn chosen(app: &App, is_chosen: impl Fn(&str) -> bool) -> Vec<(String, bool)> {
    let names = app.catalogue().all().iter();
    names.map(|name| (name.clone(), is_chosen(name))).collect()
}

/// Dots lead further in, but in a name that is a URL.
fn claim_of(text: &str) -> ClaimName {
    if text.contains("://") || !text.contains('.') {
        return ClaimName::One(text.to_owned());
    }
    ClaimName::Path(text.split('.').map(str::to_owned).collect())
}

fn claim_text(name: &ClaimName) -> String {
    match name {
        ClaimName::One(name) => name.clone(),
        ClaimName::Path(path) => path.join("."),
    }
}

/// An id that is not even one is an issuer that is not there.
fn issuer_id(text: &str) -> Result<IssuerId, Instead> {
    text.parse()
        .map_err(|_| refused(ApiError::new(Code::NotFound, "there is no such issuer")))
}
