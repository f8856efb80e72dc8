//! Devices without a browser (RFC 8628): the device shows a short code, its person types it on `/device`, and the device asks
//! `/token` until they have answered.
//!
//! | file | does |
//! | --- | --- |
//! | `begin` | `POST /device_authorization`: two codes, one for the device and one for the person |
//! | `user_code` | the one for the person |
//! | `page` | `/device`: type the code, read what is asked for, allow or not |
//! | `guesses` | how often somebody may try a code |
//! | `grant` | `/token`: not yet, no, or a grant and its first pair |
//!
//! Nobody is sent back to an address that is known to be the client's, so a public client proves nothing but its name here:
//! the flow is for clients that were made for it ([`confirm`]), or anybody could ask in the name of an app that people trust.
//!
//! What it does not: remember a consent. Whoever holds a device that shows a code is asked each time.

pub mod begin;
mod grant;
mod guesses;
pub mod page;
mod user_code;

pub(super) use grant::grant;

use super::error::{ErrorCode, OAuthError};
use crate::store::clients::Client;

/// Refuses a client that is not for devices (RFC 6749 §5.2).
fn confirm(client: &Client) -> Result<(), OAuthError> {
    if client.device_flow {
        return Ok(());
    }
    Err(OAuthError::new(
        ErrorCode::UnauthorizedClient,
        "this client may not use the device flow: it lists the grant type in its registration or its document, or an \
         administrator makes it with --device",
    ))
}
