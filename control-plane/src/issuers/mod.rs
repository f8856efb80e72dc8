//! Other issuers that an organisation trusts: its own identity provider, or a service such as Auth0, Clerk or Okta. Their tokens
//! pass at the edge as credentials of that organisation.
//!
//! | file | does |
//! | --- | --- |
//! | `rules` | what may be asked for: pure |
//! | `change` | trust, change, remove: one transaction each, with audit row and feed entry |
//! | `keys` | find an issuer's keys: discovery, JWK Set, admission |
//! | `watch` | look for keys again and again, and tell the edge what changed |
//! | `block` | shut out one person of an issuer |
//! | `restore` | take over what an edge knows and this database has lost |
//! | `json`, `api` | HTTP |
//! | `page` | the dashboard |
//!
//! An issuer belongs to one organisation at a time, and our own issuer to nobody. Nobody proves that an issuer is theirs: the first
//! who asks has it. So that nobody can keep the owner out, the operator's administrators may end anybody's trust (`change::remove`). What the edge knows of an issuer is one feed
//! entry with one version (`shared::feed::issuer`), which the row holds as it was told last.
//!
//! **When an issuer takes a key away.** A key that its JWK Set does not list any more is distrusted with the next version, that is
//! at the latest one refresh interval and one receipt's bound later. If it is listed again later it is trusted again: sets that are
//! served by several machines do not always agree. Keys leave on a readable set with at least one key that can be
//! admitted, and on nothing else: an answer that is empty, broken, too large or of another type leaves everything as it was. An
//! issuer that cannot be read for `issuers.stale_seconds` loses all its keys until it can: no token is older than a day.
//!
//! What it does not: check tokens (the edge does), accept them at `/v1` (nothing does), or sign anybody in.

pub mod api;
mod block;
mod change;
pub mod json;
mod keys;
pub mod page;
mod restore;
mod rules;
#[cfg(test)]
pub(crate) mod tests;
mod watch;

pub use block::{Blocked, block};
pub use change::{Changed, Discovered, change, create, discover, remove, tag};
pub use keys::Discovery;
pub(crate) use restore::take_over;
pub use rules::{Asked, ClaimName};
pub use watch::{refresh, start};

use shared::id::IssuerId;

use crate::app::App;
use crate::error::ApiError;
use crate::http::auth::Caller;
use crate::store::issuers::{BlockedSubject, TrustedIssuer};

/// As many blocked people as one answer shows.
const MOST_BLOCKED: u32 = 200;

/// The issuers that the caller's organisation trusts, oldest first.
pub async fn list(app: &App, caller: &Caller) -> Result<Vec<TrustedIssuer>, ApiError> {
    rules::may_see(app, caller)?;
    Ok(app.store.begin_read().await?.issuers_of(caller.org).await?)
}

/// One of them, and who of it is blocked.
pub async fn show(
    app: &App,
    caller: &Caller,
    id: IssuerId,
) -> Result<(TrustedIssuer, Vec<BlockedSubject>), ApiError> {
    rules::may_see(app, caller)?;
    let mut tx = app.store.begin_read().await?;
    let row = tx
        .issuer(caller.org, id)
        .await?
        .ok_or_else(|| ApiError::not_found("issuer"))?;
    let blocked = tx.blocked_subjects(&row.entry.issuer, MOST_BLOCKED).await?;
    Ok((row, blocked))
}
