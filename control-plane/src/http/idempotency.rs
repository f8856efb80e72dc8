//! `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header): a create that is sent twice is done once.
//!
//! Every endpoint that answers 201 takes its body as [`Creation`] (or [`FreeCreation`], if the body may be absent) and hands
//! [`Idempotency`] to the function that does the work. That one calls [`claim`] within its transaction, with the number of what it
//! is about to make: nothing is made twice, however many requests there are at once. What a repeated request gets is the
//! thing that the first one made; where the answer held a secret, which nobody has any more, 409 `already_created`
//! ([`shown_once`]).
//!
//! A key counts for one member of one organisation, one operation, one path and one body, and is forgotten after a day.

use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use serde::de::DeserializeOwned;
use shared::crypto::{Digest, sha256};
use shared::id::{OrgId, UserId};
use shared::time::UnixMillis;
use utoipa::IntoParams;

use super::json::{StrictJson, optional};
use crate::error::{ApiError, Code};
use crate::store::Tx;
use crate::store::idempotency::IdempotencySlot;

/// An Idempotency-Key and what came with it, as digests.
#[derive(Clone, Copy, Debug)]
pub struct Idempotency {
    /// SHA-256 of the header.
    pub key: Digest,
    /// SHA-256 of the request: path and body.
    pub body: Digest,
}

/// A JSON body that something is made from, and the Idempotency-Key.
#[derive(Debug)]
pub struct Creation<T>(pub T, pub Option<Idempotency>);

/// The same with a body that may be absent.
#[derive(Debug)]
pub struct FreeCreation<T>(pub T, pub Option<Idempotency>);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Creation<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let key = header(request.headers())?;
        let path = request.uri().path().to_owned();
        let StrictJson(body, bytes) = StrictJson::from_request(request, state).await?;
        Ok(Self(body, key.map(|key| with(key, &path, &bytes)).transpose()?))
    }
}

impl<T: DeserializeOwned + Default, S: Send + Sync> FromRequest<S> for FreeCreation<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let key = header(request.headers())?;
        let path = request.uri().path().to_owned();
        let (body, bytes) = optional(request, state).await?;
        Ok(Self(body, key.map(|key| with(key, &path, &bytes)).transpose()?))
    }
}

/// The digest of the header.
fn header(headers: &HeaderMap) -> Result<Option<Digest>, ApiError> {
    let mut values = headers.get_all("idempotency-key").iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let plain = (1..=255).contains(&value.len()) && value.as_bytes().iter().all(|b| (0x20..0x7f).contains(b));
    if !plain || values.next().is_some() {
        let detail = "send one Idempotency-Key of 1 to 255 printable ASCII characters";
        return Err(ApiError::new(Code::InvalidField, detail).field("Idempotency-Key"));
    }
    Ok(Some(sha256(value.as_bytes())))
}

/// With what the body means: white space and order do not matter.
fn with(key: Digest, path: &str, body: &[u8]) -> Result<Idempotency, ApiError> {
    let meaning = if body.is_empty() {
        String::new()
    } else {
        let value: serde_json::Value = shared::strict_json::from_slice(body).map_err(ApiError::internal)?;
        value.to_string()
    };
    Ok(Idempotency {
        key,
        body: sha256(format!("{path}\0{meaning}").as_bytes()),
    })
}

/// Claims a key for what is about to be made, or gives what it made before. Without a key there is nothing to claim.
pub async fn claim(
    tx: &mut Tx,
    (org, user): (OrgId, UserId),
    operation: &'static str,
    idempotency: Option<Idempotency>,
    resource: u64,
    now: UnixMillis,
) -> Result<Option<u64>, ApiError> {
    let Some(Idempotency { key, body }) = idempotency else {
        return Ok(None);
    };
    let slot = IdempotencySlot {
        org,
        user,
        operation,
        key_digest: key,
    };
    let before = tx.claim_idempotency(&slot, body, resource, now).await?;
    before.map(|before| same(before, body)).transpose()
}

/// What a key made before: for creates that look elsewhere before they write, and would find what they made themselves.
pub async fn made_before(
    tx: &mut Tx,
    (org, user): (OrgId, UserId),
    operation: &'static str,
    idempotency: Option<Idempotency>,
) -> Result<Option<u64>, ApiError> {
    let Some(Idempotency { key, body }) = idempotency else {
        return Ok(None);
    };
    let slot = IdempotencySlot {
        org,
        user,
        operation,
        key_digest: key,
    };
    let before = tx.idempotency(&slot).await?;
    before.map(|before| same(before, body)).transpose()
}

fn same((body, resource): (Digest, u64), asked: Digest) -> Result<u64, ApiError> {
    if body == asked {
        return Ok(resource);
    }
    let detail = "this Idempotency-Key was used for another request; use a fresh key for a new one";
    Err(ApiError::new(Code::IdempotencyMismatch, detail))
}

/// The answer to a repeated request whose first answer held a secret.
pub fn shown_once(id: &impl ToString, detail: &str) -> ApiError {
    ApiError::new(Code::AlreadyCreated, detail).with("id", id.to_string())
}

/// For the document: what a create takes.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IdempotencyKeyHeader {
    /// Any text of yours that is new for each thing that you want made, a UUID for example. A request that comes again with
    /// the same key within a day makes nothing: it gets the thing that was made, or 409 `already_created` where the first
    /// answer held a secret. The same key with another path or body is 422 `idempotency_mismatch`.
    #[param(
        rename = "Idempotency-Key",
        required = false,
        min_length = 1,
        max_length = 255,
        pattern = "^[ -~]+$",
        example = "018f6d0a-5c1e-7e3c-9f0b-2a6d1f0c9b11"
    )]
    #[expect(dead_code)]
    idempotency_key: Option<String>,
}
