//! What an access token of our own is worth right now, by the database: for introspection and `/userinfo`.
//!
//! The same questions that the edge asks of its list, asked of where the list comes from.

use shared::id::{StatusIndex, UserId};
use shared::scope::ScopeSet;
use shared::time::UnixSeconds;
use shared::token::Claims;

use super::grants;
use crate::app::App;
use crate::orgs;
use crate::store::grants::Grant;
use crate::store::orgs::IssueSubjects;
use crate::store::{StoreError, Tx};

/// A clock may be wrong by so much.
const SKEW_SECONDS: u64 = 60;

/// An access token that counts.
#[derive(Debug)]
pub(super) struct Effective {
    /// Its scopes under the ceiling of the person's role.
    pub(super) scopes: ScopeSet,
    /// What it came from, if a person agreed to it here.
    pub(super) grant: Option<Grant>,
}

/// The status index that a token of ours carries.
pub(super) fn index_of(app: &App, claims: &Claims) -> Option<StatusIndex> {
    claims
        .status
        .as_ref()
        .and_then(|status| status.status_list.index(&app.config.issuer))
}

/// Judges claims whose signature is ours; `None` if the token does not count.
pub(super) async fn judge(
    tx: &mut Tx,
    app: &App,
    claims: &Claims,
    now: UnixSeconds,
) -> Result<Option<Effective>, StoreError> {
    let Some((index, org)) = index_of(app, claims).zip(claims.org) else {
        return Ok(None);
    };
    if claims.exp <= now || claims.iat > now.saturating_add(SKEW_SECONDS) {
        return Ok(None);
    }
    if tx.index_is_live(index).await? != Some(true) {
        return Ok(None);
    }
    let client = tx.client_by_identifier(&claims.client_id).await?;
    let Some(client) = client.filter(|client| client.disabled_at.is_none()) else {
        return Ok(None);
    };
    let user = claims.sub.parse::<UserId>().ok();
    let subjects = IssueSubjects {
        org,
        workspace: claims.workspace,
        user,
    };
    let killed = |at: Option<UnixSeconds>| at.is_some_and(|at| claims.iat <= at);
    if killed(tx.not_before(subjects).await?) || killed(tx.client_not_before(client.id).await?) {
        return Ok(None);
    }
    let stated = app.catalogue().parse_known(claims.scope.split(' '));
    let Some(user) = user else {
        return Ok(Some(Effective {
            scopes: stated,
            grant: None,
        }));
    };
    // A token for an identity assertion has an index of its own, and neither grant nor session.
    let grant = match tx.grant_of_index(index).await? {
        None => None,
        Some(grant) => {
            let Some(grant) = tx.grant(grant).await?.filter(|grant| grant.revoked_at.is_none()) else {
                return Ok(None);
            };
            if let Some(sid) = grants::session_of(&grant.terms)
                && tx.session_ended_at(sid).await?.is_some()
            {
                return Ok(None);
            }
            Some(grant)
        }
    };
    let Some(member) = tx.membership(org, user).await?.filter(|member| member.alive) else {
        return Ok(None);
    };
    let rights = app
        .catalogue()
        .expand(orgs::rights(member.role, &app.policy().policy));
    Ok(Some(Effective {
        scopes: orgs::capped(stated, rights, app.catalogue()),
        grant,
    }))
}
