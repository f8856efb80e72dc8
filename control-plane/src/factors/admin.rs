//! How the people of an organisation can sign in, and taking their second factors away for those who lost them.
//!
//! An account may belong to several organisations, and its factors are the account's. So an administrator of one of them removes
//! them only from somebody who belongs to no other: else one organisation could weaken how somebody signs in to another.

use serde::Serialize;
use serde_json::json;
use shared::id::UserId;

use crate::app::App;
use crate::audit::{self, Event};
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::keys::{confirm_rights, hold_caller};
use crate::members::{self, Listing, MemberView};
use crate::orgs::{must_administer, must_reach_everything};
use crate::sessions::end;
use crate::store::members::MemberKind;
use crate::store::orgs::Role;

/// How somebody can sign in.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[schema(as = SignInMethods)]
pub struct Methods {
    /// Who.
    #[serde(flatten)]
    pub member: MemberView,
    /// Whether they have a password.
    pub password: bool,
    /// Whether they have an authenticator app.
    pub authenticator_app: bool,
    /// How many recovery codes they have left.
    pub recovery_codes: u64,
    /// How many passkeys they have.
    pub passkeys: u64,
}

/// A page of people and how each can sign in, and the cursor of the next one.
pub async fn list(
    app: &App,
    caller: &Caller,
    listing: Listing<'_>,
) -> Result<(Vec<Methods>, Option<String>), ApiError> {
    must_reach_everything(app, caller)?;
    let listing = Listing {
        kind: MemberKind::Person,
        ..listing
    };
    let (found, next) = members::list(app, caller, listing).await?;
    Ok((of(app, found).await?, next))
}

/// One person.
pub async fn show(app: &App, caller: &Caller, user: UserId) -> Result<Methods, ApiError> {
    must_reach_everything(app, caller)?;
    let member = members::view(app, caller, user).await?;
    if member.kind != MemberKind::Person {
        return Err(ApiError::not_found("member"));
    }
    let found = of(app, vec![member]).await?;
    found
        .into_iter()
        .next()
        .ok_or_else(|| ApiError::not_found("member"))
}

async fn of(app: &App, members: Vec<MemberView>) -> Result<Vec<Methods>, ApiError> {
    let users: Vec<UserId> = members.iter().map(|member| member.user).collect();
    let known = app.store.begin_read().await?.factors_of(&users).await?;
    let methods = |member: MemberView| {
        let factors = known.get(&member.user).copied().unwrap_or_default();
        Methods {
            password: factors.password,
            authenticator_app: factors.authenticator_app,
            recovery_codes: factors.recovery_codes,
            passkeys: factors.passkeys,
            member,
        }
    };
    Ok(members.into_iter().map(methods).collect())
}

/// Removes somebody's authenticator app, recovery codes and passkeys, and ends their sessions: whoever took them may be in one.
/// They sign in with their password, or ask for a new one.
pub async fn remove(app: &App, caller: &Caller, user: UserId) -> Result<Methods, ApiError> {
    must_administer(app, caller)?;
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, now).await?;
    tx.hold_org(caller.org).await?;
    confirm_rights(&mut tx, caller).await?;
    let member = tx.member(caller.org, user).await?;
    let member = member
        .filter(|member| member.kind == MemberKind::Person)
        .ok_or_else(|| ApiError::not_found("member"))?;
    let exceeds = |detail: &str| Err(ApiError::new(Code::ExceedsCaller, detail));
    if member.role == Role::Owner && caller.role != Role::Owner {
        return exceeds("only an owner removes the factors of an owner");
    }
    if user == caller.user {
        return exceeds("your own factors are removed on the pages of your account");
    }
    if tx.belongs_elsewhere(user, caller.org).await? {
        return exceeds(
            "they belong to another organisation too, and their factors protect it as well: only they remove them",
        );
    }
    let app_removed = tx.remove_totp(user).await?;
    let passkeys = tx.remove_passkeys_of(user).await?;
    tx.end_pending_sign_ins(user).await?;
    let sessions = end::end_all(&mut tx, user, None, now).await?;
    let event = Event {
        org: Some(caller.org),
        actor: &caller.actor(),
        action: "factors.remove",
        target: user.to_string(),
        detail: json!({"authenticator_app": app_removed, "passkeys": passkeys, "sessions": sessions}),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    end::confirmed(app, &end::subject_of_all(user, now)).await?;
    show(app, caller, user).await
}
