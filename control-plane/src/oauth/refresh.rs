//! Grant `refresh_token` (RFC 6749 §6): rotation that forgives a lost answer and punishes a stolen token.
//!
//! | the token is | within the client's grace time | later |
//! | --- | --- | --- |
//! | the head of its family | rotated: it is used, a successor is the head | the same |
//! | used, its successor is the head | the same successor again, from the sealed copy | for 24 h: the successor is replaced by a new one; then reuse |
//! | anything older, or replaced | reuse: the grant ends | the same |
//!
//! A token that is of use to nobody but its client ([`dpop::constrains_refresh`]) stays what it is: its head is not rotated.
//!
//! A rotation leaves a row of its own; the audit trail has replacements and ends. The row of the grant is locked first, so
//! of several at once one rotates and the others find the sealed answer.

use shared::dpop::Proof;
use shared::jwk::Thumbprint;
use shared::time::{UnixMillis, UnixSeconds};
use zeroize::Zeroizing;

use super::error::{ErrorCode, OAuthError};
use super::form::Form;
use super::grants::{self, Reason};
use super::opaque::{Kind, Opaque};
use super::pair::{Draft, Granted, Pair};
use super::scopes::{Asked, Identity};
use super::{dpop, resource, seal};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::orgs;
use crate::revocation::{self, Wait};
use crate::signing::SigningError;
use crate::store::Tx;
use crate::store::clients::Client;
use crate::store::grants::Grant;
use crate::store::refresh_tokens::RefreshToken;

/// How long an unused successor may still make room for another, after the grace time: 24 h. Later, the token may be one
/// that was found.
const REPLACE_MS: u64 = 24 * 3600 * 1000;

/// One answer for every token that does not work.
fn refused() -> OAuthError {
    OAuthError::new(
        ErrorCode::InvalidGrant,
        "the refresh token is unknown, expired, revoked, or not this client's: let the person sign in again",
    )
}

/// Exchanges a refresh token.
pub(super) async fn grant(
    app: &App,
    client: &Client,
    form: &Form,
    proof: Option<&Proof>,
    actor: &Actor,
) -> Result<Granted, OAuthError> {
    let text = form
        .value("refresh_token")
        .ok_or_else(|| OAuthError::invalid_request("refresh_token is missing"))?;
    let token = Opaque::parse(Kind::Refresh, text).ok_or_else(refused)?;
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    // 1. The token: one of ours, of this client.
    let row = tx.refresh_token(&token.digest()).await?.ok_or_else(refused)?;
    let grant = tx.grant(row.grant).await?.ok_or_else(refused)?;
    if grant.terms.client != client.id || grant.revoked_at.is_some() {
        return Err(refused());
    }
    // Before anything else: whoever stole the token but not the key must not be able to end the sign-in with it.
    dpop::confirm(grant.bound_to, proof)?;
    resource::confirm(form, &grant.terms.resource)?;
    let asked = narrowed(app, form, &grant)?;
    // 2. The person, the client and the session are still there; the rows are locked, then the grant's.
    let dated = grants::date(&mut tx, app, &grant.terms, Some(grant.issued_at), now)
        .await?
        .ok_or_else(refused)?;
    let idle = now
        .seconds()
        .saturating_add(app.config.tokens.refresh_idle_seconds);
    if !tx.hold_grant(grant.id, idle, now).await? {
        return Err(refused());
    }
    // 3. What the token is now that nobody else can change it.
    let row = tx.refresh_token(&token.digest()).await?.ok_or_else(refused)?;
    let grant = tx.grant(row.grant).await?.ok_or_else(refused)?;
    let asked = Asked {
        scopes: orgs::capped(asked.scopes, dated.rights, app.catalogue()),
        ..asked
    };
    let mut step = Step {
        app,
        client,
        grant: &grant,
        token: &token,
        row: &row,
        proof,
        asked,
        iat: dated.iat,
        now,
    };
    let stays = dpop::constrains_refresh(client, grant.bound_to) && row.is_head();
    let pair = if stays {
        step.next(&mut tx, &token).await?
    } else if tx.use_refresh_token(&row.digest, now).await? {
        step.rotate(&mut tx).await?
    } else if row.used_at.is_some_and(|at| now.since(at) <= REPLACE_MS)
        && tx.successor_is_unused(&row.digest).await?
    {
        match step.kept() {
            // Sealed before a demotion, perhaps.
            Some(pair) => pair.under(dated.rights, app.catalogue()),
            None => step.replace(&mut tx, actor).await?,
        }
    } else {
        return reused(app, tx, &grant, actor, now).await;
    };
    let signing_key = pair.signing_key().ok_or_else(refused)?;
    let key = app.keyring.key(&mut tx, signing_key).await?;
    dpop::spend(&mut tx, proof).await?;
    tx.commit().await?;
    // 4. Sign, outside the transaction. A retry signs the same claims again.
    Ok(pair.grant(&grant.terms, None, &key, now.seconds())?)
}

/// RFC 6749 §6: what was agreed to, or less; the refresh token keeps all of it.
fn narrowed(app: &App, form: &Form, grant: &Grant) -> Result<Asked, OAuthError> {
    let agreed = Asked {
        scopes: grant.terms.scopes,
        identity: Identity::from_bits(grant.terms.identity),
    };
    let Some(text) = form.value("scope") else {
        return Ok(agreed);
    };
    let invalid = || {
        OAuthError::new(
            ErrorCode::InvalidScope,
            "a scope is unknown, or beyond what was agreed to",
        )
    };
    let asked = Asked::parse(text, app.catalogue()).ok_or_else(invalid)?;
    if !app.catalogue().satisfies(agreed.scopes, asked.scopes) || !agreed.identity.contains(asked.identity) {
        return Err(invalid());
    }
    Ok(asked)
}

/// Everything that one exchange knows.
struct Step<'a> {
    app: &'a App,
    client: &'a Client,
    grant: &'a Grant,
    token: &'a Opaque,
    row: &'a RefreshToken,
    proof: Option<&'a Proof>,
    asked: Asked,
    iat: UnixSeconds,
    now: UnixMillis,
}

impl Step<'_> {
    /// The answer that was given before, while the grace time lasts.
    fn kept(&self) -> Option<Pair> {
        let until = self.row.sealed_until?;
        if until <= self.now {
            return None;
        }
        let plain = seal::open(self.token, self.row.sealed.as_deref()?)?;
        let pair: Pair = serde_json::from_slice(&plain).ok()?;
        let fits = pair.is_fresh(self.now.seconds()) && pair.is_for(self.key());
        fits.then_some(pair)
    }

    /// The key of the proof: the access token is for whoever holds it.
    fn key(&self) -> Option<Thumbprint> {
        self.proof.map(|proof| proof.key)
    }

    /// The next pair, with this refresh token.
    async fn next(&self, tx: &mut Tx, refresh_token: &Opaque) -> Result<Pair, OAuthError> {
        let app = self.app;
        let exp = self.iat.saturating_add(app.config.tokens.access_seconds);
        let (signing_key, index) = grants::index(tx, app, self.grant, exp, self.now)
            .await?
            .ok_or_else(refused)?;
        let draft = Draft {
            terms: &self.grant.terms,
            client: &self.client.identifier,
            asked: self.asked,
            iat: self.iat,
            index,
            signing_key,
            bound_to: self.key(),
        };
        Ok(draft.pair(app, refresh_token)?)
    }

    /// The next pair with a new refresh token, sealed for a retry.
    async fn rotate(&mut self, tx: &mut Tx) -> Result<Pair, OAuthError> {
        let successor = Opaque::generate(Kind::Refresh, &self.app.random).map_err(SigningError::from)?;
        tx.insert_refresh_token(&RefreshToken {
            digest: successor.digest(),
            grant: self.grant.id,
            generation: self.row.generation.saturating_add(1),
            predecessor: Some(self.row.digest),
            created_at: self.now,
            used_at: None,
            replaced_at: None,
            sealed: None,
            sealed_until: None,
        })
        .await?;
        let pair = self.next(tx, &successor).await?;
        let grace = self.client.refresh_grace_seconds;
        if grace > 0 {
            let plain = Zeroizing::new(serde_json::to_vec(&pair).map_err(|_| SigningError::Claims)?);
            let sealed = seal::seal(self.token, &plain)
                .ok_or_else(|| OAuthError::new(ErrorCode::ServerError, "internal error"))?;
            let until = self.now.saturating_add(grace.saturating_mul(1000));
            tx.seal_successor(&self.row.digest, &sealed, until).await?;
        }
        Ok(pair)
    }

    /// The answer was lost and the grace time is over, but nobody has used the successor: it makes room for another.
    async fn replace(&mut self, tx: &mut Tx, actor: &Actor) -> Result<Pair, OAuthError> {
        if !tx.replace_successor(&self.row.digest, self.now).await? {
            return Err(refused());
        }
        let event = Event {
            org: Some(self.grant.terms.org),
            actor,
            action: "refresh_token.replace",
            target: self.grant.id.to_string(),
            detail: serde_json::json!({ "generation": self.row.generation + 1 }),
        };
        audit::record(tx, &self.app.random, &event, self.now).await?;
        self.rotate(tx).await
    }
}

/// RFC 9700 §4.14.2: two parties hold tokens of one family, and nobody can tell which is the thief.
async fn reused(
    app: &App,
    mut tx: Tx,
    grant: &Grant,
    actor: &Actor,
    now: UnixMillis,
) -> Result<Granted, OAuthError> {
    if grants::revoke(&mut tx, app, grant, Reason::RefreshReuse, actor, now).await? {
        tx.commit().await?;
        app.feed.wake();
        metrics::counter!("portcullis_grants_revoked_total", "reason" => "refresh_reuse").increment(1);
        tracing::warn!(grant = %grant.id, client = %grant.terms.client, "a refresh token came again");
    } else {
        drop(tx);
    }
    revocation::await_receipt(app, &grant.id.to_string(), Wait::Effective).await?;
    Err(refused())
}
