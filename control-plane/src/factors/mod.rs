//! Second factors: an authenticator app (TOTP, RFC 6238) with recovery codes, and passkeys (WebAuthn), which are both
//! factors at once.
//!
//! Who has an authenticator app gets no session before its code or a recovery code. A passkey signs in alone: the device has
//! checked who holds it. Changes to any of these need a sign-in of the last ten minutes and give the session a new secret.
//!
//! | file | does |
//! | --- | --- |
//! | `totp`, `recovery` | codes: how they are made and checked |
//! | `challenge`, `relying_party` | passkeys: the challenge that a form carries, and where they work |
//! | `second` | `/login/code`, after a right password |
//! | `sign_in` | `/login/passkey` |
//! | `admin`, `admin_page`, `api` | who has which, and the removal of lost ones by administrators |
//! | `app_page`, `passkey_page` | `/account/totp`, `/account/passkeys` |
//!
//! What it does not: begin sessions or count attempts (`sessions` does); attestation (who made an authenticator is not asked).

pub mod admin;
pub mod admin_page;
pub mod api;
mod app_page;
pub(crate) mod challenge;
mod passkey_page;
mod recovery;
mod relying_party;
mod second;
pub(crate) mod sign_in;
#[cfg(test)]
mod tests;
mod totp;

pub use app_page::{
    get as get_app, post as post_app, remove as remove_app, renew_codes as post_recovery_codes,
};
pub use passkey_page::{
    add as add_passkey, get as get_passkeys, remove as remove_passkey, rename as rename_passkey,
};
pub use second::{get as get_code, post as post_code};
pub use sign_in::post as post_passkey;

pub(crate) use totp::row_context as totp_context;

use axum::http::header;
use axum::response::Response;

use crate::app::App;
use crate::sessions::cookie::{self, Kind, Secret};

/// Gives the browser the session's new secret.
fn with_session(app: &App, mut response: Response, secret: &Secret) -> Response {
    if let Some(cookie) = cookie::set(&app.config, Kind::Session, secret) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    response
}
