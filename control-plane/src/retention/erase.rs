//! Erasing a person: what is kept of them in an organisation, and with the last one their account.
//!
//! Only after they were deactivated, so nothing acts for them any more. What is left is a number (`usr_…`) in places where it must
//! be known that *somebody* did or had something. What others typed about them into free text (a key's name) is not looked for.

use serde::Serialize;
use serde_json::json;
use shared::id::{LIMIT, UserId};

use crate::app::App;
use crate::audit::{self, Event, chain_of, personal};
use crate::error::{ApiError, Code};
use crate::http::auth::Caller;
use crate::http::time::Timestamp;
use crate::keys::{confirm_rights, hold_caller};
use crate::settings::may_change;
use crate::store::int;
use crate::store::members::MemberState;

/// What was done.
#[derive(Clone, Copy, Debug, Serialize, utoipa::ToSchema)]
pub struct Erased {
    /// Who it was.
    #[schema(value_type = String, example = "usr_000000001")]
    pub user: UserId,
    /// When.
    pub erased_at: Timestamp,
    /// Whether the account is empty too: no other organisation has them.
    pub account: bool,
}

/// Erases a deactivated member of the caller's organisation. Cannot be undone. A second time gives the first answer.
pub async fn erase(app: &App, caller: &Caller, user: UserId) -> Result<Erased, ApiError> {
    may_change(app, caller)?;
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    hold_caller(&mut tx, caller, now).await?;
    tx.hold_org(caller.org).await?;
    confirm_rights(&mut tx, caller).await?;
    let member = tx.member(caller.org, user).await?;
    let member = member.ok_or_else(|| ApiError::not_found("member"))?;
    if member.state != MemberState::Deactivated {
        let detail = "deactivate this member first: only then nothing acts for them any more";
        return Err(ApiError::new(Code::NotDeactivated, detail));
    }
    if !tx.erase_member(caller.org, user, now).await? {
        // Before, or deactivated everywhere at once by an operator: then the membership itself is not marked.
        let erased_at = tx.erased_at(caller.org, user).await?;
        let detail = "deactivate this member in your organisation first";
        let erased_at = erased_at.ok_or_else(|| ApiError::new(Code::NotDeactivated, detail))?;
        let account = !tx.is_kept_anywhere(user).await?;
        return Ok(Erased {
            user,
            erased_at: erased_at.into(),
            account,
        });
    }
    let email = member.email;
    let account = !tx.is_kept_anywhere(user).await?;
    tx.erase_in_org(caller.org, user, &email).await?;
    let own = chain_of(Some(caller.org));
    let chains = if account {
        vec![own, chain_of(None)]
    } else {
        vec![own]
    };
    for chain in chains {
        let id = int(app.random.below(LIMIT).map_err(ApiError::internal)?);
        tx.destroy_person_key((chain, &user.to_string()), id, now).await?;
        tx.forget_person_key(chain, &personal::email_subject(&email))
            .await?;
    }
    if account {
        tx.erase_account(user, &email, now).await?;
    }
    let event = Event {
        org: Some(caller.org),
        actor: &caller.actor(),
        action: "user.erase",
        target: user.to_string(),
        detail: json!({ "account": account }),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    tx.commit().await?;
    tracing::info!(org = %caller.org, %user, account, "a person was erased");
    Ok(Erased {
        user,
        erased_at: now.into(),
        account,
    })
}
