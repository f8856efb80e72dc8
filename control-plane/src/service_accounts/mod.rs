//! Service accounts: members that are programs. Each has a role, which is the ceiling of its keys, and is suspended and
//! deactivated as people are (`members`), with the same receipts.
//!
//! It is a row of `users` whose `kind` is `service`. It has no address: nothing that starts from one (password, reset,
//! invitation, an identity provider) can find it. The table itself refuses it a password, and a session is only ever begun for a
//! person. It belongs to the organisation that made it, and is never an owner.
//!
//! The API, the dashboard and the command line call these functions (I11). What it does not: give it keys (`keys` does, with
//! `user` set to its id), or change its state (`members` does).

pub mod api;
pub mod page;
#[cfg(test)]
mod tests;

use serde_json::json;
use shared::id::UserId;

use crate::app::App;
use crate::audit::{self, Event};
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::http::idempotency::{self, Idempotency};
use crate::http::tag::{IfMatch, Tag};
use crate::keys::{confirm_rights, hold_caller};
use crate::members::{self, Change, Listing, MemberReceipt, MemberView};
use crate::orgs::{SHORT_IDS, must_administer};
use crate::revocation::Wait;
use crate::store::members::MemberKind;
use crate::store::orgs::Role;
use crate::store::{StoreError, Tx};
use crate::text;

/// The operation's name in the idempotency table.
const OPERATION: &str = "service_account.create";

/// A page of service accounts by name, and the cursor of the next one.
pub async fn list(
    app: &App,
    caller: &Caller,
    listing: Listing<'_>,
) -> Result<(Vec<MemberView>, Option<String>), ApiError> {
    let listing = Listing {
        kind: MemberKind::Service,
        ..listing
    };
    members::list(app, caller, listing).await
}

/// One service account, and which version of it this is.
pub async fn show(app: &App, caller: &Caller, id: UserId) -> Result<(MemberView, Tag), ApiError> {
    let found = members::show(app, caller, id)
        .await
        .map_err(|error| match error.code() {
            Code::NotFound => not_found(),
            _ => error,
        })?;
    (found.0.kind == MemberKind::Service)
        .then_some(found)
        .ok_or_else(not_found)
}

fn not_found() -> ApiError {
    ApiError::not_found("service account")
}

fn name(typed: &str) -> Result<String, ApiError> {
    let detail = "a name has 1 to 100 characters, all of which can be seen";
    text::name(typed)
        .map(str::to_owned)
        .ok_or_else(|| ApiError::invalid_field("name", detail))
}

/// Makes a service account. Its role is at most the maker's, and never owner.
pub async fn create(
    app: &App,
    caller: &Caller,
    (typed, role): (&str, Role),
    idempotency: Option<Idempotency>,
) -> Result<(MemberView, Tag), ApiError> {
    must_administer(app, caller)?;
    let mut tx = app.store.begin().await?;
    let now = app.clock.now();
    hold_caller(&mut tx, caller, now).await?;
    tx.hold_org(caller.org).await?;
    confirm_rights(&mut tx, caller).await?;
    let drawn = app.random.below(SHORT_IDS).map_err(ApiError::internal)?;
    let who = (caller.org, caller.user);
    if let Some(before) = idempotency::claim(&mut tx, who, OPERATION, idempotency, drawn, now).await? {
        drop(tx);
        return show(app, caller, user_id(before)?).await;
    }
    let id = user_id(drawn)?;
    insert(&mut tx, app, caller, (id, typed, role)).await?;
    tx.commit().await?;
    show(app, caller, id).await
}

fn user_id(number: u64) -> Result<UserId, StoreError> {
    UserId::from_u64(number).ok_or(StoreError::Corrupt("user id"))
}

async fn insert(
    tx: &mut Tx,
    app: &App,
    caller: &Caller,
    (id, typed, role): (UserId, &str, Role),
) -> Result<(), ApiError> {
    let name = name(typed)?;
    if role == Role::Owner {
        let detail = "a service account cannot be an owner: an organisation belongs to people";
        return Err(ApiError::invalid_field("role", detail));
    }
    let now = app.clock.now();
    tx.insert_service_user(id, &name, now).await?;
    tx.insert_membership(caller.org, id, role, now).await?;
    let event = Event {
        org: Some(caller.org),
        actor: &caller.actor(),
        action: "service_account.create",
        target: id.to_string(),
        detail: json!({"name": name, "role": role}),
    };
    audit::record(tx, &app.random, &event, now).await?;
    Ok(())
}

/// Gives a service account another name.
pub async fn rename(
    app: &App,
    caller: &Caller,
    id: UserId,
    (typed, seen): (&str, &IfMatch),
) -> Result<(MemberView, Tag), ApiError> {
    must_administer(app, caller)?;
    let name = name(typed)?;
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, now).await?;
    tx.hold_org(caller.org).await?;
    confirm_rights(&mut tx, caller).await?;
    let before = tx.member(caller.org, id).await?;
    let before = before
        .filter(|member| member.kind == MemberKind::Service)
        .ok_or_else(not_found)?;
    seen.confirm(&members::tag(&before))?;
    if before.name != name {
        if !tx.rename_service_user(id, &name).await? {
            return Err(ApiError::new(
                Code::RightsChanged,
                "the service account was changed during this request; nothing was done, try again",
            ));
        }
        let event = Event {
            org: Some(caller.org),
            actor: &caller.actor(),
            action: "service_account.rename",
            target: id.to_string(),
            detail: json!({"from": before.name, "to": name}),
        };
        audit::record(&mut tx, &app.random, &event, now).await?;
        tx.commit().await?;
    }
    show(app, caller, id).await
}

/// Another role, suspension, its end: as for people, with the same receipt.
pub async fn change(
    app: &App,
    caller: &Caller,
    id: UserId,
    change: (Change, &IfMatch),
    wait: Wait,
) -> Result<(MemberReceipt, Tag), ApiError> {
    show(app, caller, id).await?;
    members::change(app, caller, id, change, wait).await
}
