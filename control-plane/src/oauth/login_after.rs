//! What a request says that comes back from the sign-in page: whoever signed in after this moment did so for it, so that
//! `prompt=login` and `max_age` ask once and not for ever.
//!
//! One parameter of our own in the query: `<seconds>.<base64url of an HMAC-SHA256>` over the moment and every other parameter,
//! under a key that is derived from the master key for this alone. So it counts for the request that it was made for, for an
//! hour, and nobody at a browser writes one to waive a sign-in that an app insists on. What it does not: say that somebody has
//! signed in (the session's `auth_time` does).

use aws_lc_rs::hmac;
use shared::crypto::{base64url, from_base64url};
use shared::time::UnixSeconds;

use crate::app::App;
use crate::signing::SigningError;

/// Its name in the query.
pub(super) const NAME: &str = "portcullis_login_after";
/// A sign-in page left open for longer is asked for again.
const WINDOW_SECONDS: u64 = 3600;
const CONTEXT: &str = "portcullis/login-after/v1";

/// The value for this query, from now on.
pub(super) fn make(app: &App, query: &str) -> Result<String, SigningError> {
    let at = app.clock.now().seconds();
    let tag = hmac::sign(&key(app)?, &message(at, query));
    Ok(format!("{}.{}", at.0, base64url(tag.as_ref())))
}

/// The moment that a query names, if we named it there, for this very request, not long ago.
pub(super) fn read(app: &App, query: &str) -> Result<Option<UnixSeconds>, SigningError> {
    let mut values = url::form_urlencoded::parse(query.as_bytes()).filter(|(name, _)| name == NAME);
    let value = values.next().filter(|_| values.next().is_none());
    let parsed = value.as_ref().and_then(|(_, value)| {
        let (at, tag) = value.split_once('.')?;
        Some((UnixSeconds(at.parse().ok()?), from_base64url(tag)?))
    });
    let Some((at, tag)) = parsed else { return Ok(None) };
    // In constant time.
    let ours = hmac::verify(&key(app)?, &message(at, query), &tag).is_ok();
    let now = app.clock.now().seconds();
    let lately = at <= now && now.saturating_sub(WINDOW_SECONDS) <= at;
    Ok((ours && lately).then_some(at))
}

fn key(app: &App) -> Result<hmac::Key, SigningError> {
    let key = app.keyring.derive(CONTEXT)?;
    Ok(hmac::Key::new(hmac::HMAC_SHA256, key.as_slice()))
}

/// Moment ‖ for each other parameter, in order: length ‖ name ‖ length ‖ value. Decoded, because browsers spell a query again.
fn message(at: UnixSeconds, query: &str) -> Vec<u8> {
    let mut message = at.0.to_be_bytes().to_vec();
    for (name, value) in url::form_urlencoded::parse(query.as_bytes()) {
        if name == NAME {
            continue;
        }
        for text in [name, value] {
            message.extend_from_slice(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_be_bytes());
            message.extend_from_slice(text.as_bytes());
        }
    }
    message
}
