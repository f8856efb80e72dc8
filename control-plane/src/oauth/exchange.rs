//! Grant `authorization_code` (RFC 6749 §4.1.3, RFC 7636): a code becomes a grant and its first pair of tokens, once.

use shared::dpop::Proof;
use shared::id::{GrantId, LIMIT};
use shared::jwk::Thumbprint;
use shared::time::UnixSeconds;

use super::error::{ErrorCode, OAuthError};
use super::form::Form;
use super::grants::{self, Reason};
use super::opaque::{Kind, Opaque};
use super::pair::{Draft, Granted};
use super::scopes::{Asked, Identity};
use super::{dpop, pkce, resource};
use crate::app::App;
use crate::audit::{self, Actor, Event};
use crate::orgs;
use crate::revocation::{self, Wait};
use crate::signing::{self, Purpose, SigningError};
use crate::store::clients::Client;
use crate::store::codes::AuthorizationCode;
use crate::store::grants::{Grant, Terms};
use crate::store::refresh_tokens::RefreshToken;
use crate::store::{StoreError, Tx};

/// One answer for every code that does not work.
fn refused() -> OAuthError {
    OAuthError::new(
        ErrorCode::InvalidGrant,
        "the code is unknown, used, expired, or was not given to this client with this redirect_uri and challenge",
    )
}

/// Exchanges a code.
pub(super) async fn grant(
    app: &App,
    client: &Client,
    form: &Form,
    proof: Option<&Proof>,
    actor: &Actor,
) -> Result<Granted, OAuthError> {
    let code = form
        .value("code")
        .ok_or_else(|| OAuthError::invalid_request("code is missing"))?;
    let verifier = form
        .value("code_verifier")
        .ok_or_else(|| OAuthError::invalid_request("code_verifier is missing"))?;
    let digest = Opaque::parse(Kind::Code, code).ok_or_else(refused)?.digest();
    let now = app.clock.now();
    let mut tx = app.store.begin().await?;
    // 1. The code: one of ours, given to this client, for this redirect URI, challenge and resource.
    let code = tx.code(&digest).await?.ok_or_else(refused)?;
    if code.terms.client != client.id {
        return Err(refused());
    }
    // Before anything else: whoever only saw a spent code must not be able to end the sign-in with it.
    confirm(form, &code, verifier)?;
    dpop::confirm(code.bound_to, proof)?;
    if code.used_at.is_none() {
        // 2. The person, the client and the session are still there; the rows are locked.
        let dated = grants::date(&mut tx, app, &code.terms, Some(code.created_at.seconds()), now)
            .await?
            .ok_or_else(refused)?;
        // 3. Taken, by us alone.
        if tx.take_code(&digest, now).await? {
            let asked = Asked {
                scopes: orgs::capped(code.terms.scopes, dated.rights, app.catalogue()),
                identity: Identity::from_bits(code.terms.identity),
            };
            let first = First {
                terms: &code.terms,
                asked,
                nonce: code.nonce.as_deref(),
                code: Some(&code.digest),
            };
            let holder = Holder {
                bound_to: dpop::of_grant(client, proof),
                proof,
                actor,
            };
            return issue(app, tx, client, first, dated.iat, holder).await;
        }
    }
    // Not taken: too late, or used before, perhaps a moment ago.
    let code = tx.code(&digest).await?.ok_or_else(refused)?;
    if let Some(grant) = code.grant {
        reused(app, tx, grant, actor).await?;
    }
    Err(refused())
}

fn confirm(form: &Form, code: &AuthorizationCode, verifier: &str) -> Result<(), OAuthError> {
    // OAuth 2.1 does not ask for redirect_uri here any more; where it is sent, it must be the same (RFC 6749 §4.1.3).
    let elsewhere = form
        .value("redirect_uri")
        .is_some_and(|uri| uri != code.redirect_uri);
    if elsewhere || !pkce::verifies(verifier, &code.challenge) {
        return Err(refused());
    }
    resource::confirm(form, &code.terms.resource)
}

/// What a grant begins with.
pub(super) struct First<'a> {
    pub(super) terms: &'a Terms,
    /// What its first tokens are for.
    pub(super) asked: Asked,
    /// For the id_token.
    pub(super) nonce: Option<&'a str>,
    /// The authorization code that it came from, if it was one.
    pub(super) code: Option<&'a [u8; 32]>,
}

/// Who gets the tokens.
#[derive(Clone, Copy)]
pub(super) struct Holder<'a> {
    /// The key that the grant is bound to.
    pub(super) bound_to: Option<Thumbprint>,
    pub(super) proof: Option<&'a Proof>,
    pub(super) actor: &'a Actor,
}

/// Begins a grant, dated `iat`, and gives its first pair.
pub(super) async fn issue(
    app: &App,
    mut tx: Tx,
    client: &Client,
    first: First<'_>,
    iat: UnixSeconds,
    holder: Holder<'_>,
) -> Result<Granted, OAuthError> {
    let First { terms, asked, .. } = first;
    let now = app.clock.now();
    let exp = iat.saturating_add(app.config.tokens.access_seconds);
    let (signing_key, index) = signing::draw_index(
        &mut tx,
        Purpose::AccessToken,
        &terms.org.into(),
        Some(exp),
        &app.random,
        now,
    )
    .await?;
    let expires = iat.saturating_add(app.config.tokens.refresh_max_seconds);
    let grant = Grant {
        id: GrantId::from_u64(app.random.below(LIMIT).map_err(SigningError::from)?)
            .ok_or(StoreError::Corrupt("grant id"))?,
        terms: terms.clone(),
        issued_at: iat,
        index,
        signing_key,
        bound_to: holder.bound_to,
        idle_expires: expires.min(iat.saturating_add(app.config.tokens.refresh_idle_seconds)),
        expires,
        created_at: now,
        revoked_at: None,
    };
    tx.insert_grant(&grant).await?;
    if let Some(code) = first.code {
        tx.note_code_grant(code, grant.id).await?;
    }
    let refresh = Opaque::generate(Kind::Refresh, &app.random).map_err(SigningError::from)?;
    tx.insert_refresh_token(&RefreshToken {
        digest: refresh.digest(),
        grant: grant.id,
        generation: 1,
        predecessor: None,
        created_at: now,
        used_at: None,
        replaced_at: None,
        sealed: None,
        sealed_until: None,
    })
    .await?;
    let event = Event {
        org: Some(grant.terms.org),
        actor: holder.actor,
        action: "grant.create",
        target: grant.id.to_string(),
        detail: serde_json::json!({
            "client_id": grant.terms.client,
            "user": grant.terms.user,
            "scopes": asked.join(app.catalogue()),
        }),
    };
    audit::record(&mut tx, &app.random, &event, now).await?;
    let key = app.keyring.key(&mut tx, signing_key).await?;
    let draft = Draft {
        terms: &grant.terms,
        client: &client.identifier,
        asked,
        iat,
        index,
        signing_key,
        bound_to: holder.proof.map(|proof| proof.key),
    };
    let methods = match grants::session_of(&grant.terms) {
        Some(sid) => tx.session_methods(sid, grant.terms.auth_time).await?,
        None => None,
    };
    let pair = draft.pair(app, &refresh)?.with_methods(methods);
    dpop::spend(&mut tx, holder.proof).await?;
    tx.commit().await?;
    // Outside the transaction: whoever gets no answer signs in again.
    Ok(pair.grant(&grant.terms, first.nonce, &key, iat)?)
}

/// RFC 6749 §4.1.2: a code that comes twice was stolen, so everything that came of it dies, at the edge too.
async fn reused(app: &App, mut tx: Tx, id: GrantId, actor: &Actor) -> Result<(), OAuthError> {
    let now = app.clock.now();
    let grant = tx
        .grant(id)
        .await?
        .ok_or(StoreError::Corrupt("code: its grant"))?;
    if grants::revoke(&mut tx, app, &grant, Reason::CodeReuse, actor, now).await? {
        tx.commit().await?;
        app.feed.wake();
        metrics::counter!("portcullis_grants_revoked_total", "reason" => "code_reuse").increment(1);
        tracing::warn!(grant = %id, client = %grant.terms.client, "an authorization code came twice");
    } else {
        drop(tx);
    }
    revocation::await_receipt(app, &id.to_string(), Wait::Effective).await?;
    Ok(())
}
