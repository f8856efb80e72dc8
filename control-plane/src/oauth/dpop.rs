//! DPoP (RFC 9449) where tokens are given out and where we are the resource: `/token` and `/userinfo`; and at `/par`.
//!
//! | what is bound | to the proof's key |
//! | --- | --- |
//! | an access token | whenever the request for it carries a proof: `cnf.jkt`, `token_type` DPoP |
//! | the grant, and so its refresh token | a public client's, when its code comes with a proof (§5); a confidential client's is bound by its authentication |
//! | a code | when the authorization request named a key in `dpop_jkt` (§10), or was pushed with a proof (§10.1) |
//!
//! The form of a proof is `shared::dpop`'s. A proof counts once: [`spend`] notes it in the transaction of what it was used
//! for. No nonces are given out (§8). What it does not: judge requests to APIs (the edge does).

use axum::http::{HeaderMap, header};
use serde_json::{Value, json};
use shared::crypto::sha256;
use shared::dpop::{self, Expected, Proof, Target};
use shared::jwk::Thumbprint;
use shared::token::Claims;

use super::error::{ErrorCode, OAuthError};
use super::jws;
use crate::app::App;
use crate::error::{ApiError, Code};
use crate::http::auth::bearer;
use crate::store::clients::{Client, ClientKind};
use crate::store::{StoreError, Tx};

const HEADER: &str = "dpop";

fn refused(why: impl Into<String>) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidDpopProof, why)
}

/// The proof of a token request, if it carries one and it holds. Every grant asks here, and nowhere else.
pub(super) fn of_token_request(
    app: &App,
    client: &Client,
    headers: &HeaderMap,
) -> Result<Option<Proof>, OAuthError> {
    let Some(text) = one(headers).map_err(refused)? else {
        // §5.2.
        return if client.dpop_bound_access_tokens {
            Err(refused("this client is registered for DPoP: send a DPoP proof"))
        } else {
            Ok(None)
        };
    };
    check(app, text, "POST", "/token", None)
        .map(Some)
        .map_err(|error| refused(error.to_string()))
}

/// The proof of a request that a client pushes, if it carries one (§10.1).
pub(super) fn of_pushed_request(app: &App, headers: &HeaderMap) -> Result<Option<Proof>, OAuthError> {
    let Some(text) = one(headers).map_err(refused)? else {
        return Ok(None);
    };
    check(app, text, "POST", "/par", None)
        .map(Some)
        .map_err(|error| refused(error.to_string()))
}

/// §4.3, item 1: not more than one header. `None`: there is none.
fn one(headers: &HeaderMap) -> Result<Option<&str>, &'static str> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err("more than one DPoP header");
    }
    value.to_str().map(Some).map_err(|_| "the DPoP header is no text")
}

/// A proof for one of our endpoints, made with or without an access token.
fn check(
    app: &App,
    text: &str,
    method: &str,
    path: &str,
    token: Option<(&str, &Thumbprint)>,
) -> Result<Proof, dpop::ProofError> {
    // What the metadata calls the endpoint; what a proxy in front makes of it does not matter.
    let target = Target::parse(&format!("{}{path}", app.config.issuer)).ok_or(dpop::ProofError::Uri)?;
    let digest = token.map(|(token, _)| sha256(token.as_bytes()));
    let expected = Expected {
        method,
        target: &target,
        now: app.clock.now().seconds(),
        token: digest.as_ref(),
        key: token.map(|(_, key)| key),
    };
    dpop::check(text, &expected)
}

/// What was bound to a key is only for the holder of that key (§5, §10).
pub(super) fn confirm(bound_to: Option<Thumbprint>, proof: Option<&Proof>) -> Result<(), OAuthError> {
    match (bound_to, proof) {
        (None, _) => Ok(()),
        (Some(_), None) => Err(refused("this grant is bound to a key: send a DPoP proof by it")),
        (Some(key), Some(proof)) if key == proof.key => Ok(()),
        (Some(_), Some(_)) => Err(OAuthError::new(
            ErrorCode::InvalidGrant,
            "this grant is bound to another key than the DPoP proof's",
        )),
    }
}

/// Has a proof count, now and never again (§11.1). Last before the commit: until then somebody else may be first.
pub(super) async fn spend(tx: &mut Tx, proof: Option<&Proof>) -> Result<(), OAuthError> {
    match proof {
        Some(proof) if !tx.spend_proof(&proof.id, proof.ends).await? => Err(refused(
            "this DPoP proof was used before: make a new one for each request",
        )),
        _ => Ok(()),
    }
}

/// The key that a new grant, and with it its refresh token, is bound to.
pub(super) fn of_grant(client: &Client, proof: Option<&Proof>) -> Option<Thumbprint> {
    proof
        .filter(|_| client.kind == ClientKind::Public)
        .map(|proof| proof.key)
}

/// Whether a refresh token is of use to nobody but its client, so that it need not be rotated (RFC 9700 §4.14.2), and under
/// FAPI 2.0 (§5.3.2.1, item 9) must not be.
pub(super) fn constrains_refresh(client: &Client, bound_to: Option<Thumbprint>) -> bool {
    bound_to.is_some() || (client.kind == ClientKind::Confidential && client.dpop_bound_access_tokens)
}

/// The `cnf` claim of a token that is bound to a key (§6.1).
pub(super) fn cnf(key: Option<Thumbprint>) -> Option<Value> {
    key.map(|key| json!({ "jkt": key.to_string() }))
}

/// The key that a token of ours is bound to.
pub(super) fn bound_to(claims: &Claims) -> Option<Thumbprint> {
    claims.cnf.as_ref()?.get("jkt")?.as_str()?.parse().ok()
}

/// What the `token_type` of a token is (§5).
pub(super) fn token_type(claims: &Claims) -> &'static str {
    if claims.cnf.is_some() { "DPoP" } else { "Bearer" }
}

/// The access token of a request to an endpoint of ours that takes one, with the proof that it needs (§7). The proof is not
/// spent yet.
pub(super) fn access_token(
    app: &App,
    method: &str,
    path: &str,
    headers: &HeaderMap,
) -> Result<(Claims, Option<Proof>), ApiError> {
    let invalid = || ApiError::new(Code::InvalidToken, "this access token does not count here");
    let Some(token) = under_dpop(headers) else {
        let claims = jws::read_ours(app, bearer(headers)?).ok_or_else(invalid)?;
        // §7.2: or whoever steals the token just leaves the proof away.
        return match claims.cnf {
            None => Ok((claims, None)),
            Some(_) => Err(invalid()),
        };
    };
    let claims = jws::read_ours(app, token).ok_or_else(|| invalid().under_dpop())?;
    let key = bound_to(&claims).ok_or_else(|| invalid().under_dpop())?;
    let wrong = |why: String| ApiError::new(Code::InvalidDpopProof, why).under_dpop();
    let text = one(headers)
        .map_err(|why| wrong(why.to_owned()))?
        .ok_or_else(|| wrong("the token is bound to a key: send a DPoP proof by it".to_owned()))?;
    let proof =
        check(app, text, method, path, Some((token, &key))).map_err(|error| wrong(error.to_string()))?;
    Ok((claims, Some(proof)))
}

/// A proof without a token, by this key: for what is not a token of the request, but bound to the key.
pub(super) fn proof_by(
    app: &App,
    method: &str,
    path: &str,
    headers: &HeaderMap,
    key: Thumbprint,
) -> Result<Proof, ApiError> {
    let wrong = |why: String| ApiError::new(Code::InvalidDpopProof, why).under_dpop();
    let text = one(headers)
        .map_err(|why| wrong(why.to_owned()))?
        .ok_or_else(|| wrong("the token is bound to a key: send a DPoP proof by it".to_owned()))?;
    let proof = check(app, text, method, path, None).map_err(|error| wrong(error.to_string()))?;
    if proof.key == key {
        Ok(proof)
    } else {
        Err(wrong(
            "the token is bound to another key than the DPoP proof's".to_owned(),
        ))
    }
}

/// Whether a request comes with a token under the scheme DPoP.
pub(crate) fn is_presented(headers: &HeaderMap) -> bool {
    under_dpop(headers).is_some()
}

/// The same as [`spend`] for a request with an access token, which writes nothing else.
pub(super) async fn spend_alone(app: &App, proof: Option<&Proof>) -> Result<(), ApiError> {
    let Some(proof) = proof else {
        return Ok(());
    };
    let mut tx = app.store.begin().await?;
    if !tx.spend_proof(&proof.id, proof.ends).await? {
        let detail = "this DPoP proof was used before: make a new one for each request";
        return Err(ApiError::new(Code::InvalidDpopProof, detail).under_dpop());
    }
    Ok(tx.commit().await?)
}

/// The one credential of the scheme DPoP (§7.1); `None`: there is another scheme, several, or nothing.
fn under_dpop(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("dpop")
        .then(|| token.trim_matches(' '))
}

/// Forgets proofs that are too old to count. A job.
pub async fn forget(tx: &mut Tx, app: &App) -> Result<(), StoreError> {
    tx.forget_proofs(app.clock.now().seconds()).await?;
    Ok(())
}
