//! Authorization requests that are kept here while a browser comes for them (RFC 9126): under a name of 256 random bits that
//! its client has 90 seconds to hand to a browser. The first browser that comes is the only one, and has ten minutes to sign
//! in and decide; the transaction that issues the code uses the request up.
//!
//! What it does not: check what a request asks for (`request` does, before it is kept and when it is opened).

use shared::crypto::{base64url, sha256};
use shared::time::UnixMillis;
use url::form_urlencoded::Serializer;

use super::error::OAuthError;
use crate::app::App;
use crate::pages::PageError;
use crate::signing::SigningError;
use crate::store::pushed_requests::PushedRequest;
use crate::store::{StoreError, Tx};

/// How long a client has to hand a request to a browser.
pub(super) const PUSHED_SECONDS: u64 = 90;
/// How long the person in front of it has.
const OPENED_MS: u64 = 600_000;
/// No request that is kept is longer.
const MAX_PARAMETERS: usize = 8 * 1024;
/// RFC 9126 §2.2.
const PREFIX: &str = "urn:ietf:params:oauth:request_uri:";

/// Whether a `request_uri` has the form of one of ours.
pub(super) fn is_ours(uri: &str) -> bool {
    uri.starts_with(PREFIX)
}

fn digest(uri: &str) -> [u8; 32] {
    sha256(uri.as_bytes())
}

/// A name that nobody can guess.
pub(super) fn new_uri(app: &App) -> Result<String, SigningError> {
    Ok(format!("{PREFIX}{}", base64url(&app.random.bytes::<32>()?)))
}

/// The name of a request object: each has one, so that bringing it again costs nothing and does not revive it. Of what is
/// signed, not of the signature, which anybody can change into another that counts (ECDSA).
pub(super) fn uri_of(object: &str) -> String {
    let signed = object.rsplit_once('.').map_or(object, |(signed, _)| signed);
    format!("{PREFIX}{}", base64url(&sha256(signed.as_bytes())))
}

/// Why a request is not kept.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeepError {
    /// Too many bytes.
    #[error("the request is larger than 8 KiB")]
    TooLarge,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<KeepError> for OAuthError {
    fn from(error: KeepError) -> Self {
        match error {
            KeepError::TooLarge => Self::invalid_request("the request is larger than 8 KiB"),
            KeepError::Store(error) => error.into(),
        }
    }
}

impl From<KeepError> for PageError {
    fn from(error: KeepError) -> Self {
        match error {
            KeepError::TooLarge => Self::bad_request(
                "The app that sent you here asks for it at too great a length. Nothing was done. Go back to the app.",
            ),
            KeepError::Store(error) => error.into(),
        }
    }
}

/// Keeps a request's parameters, form-encoded, under this name, unless some are there.
pub(super) async fn keep(
    tx: &mut Tx,
    app: &App,
    client: &str,
    uri: &str,
    parameters: String,
) -> Result<(), KeepError> {
    if parameters.len() > MAX_PARAMETERS {
        return Err(KeepError::TooLarge);
    }
    let now = app.clock.now();
    tx.insert_pushed_request(&PushedRequest {
        digest: digest(uri),
        client: client.to_owned(),
        parameters,
        created_at: now,
        expires_at: now.saturating_add(PUSHED_SECONDS * 1000),
    })
    .await?;
    Ok(())
}

/// Forgets requests that ended. A minute late: an object counts for so much longer than its request (`jar`), and must find
/// that it was used. A job.
pub async fn forget(tx: &mut Tx, now: UnixMillis) -> Result<(), StoreError> {
    const MINUTE_MS: u64 = 60_000;
    let before = UnixMillis(now.0.saturating_sub(MINUTE_MS));
    tx.forget_pushed_requests(before).await?;
    Ok(())
}

/// The query with which a browser asks for a request that is kept: nothing else in it would count.
pub(super) fn query(client: &str, uri: &str) -> String {
    Serializer::new(String::new())
        .append_pair("client_id", client)
        .append_pair("request_uri", uri)
        .finish()
}

/// A request that a browser has opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Opened([u8; 32]);

impl Opened {
    /// Uses it up; false if that was done before.
    pub(super) async fn take(self, tx: &mut Tx, app: &App) -> Result<bool, StoreError> {
        tx.take_pushed_request(&self.0, app.clock.now()).await
    }
}

/// Opens a request for a browser, and gives its parameters.
pub(super) async fn open(
    app: &App,
    client: &str,
    uri: &str,
    browser: &[u8; 32],
) -> Result<(Opened, String), PageError> {
    let digest = digest(uri);
    let now = app.clock.now();
    let until = now.saturating_add(OPENED_MS);
    // Names that nobody gave out wait for no writer, and keep none waiting.
    let mut tx = app.store.begin_read().await?;
    if !tx.has_pushed_request(&digest, client, browser, now).await? {
        return Err(gone());
    }
    drop(tx);
    let mut tx = app.store.begin().await?;
    let parameters = tx
        .open_pushed_request(&digest, client, browser, until, now)
        .await?;
    tx.commit().await?;
    let parameters = parameters.ok_or_else(gone)?;
    Ok((Opened(digest), parameters))
}

/// One answer for every request that is not there for this browser: RFC 9126 gives nowhere to send it.
pub(super) fn gone() -> PageError {
    PageError::bad_request(
        "The request that led here is unknown, has expired, was used, or was opened in another browser. Go back to the app \
         and start again.",
    )
}
