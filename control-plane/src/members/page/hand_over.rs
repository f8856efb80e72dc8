//! A key for somebody else in place of one that will die with its user: the offer, and the new key, shown once.

use askama::Template;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::Response;
use shared::id::{KeyId, UserId};

use super::person::find;
use super::{PEOPLE, Place, SERVICE_ACCOUNTS, role};
use crate::app::App;
use crate::dashboard::{Parameters, Sent, Shell, Visit, refused, refused_form};
use crate::error::ApiError;
use crate::keys::{self, Issued};
use crate::members::{self, Listing, MemberView};
use crate::oauth::form::Form;
use crate::orgs;
use crate::service_accounts;
use crate::sessions::Instead;
use crate::store::keys::ApiKey;
use crate::store::members::{MemberKind, MemberState};
use crate::store::orgs::Role;

/// So many of each are offered by name; anybody else by their id.
const OFFERED: u32 = 50;

#[derive(Template)]
#[template(path = "dashboard/hand_over.html")]
struct HandOverPage {
    shell: Shell,
    here: String,
    key: String,
    key_name: String,
    scopes: String,
    programs: Vec<MemberView>,
    people: Vec<MemberView>,
    roles: Vec<Role>,
    least: &'static str,
    suggested: String,
    failure: Option<String>,
    member: MemberView,
}

#[derive(Template)]
#[template(path = "dashboard/handed_over.html")]
struct HandedOverPage {
    shell: Shell,
    here: String,
    key: String,
    key_name: String,
    old_name: String,
    to: String,
    back_to_end: String,
    member: MemberView,
}

/// The least role whose rights cover a key's scopes.
fn least_role(app: &App, key: &ApiKey) -> Option<Role> {
    let wanted = app.catalogue().expand(key.scopes);
    SERVICE_ACCOUNTS.roles().iter().copied().find(|role| {
        let rights = orgs::rights(*role, &app.policy().policy);
        app.catalogue().expand(rights).contains(wanted)
    })
}

/// A key of this member.
async fn key_of(app: &App, visit: &Visit, member: &MemberView, text: &str) -> Result<ApiKey, Instead> {
    let missing = || ApiError::not_found("key");
    let id: KeyId = text.parse().map_err(|_| refused(missing()))?;
    let key = keys::show(app, &visit.caller, id).await.map_err(refused)?;
    if key.user == member.user {
        return Ok(key);
    }
    Err(refused(missing()))
}

fn here(place: Place, user: UserId, key: &str) -> String {
    format!("{}/reissue?key={key}", place.page_of(user))
}

pub(super) async fn get(
    app: &App,
    place: Place,
    visit: &Visit,
    id: &str,
    query: &Parameters,
) -> Result<Response, Instead> {
    let member = find(app, place, visit, id).await?;
    let key = key_of(app, visit, &member, query.value("key")).await?;
    visit
        .recent(app, &here(place, member.user, &key.id.to_string()))
        .await?;
    show(app, place, visit, (member, key), None).await
}

async fn show(
    app: &App,
    place: Place,
    visit: &Visit,
    (member, key): (MemberView, ApiKey),
    failure: Option<String>,
) -> Result<Response, Instead> {
    let listed = async |kind: MemberKind| {
        let listing = Listing {
            kind,
            state: Some(MemberState::Active),
            limit: OFFERED,
            ..Listing::default()
        };
        let (found, _) = members::list(app, &visit.caller, listing)
            .await
            .map_err(refused)?;
        let others = found.into_iter().filter(|other| other.user != member.user);
        Ok::<_, Instead>(others.collect::<Vec<_>>())
    };
    let status = if failure.is_some() {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::OK
    };
    let page = HandOverPage {
        shell: visit.shell(),
        here: place.page_of(member.user),
        scopes: app.catalogue().names(key.scopes).join(", "),
        programs: listed(MemberKind::Service).await?,
        people: listed(MemberKind::Person).await?,
        roles: SERVICE_ACCOUNTS.roles().to_vec(),
        least: least_role(app, &key).map_or("", Role::as_str),
        suggested: key.name.clone(),
        key: key.id.to_string(),
        key_name: key.name,
        failure,
        member,
    };
    Ok(visit.page_with(status, &page))
}

pub(super) async fn post(app: &App, place: Place, sent: Sent, id: &str) -> Result<Response, Instead> {
    let Sent { visit, form } = sent;
    let member = find(app, place, &visit, id).await?;
    let old = key_of(app, &visit, &member, form.value("key").unwrap_or_default()).await?;
    visit
        .recent(app, &here(place, member.user, &old.id.to_string()))
        .await?;
    match hand_over(app, &visit, &form, &old).await {
        Ok((issued, to)) => {
            let base = if to.kind == MemberKind::Service {
                SERVICE_ACCOUNTS
            } else {
                PEOPLE
            };
            let page = HandedOverPage {
                shell: visit.shell(),
                here: base.page_of(to.user),
                key: issued.plain.expose().to_owned(),
                key_name: issued.key.name,
                old_name: old.masked,
                to: to.name,
                back_to_end: format!("{}/deactivate", place.page_of(member.user)),
                member,
            };
            let mut response = visit.page(&page);
            response
                .headers_mut()
                .insert(CACHE_CONTROL, axum::http::HeaderValue::from_static("no-store"));
            Ok(response)
        }
        Err(error) => {
            let failure = refused_form(error)?;
            show(app, place, &visit, (member, old), Some(failure)).await
        }
    }
}

/// To whom the form says: a new service account, one that is there, or a person.
async fn hand_over(
    app: &App,
    visit: &Visit,
    form: &Form,
    old: &ApiKey,
) -> Result<(Issued, MemberView), ApiError> {
    let to = match form.value("to").unwrap_or_default() {
        "new" => {
            let role = form.value("role").and_then(role);
            let role = role.ok_or_else(|| ApiError::invalid_field("role", "choose a role"))?;
            // Before the account is made: it would stand there without its key.
            let rights = app.catalogue().expand(orgs::rights(role, &app.policy().policy));
            if !rights.contains(app.catalogue().expand(old.scopes)) {
                let detail = "this role does not allow what the key can do; choose a higher one";
                return Err(ApiError::invalid_field("role", detail));
            }
            let name = form.value("name").unwrap_or_default();
            service_accounts::create(app, &visit.caller, (name, role), None)
                .await?
                .0
        }
        "" => return Err(ApiError::invalid_field("to", "choose who gets the new key")),
        "other" => {
            let typed = form.value("other").unwrap_or_default().trim();
            let detail = "give the id of a member, such as usr_000000001";
            let user = typed
                .parse()
                .map_err(|_| ApiError::invalid_field("other", detail))?;
            members::view(app, &visit.caller, user)
                .await
                .map_err(|_| ApiError::invalid_field("other", "there is no such member"))?
        }
        id => {
            let user = id
                .parse()
                .map_err(|_| ApiError::invalid_field("to", "choose who gets the new key"))?;
            members::view(app, &visit.caller, user).await?
        }
    };
    let issued = keys::reissue(app, &visit.caller, old.id, (to.user, None), None).await?;
    Ok((issued, to))
}
